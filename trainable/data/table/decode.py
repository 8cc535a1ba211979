"""Images of a table, decoded once into the cache and memory-mapped by every trial of a node."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from trainable.data.arrays.cache import cache_folder, locked
from trainable.data.arrays.folder import MANIFEST, Arrays, checksum, drafted, load_arrays, remove_drafts, source_key
from trainable.data.table import images, passes
from trainable.data.table.passes import SAMPLE, Decoder, Recipe, Surprise, threads
from trainable.data.table.reading import medical, window
from trainable.data.table.reading.sources import State, shown, slice_of, states
from trainable.data.table.reading.window import Window
from trainable.data.table.rows import TableRows
from trainable.errors import DataOutOfReach, InputError
from trainable.randomness import numpy_generator

_STAMP = "compared.json"
_SHOWN = 3
_FIXED = 0


@dataclass(frozen=True)
class Decoded:
    """Images of a table as they lie in the cache.

    Attributes:
        images: uint8 ``[N, C, S, S]``, memory-mapped; one channel where every image is grey, else 3.
        content: Hash of the pixels of each file before they were scaled, uint8 ``[N, 32]``.
        window: What became black and white; None where all files have 8 bits and stay as they are.
        n_wide: Number of files of more than 8 bits.
    """

    images: NDArray[np.uint8]
    content: NDArray[np.uint8]
    window: Window | None
    n_wide: int


def decoded(rows: TableRows, seen: NDArray[np.int64], recipe: Recipe) -> Decoded:
    """Decode the images of a table, or map what was decoded before.

    What lies in the cache is used while the files' sizes and times, their order and the recipe are those of then. Of
    several processes one decodes, and the others wait. Only a block of images is in memory at a time.

    Args:
        rows: The table.
        seen: Positions of the images that may decide the window and the size: all but the test images.
        recipe: How they are made.

    Returns:
        The images.

    Raises:
        InputError: Files that are missing or cannot be read, or no room for the images.
    """
    files = _states(rows)
    # Under the size that it comes to: a sweep that names it finds what was decoded before it was known.
    recipe = replace(recipe, size=recipe.size or _usual_size(rows, files, seen, recipe))
    folder = cache_folder() / f"table-{_key(rows, files, seen, recipe)}"
    cached = _whole(folder)
    if cached is None:
        with locked(folder) as alone:
            # Whoever had the lock before has decoded them.
            cached = _whole(folder)
            if cached is None:
                if alone:
                    remove_drafts(folder)
                _decode(rows, seen, recipe, folder)
                cached = _whole(folder)
    if cached is None:
        raise InputError(f"the decoded images of {rows.name} are gone from {folder}: start again")
    low, high = cached["window"].tolist()
    scaled = Window(low, high) if low < high else None
    return Decoded(cached["images"], cached["content"], scaled, int(cached["n_wide"][0]))


def content_digest(made: Decoded, recipe: Recipe) -> str:
    """SHA-256, hex, of what the images were made of: the same for a copy of the files in another place.

    The pixels before they are scaled count, and how that is done, not what came out: two machines may round
    differently.

    Args:
        made: The images.
        recipe: How they were made.
    """
    values = None if made.window is None else (made.window.low, made.window.high)
    total = hashlib.sha256(repr((made.images.shape, recipe.fit, values)).encode())
    total.update(np.ascontiguousarray(made.content).data)
    return total.hexdigest()


def _states(rows: TableRows) -> list[State]:
    files = [slice_of(path)[0] for path in rows.paths]
    known = states(files)
    lacking = [row for row, file in enumerate(files) if known[file] is None]
    if lacking:
        raise DataOutOfReach(
            f"every image of {rows.name} must be a file, but {len(lacking)} of {len(rows)} are not there: "
            f"{_named(rows, lacking)}: correct the paths (they begin at the table's folder), or leave the rows out"
        )
    return [state for file in files if (state := known[file]) is not None]


def _named(rows: TableRows, positions: Sequence[int]) -> str:
    some = ", ".join(f"{shown(rows.paths[row])} ({rows.at(row)})" for row in positions[:_SHOWN])
    return some + (" ..." if len(positions) > _SHOWN else "")


def _key(rows: TableRows, files: Sequence[State], seen: NDArray[np.int64], recipe: Recipe) -> str:
    listed = hashlib.sha256(seen.tobytes())
    for path, state in zip(rows.paths, files, strict=True):
        listed.update(f"{path}\n{state}\n".encode(errors="surrogateescape"))
    modules = (images.__name__, medical.__name__, window.__name__, passes.__name__, __name__)
    return source_key((listed.hexdigest(), recipe, PIL.__version__), *modules)


def _usual_size(rows: TableRows, files: Sequence[State], seen: NDArray[np.int64], recipe: Recipe) -> int:
    note = cache_folder() / f"table-{_key(rows, files, seen, recipe)}.size"
    with contextlib.suppress(OSError, ValueError):
        return int(note.read_text(encoding="ascii"))
    with ThreadPoolExecutor(threads()) as pool:
        size = Decoder(rows, recipe).measured(pool, _order(seen)[:SAMPLE]).size
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(str(size), encoding="ascii")
    return size


def _order(seen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions in the order in which they are taken into the sample, the same always."""
    return seen[numpy_generator(_FIXED, "table/window").permutation(len(seen))]


def _whole(folder: Path) -> Arrays | None:
    loaded = load_arrays(folder)
    if loaded is None or set(loaded[0]) != {"content", "images", "n_wide", "window"}:
        return None
    arrays, expected = loaded
    state = _stamp(folder, arrays)
    try:
        if json.loads((folder / _STAMP).read_bytes()) == state:
            return arrays
    except (OSError, ValueError):
        pass
    # Compared once, not by each of the trials that map them: it reads all of them.
    if checksum(arrays) != expected:
        return None
    _write_stamp(folder, state)
    return arrays


def _stamp(folder: Path, arrays: Arrays) -> list[list[Any]]:
    status = [(name, (folder / f"{name}.npy").stat()) for name in sorted(arrays)]
    return [[name, one.st_ino, one.st_size, one.st_mtime_ns] for name, one in status]


def _write_stamp(folder: Path, state: list[list[Any]]) -> None:
    try:
        (folder / _STAMP).write_text(json.dumps(state), encoding="utf-8")
    except OSError:
        # It is compared again then.
        return


def _decode(rows: TableRows, seen: NDArray[np.int64], recipe: Recipe, folder: Path) -> None:
    order = _order(seen)
    work = Decoder(rows, recipe)
    with ThreadPoolExecutor(threads()) as pool:
        measure = work.measured(pool, order[:SAMPLE])
        try:
            with drafted(folder, replace=True) as draft:
                _check_room(folder.parent, work.bytes_of(measure))
                try:
                    content, wide = work.write(pool, draft / "images.npy", measure)
                except Surprise as surprise:
                    # An image that is not like those of the sample: all are made again, as it demands.
                    measure = work.after(pool, measure, surprise, order)
                    content, wide = work.write(pool, draft / "images.npy", measure)
                _finish(draft, content, wide, measure.window)
        except OSError as error:
            raise DataOutOfReach(
                f"the decoded images of {rows.name} ({work.bytes_of(measure) / 1e9:.1f} GB) cannot be written to "
                f"{folder.parent}: {error.strerror or error}; free space there, or set LNL_SWEEP_CACHE to another "
                "folder"
            ) from error


def _finish(draft: Path, content: NDArray[np.uint8], wide: int, scaled: Window | None) -> None:
    np.save(draft / "content.npy", content)
    np.save(draft / "n_wide.npy", np.array([wide]))
    np.save(draft / "window.npy", np.array([0.0, 0.0] if scaled is None else [scaled.low, scaled.high]))
    arrays = {name: np.load(draft / f"{name}.npy", mmap_mode="r") for name in ("content", "images", "n_wide", "window")}
    shapes = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    manifest = {"checksum": checksum(arrays), "arrays": shapes}
    (draft / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    _write_stamp(draft, _stamp(draft, arrays))


def _check_room(folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < needed:
        raise OSError(f"only {shutil.disk_usage(folder).free / 1e9:.1f} GB are free")

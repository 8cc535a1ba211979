"""Folders of named arrays, memory-mapped: they appear whole or not at all, and know their own checksum."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.arrays.cache import cache_folder, locked
from trainable.errors import DamagedFile

Arrays = dict[str, NDArray[Any]]
MANIFEST = "manifest.json"
_DRAFT = ".part"

_sound: set[tuple[object, ...]] = set()
"""Folders that this process has compared with their checksum, and the state they were in."""


@dataclass(frozen=True)
class Manifest:
    """Content of ``manifest.json``, which describes the arrays beside it.

    Attributes:
        checksum: Their ``checksum``.
        arrays: Type (``dtype.str``) and shape of each, by name.
    """

    checksum: str
    arrays: Mapping[str, tuple[str, list[int]]]

    @classmethod
    def read(cls, data: bytes) -> Manifest:
        """Read the bytes of ``manifest.json``.

        Raises:
            ValueError: They are something else.
        """
        try:
            content = json.loads(data)
            arrays = {str(name): (str(kind), list(shape)) for name, (kind, shape) in content["arrays"].items()}
            # Names become file names, and the file may come from elsewhere.
            if any(name.startswith(".") or Path(name).name != name for name in arrays):
                raise ValueError("a name that is no file name")
            return cls(str(content["checksum"]), arrays)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error


def checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256, hex, over names, types, shapes and bytes of arrays, in the order of their names.

    Args:
        arrays: The arrays, by name.

    Returns:
        64 hexadecimal characters. Neither the memory layout of the arrays nor the order of the mapping changes them.

    Example:
        >>> checksum({"labels": np.zeros(3, np.uint8)})[:16]
        '05838dd24b90f7a8'
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name}/{array.dtype.str}/{array.shape}\n".encode())
        # A view as bytes: unicode arrays have no buffer of their own.
        total.update(array.view(np.uint8).data if array.size else b"")
    return total.hexdigest()


def source_key(options: object, *modules: str) -> str:
    """Name of derived arrays: hash of options and of the source of the modules that derive them, 16 hex characters.

    Args:
        options: Anything whose ``repr`` is stable.
        *modules: Full names of modules.

    Example:
        >>> source_key((64, "all"))
        '11a75d51171a4ce5'
    """
    total = hashlib.sha256(repr(options).encode())
    for module in modules:
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin is not None:
            total.update(Path(spec.origin).read_bytes())
    return total.hexdigest()[:16]


def save_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]], replace: bool = False) -> str:
    """Write a folder of arrays.

    Args:
        folder: The folder; its parent is made.
        arrays: The arrays, by file name.
        replace: Take the place of a folder that is there already; else one that is whole stays.

    Returns:
        Their checksum.

    Raises:
        OSError: The place cannot be written.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_arrays(Path(folder, "set"), {"labels": np.arange(3)})
        ...     sorted(os.listdir(Path(folder, "set")))
        ['labels.npy', 'manifest.json']
    """
    with drafted(folder, replace) as draft:
        for name, array in arrays.items():
            np.save(draft / f"{name}.npy", array, allow_pickle=False)
        shapes = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
        arrays_checksum = checksum(arrays)
        (draft / MANIFEST).write_text(json.dumps({"checksum": arrays_checksum, "arrays": shapes}), encoding="utf-8")
    return arrays_checksum


@contextlib.contextmanager
def drafted(folder: Path, replace: bool = False) -> Iterator[Path]:
    """Fill a folder of arrays under another name.

    It gets its own name when the block ends without an error.

    Args:
        folder: The folder; its parent is made.
        replace: Take the place of a folder that is there already; else one that is whole stays.

    Yields:
        The folder to be filled.

    Raises:
        OSError: The place cannot be written.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with drafted(Path(folder, "set")) as draft:
        ...         np.save(draft / "labels.npy", np.arange(3))
        ...     os.listdir(Path(folder, "set"))
        ['labels.npy']
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=_DRAFT))
    try:
        yield draft
        # mkdtemp closes it to others, whatever the user's umask says.
        draft.chmod(0o777 & ~_umask())
        try:
            draft.replace(folder)
        except OSError:
            # Another process may have written the same arrays meanwhile; what is torn gives way.
            if replace or load_arrays(folder) is None:
                _take_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _take_place(draft: Path, folder: Path) -> None:
    # Renamed, not deleted file by file: no one finds half of it, and whoever has mapped it keeps it.
    old = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{_DRAFT}")
    folder.replace(old)
    draft.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def remove_drafts(folder: Path) -> None:
    """Remove what killed processes have left of a folder.

    The caller holds the folder's lock.
    """
    for draft in folder.parent.glob(f".{folder.name}.*{_DRAFT}"):
        shutil.rmtree(draft, ignore_errors=True)


def load_arrays(folder: Path) -> tuple[Arrays, str] | None:
    """Map a folder of arrays into memory, read only.

    Args:
        folder: The folder.

    Returns:
        The arrays and their checksum as it was written; None where the folder is missing or torn.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_arrays(Path(folder, "set"), {"labels": np.arange(3)})
        ...     arrays, written = load_arrays(Path(folder, "set"))
        ...     arrays["labels"].tolist(), written == checksum(arrays)
        ([0, 1, 2], True)
    """
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest = Manifest.read(text)
        arrays: Arrays = {}
        for name, (kind, shape) in manifest.arrays.items():
            # Mapped, so that the trials of a node share one copy in memory.
            array = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            if (array.dtype.str, list(array.shape)) != (kind, shape):
                return None
            arrays[name] = array
        # A folder that was replaced meanwhile has given arrays of both.
        return (arrays, manifest.checksum) if (folder / MANIFEST).read_bytes() == text else load_arrays(folder)
    except (OSError, ValueError, EOFError):
        return None


def sound_arrays(folder: Path) -> tuple[Arrays, str] | None:
    """Map a folder of arrays whose bytes agree with its checksum.

    Each process compares them once, and reads all of them to do so.

    Args:
        folder: The folder.

    Returns:
        As ``load_arrays``.

    Raises:
        DamagedFile: The bytes have changed since they were written.
    """
    loaded = load_arrays(folder)
    if loaded is None:
        return None
    arrays, expected = loaded
    state = (str(folder), expected, *(_state(folder / f"{name}.npy") for name in sorted(arrays)))
    if state not in _sound:
        if checksum(arrays) != expected:
            raise DamagedFile(f"{folder} is damaged (its arrays differ from their checksum {expected[:12]})")
        _sound.add(state)
    return loaded


def _state(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def cached_arrays(name: str, build: Callable[[], Arrays]) -> tuple[Arrays, str]:
    """Read arrays from the cache, or build them and put them there.

    Of several processes one builds, and the others wait.

    Args:
        name: Name of the folder in the cache; it must name everything the arrays depend on.
        build: Builds them.

    Returns:
        The arrays, memory-mapped (or, where the cache cannot be written, as they were built), and their checksum.
    """
    folder = cache_folder() / name
    cached = _sound_or_none(folder)
    if cached is not None:
        return cached
    with locked(folder) as alone:
        # Whoever had the lock before has built it.
        cached = _sound_or_none(folder)
        if cached is not None:
            return cached
        if alone:
            remove_drafts(folder)
        arrays = build()
        try:
            save_arrays(folder, arrays, replace=True)
        except OSError:
            return arrays, checksum(arrays)
        return load_arrays(folder) or (arrays, checksum(arrays))


def _sound_or_none(folder: Path) -> tuple[Arrays, str] | None:
    try:
        return sound_arrays(folder)
    except (DamagedFile, OSError):
        return None

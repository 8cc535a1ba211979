"""Folders of named arrays, memory-mapped: they appear whole or not at all, and know their own checksum."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.cache import cache_folder

Arrays = dict[str, NDArray[Any]]
_MANIFEST = "manifest.json"


def checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256, hex, over names, types, shapes and bytes of arrays, in the order of their names."""
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
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
    try:
        for name, array in arrays.items():
            np.save(draft / f"{name}.npy", array, allow_pickle=False)
        shapes = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
        found = checksum(arrays)
        (draft / _MANIFEST).write_text(json.dumps({"checksum": found, "arrays": shapes}), encoding="utf-8")
        draft.chmod(0o755)
        try:
            draft.replace(folder)
        except OSError:
            # Another process may have written the same arrays meanwhile; what is torn gives way.
            if replace or load_arrays(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
                draft.replace(folder)
        return found
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def load_arrays(folder: Path) -> tuple[Arrays, str] | None:
    """Map a folder of arrays into memory, read only.

    Args:
        folder: The folder.

    Returns:
        The arrays and their checksum as it was written; None where the folder is missing or torn.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        arrays: Arrays = {}
        for name, (kind, shape) in manifest["arrays"].items():
            array = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            if [array.dtype.str, list(array.shape)] != [kind, shape]:
                return None
            arrays[name] = array
        return arrays, str(manifest["checksum"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def cached_arrays(name: str, build: Callable[[], Arrays]) -> tuple[Arrays, str]:
    """Read arrays from the cache, or build them and put them there.

    Args:
        name: Name of the folder in the cache; it must name everything the arrays depend on.
        build: Builds them.

    Returns:
        The arrays, memory-mapped (or, where the cache cannot be written, as they were built), and their checksum.
    """
    folder = cache_folder() / name
    found = load_arrays(folder)
    if found is not None:
        return found
    arrays = build()
    try:
        save_arrays(folder, arrays)
    except OSError:
        return arrays, checksum(arrays)
    return load_arrays(folder) or (arrays, checksum(arrays))

"""The folder of derived files: arrays that were parsed once and are read back in milliseconds."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def cache_folder() -> Path:
    """Folder of derived files: ``LNL_SWEEP_CACHE`` if it is set, else ``~/.cache/lnl-sweep``."""
    named = os.environ.get("LNL_SWEEP_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "lnl-sweep"


def digest(array: NDArray[Any]) -> str:
    """SHA-256 of an array's bytes (C order), as hex text."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def cached_array(name: str, sha256: str, build: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Read an array from the cache, or build it and put it there.

    A damaged or outdated file is rebuilt; where the folder cannot be written the array is only built.

    Args:
        name: File name without its ending.
        sha256: ``digest`` of the right array; a cached array with another digest is not used.
        build: Builds the array.

    Returns:
        The array. Only what comes from the cache has been checked against ``sha256``.
    """
    path = cache_folder() / f"{name}.npy"
    try:
        found: NDArray[Any] = np.load(path, allow_pickle=False)
        if digest(found) == sha256:
            return found
    except (OSError, ValueError, EOFError):
        pass
    array = build()
    if digest(array) == sha256:
        _write(path, array)
    return array


def _write(path: Path, array: NDArray[Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several workers may start at once: each writes its own file, and a rename is atomic.
        draft = path.with_name(f".{path.name}-{secrets.token_hex(6)}.part")
        try:
            with draft.open("xb") as file:
                np.save(file, array, allow_pickle=False)
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
    except OSError:
        return

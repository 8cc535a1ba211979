"""The folder of derived files: arrays that were parsed once and are read back in milliseconds, made by one process."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from store.local import expanded

_NOWHERE = Path(os.devnull) / "cache"
"""A folder that never exists and cannot be made: arrays are only built."""


def cache_folder() -> Path:
    """Folder of derived files.

    Returns:
        ``LNL_SWEEP_CACHE`` if it is set, else ``~/.cache/lnl-sweep``. Where there is no home folder, or one that cannot
        be written and has no such folder, as in containers and on batch nodes: one of this user in the system's
        temporary folder, which a sentence on the standard error reports.

    Example:
        >>> from unittest import mock
        >>> with mock.patch.dict(os.environ, LNL_SWEEP_CACHE="/scratch/cache"):
        ...     print(cache_folder())
        /scratch/cache
    """
    named = os.environ.get("LNL_SWEEP_CACHE")
    if named:
        return expanded(named)
    try:
        usual = Path.home() / ".cache" / "lnl-sweep"
    except RuntimeError:
        return _temporary("there is no home folder")
    # One that was filled before the disk was made read-only is read all the same.
    if _can_be_written(usual) or (usual.is_dir() and any(usual.iterdir())):
        return usual
    return _temporary(f"{usual} cannot be written")


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


@functools.cache
def _temporary(reason: str) -> Path:
    user = os.geteuid() if hasattr(os, "geteuid") else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"lnl-sweep-cache-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        # What others can write is not to be believed.
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != user or status.st_mode & 0o022:
            return _NOWHERE
    except OSError:
        return _NOWHERE
    print(f"the cache of data is {folder}, since {reason}: LNL_SWEEP_CACHE names another folder", file=sys.stderr)
    return folder


def digest(array: NDArray[Any]) -> str:
    """SHA-256 of an array's bytes (C order), as hex text.

    Example:
        >>> digest(np.zeros(3, np.uint8))[:16]
        '709e80c88487a241'
    """
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a file or folder, ``.<name>.lock`` beside it.

    Other processes wait, and then find the file made.

    The kernel ends the lock with the process that holds it, however that ends. Processes on several machines exclude
    one another where their disk is shared and knows locks (NFS does).

    Args:
        path: The file or folder; it need not exist.

    Yields:
        False where there can be no lock (a folder that cannot be written, a file system without locks): the work goes
        on, and others may be doing the same.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder, "arrays")) as held:
        ...     held
        True
    """
    lock = FileLock(path.parent / f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        held = False
    else:
        held = True
    try:
        yield held
    finally:
        if held:
            lock.release()


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
        # Never a pickle: to read one can run code.
        cached: NDArray[Any] = np.load(path, allow_pickle=False)
        if digest(cached) == sha256:
            return cached
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
        # A cache that cannot be written costs time, never a trial.
        return

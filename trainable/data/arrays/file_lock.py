"""One process at a time makes something in the cache: the others wait, and then find it made."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a file or folder: ``.<name>.lock`` beside it, which stays there.

    The kernel ends the lock with the process that holds it, however that ends. Processes on several machines exclude
    one another where their disk is shared and knows locks (NFS does).

    Args:
        path: The file or folder; it need not exist.

    Yields:
        False where there can be no lock (a folder that cannot be written, a file system without locks): the work goes
        on, and others may be doing the same.
    """
    descriptor = _take(path.parent / f".{path.name}.lock")
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _take(path: Path) -> int | None:
    try:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError):
            return None
        raise
    return descriptor

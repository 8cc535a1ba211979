"""Temporary folders that are removed with their process, or by the next one where the process was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

PREFIX = "lnl-sweep-tmp-"
"""Prefix of the names of these folders.

Earlier versions used other names and no locks: their folders are left alone.
"""


class TemporaryFolder:
    """Folder in the system's temporary one, locked for as long as its process lives.

    The kernel ends the lock with the process, and knows it in every container that shares the folder. So neither
    process ids nor times are compared.

    Attributes:
        path: The folder.

    Example:
        >>> with TemporaryFolder() as folder:
        ...     folder.is_dir()
        True
        >>> folder.exists()
        False
    """

    def __init__(self) -> None:
        remove_abandoned()
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            # Between its making and its locking another process may take it for abandoned: then another one.
            with contextlib.suppress(BlockingIOError):
                self._lock = _lock(self.path)
                if self.path.is_dir() if self._lock is None else _is_open_at(self._lock, self.path):
                    return
                if self._lock is not None:
                    os.close(self._lock)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_abandoned() -> None:
    """Remove the temporary folders of this user's processes that have ended."""
    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    with contextlib.suppress(OSError):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return
        lock = _lock(path)
        if lock is None:
            return
        try:
            if _is_open_at(lock, path):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(lock)


def _lock(path: Path) -> int | None:
    """Lock a folder for this process.

    None where the folder is gone, or where there are no locks.

    Raises:
        BlockingIOError: Another process holds it.
    """
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _is_open_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False

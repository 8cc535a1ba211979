"""Reading of local folders that may hold anything.

A named pipe must not make a reader wait, nor a loop of links end it.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

from store.errors import DamagedFile, InputError


def expanded(path: str | os.PathLike[str]) -> Path:
    """Absolute path of a text in which ``~`` is the home folder, as a shell leaves it in ``--out=~/x``.

    Raises:
        InputError: There is no such user, or no home folder; or the current folder is gone.

    Example:
        >>> expanded("~/sweep") == Path.home() / "sweep"
        True
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise InputError(
            f"the ~ in {os.fspath(path)} stands for a home folder, but there is none: write the path in full"
        ) from error
    except FileNotFoundError as error:
        raise InputError("the current folder does not exist any more: change to one that does") from error


def exists(path: Path) -> bool:
    """True where a path leads to anything.

    It is False, not an error, where nothing can have that name.

    Example:
        >>> exists(Path("x" * 5000)), exists(Path("/"))
        (False, True)
    """
    try:
        return path.exists()
    except OSError:
        # Longer than the file system allows.
        return False


def probe_writable(folder: Path) -> None:
    """Try whether files can be written in a folder.

    A file without a name is written there, or in the nearest folder above that exists, since modes do not tell of file
    systems that are read only, nor hold for root. Nothing is left, nor is the folder made.

    Raises:
        OSError: None can be written.

    Example:
        >>> probe_writable(Path(tempfile.gettempdir()) / "not" / "made")
    """
    with tempfile.TemporaryFile(dir=_standing(folder)):
        pass


def _standing(folder: Path) -> Path:
    """The folder itself, or the nearest above it that is there, be it a link that leads nowhere."""
    try:
        os.lstat(folder)
    except FileNotFoundError:
        return _standing(folder.parent)
    return folder


def is_file(path: Path) -> bool:
    """True where a path leads to a file.

    It is False, not an error, where no file can have that name.

    Example:
        >>> is_file(Path("x" * 5000))
        False
    """
    try:
        return path.is_file()
    except OSError:
        # Longer than the file system allows.
        return False


def read_regular(path: Path) -> bytes:
    """Read the content of a regular file.

    It never waits, as opening a named pipe would.

    Raises:
        FileNotFoundError: There is none of that name.
        DamagedFile: It is no regular file.
        InputError: It may not be read.
        OSError: It cannot be read.

    Example:
        >>> read_regular(Path("/dev/null"))
        Traceback (most recent call last):
            ...
        store.errors.DamagedFile: /dev/null must be a file, but it is a device: remove it
    """
    try:
        # Without O_NONBLOCK the opening of a named pipe would wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # A loop of links, or a socket.
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise DamagedFile(f"{path} must be a file, but cannot be opened ({error.strerror}): remove it") from error
        if error.errno in (errno.EACCES, errno.EPERM):
            # It may be as whole as ever: nothing may be concluded from its absence.
            raise InputError(f"{path} cannot be read ({error.strerror}): get the permission to read it") from error
        raise
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise DamagedFile(f"{path} must be a file, but it is a {_kind(mode)}: remove it")
        with open(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def entries(folder: Path, prefix: str = "", sizes: bool = True) -> list[tuple[str, int | None]]:
    """Entries of a folder that begin with a prefix, as (name, bytes).

    In place of its bytes a folder has None.

    Anything that is neither a file nor a folder counts as a file of 0 bytes: ``read_regular`` then reports what it is.

    Args:
        folder: The folder; a missing one has no entries.
        prefix: Beginning of the names.
        sizes: Ask for the sizes, which costs a request each; else they are 0.

    Raises:
        NotADirectoryError: It is a file.
        OSError: It cannot be listed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.txt").write_text("four")
        ...     entries(Path(folder))
        [('a.txt', 4)]
    """
    try:
        # A few of thousands, as in a compaction: no entry of the others is made.
        names = [name for name in os.listdir(folder) if name.startswith(prefix)] if prefix else None  # noqa: PTH208
        if names is not None:
            return [(name, _size(folder / name, sizes)) for name in names]
        with os.scandir(folder) as scan:
            return [(entry.name, _size_of(entry, sizes)) for entry in scan]
    except FileNotFoundError:
        return []


def _size_of(entry: os.DirEntry[str], sizes: bool) -> int | None:
    try:
        if entry.is_dir():
            return None
        return entry.stat().st_size if sizes else 0
    except OSError:
        return 0


def _size(path: Path, sizes: bool) -> int | None:
    try:
        status = path.stat()
    except OSError:
        # Gone since it was listed, or a link that leads nowhere.
        return 0
    return None if stat.S_ISDIR(status.st_mode) else status.st_size if sizes else 0


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "named pipe"), (stat.S_ISCHR, "device"))
    return next((kind for is_kind, kind in kinds if is_kind(mode)), "special file")

"""A directory as a sweep needs it, local or in an object store, in which files appear whole or not at all.

A local directory costs only the standard library; pyarrow is imported for ``s3://`` alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Self

from store.errors import InputError
from store.local import entries, expanded, read_regular

CHECK_SECONDS = 5.0
"""Retry budget of an object store when a sweep starts, seconds."""
PIECE = 8 * 2**20
"""Bytes of a large file that are in memory at a time."""

_TEMPORARY = ".tmp"
_NOT_OURS = (PermissionError, NotADirectoryError, FileNotFoundError, IsADirectoryError, FileExistsError)
_DELETING_SECONDS = 2.0
_NOT_OURS_NUMBERS = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG)


@contextlib.contextmanager
def replacing(target: Path, durable: bool = True, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Write a file under a hidden name, and rename it when the block ends without an error.

    Every local file is written in this way, so that a reader sees the old content or the new one.

    Args:
        target: The file to write; its folder exists.
        durable: Wait for the disk. False = after a power failure the file may be empty: for what can be missed.
        mode: Permissions of the file, of which the umask takes some away.

    Yields:
        The hidden file, empty and open; its ``name`` is its path.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder, "note.txt")) as file:
        ...         _ = file.write(b"whole")
        ...     Path(folder, "note.txt").read_bytes()
        b'whole'
    """
    hidden = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}{_TEMPORARY}")
    try:
        # Opened with its final permissions: a key must not be readable for others even for a moment.
        with open(hidden, "xb", opener=lambda path, flags: os.open(path, flags, mode)) as file:
            yield file
            # Renamed before its bytes are on the disk, a file can be empty after a power failure.
            if durable:
                file.flush()
                os.fsync(file.fileno())
        hidden.replace(target)
    finally:
        hidden.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(action: str, address: str) -> Iterator[None]:
    """Turn the errors that only the user can mend into one sentence.

    An error that may pass by itself stays an OSError.

    Args:
        action: What the block does, e.g. ``write to``.
        address: Address of what it does it to.

    Raises:
        InputError: The place does not exist, is full, or may not be written.

    Example:
        >>> with explained("write to", "/data/sweep"):
        ...     raise PermissionError(errno.EACCES, "Permission denied")
        Traceback (most recent call last):
            ...
        store.errors.InputError: cannot write to /data/sweep: Permission denied; name a place that exists ...
    """
    try:
        yield
    except OSError as error:
        text = error.strerror or str(error).splitlines()[0]
        if isinstance(error, _NOT_OURS) or error.errno in _NOT_OURS_NUMBERS:
            raise InputError(f"cannot {action} {address}: {text}; name a place that exists and is writable") from error
        raise


class Folder(ABC):
    """A directory, local or in an object store.

    It need not exist: the first ``write`` makes it.

    In an object store a key should be written once only: a reader of a key that is being overwritten can get bytes of
    both versions.
    """

    @property
    @abstractmethod
    def uri(self) -> str:
        """Absolute path or URI.

        ``folder_at(folder.uri)`` is the same directory.
        """

    @property
    @abstractmethod
    def name(self) -> str:
        """Last part of the path."""

    @property
    def local(self) -> Path | None:
        """The directory as a path, or None where it is remote."""
        return None

    @abstractmethod
    def child(self, *parts: str) -> Self:
        """Return the directory below, which need not exist."""

    def patiently(self, seconds: float) -> Self:
        """Return the same directory with another retry budget.

        Requests to a local directory are never repeated.

        Args:
            seconds: Retry budget; 0 = a request is made once.
        """
        return self

    def kept(self, by: str = "") -> Self:
        """Return the same directory, in and below which nothing is written any more once it is gone.

        Whoever writes on would make it anew, with the little that came after.

        Args:
            by: File in it that must be there too; an object store knows no directories, and is not asked.
        """
        return self

    def check_usable(self) -> None:
        """Refuse an object store that cannot be used, before anything depends on it.

        Raises:
            InputError: It is out of reach, or a file cannot be listed, written, read back or deleted there.
        """
        return

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """

    @abstractmethod
    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file in pieces of at most ``PIECE``, for files that are better not held in memory.

        Raises:
            FileNotFoundError: There is no such file.
        """

    @abstractmethod
    def upload(self, source: Path, name: str) -> None:
        """Copy a local file here, piece by piece.

        It is like ``write``, but for files that are better not held in memory.

        Raises:
            InputError: The place cannot be written: no permission, no space, no such bucket.
            OSError: Anything that may pass by itself.
        """

    @abstractmethod
    def write(self, name: str, data: bytes, durable: bool = True) -> None:
        """Write a file whole or not at all.

        Another file of that name is replaced.

        Locally the bytes reach the disk under a hidden name before the file appears (fsync, then rename).

        Args:
            name: File name without a path.
            data: Its bytes.
            durable: Wait for the disk. False = after a power failure the file may be empty: for what can be missed.

        Raises:
            InputError: The place cannot be written: no permission, no space, no such bucket.
            OSError: Anything that may pass by itself (``Unreachable``: an object store past its retry budget).
        """

    @abstractmethod
    def exists(self, name: str = "") -> bool:
        """Report whether there is such a file or directory (without a name: this directory)."""

    @abstractmethod
    def modified(self, name: str) -> float:
        """Time at which a file was last written, seconds since 1970.

        The clock is that of whoever keeps the directory: a file server, an object store.

        Raises:
            FileNotFoundError: There is no such file.
        """

    @abstractmethod
    def entries(self, prefix: str = "", sizes: bool = True) -> list[tuple[str, int | None]]:
        """Entries that begin with a prefix, hidden ones too, as (name, bytes).

        In place of its bytes a folder has None.

        Args:
            prefix: Beginning of the names.
            sizes: Ask for the sizes, which costs a request each in a local folder; else they may be 0.

        Raises:
            OSError: It is not a directory, or may not be listed.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file.

        One that is already gone is no error.
        """

    @abstractmethod
    def remove_tree(self) -> None:
        """Remove the directory and everything in it.

        One that is already gone is no error.
        """

    def settle(self) -> None:
        """Wait for writes to this directory that were given up and may still arrive.

        Only an object store has such writes.
        """
        return

    def move(self, name: str, to: Folder) -> None:
        """Move a file, whatever it is, to another directory.

        One that is already gone is no error.
        """
        # Written before it is removed: a process that ends in between leaves two copies, never none.
        with contextlib.suppress(FileNotFoundError):
            to.write(name, self.read(name))
            self.remove(name)

    def seen(self, name: str, seconds: float) -> bool:
        """Wait for a file that another node has written.

        On a network's disk it may take seconds to appear here.

        Args:
            name: Its name.
            seconds: Longest time to wait.

        Returns:
            False where it did not appear.
        """
        end = time.monotonic() + seconds
        while not self.exists(name):
            if time.monotonic() > end:
                return False
            # What a listing shows, a disk of a network finds.
            self.names()
            time.sleep(min(0.5, seconds / 20))
        return True

    def names(self, prefix: str = "") -> list[str]:
        """Names of the files that begin with a prefix, sorted, without hidden ones.

        A missing directory has none.

        Raises:
            InputError: It is not a directory, or may not be listed.
        """
        return sorted(name for name, size in self._listed(prefix, sizes=False) if size is not None)

    def sizes(self) -> dict[str, int]:
        """Size in bytes of each file directly in it, without hidden ones.

        Raises:
            InputError: It is not a directory, or may not be listed.
        """
        return {name: size for name, size in self._listed() if size is not None}

    def folders(self) -> list[str]:
        """Names of the directories in it, sorted, without hidden ones.

        A missing directory has none.

        Raises:
            InputError: It is not a directory, or may not be listed.
        """
        return sorted(name for name, size in self._listed(sizes=False) if size is None)

    def _listed(self, prefix: str = "", sizes: bool = True) -> list[tuple[str, int | None]]:
        with explained("list", self.uri):
            listed = self.entries(prefix, sizes)
        return [entry for entry in listed if not entry[0].startswith(".") and not entry[0].endswith(_TEMPORARY)]


@dataclass(frozen=True)
class LocalFolder(Folder):
    """A directory of this machine, or of a disk that it sees.

    Attributes:
        path: Its absolute path.
        keeper: File or folder without which nothing more is written; None = nothing is asked for.
    """

    path: Path
    keeper: Path | None = None

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> LocalFolder:
        """The directory of a path, in which ``~`` is the home folder."""
        return cls(expanded(path))

    @property
    def uri(self) -> str:
        """Absolute path."""
        return str(self.path)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.name

    @property
    def local(self) -> Path | None:
        """The directory as a path."""
        return self.path

    def child(self, *parts: str) -> Self:
        """Return the directory below."""
        return replace(self, path=self.path.joinpath(*parts))

    def kept(self, by: str = "") -> Self:
        """Return the same directory, in and below which nothing is written any more once it, or a file, is gone."""
        return replace(self, keeper=self.path / by)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        return read_regular(self.path / name)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file in pieces of at most ``PIECE``."""
        with (self.path / name).open("rb") as file:
            while data := file.read(PIECE):
                yield data

    def upload(self, source: Path, name: str) -> None:
        """Copy a local file here, piece by piece."""
        with explained("write to", f"{self.uri}/{name}"), source.open("rb") as file, self._replacing(name) as new:
            shutil.copyfileobj(file, new, PIECE)

    def write(self, name: str, data: bytes, durable: bool = True) -> None:
        """Write a file whole or not at all."""
        with explained("write to", f"{self.uri}/{name}"), self._replacing(name, durable) as new:
            new.write(data)

    @contextlib.contextmanager
    def _replacing(self, name: str, durable: bool = True) -> Iterator[BinaryIO]:
        if self.keeper is not None and not self.keeper.exists():
            raise self._vanished()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with replacing(self.path / name, durable) as new:
                yield new
        except FileNotFoundError as error:
            # Somebody is deleting the whole of it, file by file, and may not have come to the keeper yet.
            end = time.monotonic() + _DELETING_SECONDS
            while self.keeper is not None and time.monotonic() < end:
                if not self.keeper.exists():
                    raise self._vanished() from error
                time.sleep(0.05)
            raise

    def _vanished(self) -> InputError:
        return InputError(
            f"{self.keeper} has vanished, so nothing more is written there: put the folder back and resume it, or run "
            "the sweep anew"
        )

    def exists(self, name: str = "") -> bool:
        """Report whether there is such a file or directory."""
        return (self.path / name).exists()

    def modified(self, name: str) -> float:
        """Time at which a file was last written, by the clock of the file server."""
        return (self.path / name).stat().st_mtime

    def entries(self, prefix: str = "", sizes: bool = True) -> list[tuple[str, int | None]]:
        """Entries that begin with a prefix, hidden ones too."""
        return entries(self.path, prefix, sizes)

    def move(self, name: str, to: Folder) -> None:
        """Move a file, whatever it is, to another directory."""
        if to.local is None:
            super().move(name, to)
            return
        with explained("move", f"{self.uri}/{name}"), contextlib.suppress(FileNotFoundError):
            to.local.mkdir(parents=True, exist_ok=True)
            (self.path / name).replace(to.local / name)

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)

    def remove_tree(self) -> None:
        """Remove the directory and everything in it."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)

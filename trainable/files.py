"""A directory, local or in an object store, as a sweep needs it: files appear whole or not at all.

A local directory costs only the standard library; pyarrow is imported for ``s3://`` alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from store.local import entries, expanded, read_regular
from trainable.errors import InputError

if TYPE_CHECKING:
    from trainable.remote import Store

CHECK_SECONDS = 5.0
"""For so long a store may be away when a sweep starts."""
PIECE = 8 * 2**20
"""Bytes of a large file that are in memory at a time."""

_TEMPORARY = ".tmp"
_NOT_OURS = (PermissionError, NotADirectoryError, FileNotFoundError, IsADirectoryError, FileExistsError)
_NOT_OURS_NUMBERS = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG)


def _visible(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(_TEMPORARY)


@contextlib.contextmanager
def _explained(action: str, place: str) -> Iterator[None]:
    """Turn the errors that only the user can mend into one sentence; what may pass by itself stays an OSError."""
    try:
        yield
    except OSError as error:
        text = error.strerror or str(error).splitlines()[0]
        if isinstance(error, _NOT_OURS) or error.errno in _NOT_OURS_NUMBERS:
            raise InputError(f"cannot {action} {place}: {text}; name a place that exists and is writable") from error
        raise


class Folder:
    """One directory, local (a path or ``file://``) or remote (``s3://bucket/path``).

    It need not exist: the first ``write`` makes it. A request to an object store is repeated while the store is away,
    and may take ``trainable.remote.PATIENCE_SECONDS``. There a key should be written once only: a reader
    of a key that is being overwritten can get bytes of both versions.

    Args:
        uri: The directory. An endpoint and a region of an S3 server may follow as a query,
            ``s3://bucket/path?endpoint_override=http://host:port&region=us-east-1``.

    Raises:
        InputError: The scheme is unknown, or the store cannot be reached.
    """

    def __init__(self, uri: str | os.PathLike[str]) -> None:
        text = os.fspath(uri)
        self._remote: Store | None = None
        self._query = ""
        self._keeper: Path | None = None
        if text.startswith("file://"):
            text = text.removeprefix("file://")
        if "://" not in text:
            self._path = str(expanded(text))
            return
        from trainable.remote import Store

        base, _, query = text.partition("?")
        self._query = f"?{query}" if query else ""
        self._scheme = base.partition("://")[0]
        if self._scheme == "s3" and "allow_delayed_open" not in query:
            # One request for a small file instead of three.
            query = f"{query}&allow_delayed_open=true".lstrip("&")
        self._remote, self._path = Store.open(f"{base.rstrip('/')}?{query}".rstrip("?"))

    def __repr__(self) -> str:
        return f"Folder({self.uri!r})"

    @property
    def uri(self) -> str:
        """Absolute path or URI; ``Folder(folder.uri)`` is the same directory."""
        return f"{self._scheme}://{self._path}{self._query}" if self._remote is not None else self._path

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self._path.rsplit("/", 1)[-1]

    @property
    def local(self) -> Path | None:
        """The directory as a path, or None where it is remote."""
        return None if self._remote is not None else Path(self._path)

    def child(self, *parts: str) -> Folder:
        """Return the directory below; it need not exist."""
        folder = object.__new__(Folder)
        folder.__dict__.update(self.__dict__)
        folder._path = "/".join([self._path, *parts])
        return folder

    def patiently(self, seconds: float) -> Folder:
        """Return the same directory, whose requests are repeated for so long; a local one knows no patience."""
        folder = self.child()
        if self._remote is not None:
            folder._remote = self._remote.patiently(seconds)
        return folder

    def kept(self, by: str = "") -> Folder:
        """Return the same directory, in and below which nothing is written any more once it is gone.

        Whoever writes on would make it anew, with the little that came after.

        Args:
            by: File in it that must be there too; an object store knows no directories, and is not asked.
        """
        folder = self.child()
        folder._keeper = Path(self._at(by) if by else self._path)
        return folder

    def check_usable(self) -> None:
        """Refuse an object store that cannot be used, before anything depends on it.

        Raises:
            InputError: It is out of reach, or a file cannot be listed, written, read back or deleted there.
        """
        if self._remote is None:
            return
        from store.errors import Unreachable

        probe, name = self.patiently(CHECK_SECONDS), f".probe-{secrets.token_hex(4)}"
        try:
            probe.write(name, b"probe")
            read = probe.read(name)
            probe.names()
            probe.remove(name)
        except Unreachable as error:
            raise InputError(f"{error}; check the address, AWS_ENDPOINT_URL and the network") from error
        except FileNotFoundError:
            read = b""
        if read != b"probe":
            raise InputError(f"{self.uri} does not give back what is written to it: choose another place")

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        if self._remote is None:
            return read_regular(Path(self._at(name)))
        return self._remote.read(self._at(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file in pieces of at most ``PIECE``, for files that are better not held in memory.

        Raises:
            FileNotFoundError: There is no such file.
        """
        if self._remote is not None:
            yield from self._remote.pieces(self._at(name), PIECE)
            return
        with Path(self._at(name)).open("rb") as file:
            while data := file.read(PIECE):
                yield data

    def upload(self, source: Path, name: str) -> None:
        """Copy a local file here, piece by piece; like ``write``, but for files that are better not held in memory.

        Raises:
            InputError: The place cannot be written: no permission, no space, no such bucket.
            OSError: Anything that may pass by itself.
        """
        with _explained("write to", self.uri if self._query else f"{self.uri}/{name}"):
            if self._remote is not None:
                self._remote.upload(source, self._at(name), PIECE)
                return
            with source.open("rb") as file:
                self._fill(name, lambda new: shutil.copyfileobj(file, new, PIECE))

    def write(self, name: str, data: bytes, durable: bool = True) -> None:
        """Write a file whole or not at all; another file of that name is replaced.

        Locally the bytes reach the disk under a hidden name before the file appears (fsync, then rename).

        Args:
            name: File name without a path.
            data: Its bytes.
            durable: Wait for the disk. False = after a power failure the file may be empty: for what can be missed.

        Raises:
            InputError: The place cannot be written: no permission, no space, no such bucket.
            OSError: Anything that may pass by itself (``Unreachable``: an object store that was away for too long).
        """
        with _explained("write to", self.uri if self._query else f"{self.uri}/{name}"):
            if self._remote is not None:
                self._remote.write(self._at(name), data)
                return
            self._fill(name, lambda new: new.write(data), durable)

    def _fill(self, name: str, fill: Callable[[BinaryIO], object], durable: bool = True) -> None:
        if self._keeper is not None and not self._keeper.exists():
            raise InputError(
                f"{self._keeper} has vanished, so nothing more is written there: put the folder back and resume it, or "
                "run the sweep anew"
            )
        hidden = Path(self._path, f".{name}.{os.getpid()}.{secrets.token_hex(4)}{_TEMPORARY}")
        Path(self._path).mkdir(parents=True, exist_ok=True)
        try:
            with hidden.open("xb") as file:
                fill(file)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            hidden.replace(self._at(name))
        finally:
            hidden.unlink(missing_ok=True)

    def exists(self, name: str = "") -> bool:
        """Is there such a file or directory (without a name: this directory)?"""
        path = self._at(name) if name else self._path
        if self._remote is None:
            return Path(path).exists()
        return self._remote.exists(path)

    def seen(self, name: str, seconds: float) -> bool:
        """Wait for a file that another node has written: on a network's disk it may take seconds to appear here.

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

    def modified(self, name: str) -> float:
        """When a file was last written, by the clock of whoever keeps the directory (a file server, an object store).

        Raises:
            FileNotFoundError: There is no such file.
        """
        if self._remote is None:
            return Path(self._at(name)).stat().st_mtime
        return self._remote.modified(self._at(name))

    def _entries(self, prefix: str = "", sizes: bool = False) -> list[tuple[str, int | None]]:
        # None for a directory; the sizes of local files cost a request each.
        if self._remote is not None:
            return [entry for entry in self._remote.entries(self._path) if entry[0].startswith(prefix)]
        return entries(Path(self._path), prefix, sizes)

    def names(self, prefix: str = "") -> list[str]:
        """Names of the files that begin so, sorted, without hidden ones; a missing directory is empty.

        Raises:
            InputError: It is not a directory, or may not be listed.
        """
        with _explained("list", self.uri):
            return sorted(name for name, size in self._entries(prefix) if size is not None and _visible(name))

    def sizes(self) -> dict[str, int]:
        """Size in bytes of each file directly in it, without hidden ones.

        Raises:
            InputError: It is not a directory, or may not be listed.
        """
        with _explained("list", self.uri):
            return {name: size for name, size in self._entries(sizes=True) if size is not None and _visible(name)}

    def folders(self) -> list[str]:
        """Names of the directories in it, sorted, without hidden ones; a missing directory has none.

        Raises:
            InputError: It is not a directory, or may not be listed.
        """
        with _explained("list", self.uri):
            return sorted(name for name, size in self._entries() if size is None and _visible(name))

    def settle(self) -> None:
        """Wait for writes to this directory that were given up and may still come, as in an object store they do."""
        if self._remote is not None:
            self._remote.settle(self._path)

    def move(self, name: str, to: Folder) -> None:
        """Move a file, whatever it is, to another directory of the same kind; one that is already gone is no error."""
        with contextlib.suppress(FileNotFoundError), _explained("move", self._at(name)):
            if self._remote is None:
                Path(to._path).mkdir(parents=True, exist_ok=True)
                Path(self._at(name)).replace(to._at(name))
            else:
                to.write(name, self.read(name))
                self.remove(name)

    def remove(self, name: str) -> None:
        """Remove a file; one that is already gone is no error."""
        with contextlib.suppress(FileNotFoundError):
            if self._remote is None:
                Path(self._at(name)).unlink()
            else:
                self._remote.delete(self._at(name))

    def remove_tree(self) -> None:
        """Remove the directory and everything in it; one that is already gone is no error."""
        with contextlib.suppress(FileNotFoundError):
            if self._remote is None:
                shutil.rmtree(self._path)
            else:
                self._remote.delete_tree(self._path)

"""A directory, local or in an object store, as a sweep needs it: files appear whole or not at all.

A local directory costs only the standard library; pyarrow is imported for ``s3://`` alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainable.errors import InputError

_TEMPORARY = ".tmp"
_NOT_OURS = (PermissionError, NotADirectoryError, FileNotFoundError, IsADirectoryError, FileExistsError)
_NOT_OURS_NUMBERS = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG)
_NOT_OURS_REMOTE = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "Bucket '")


def _visible(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(_TEMPORARY)


@contextlib.contextmanager
def _explained(action: str, place: str) -> Iterator[None]:
    """Turn the errors that only the user can mend into one sentence; what may pass by itself stays an OSError."""
    try:
        yield
    except OSError as error:
        text = error.strerror or str(error).splitlines()[0]
        remote = "://" in place and any(mark in str(error) for mark in _NOT_OURS_REMOTE)
        if isinstance(error, _NOT_OURS) or error.errno in _NOT_OURS_NUMBERS or remote:
            raise InputError(f"cannot {action} {place}: {text}; name a place that exists and is writable") from error
        raise


class Folder:
    """One directory, local (a path or ``file://``) or remote (``s3://bucket/path``).

    It need not exist: the first ``write`` makes it. In an object store a key should be written once only: a reader
    of a key that is being overwritten can get bytes of both versions.

    Args:
        uri: The directory. An endpoint and a region of an S3 server may follow as a query,
            ``s3://bucket/path?endpoint_override=http://host:port&region=us-east-1``.

    Raises:
        InputError: The scheme is unknown, or the store cannot be reached.
    """

    def __init__(self, uri: str | os.PathLike[str]) -> None:
        text = os.fspath(uri)
        self._remote: Any = None
        self._query = ""
        if text.startswith("file://"):
            text = text.removeprefix("file://")
        if "://" not in text:
            self._path = str(Path(text).expanduser().absolute())
            return
        import pyarrow as pa
        from pyarrow import fs

        base, _, query = text.partition("?")
        self._query = f"?{query}" if query else ""
        self._scheme = base.partition("://")[0]
        if self._scheme == "s3" and "allow_delayed_open" not in query:
            # One request for a small file instead of three.
            query = f"{query}&allow_delayed_open=true".lstrip("&")
        try:
            self._remote, self._path = fs.FileSystem.from_uri(f"{base.rstrip('/')}?{query}".rstrip("?"))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise InputError(f"'{text}' is not a directory that can be used: {str(error).splitlines()[0]}") from error

    def __repr__(self) -> str:
        return f"Folder({self.uri!r})"

    @property
    def uri(self) -> str:
        """Absolute path or URI; ``Folder(folder.uri)`` is the same directory."""
        return f"{self._scheme}://{self._path}{self._query}" if self._remote is not None else self._path

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

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        if self._remote is None:
            return Path(self._at(name)).read_bytes()
        with self._remote.open_input_stream(self._at(name)) as stream:
            return bytes(stream.read())

    def write(self, name: str, data: bytes, durable: bool = True) -> None:
        """Write a file whole or not at all; another file of that name is replaced.

        Locally the bytes reach the disk under a hidden name before the file appears (fsync, then rename).

        Args:
            name: File name without a path.
            data: Its bytes.
            durable: Wait for the disk. False = after a power failure the file may be empty: for what can be missed.

        Raises:
            InputError: The place cannot be written: no permission, no space, no such bucket.
            OSError: Anything that may pass by itself (an object store out of reach).
        """
        with _explained("write to", f"{self.uri}" if self._query else f"{self.uri}/{name}"):
            if self._remote is not None:
                stream = self._remote.open_output_stream(self._at(name))
                stream.write(data)
                stream.close()
                return
            hidden = Path(self._path, f".{name}.{os.getpid()}.{secrets.token_hex(4)}{_TEMPORARY}")
            Path(self._path).mkdir(parents=True, exist_ok=True)
            try:
                with hidden.open("xb") as file:
                    file.write(data)
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
        from pyarrow import fs

        return bool(self._remote.get_file_info(path).type != fs.FileType.NotFound)

    def _entries(self) -> list[tuple[str, bool]]:
        if self._remote is None:
            try:
                with os.scandir(self._path) as found:
                    return [(entry.name, entry.is_dir()) for entry in found]
            except FileNotFoundError:
                return []
        from pyarrow import fs

        found = self._remote.get_file_info(fs.FileSelector(self._path, allow_not_found=True))
        return [(entry.base_name, entry.type == fs.FileType.Directory) for entry in found]

    def names(self) -> list[str]:
        """Names of the files, sorted, without hidden ones; a missing directory is empty.

        Raises:
            InputError: It is not a directory, or may not be listed.
        """
        with _explained("list", self.uri):
            return sorted(name for name, is_folder in self._entries() if not is_folder and _visible(name))

    def folders(self) -> list[str]:
        """Names of the directories in it, sorted, without hidden ones; a missing directory has none.

        Raises:
            InputError: It is not a directory, or may not be listed.
        """
        with _explained("list", self.uri):
            return sorted(name for name, is_folder in self._entries() if is_folder and _visible(name))

    def remove(self, name: str) -> None:
        """Remove a file; one that is already gone is no error."""
        with contextlib.suppress(FileNotFoundError):
            if self._remote is None:
                Path(self._at(name)).unlink()
            elif self.exists(name):
                self._remote.delete_file(self._at(name))

    def remove_tree(self) -> None:
        """Remove the directory and everything in it; one that is already gone is no error."""
        with contextlib.suppress(FileNotFoundError):
            if self._remote is None:
                shutil.rmtree(self._path)
            else:
                self._remote.delete_dir(self._path)

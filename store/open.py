"""Opening of directories and sweeps by their address: a folder, an object store or one packed zip file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from store.errors import InputError, Refused, Unreachable
from store.folder import Folder, LocalFolder
from store.local import expanded
from store.packed import ZipFolder, checked
from store.sealed import REWRITTEN, read_whole

Location = str | os.PathLike[str]


def as_list(places: Location | Sequence[Location]) -> list[Location]:
    """Return one place, or several, as a list.

    Example:
        >>> as_list("a"), as_list(["a", "b"])
        (['a'], ['a', 'b'])
    """
    return [places] if isinstance(places, (str, os.PathLike)) else list(places)


def folder_at(uri: Location) -> Folder:
    """Return the directory of an address, which need not exist.

    Args:
        uri: A path, ``file://`` and a path, or an address in an object store such as ``s3://bucket/path``, whose query
            may name an endpoint and a region.

    Returns:
        The directory. A request to an object store is repeated for ``store.object_store.RETRY_SECONDS``.

    Raises:
        InputError: The scheme is unknown, credentials stand in the address, or the store cannot be reached.

    Example:
        >>> folder_at("/data/sweep").child("trials").uri
        '/data/sweep/trials'
    """
    text = os.fspath(uri).removeprefix("file://")
    if "://" not in text:
        return LocalFolder.at(text)
    # pyarrow is imported there.
    from store.object_store import ObjectFolder

    return ObjectFolder.at(text)


class SweepFiles(Protocol):
    """Files of a sweep, as whoever reads them needs them.

    Attributes:
        name: The sweep's address, for messages.
    """

    name: str

    def files(self, folder: str, prefix: str = "") -> list[str]:
        """Names of the files directly in a subfolder ("" = the top) that begin with a prefix, sorted.

        A missing subfolder has none.
        """
        ...

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of each file directly in a subfolder."""
        ...

    def read(self, path: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: There is none of that name.
            DamagedFile: It has a checksum that does not agree.
            OSError: It cannot be read.
        """
        ...


def read_small(folder: Folder, name: str) -> bytes:
    """Read a file that may be rewritten under its name.

    In an object store it is read again while it is torn, made of bytes of two versions.

    Args:
        folder: The directory.
        name: Name of the file in it.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFile: Its checksum does not agree.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as path:
        ...     folder_at(path).write("sweep.yaml", b"seed: 1")
        ...     read_small(folder_at(path), "sweep.yaml")
        b'seed: 1'
    """
    return checked(folder.uri, name, _steady(folder, name))


def _steady(folder: Folder, name: str) -> bytes:
    if folder.local is not None or not name.endswith(REWRITTEN):
        return folder.read(name)
    return read_whole(name, lambda: folder.read(name))


class Readable:
    """A sweep's directory, read by its driver.

    Args:
        folder: The directory.
        name: Its address for messages; None = its own.
    """

    def __init__(self, folder: Folder, name: str | None = None) -> None:
        self.name = folder.uri if name is None else name
        self._folder = folder

    def files(self, folder: str, prefix: str = "") -> list[str]:
        """Names of the files directly in a subfolder that begin with a prefix."""
        return self._below(folder).names(prefix)

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of each file directly in a subfolder."""
        return self._below(folder).sizes()

    def read(self, path: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: There is none of that name.
            InputError: The store was unavailable for too long; that its rows are lost must not be concluded from it.
        """
        folder, _, name = path.rpartition("/")
        try:
            return checked(self.name, path, _steady(self._below(folder), name))
        except Unreachable as error:
            raise InputError(str(error)) from error

    def _below(self, folder: str) -> Folder:
        return self._folder.child(folder) if folder else self._folder


class _Opened(Readable):
    """A sweep's directory, read by whoever gave its address: errors say what to do about that."""

    def files(self, folder: str, prefix: str = "") -> list[str]:
        with self._worded(folder):
            return super().files(folder, prefix)

    def sizes(self, folder: str) -> dict[str, int]:
        with self._worded(folder):
            return super().sizes(folder)

    def read(self, path: str) -> bytes:
        with _usable(f"{self.name}/{path}"):
            folder, _, name = path.rpartition("/")
            return checked(self.name, path, _steady(self._below(folder), name))

    @contextmanager
    def _worded(self, folder: str) -> Iterator[None]:
        if self._folder.local is None:
            with _usable(self.name):
                yield
            return
        address = f"{self.name}/{folder}".rstrip("/")
        try:
            yield
        except (InputError, OSError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            reason = cause.strerror if isinstance(cause, OSError) else error
            raise InputError(f"{address} must be a folder that can be listed, but: {reason}") from error


@contextmanager
def _usable(address: str) -> Iterator[None]:
    """Say of an object store that refused or did not answer what is to be checked.

    That a part cannot be fetched must not read as if it had no rows.
    """
    try:
        yield
    except (Refused, Unreachable) as error:
        raise InputError(f"{address} cannot be used ({error.reason}): check the address and the credentials") from error


def open_folder(directory: Location) -> SweepFiles:
    """Open a sweep to read it.

    Args:
        directory: A local folder, an address such as ``s3://bucket/sweep``, or a zip file made by ``lnl-sweep pack``.

    Returns:
        Its files.

    Raises:
        InputError: There is nothing there, or what is there is not a sweep.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as path:
        ...     folder_at(path).write("sweep.yaml", b"seed: 1")
        ...     open_folder(path).files("")
        ['sweep.yaml']
    """
    name = os.fspath(directory)
    if "://" in name:
        try:
            remote = folder_at(name)
            # Asked once, without a retry budget: a wrong address is reported at once.
            is_sweep = _is_sweep(Readable(remote.patiently(0.0), name))
            folder: SweepFiles = _Opened(remote, name)
        except (Refused, Unreachable) as error:
            raise _unreadable(name, error.reason) from error
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise _unreadable(name, str(error).splitlines()[0]) from error
    else:
        local = expanded(name)
        if local.is_file():
            if not zipfile.is_zipfile(local):
                raise InputError(f"a sweep is a folder or a packed zip file, but {name} is neither: give its folder")
            folder = ZipFolder(name, local)
        elif local.is_dir():
            # Data frames and reports hold the name, which must be text; that of a file need not be UTF-8.
            folder = _Opened(LocalFolder(local), os.fsencode(name).decode(errors="backslashreplace"))
        else:
            raise InputError(f"there is no folder {name}: give the folder a sweep was run in (its --out)")
        is_sweep = _is_sweep(folder)
    if not is_sweep:
        raise InputError(f"{name} is not a sweep's folder (no sweep.yaml, no trials/): give the one named by --out")
    return folder


def _unreadable(name: str, reason: str) -> InputError:
    return InputError(f"{name} cannot be read ({reason}): check the address and the credentials")


def put(address: str, name: str, content: bytes) -> str:
    """Write one file into a folder with an address, whole or not at all, as object stores do.

    Args:
        address: An address such as ``s3://bucket/sweep``.
        name: Name of the file.
        content: Its content.

    Returns:
        The file's address.

    Raises:
        InputError: It cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as path:
        ...     put(path, "report.html", b"<p>") == f"{path}/report.html"
        True
    """
    target = f"{address.rstrip('/')}/{name}"
    try:
        with _usable(target):
            folder_at(address).write(name, content)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{target} cannot be written ({error}): check the address and the credentials") from error
    return target


def _is_sweep(folder: SweepFiles) -> bool:
    # A sweep that has lost its sheet is one too: whoever reads its rows then says what is missing.
    return "sweep.yaml" in folder.files("") or bool(folder.files("trials"))

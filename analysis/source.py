"""Where a sweep's files lie: a local folder, an ``s3://`` address or one packed zip file, read the same way."""

from __future__ import annotations

import os
import re
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from pyarrow import fs

from store.errors import DamagedFile, InputError
from store.local import entries, expanded, read_regular
from store.sealed import CHECKED, REWRITTEN, check_whole, read_whole

T = TypeVar("T")
Location = str | os.PathLike[str]

PATIENCE_SECONDS = 90.0
"""For so long an object store may be away while a sweep is read."""
_REFUSED = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "Bucket '")
_GONE = ("NO_SUCH_KEY", "RESOURCE_NOT_FOUND")


def as_list(places: Location | Sequence[Location]) -> list[Location]:
    """One place or several, as a list."""
    return [places] if isinstance(places, (str, os.PathLike)) else list(places)


class Folder(Protocol):
    """A sweep's folder.

    Attributes:
        name: Its address, for messages.
    """

    name: str

    def files(self, folder: str, prefix: str = "") -> list[str]:
        """Names of the files directly in a subfolder ("" = the top) that begin so, sorted; none where it is missing."""
        ...

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of each file directly in a subfolder."""
        ...

    def read(self, path: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: There is none of that name.
            OSError: It cannot be read.
        """
        ...


class _Local:
    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self._root = root

    def files(self, folder: str, prefix: str = "") -> list[str]:
        return sorted(name for name, size in self._entries(folder, prefix, sizes=False) if size is not None)

    def sizes(self, folder: str) -> dict[str, int]:
        return {name: size for name, size in self._entries(folder) if size is not None}

    def _entries(self, folder: str, prefix: str = "", sizes: bool = True) -> list[tuple[str, int | None]]:
        try:
            return entries(self._root / folder, prefix, sizes)
        except OSError as error:
            place = f"{self.name}/{folder}".rstrip("/")
            raise InputError(f"{place} must be a folder that can be listed, but: {error.strerror}") from error

    def read(self, path: str) -> bytes:
        return _checked(self.name, path, read_regular(self._root / path))


class _Filesystem:
    def __init__(self, name: str, filesystem: fs.FileSystem, root: str) -> None:
        self.name = name
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    def files(self, folder: str, prefix: str = "") -> list[str]:
        return sorted(name for name in self.sizes(folder) if name.startswith(prefix))

    def sizes(self, folder: str) -> dict[str, int]:
        selector = fs.FileSelector(f"{self._root}/{folder}".rstrip("/"), allow_not_found=True)
        infos = self._filesystem.get_file_info(selector)
        return {info.base_name: info.size for info in infos if info.type == fs.FileType.File}

    def read(self, path: str) -> bytes:
        with self._filesystem.open_input_stream(f"{self._root}/{path}", compression=None) as stream:
            return bytes(stream.read())


class _Remote(_Filesystem):
    """An object store: asked again where it does not answer, and where a rewritten file is torn."""

    def sizes(self, folder: str) -> dict[str, int]:
        return _patiently(self.name, lambda: super(_Remote, self).sizes(folder))

    def read(self, path: str) -> bytes:
        def once() -> bytes:
            return _patiently(f"{self.name}/{path}", lambda: super(_Remote, self).read(path))

        return _checked(self.name, path, read_whole(path, once) if path.endswith(REWRITTEN) else once())


def _checked(name: str, path: str, content: bytes) -> bytes:
    return check_whole(path, content, f"{name}/{path}") if path.endswith(CHECKED) else content


def _patiently(place: str, work: Callable[[], T]) -> T:
    """Repeat a request that failed; that a part cannot be fetched must not read as if it had no rows."""
    end, pause = time.monotonic() + PATIENCE_SECONDS, 0.5
    while True:
        try:
            return work()
        except FileNotFoundError:
            raise
        except OSError as error:
            if any(mark in str(error) for mark in _GONE):
                # Deleted between two requests of one reading.
                raise FileNotFoundError(place) from error
            if time.monotonic() > end or any(mark in str(error) for mark in _REFUSED):
                reason = str(error).splitlines()[0]
                raise InputError(f"{place} cannot be used ({reason}): check the address and the credentials") from error
        time.sleep(pause)
        pause = min(2 * pause, 8.0)


def _connect(address: str) -> tuple[fs.FileSystem, str]:
    if "AWS_ACCESS_KEY_ID" in os.environ or "AWS_ENDPOINT_URL" in os.environ:
        # Credentials and region need not be asked of a cloud's metadata server, which answers late or never.
        os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    filesystem, path = fs.FileSystem.from_uri(address)
    return filesystem, path


def _refuse_credentials(address: str) -> None:
    """Refuse ``s3://KEY:SECRET@bucket``: a report names the address of its sweep."""
    if re.match(r"s3://([^/?#]*|[^/?#]*:[^?#]*)@", address):
        raise InputError(
            "an address must not hold credentials, but this s3:// address does: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, and leave them out of it"
        )


class ZipFolder:
    """A packed sweep.

    Args:
        name: Its address, for messages.
        path: The zip file.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = {entry.filename: entry.file_size for entry in archive.infolist()}
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DamagedFile(f"{name} is damaged ({error}): get it anew from where it was packed") from error
        names = list(members)
        tops = [n for n in names if n == "sweep.yaml" or n.endswith("/sweep.yaml")]
        highest = min((n.count("/") for n in tops), default=0)
        tops = [n for n in tops if n.count("/") == highest]
        if len(tops) > 1:
            raise InputError(
                f"a zip file must hold one sweep, but {name} holds {len(tops)}: unpack it, give its folders"
            )
        self._root = tops[0].removesuffix("sweep.yaml") if tops else ""
        self._sizes = {
            name.removeprefix(self._root): size
            for name, size in members.items()
            if name.startswith(self._root) and not name.endswith("/")
        }

    def files(self, folder: str, prefix: str = "") -> list[str]:
        """Names of the files directly in a subfolder that begin so, sorted."""
        return sorted(name for name in self.sizes(folder) if name.startswith(prefix))

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of each file directly in a subfolder."""
        prefix = f"{folder}/" if folder else ""
        inside = {n.removeprefix(prefix): size for n, size in self._sizes.items() if n.startswith(prefix)}
        return {name: size for name, size in inside.items() if "/" not in name}

    def read(self, path: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: There is none of that name.
            DamagedFile: It cannot be unpacked, or its checksum does not agree.
        """
        if path not in self._sizes:
            raise FileNotFoundError(path)
        try:
            with zipfile.ZipFile(self._path) as archive:
                content = archive.read(self._root + path)
        except (zipfile.BadZipFile, zlib.error, KeyError, OSError, ValueError, EOFError, RuntimeError) as error:
            # Also NotImplementedError and a password: damage can make a member look like anything.
            raise DamagedFile(
                f"{path} in {self.name} is damaged ({error}): get the file anew from where it was packed"
            ) from error
        return _checked(self.name, path, content)


def open_folder(directory: Location) -> Folder:
    """Open a sweep's folder.

    Args:
        directory: A local folder, an address such as ``s3://bucket/sweep``, or a zip file made by ``lnl-sweep pack``.

    Returns:
        The folder.

    Raises:
        InputError: There is nothing there, or what is there is not a sweep.
    """
    name = os.fspath(directory)
    if "://" in name:
        _refuse_credentials(name)
        try:
            filesystem, path = _connect(name)
            # Once without patience: a wrong address is to be told at once.
            found = _is_sweep(_Filesystem(name, filesystem, path))
            folder: Folder = _Remote(name, filesystem, path)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{name} cannot be read ({reason}): check the address and the credentials") from error
    else:
        local = expanded(name)
        if local.is_file():
            if not zipfile.is_zipfile(local):
                raise InputError(f"a sweep is a folder or a packed zip file, but {name} is neither: give its folder")
            folder = ZipFolder(name, local)
        elif local.is_dir():
            # Data frames and reports hold the name, which must be text; that of a file need not be UTF-8.
            folder = _Local(os.fsencode(name).decode(errors="backslashreplace"), local)
        else:
            raise InputError(f"there is no folder {name}: give the folder a sweep was run in (its --out)")
        found = _is_sweep(folder)
    if not found:
        raise InputError(f"{name} is not a sweep's folder (no sweep.yaml, no trials/): give the one named by --out")
    return folder


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
    """
    target = f"{address.rstrip('/')}/{name}"
    _refuse_credentials(target)
    try:
        filesystem, path = _connect(target)

        def write() -> None:
            with filesystem.open_output_stream(path) as stream:
                stream.write(content)

        _patiently(target, write)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{target} cannot be written ({error}): check the address and the credentials") from error
    return target


def _is_sweep(folder: Folder) -> bool:
    return "sweep.yaml" in folder.files("") or bool(folder.files("trials"))

"""Where a sweep's files lie: a local folder, an ``s3://`` address or one packed zip file, read the same way."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pyarrow import fs

from analysis.errors import InputError

Location = str | os.PathLike[str]


def as_list(places: Location | Sequence[Location]) -> list[Location]:
    """One place or several, as a list."""
    return [places] if isinstance(places, (str, os.PathLike)) else list(places)


class Folder(Protocol):
    """A sweep's folder.

    Attributes:
        name: Its address, for messages.
    """

    name: str

    def files(self, folder: str) -> list[str]:
        """Names of the files directly in a subfolder ("" = the top), sorted; empty where it does not exist."""
        ...

    def read(self, path: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: There is none of that name.
            OSError: It cannot be read.
        """
        ...


class _Filesystem:
    def __init__(self, name: str, filesystem: fs.FileSystem, root: str) -> None:
        self.name = name
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    def files(self, folder: str) -> list[str]:
        selector = fs.FileSelector(f"{self._root}/{folder}".rstrip("/"), allow_not_found=True)
        infos = self._filesystem.get_file_info(selector)
        return sorted(info.base_name for info in infos if info.type == fs.FileType.File)

    def read(self, path: str) -> bytes:
        with self._filesystem.open_input_stream(f"{self._root}/{path}", compression=None) as stream:
            return bytes(stream.read())


class _Zip:
    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        tops = sorted((n for n in names if n == "sweep.yaml" or n.endswith("/sweep.yaml")), key=len)
        self._root = tops[0].removesuffix("sweep.yaml") if tops else ""
        self._names = [n.removeprefix(self._root) for n in names if n.startswith(self._root) and not n.endswith("/")]

    def files(self, folder: str) -> list[str]:
        prefix = f"{folder}/" if folder else ""
        inside = (name.removeprefix(prefix) for name in self._names if name.startswith(prefix))
        return sorted(name for name in inside if "/" not in name)

    def read(self, path: str) -> bytes:
        with zipfile.ZipFile(self._path) as archive:
            try:
                return archive.read(self._root + path)
            except KeyError as error:
                raise FileNotFoundError(path) from error


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
        try:
            folder: Folder = _Filesystem(name, *fs.FileSystem.from_uri(name))
            found = _is_sweep(folder)
        except (OSError, ValueError) as error:
            raise InputError(f"{name} cannot be read ({error}): check the address and the credentials") from error
    else:
        path = Path(name).expanduser().absolute()
        if path.is_file():
            if not zipfile.is_zipfile(path):
                raise InputError(f"a sweep is a folder or a packed zip file, but {name} is neither: give its folder")
            folder = _Zip(name, path)
        elif path.is_dir():
            folder = _Filesystem(name, fs.LocalFileSystem(), str(path))
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
    try:
        filesystem, path = fs.FileSystem.from_uri(target)
        with filesystem.open_output_stream(path) as stream:
            stream.write(content)
    except (OSError, ValueError) as error:
        raise InputError(f"{target} cannot be written ({error}): check the address and the credentials") from error
    return target


def _is_sweep(folder: Folder) -> bool:
    return "sweep.yaml" in folder.files("") or bool(folder.files("trials"))

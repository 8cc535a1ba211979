"""A sweep in one zip file, read like a folder."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from store.errors import DamagedFile, InputError
from store.sealed import CHECKED, check_whole


def checked(name: str, path: str, content: bytes) -> bytes:
    """Return the content of a file that has no checksum, or one that agrees.

    Args:
        name: Address of its sweep, for the message.
        path: Its path in it.
        content: Its bytes.

    Raises:
        DamagedFile: Its checksum does not agree.

    Example:
        >>> checked("sweep.zip", "samples/index.json", b'{"images": []}')
        b'{"images": []}'
        >>> checked("sweep.zip", "samples/index.json", b'{"images": [], "checksum": "0"}')
        Traceback (most recent call last):
            ...
        store.errors.DamagedFile: sweep.zip/samples/index.json has changed since it was written (its ...
    """
    return check_whole(path, content, f"{name}/{path}") if path.endswith(CHECKED) else content


class ZipFolder:
    """A packed sweep, as ``store.open.SweepFiles`` has it.

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
        # Zip programs put the folder that was packed around its files, or leave it out.
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
        """Names of the files directly in a subfolder that begin with a prefix, sorted."""
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
        return checked(self.name, path, content)

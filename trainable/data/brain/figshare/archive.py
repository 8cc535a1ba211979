"""Files of figshare article 1512427, in its zip, the folder of its four inner zips, or a folder of .mat files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from trainable.data.brain.figshare.mat_file import read_array
from trainable.errors import InputError

N_FOLDS = 5
_FOLDS_FILE = "cvind.mat"

# Which of them a damaged zip raises depends on the place of the damage; RuntimeError is an encrypted one's.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Member:
    """One file inside a folder or a zip.

    Attributes:
        container: The zips to open one after the other, from the outside in; empty = a plain file.
        name: Its name in the innermost zip, or its path.
        state: Changes whenever the content does: size and CRC, or size and time of change.
    """

    container: tuple[str, ...]
    name: str
    state: str

    @property
    def file_name(self) -> str:
        """Its name without a path."""
        return PurePosixPath(self.name).name


class Archive:
    """All .mat files under a path.

    Args:
        path: A zip, or a folder that holds zips or .mat files at any depth.

    Attributes:
        slices: The numbered files (``1.mat`` ...), by number; one that stands twice with different content has several.
        others: Other .mat files but ``cvind.mat``.
        broken: Names of zips that cannot be read.

    Raises:
        InputError: There is no such path, or no .mat file under it.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise InputError(f"there is no file or folder '{path}': give 1512427.zip or its unpacked folder")
        self.slices: dict[int, list[Member]] = {}
        self.others: list[Member] = []
        self.broken: list[str] = []
        self._folds: list[Member] = []
        self._open: tuple[tuple[str, ...], zipfile.ZipFile] | None = None
        for member in self._walk(path):
            number = re.fullmatch(r"([1-9]\d*)\.mat", member.file_name)
            if number:
                self.slices.setdefault(int(number[1]), []).append(member)
            elif member.file_name.lower() == _FOLDS_FILE:
                self._folds.append(member)
            else:
                self.others.append(member)
        # A zip may lie beside what has been unpacked from it.
        self.slices = {number: self._distinct(members) for number, members in self.slices.items()}
        self._folds = self._distinct(self._folds)
        if not self.slices and not self.broken:
            raise InputError(f"'{path}' holds no files 1.mat, 2.mat, ...: give the archive 1512427.zip or its folder")

    def _walk(self, path: Path) -> Iterator[Member]:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_file() or _hidden(file.name):
                continue
            if file.suffix.lower() == ".zip" or not path.is_dir():
                yield from self._walk_zip((str(file),))
            elif file.suffix.lower() == ".mat":
                known = file.stat()
                yield Member((), str(file), f"{known.st_size}/{known.st_mtime_ns}")

    def _walk_zip(self, container: tuple[str, ...]) -> Iterator[Member]:
        try:
            infos = self._zip(container).infolist()
        except _UNREADABLE:
            self.broken.append(PurePosixPath(container[-1]).name)
            return
        for info in sorted(infos, key=lambda one: one.filename):
            name = PurePosixPath(info.filename)
            if info.is_dir() or _hidden(name.name) or "__MACOSX" in name.parts:
                continue
            if name.suffix.lower() == ".zip":
                yield from self._walk_zip((*container, info.filename))
            elif name.suffix.lower() == ".mat":
                yield Member(container, info.filename, f"{info.file_size}/{info.CRC}")

    def _zip(self, container: tuple[str, ...]) -> zipfile.ZipFile:
        # Files are read in the order of the zips, so one zip open at a time is enough; an inner one is in memory.
        if self._open is None or self._open[0] != container:
            if len(container) == 1:
                opened = zipfile.ZipFile(container[0])
            else:
                opened = zipfile.ZipFile(io.BytesIO(self._zip(container[:-1]).read(container[-1])))
            self._open = container, opened
        return self._open[1]

    def read(self, member: Member) -> bytes | None:
        """Bytes of a file, or None where the zip around it, or the disk, gives none."""
        with contextlib.suppress(*_UNREADABLE):
            if not member.container:
                return Path(member.name).read_bytes()
            return self._zip(member.container).read(member.name)
        return None

    def _distinct(self, members: list[Member]) -> list[Member]:
        """Members with different content.

        Of those with the same content the one that opens fastest stays.
        """
        if len(members) < 2:
            return members
        kept: dict[str, Member] = {}
        for member in sorted(members, key=lambda one: len(one.container)):
            # A zip knows size and CRC of its files: to read one might mean to unpack the zip around it once more.
            kept.setdefault(member.state if member.container else _size_and_crc(member), member)
        return list(kept.values())

    def folds(self) -> NDArray[np.int64]:
        """The fold of every slice, from ``cvind.mat``.

        Returns:
            int64 ``[n]``, counted from 0; its length says how many slices there must be.

        Raises:
            InputError: The file is missing, stands twice, is unreadable, or its folds are not 1 to 5.
        """
        if len(self._folds) != 1:
            damaged = f", and {', '.join(self.broken)} cannot be read as a zip" if self.broken else ""
            what = "leave the right one there" if self._folds else "download it again" if self.broken else "add it"
            content = " with different content" if self._folds else ""
            raise InputError(
                f"the archive must hold one {_FOLDS_FILE}, but there are {len(self._folds)}{content}{damaged}: {what}"
            )
        data = self.read(self._folds[0])
        values = None if data is None else _read_folds(data)
        if values is None or values.size == 0 or not np.isin(values, np.arange(1, N_FOLDS + 1)).all():
            raise InputError(f"{_FOLDS_FILE} must hold a fold from 1 to {N_FOLDS} for every slice: download it again")
        return values.astype(np.int64) - 1

    def state(self) -> str:
        """Hex digest over the names and states of all files: the same while nothing has changed."""
        members = [(number, member.state) for number in sorted(self.slices) for member in self.slices[number]]
        text = repr((members, [member.state for member in self._folds], sorted(self.broken)))
        return hashlib.sha256(text.encode()).hexdigest()


def _size_and_crc(member: Member) -> str:
    try:
        data = Path(member.name).read_bytes()
    except OSError:
        # Told apart from all others, and named when it is read.
        return member.name
    return f"{len(data)}/{zlib.crc32(data)}"


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _read_folds(data: bytes) -> NDArray[np.float64] | None:
    import h5py

    with contextlib.suppress(Exception), h5py.File(io.BytesIO(data), "r") as file:
        return read_array(file, "cvind").astype(np.float64).ravel()
    import scipy.io

    # Older MATLAB files are no HDF5; whatever is wrong with either, the caller says it in one sentence.
    with contextlib.suppress(Exception):
        variables: Any = scipy.io.loadmat(cast(Any, io.BytesIO(data)))
        return np.asarray(variables["cvind"], dtype=np.float64).ravel()
    return None

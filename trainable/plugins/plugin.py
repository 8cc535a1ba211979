"""Plug-in: source text of a user's own data sets, methods and networks, which travels with a sweep."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from trainable.errors import DamagedFile

Kind = Literal["file", "package", "module"]
LARGEST_BYTES = 8 * 2**20
"""Largest size in bytes of the source of one plug-in, which every worker is sent."""
SHORT = 8
"""Digits of the checksum in the name of a stored plug-in."""


@dataclass(frozen=True)
class Plugin:
    """Plug-in of a sweep.

    Attributes:
        name: Name of its module, by which other plug-ins import it: that of the file or folder, or the dotted name.
        kind: A ``file``, a folder that is a ``package``, or an installed ``module``, which does not travel.
        content: Source of the file, or a zip file of all ``.py`` files of the package; empty for an installed module.
        sha256: Digest of the source, 64 hex digits.
        origin: Absolute path that the source was read from.

    Example:
        >>> Plugin.of_sources("xray", "file", {"xray.py": b"SIDE = 224"}, "/home/me/xray.py").stored_name
        'xray-c14e9b86.py'
    """

    name: str
    kind: Kind
    content: bytes = field(repr=False)
    sha256: str
    origin: str

    @classmethod
    def of_sources(cls, name: str, kind: Kind, sources: Mapping[str, bytes], origin: str) -> Plugin:
        """Make a plug-in of source texts.

        Args:
            name: Name of its module.
            kind: What it is.
            sources: Content of each file by its path in the package, or of the one file by its name.
            origin: Path that they were read from.
        """
        content = b"" if kind == "module" else _zipped(sources) if kind == "package" else next(iter(sources.values()))
        return cls(name, kind, content, digest_of(kind, sources), origin)

    @property
    def short(self) -> str:
        """Beginning of the checksum."""
        return self.sha256[:SHORT]

    @property
    def stored_name(self) -> str | None:
        """Name of its file in ``plugins/`` of a sweep's directory.

        None of an installed module, which is not stored.
        """
        endings = {"file": "py", "package": "zip"}
        return f"{self.name}-{self.short}.{endings[self.kind]}" if self.kind in endings else None

    @property
    def file(self) -> str:
        """Last part of the origin, for ``FILE.py:NAME``."""
        return PurePath(self.origin).name

    def sources(self) -> dict[str, bytes]:
        """Content of each file by its path in the package, or of the one file by its name.

        Empty for an installed module.

        Raises:
            DamagedFile: The content is not that of a package, or larger than a plug-in may be.
        """
        if self.kind == "file":
            return {f"{self.name}.py": self.content}
        return _unzipped(self.content, self.name) if self.kind == "package" else {}

    def check(self) -> None:
        """Compare the content with the checksum.

        Raises:
            DamagedFile: They do not agree.
        """
        if self.kind != "module" and digest_of(self.kind, self.sources()) != self.sha256:
            raise DamagedFile(f"plug-in {self.name} is damaged (its content is not that of checksum {self.short})")


def digest_of(kind: Kind, sources: Mapping[str, bytes]) -> str:
    """SHA-256 of a plug-in's source: that of the file, or one over the paths and contents of several files.

    Args:
        kind: What the plug-in is.
        sources: Content of each file by its path in the package, or of the one file by its name.

    Example:
        >>> digest_of("file", {"xray.py": b""})[:16]
        'e3b0c44298fc1c14'
    """
    if kind == "file":
        return hashlib.sha256(next(iter(sources.values()))).hexdigest()
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(f"{path}\0{hashlib.sha256(sources[path]).hexdigest()}\n".encode())
    return digest.hexdigest()


def _zipped(sources: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in sorted(sources):
            # Neither times nor permissions: the same source makes the same bytes.
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o644 << 16
            file.writestr(entry, sources[path])
    return buffer.getvalue()


def _unzipped(content: bytes, name: str) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            if sum(entry.file_size for entry in file.infolist()) > LARGEST_BYTES:
                raise DamagedFile(f"plug-in {name} is larger than {LARGEST_BYTES} bytes")
            return {entry.filename: file.read(entry) for entry in file.infolist()}
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, DamagedFile):
            raise
        raise DamagedFile(f"plug-in {name} is damaged (it is no zip file of a package)") from error

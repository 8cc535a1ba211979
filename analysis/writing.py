"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import InputError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary file beside the target, which takes the target's place when the block ends without an error.

    Args:
        target: The file to write.

    Yields:
        The temporary file's path.

    Raises:
        InputError: The place cannot be written to.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=".tmp", dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror}): give another place") from error
    try:
        yield Path(name)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def write_text(target: Path, content: str) -> Path:
    """Write a text file so that a reader sees the old one or the new one, never half of it."""
    with replacing(target) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return target


def write_bytes(target: Path, content: bytes) -> Path:
    """The same with bytes."""
    with replacing(target) as temporary:
        temporary.write_bytes(content)
    return target


def out_folder(out: str | os.PathLike[str], what: str) -> Path:
    """The folder that files are to go into; it need not exist.

    Args:
        out: Its place.
        what: What goes there, for the message.

    Raises:
        InputError: It is a file.
    """
    folder = Path(out).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{what} go into a folder, but {folder} is a file: give a folder")
    return folder

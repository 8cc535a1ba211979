"""Atomic writing: a file appears whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from store import folder as store_folder
from store.errors import InputError
from store.local import expanded

# A full disk or quota, which a user can do something about; other errors are not explained away.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary file beside the target, which replaces it when the block ends without an error.

    Args:
        target: The file to write.

    Yields:
        The temporary file's path.

    Raises:
        InputError: The place cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "figure.svg") as temporary:
        ...         size = temporary.write_text("<svg/>")
        ...     (Path(folder) / "figure.svg").read_text()
        '<svg/>'
    """
    if target.is_dir():
        raise InputError(f"{target} must be a file to be written, but it is a folder: give a file's name in it")
    with ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Whoever sees a report torn by a power failure writes it again: the disk is not waited for.
            draft = stack.enter_context(store_folder.replacing(target, durable=False))
        except OSError as error:
            raise InputError(f"{target} cannot be written ({error.strerror}): give another place") from error
        try:
            yield Path(draft.name)
            # Here the draft takes the target's place, which can fail on a full disk too.
            stack.close()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            hint = "make room, or give another place"
            raise InputError(f"{target} cannot be written ({error.strerror}): {hint}") from error


def write_text(target: Path, content: str) -> Path:
    """Write a text file so that a reader sees the old one or the new one, never half of it.

    Args:
        target: The file to write.
        content: Its text, written as UTF-8.

    Returns:
        The file.

    Raises:
        InputError: The place cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text(Path(folder) / "note.txt", "whole or not at all").read_text()
        'whole or not at all'
    """
    with replacing(target) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return target


def out_folder(out: str | os.PathLike[str], what: str) -> Path:
    """Check the folder that files are to go into.

    Args:
        out: Its place.
        what: What goes there, for the message.

    Returns:
        The folder, which need not exist.

    Raises:
        InputError: It is a file.

    Example:
        >>> out_folder("tables", "CSV files").name
        'tables'
    """
    folder = expanded(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{what} go into a folder, but {folder} is a file: give a folder")
    return folder

"""Published data sets by name, and the table that is written for one."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from orchestrator.proposal.published.celeba import celeba
from orchestrator.proposal.published.chexpert import chexpert
from orchestrator.proposal.published.data import Published
from orchestrator.proposal.published.waterbirds import waterbirds
from store.errors import InputError, unknown_name
from store.folder import explained, replacing
from store.local import expanded

SOURCES: Mapping[str, Callable[[Path], Published]] = {
    "waterbirds": waterbirds,
    "celeba": celeba,
    "chexpert": chexpert,
}


def read_published(source: str, folder: str) -> Published:
    """Read a published data set.

    Args:
        source: Name of one of ``SOURCES``.
        folder: Its folder on this machine.

    Returns:
        The data set.

    Raises:
        InputError: No such source, or files that are not as published.

    Example:
        >>> read_published("waterbird", ".")
        Traceback (most recent call last):
            ...
        store.errors.InputError: unknown source 'waterbird': did you mean 'waterbirds'? ...
    """
    if source not in SOURCES:
        raise unknown_name("source", source, SOURCES)
    if "://" in folder:
        raise InputError(f"--from {source} reads a folder on this machine, but got {folder}: copy the files here")
    return SOURCES[source](expanded(folder).absolute())


def table_text(data: Published, folder: Path) -> str:
    """Text of the table of a data set, as CSV.

    Args:
        data: The data set.
        folder: Folder of the table, from which images below it are named; others have absolute paths.

    Returns:
        A header, and a line for each image.

    Example:
        >>> from orchestrator.proposal.published.data import Row
        >>> data = Published("Birds", (), [Row("/data/images/0.jpg", {"bird": "landbird"})], {}, {}, {}, {})
        >>> table_text(data, Path("/data")).splitlines()
        ['path,bird', 'images/0.jpg,landbird']
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", *data.rows[0].cells])
    base = str(folder.absolute())
    for row in data.rows:
        inside = row.path.startswith(f"{base.rstrip(os.sep)}{os.sep}")
        writer.writerow([os.path.relpath(row.path, base) if inside else row.path, *row.cells.values()])
    return text.getvalue()


@contextlib.contextmanager
def table_written(file: Path, text: str, force: bool) -> Iterator[None]:
    """Write a table that stays only where the block ends without an error.

    Args:
        file: The table.
        text: Its text.
        force: Replace another one of this name.

    Raises:
        InputError: Another one is there already, or it cannot be written.
    """
    data = text.encode()
    with explained("write", str(file)):
        before = file.read_bytes() if file.exists() else None
    if before is not None and before != data and not force:
        raise InputError(
            f"{file} is there already and holds something else: replace it with --force, or choose a folder"
        )
    _write(file, data)
    try:
        yield
    except BaseException:
        if before is None:
            file.unlink(missing_ok=True)
        else:
            _write(file, before)
        raise


def _write(file: Path, data: bytes) -> None:
    with explained("write", str(file)), replacing(file) as opened:
        opened.write(data)

"""A sweep in one file to share: rows, configuration, splits, sample images and report.

``analysis.load`` reads it.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from analysis.findings import gather
from analysis.loading import read_config
from analysis.report.page import render
from analysis.writing import replacing
from store.errors import InputError
from store.gathered import GATHERED, gathered_name
from store.local import expanded
from store.open import Location, SweepFiles, open_folder
from store.sheet.sheet import Sheet

_FOLDERS = ("trials", "history", "predictions", "splits", "plugins", "external")
_IMAGES = "samples"
_FILES = ("sweep.yaml", "changes.jsonl", "status.json")
_ROUNDS = 6
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def pack(directory: Location, out: str | os.PathLike[str]) -> Path:
    """Pack a sweep, finished or running, into one zip file.

    Weights, checkpoints and logs stay behind, and so do the sample images of data that are not to be shown
    (``dataset.share_images``). The sources of plug-ins are part of it.

    The file appears whole or not at all, and the same sweep packs into the same bytes.

    Args:
        directory: A sweep's folder or ``s3://`` address.
        out: The file to write.

    Returns:
        The file.

    Raises:
        InputError: Not a sweep's folder, no finished trial in it, or no place for the file.

    Example:
        >>> import tempfile
        >>> from analysis.examples import write_small_example
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     small = write_small_example(Path(folder) / "small")
        ...     [name.split("/")[0] for name in zipfile.ZipFile(pack(small, Path(folder) / "sweep.zip")).namelist()]
        ['trials', 'report.html']
    """
    folder = open_folder(directory)
    target = expanded(out)
    if target.is_dir():
        raise InputError(f"pack writes one zip file, but {target} is a folder: give a name such as {target.name}.zip")
    report = render(gather([directory]))
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in _content(folder):
            _add(archive, name, content)
        _add(archive, "report.html", report.encode("utf-8"))
    return target


def _content(folder: SweepFiles) -> Iterator[tuple[str, bytes]]:
    for name in _FILES:
        try:
            yield name, folder.read(name)
        except FileNotFoundError:
            continue
    images = (_IMAGES,) if Sheet(read_config(folder)).share_images else ()
    for table in (*_FOLDERS, *images):
        seen: set[str] = set()
        for _ in range(_ROUNDS):
            # Compaction writes the new part before it deletes the old ones: whoever misses one lists again.
            new = [name for name in folder.files(table) if name not in seen and not name.startswith((".", "_"))]
            if not new:
                break
            for name in new:
                seen.add(name)
                try:
                    yield f"{table}/{name}", folder.read(f"{table}/{name}")
                except FileNotFoundError:
                    continue
    with contextlib.suppress(FileNotFoundError):
        path = f"{GATHERED}/{gathered_name(folder)}"
        yield path, folder.read(path)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # Both are compressed already: packing them again costs time and saves nothing.
    packed = name.endswith((".parquet", ".png"))
    # A fixed date: the same sweep packs into the same bytes.
    info = zipfile.ZipInfo(name, _NO_DATE)
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    # A ZipInfo made by hand has no permissions: unzip would leave files that nobody may read.
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)

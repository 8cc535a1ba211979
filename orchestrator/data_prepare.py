"""``lnl-sweep data prepare``: from downloaded files to the arrays a data set reads."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainable.errors import InputError

PREPARED = ("brain_mri",)


def prepare(options: argparse.Namespace) -> int:
    """Prepare a data set whose files the user has, or fetch them first.

    Args:
        options: ``name``, ``source`` (path or None) and ``download`` (folder or None).

    Returns:
        Exit code.

    Raises:
        InputError: A data set that needs no preparation, no source, or files that cannot be used.
    """
    from trainable.data.base import dataset_factory
    from trainable.data.prepare_brain_mri import CITATION, LICENCE
    from trainable.data.prepare_brain_mri import prepare as prepare_files
    from trainable.data.tumour_slices import CLASSES

    dataset_factory(options.name)
    if options.name not in PREPARED:
        raise InputError(f"{options.name} needs no preparation: only {', '.join(PREPARED)} is made of files of yours")
    if (options.source is None) == (options.download is None):
        raise InputError("give either --from PATH (1512427.zip or its folder) or --download FOLDER, one of the two")
    print(f"source: {CITATION}\nlicence: {LICENCE}")
    source = Path(options.source).expanduser() if options.source is not None else _download(options.download)
    with _bar(MofNCompleteColumn()) as bar:
        task = bar.add_task("reading slices", total=None)
        made = prepare_files(source, lambda done, total: bar.update(task, completed=done, total=total))
    counts = ", ".join(f"{count} {name}" for name, count in zip(CLASSES, made.slices, strict=True))
    print(
        f"prepared {sum(made.slices)} slices of {made.patients} patients ({counts}; {made.small} of 256 x 256 pixels)\n"
        f"checksum: {made.checksum}\n{made.folder}"
    )
    return 0


def _download(folder: str) -> Path:
    from trainable.data.prepare_download import download

    with _bar(DownloadColumn()) as bar:
        task = bar.add_task("fetching from figshare", total=None)
        return download(Path(folder).expanduser(), lambda done, total: bar.update(task, completed=done, total=total))


def _bar(count: MofNCompleteColumn | DownloadColumn) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)

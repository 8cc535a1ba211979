"""Command ``lnl-sweep data prepare``: makes the arrays that a data set reads from downloaded files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from store.errors import InputError
from store.local import expanded, probe_writable

PREPARED = ("brain_mri",)


def prepare(options: argparse.Namespace) -> int:
    """Prepare a data set from files on this machine or from a download, and copy it to where all nodes can reach it.

    Args:
        options: ``name``, ``source`` (path or None), ``download`` (folder or None) and ``to`` (folder
            or address to put it into, or None).

    Returns:
        Exit code.

    Raises:
        InputError: A data set that needs no preparation, a missing source, or files or a folder that cannot be used.
    """
    from store.open import folder_at
    from trainable.data.arrays.shared import share
    from trainable.data.base import dataset_factory
    from trainable.environment import DATA

    dataset_factory(options.name)
    if options.name not in PREPARED:
        raise InputError(f"{options.name} needs no preparation: only {', '.join(PREPARED)} is made of files of yours")
    sources = [source for source in (options.source, options.download) if source is not None]
    if len(sources) > 1 or not (sources or options.to):
        raise InputError(
            "give either --from PATH (1512427.zip or its folder) or --download FOLDER, one of the two, or --to URI "
            "alone to put what is prepared there"
        )
    target = folder_at(options.to) if options.to else None
    if target is not None:
        # Now, not after minutes of reading.
        target.check_usable()
        if target.local is not None:
            _check_writable(target.local)
    if sources:
        _prepare(options)
    if target is not None:
        print(f"put into {share(options.name, target)}\nstart sweeps with {DATA}='{target.uri}'")
    elif os.environ.get(DATA):
        print(f"note: {DATA} is set, so sweeps run on what lies there: add --to '{os.environ[DATA]}' to put this there")
    return 0


def _check_writable(target: Path) -> None:
    try:
        probe_writable(target)
    except OSError as error:
        raise InputError(
            f"--to must name a folder that can be written, but {target} cannot ({error.strerror}): choose another"
        ) from error


def _prepare(options: argparse.Namespace) -> None:
    from trainable.data.brain.figshare.key_file import key_file
    from trainable.data.brain.figshare.prepare import CITATION, LICENCE, prepare
    from trainable.data.brain.tumour_slices import CLASSES

    print(f"source: {CITATION}\nlicence: {LICENCE}")
    source = expanded(options.source) if options.source is not None else _download(options.download)
    with _bar(MofNCompleteColumn()) as bar:
        task = bar.add_task("reading slices", total=None)
        made = prepare(source, lambda done, total: bar.update(task, completed=done, total=total))
    counts = ", ".join(f"{count} {name}" for name, count in zip(CLASSES, made.slices, strict=True))
    print(
        f"prepared {sum(made.slices)} slices of {made.patients} patients ({counts}; {made.small} of 256 x 256 pixels)\n"
        f"checksum: {made.checksum}\n{made.folder}\n"
        f"patients are named by hashes with the key in {key_file(made.folder)}: keep it, to prepare the same data again"
    )


def _download(folder: str) -> Path:
    from trainable.data.brain.figshare.download import download

    with _bar(DownloadColumn()) as bar:
        task = bar.add_task("fetching from figshare", total=None)
        return download(expanded(folder), lambda done, total: bar.update(task, completed=done, total=total))


def _bar(count: MofNCompleteColumn | DownloadColumn) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    console = Console(stderr=True)
    # Elsewhere than on a terminal it would be an empty line.
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

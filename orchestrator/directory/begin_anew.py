"""New beginning of a sweep under other settings, where none of its rows counts.

Without rows that count, nothing can become incomparable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.sheet import configuration_of
from orchestrator.directory.writer import Writer
from orchestrator.plan.continuation import all_changes
from orchestrator.plan.plan import Plan
from store.errors import InputError
from store.parts import LeftOut

FOLDER = "replaced"
"""Subfolder of a directory for the rows of the failed trials, since nothing is deleted."""
TABLES = ("trials", "history", "predictions", "splits")


def changes_if_new(
    directory: SweepDirectory, sheet: Mapping[str, Any], plan: Plan, refusal: InputError, failed: bool
) -> dict[str, tuple[Any, Any]]:
    """Allow a change that was refused because of rows, where no row counts.

    Args:
        directory: The sweep's directory.
        sheet: Content of its ``sweep.yaml``.
        plan: The sweep that is to be run.
        refusal: Error by which the change was refused.
        failed: True where failed trials are to run again.

    Returns:
        All differences: dotted key -> (old, new).

    Raises:
        InputError: The refusal, where rows count. Another error where all trials failed and ``failed`` is False.
    """
    left_out: list[LeftOut] = []
    rows = directory.rows("trials", left_out)
    if left_out or any(row["status"] != "failed" for row in rows):
        raise refusal
    if rows and not failed:
        raise InputError(
            f"{refusal}; all {len(rows)} trials that ended have failed, so that lnl-sweep resume {directory.uri} "
            "--failed --set KEY=VALUE may change it"
        ) from refusal
    return all_changes(configuration_of(sheet), plan.config)


def begin_anew(directory: SweepDirectory, writer: Writer) -> None:
    """Put away the rows and open trials of other settings.

    Afterwards the directory holds no row and no open trial.

    Raises:
        InputError: A trial has succeeded since the directory was read.
    """
    if any(row["status"] != "failed" for row in directory.rows("trials", [])):
        raise InputError(
            f"a trial of {directory.uri} has succeeded meanwhile: keep its settings, or choose another --out"
        )
    for name in directory.open_names():
        writer.drop(name)
    writer.flush()
    for table in TABLES:
        folder = directory.folder.child(table)
        for name in folder.names():
            folder.move(name, directory.folder.child(FOLDER, table))

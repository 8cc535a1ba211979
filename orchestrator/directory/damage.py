"""Damage in a sweep's directory: parts that are not valid, and trials that are lost with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from orchestrator.directory.reader import SweepDirectory, histories_of
from store.open import Readable, SweepFiles
from store.parts import LeftOut, part_cell, read_parts
from store.sheet.external import PREFIX

FOLDER = "damaged"
"""Subfolder of a directory for damaged parts, since nothing is deleted."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Survey:
    """Rows of a directory, and a list of what is missing.

    Attributes:
        rows: Trial rows, one for each key.
        histories: History rows of each trial, in the order of the epochs.
        left_out: Parts that were not read.
        lost: Finished trials whose row, epochs or predictions are missing, and the reason in words.
    """

    rows: list[Row]
    histories: dict[str, list[Row]]
    left_out: tuple[LeftOut, ...]
    lost: Mapping[str, str]


def survey(directory: SweepDirectory, whole: bool = True) -> Survey:
    """Read and check every part of a directory.

    A trial's row is written after its epochs and its predictions. Its entry among the open trials is removed after the
    row, and merged parts are written before the old ones are removed. So a row without epochs or predictions, or these
    without a row, mean that a part was damaged or removed.

    Args:
        directory: The sweep's directory.
        whole: False = read only the trials' rows.
    """
    if not directory.exists():
        return Survey([], {}, (), {})
    if not whole:
        left_out = list[LeftOut]()
        return Survey(directory.rows("trials", left_out), {}, tuple(left_out), {})

    def in_between() -> set[str]:
        # Open ones first: a trial that ends meanwhile is found among the finished.
        return {*directory.open_names(), *directory.finished()}

    return survey_tables(Readable(directory.folder), in_between)


def survey_tables(folder: SweepFiles, in_between: Callable[[], set[str]] | None = None) -> Survey:
    """Read and check every part of a folder.

    Args:
        folder: The sweep's folder.
        in_between: Returns the trials that may have no row yet, or had none when the rows were read. None = not known.
    """
    left_out = list[LeftOut]()
    rows: list[Row] = read_parts(folder, "trials", left_out=left_out).to_pylist()
    histories = histories_of(read_parts(folder, "history", left_out=left_out).to_pylist())
    predicted = read_parts(folder, "predictions", ("trial_id", "variant", "image"), left_out=left_out)
    read_parts(folder, "splits", ("seed", "fold", "image"), left_out=left_out)
    # Those on an external test set say nothing about those on the sweep's own images.
    own = pc.invert(pc.starts_with(predicted["variant"], PREFIX))
    with_predictions = set(predicted.filter(own)["trial_id"].unique().to_pylist())
    lost = {}
    for row in rows:
        reason = _missing(row, len(histories.get(row["trial_id"], ())), with_predictions)
        if reason is not None:
            lost[row["trial_id"]] = reason
    without_row = (histories.keys() | with_predictions) - {row["trial_id"] for row in rows}
    if without_row and in_between is not None:
        lost.update(dict.fromkeys(without_row - in_between(), "its row is gone"))
    return Survey(rows, histories, tuple(left_out), lost)


def _missing(row: Row, epochs: int, with_predictions: set[str]) -> str | None:
    if row["status"] == "failed":
        return None
    if epochs < (row["epochs"] or 0):
        return f"{epochs} of its {row['epochs']} epochs are in history"
    if row["phase"] == "confirm" and row["n_test"] is not None and row["trial_id"] not in with_predictions:
        return "it has no predictions"
    return None


def set_aside(directory: SweepDirectory, parts: Iterable[LeftOut]) -> None:
    """Move damaged parts to the folder ``damaged``, so that cells can be compacted again.

    A file whose name is not that of a part was put there by somebody, and stays.

    Args:
        directory: The sweep's directory.
        parts: Parts that ``survey`` left out.
    """
    for part in parts:
        if part_cell(part.name) is not None:
            directory.folder.child(part.table).move(part.name, directory.folder.child(FOLDER, part.table))


def cells_of(parts: Iterable[LeftOut], table: str) -> set[str]:
    """Cells whose parts of a table were left out.

    Example:
        >>> cells_of([LeftOut("trials", "demo-erm.0001-ab12-000001.parquet", "it is empty")], "trials")
        {'demo-erm'}
    """
    cells = (part_cell(part.name) for part in parts if part.table == table)
    return {cell for cell in cells if cell is not None}

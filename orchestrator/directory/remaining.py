"""Work left in a directory: rows that count, trials that go on, and trials whose files are lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.directory.damage import Survey, cells_of
from orchestrator.directory.reader import SweepDirectory
from orchestrator.plan.identity import spec_of_row
from orchestrator.search.dispatch import Dispatcher
from store.names import belongs_to
from trainable.spec import TrialSpec
from trainable.trial.provenance import moved, without_paths

Row = dict[str, Any]


@dataclass(frozen=True)
class Remaining:
    """State from which a driver goes on.

    Attributes:
        rows: Trial rows that count.
        histories: Epochs of those trials, and of open ones that early stopping judges.
        waiting: Trials that go on: open ones, then those that are lost.
        lost: Those of ``waiting`` that had finished.
        marked: Failed trials that are to run again.
        forgotten: Trials of each cell whose epochs are those of an attempt that does not count.
    """

    rows: Sequence[Row]
    histories: Mapping[str, list[Row]]
    waiting: Sequence[TrialSpec]
    lost: frozenset[str]
    marked: Collection[str]
    forgotten: Mapping[str, Collection[str]]


def remaining(dispatcher: Dispatcher, directory: SweepDirectory, surveyed: Survey) -> Remaining:
    """Sort out what of a directory counts, without a change in it.

    Args:
        dispatcher: Knows the cells that are to run.
        directory: The sweep's directory.
        surveyed: Rows of the directory, and what is missing.
    """
    chosen = {cell.id for cell in dispatcher.cells}
    # Also those of an earlier ``resume --failed`` that was ended before it came to them.
    marked = directory.to_run_again()
    counting, forgotten = list[Row](), dict[str, set[str]]()
    for row in surveyed.rows:
        if row["status"] != "failed" or row["trial_id"] not in marked:
            counting.append(row)
        elif row["cell"] in chosen:
            forgotten.setdefault(row["cell"], set()).add(row["trial_id"])
    orphans = surveyed.histories.keys() - {row["trial_id"] for row in surveyed.rows}
    for cell in cells_of(surveyed.left_out, "trials") if orphans else ():
        forgotten.setdefault(cell, set()).update(orphans)
    gone = surveyed.lost.keys() - {row["trial_id"] for row in surveyed.rows}
    for cell in chosen if gone else ():
        of_cell = {name for name in gone if belongs_to(name, cell)}
        if of_cell:
            forgotten.setdefault(cell, set()).update(of_cell)
    # What is lost of a trial comes back by training it once more, under the hyperparameters in its row.
    lost = {row["trial_id"]: row for row in counting if row["trial_id"] in surveyed.lost and row["cell"] in chosen}
    rows = [row for row in counting if row["trial_id"] not in lost]
    done = {row["trial_id"] for row in rows}
    waiting = [_where_files_are(spec, dispatcher) for spec in directory.open_trials() if spec.trial_id not in done]
    histories = {name: surveyed.histories[name] for name in surveyed.histories.keys() & done}
    for spec in waiting:
        if dispatcher.rung_epochs(spec):
            histories[spec.trial_id] = directory.open_history(spec)
    opened = {spec.trial_id for spec in waiting}
    waiting += [
        spec_of_row(dispatcher.config, dispatcher.cell(row["cell"]), row)
        for name, row in lost.items()
        if name not in opened
    ]
    return Remaining(rows, histories, waiting, frozenset(lost), marked, forgotten)


def _where_files_are(spec: TrialSpec, dispatcher: Dispatcher) -> TrialSpec:
    """Specification of an open trial with the files of the sweep, which may have moved since it was issued."""
    if without_paths(spec) == spec:
        return spec
    config = dispatcher.config
    return moved(spec, config.dataset.options, config.network.options)

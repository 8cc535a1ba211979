"""A sweep's directory is its state: rows in write-once Parquet parts, open trials beside their checkpoints."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import Any

from orchestrator.directory.fitted_rows import fitted
from orchestrator.process.log import passed_over
from store.errors import DamagedFile
from store.folder import Folder
from store.open import Readable, folder_at, read_small
from store.parts import LeftOut, read_parts
from store.sealed import KEY, sweep_of_sheet
from trainable.spec import TrialSpec
from trainable.trial.open_trial import OPEN, checkpoint_names, read_checkpoint, trial_folder

SPEC = "spec.json"
AGAIN = "again"
"""File of an open trial whose failed row does not count any more."""


class SweepDirectory:
    """Reads everything that is true about a sweep.

    Args:
        uri: A local folder or ``s3://...``.
    """

    def __init__(self, uri: str) -> None:
        self.folder = folder_at(uri)

    @property
    def uri(self) -> str:
        """Absolute path or URI."""
        return self.folder.uri

    def exists(self) -> bool:
        """Whether a sweep was started here."""
        return self.folder.exists("sweep.yaml")

    def identity(self) -> str | None:
        """Identity of the sweep, from its sheet; None where an older version wrote it."""
        return sweep_of_sheet(read_small(self.folder, "sweep.yaml"))

    def rows(self, table: str, left_out: list[LeftOut] | None = None) -> list[dict[str, Any]]:
        """The rows of a table, one for each key.

        Args:
            table: Name of the table.
            left_out: Takes the parts that cannot be believed; None = a warning for each.
        """
        if not self.exists():
            return []
        rows: list[dict[str, Any]] = read_parts(Readable(self.folder), table, left_out=left_out).to_pylist()
        return rows

    def split_seeds(self) -> set[tuple[int, int | None]]:
        """Seeds and folds whose split is written."""
        if not self.exists():
            return set()
        table = read_parts(Readable(self.folder), "splits", columns=("seed", "fold", "image"), left_out=[])
        pairs = table.select(["seed", "fold"]).group_by(["seed", "fold"]).aggregate([])
        return {(row["seed"], row["fold"]) for row in pairs.to_pylist()}

    def check_readable(self) -> None:
        """Refuse a directory before anything is changed in it.

        Raises:
            InputError: Its rows were written by a newer version.
        """
        self.finished()

    def finished(self) -> set[str]:
        """Trials whose row can be read."""
        if not self.exists():
            return set()
        table = read_parts(Readable(self.folder), "trials", columns=("trial_id",), left_out=[])
        return set(table["trial_id"].to_pylist())

    def open_names(self) -> list[str]:
        """Trials that have an entry, be it half made or half removed."""
        return self.folder.child(OPEN).folders()

    def open_trials(self) -> list[TrialSpec]:
        """Trials that were issued and have no row yet; a half-made entry counts as never issued."""
        specs = []
        unreadable = (OSError, ValueError, TypeError, KeyError, AttributeError)
        for name in self.open_names():
            # One that is damaged too: what it was is not known, and its checkpoint tells itself from another trial's.
            with passed_over(f"the reading of {name}/{SPEC}", *unreadable), contextlib.suppress(FileNotFoundError):
                specs.append(read_spec(self.folder.child(OPEN, name)))
        return specs

    def to_run_again(self) -> set[str]:
        """Trials whose failed rows do not count any more, since they are to run again and have not ended since."""
        folder = self.folder.child(OPEN)
        return {name for name in folder.folders() if AGAIN in folder.child(name).names()}

    def open_history(self, spec: TrialSpec) -> list[dict[str, Any]]:
        """Epochs in the newest readable checkpoint of an open trial; none where it has no checkpoint."""
        from trainable.trial.trainer import kept_history

        folder = trial_folder(self.folder, spec.trial_id)
        for name in checkpoint_names(folder):
            # A torn checkpoint is passed over by the trial too.
            with passed_over(f"the reading of the checkpoint {name} of {spec.trial_id}"):
                epochs = [fitted("history", entry) for entry in kept_history(read_checkpoint(folder, name))]
                # The trial that goes on from it will say what is wrong with one that does not fit.
                return [entry for entry, problems in epochs if not problems]
        return []

    def preemptions(self, trial_id: str) -> int:
        """How often an open trial that nobody holds lost its driver or its node.

        Every driver that started it was lost; one that only had it waiting was not.
        """
        names = self.folder.child(OPEN, trial_id).names()
        return sum(name.startswith(("started-", "lost-")) for name in names)


def histories_of(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """History rows of each trial, in the order of the epochs."""
    histories: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        histories.setdefault(row["trial_id"], []).append(row)
    for entries in histories.values():
        entries.sort(key=lambda row: int(row["epoch"]))
    return histories


def read_spec(folder: Folder) -> TrialSpec:
    """The specification in the folder of an open trial.

    Raises:
        FileNotFoundError: It has none.
        DamagedFile: Its checksum does not agree.
        Exception: It is not that of a trial.
    """
    fields = json.loads(read_small(folder, SPEC))
    fields.pop(KEY, None)
    spec = TrialSpec.from_json(json.dumps(fields))
    # A damaged one of an older version, without a checksum, may still be JSON.
    if spec.trial_id != folder.name or not (folder.name.startswith(spec.cell) and spec.cell.endswith(spec.label)):
        raise DamagedFile(f"{folder.uri}/{SPEC} is that of another trial ({spec.trial_id})")
    return spec

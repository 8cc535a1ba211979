"""Reader of a sweep's directory, which is the state of the sweep.

Rows lie in write-once Parquet parts, open trials beside their checkpoints.
"""

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
"""Name of the file of an open trial whose failed row no longer counts."""


class SweepDirectory:
    """Reads the state of a sweep from its directory.

    Args:
        uri: A local folder or ``s3://...``.

    Example:
        >>> import analysis
        >>> directory = SweepDirectory(str(analysis.example_folder()))
        >>> directory.exists(), len(directory.open_names())
        (True, 0)
    """

    def __init__(self, uri: str) -> None:
        self.folder = folder_at(uri)

    @property
    def uri(self) -> str:
        """Absolute path or URI."""
        return self.folder.uri

    def exists(self) -> bool:
        """Tell if a sweep was started here."""
        return self.folder.exists("sweep.yaml")

    def identity(self) -> str | None:
        """Identity of the sweep, from its sheet.

        None where an older version wrote the sheet.
        """
        return sweep_of_sheet(read_small(self.folder, "sweep.yaml"))

    def rows(self, table: str, left_out: list[LeftOut] | None = None) -> list[dict[str, Any]]:
        """Rows of a table, one for each key.

        Args:
            table: Name of the table.
            left_out: Receives the parts that are not valid; None = a warning for each.
        """
        if not self.exists():
            return []
        rows: list[dict[str, Any]] = read_parts(Readable(self.folder), table, left_out=left_out).to_pylist()
        return rows

    def split_seeds(self) -> set[tuple[int, int | None]]:
        """Pairs of seed and fold whose split is written."""
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
        """Identifiers of trials whose row can be read."""
        if not self.exists():
            return set()
        table = read_parts(Readable(self.folder), "trials", columns=("trial_id",), left_out=[])
        return set(table["trial_id"].to_pylist())

    def open_names(self) -> list[str]:
        """Identifiers of trials that have an entry, which may be half made or half removed."""
        return self.folder.child(OPEN).folders()

    def open_trials(self) -> list[TrialSpec]:
        """Trials that were issued and have no row yet.

        A half-made entry counts as never issued.
        """
        specs = []
        unreadable = (OSError, ValueError, TypeError, KeyError, AttributeError)
        for name in self.open_names():
            # One that is damaged too: what it was is not known, and its checkpoint tells itself from another trial's.
            with passed_over(f"the reading of {name}/{SPEC}", *unreadable), contextlib.suppress(FileNotFoundError):
                specs.append(read_spec(self.folder.child(OPEN, name)))
        return specs

    def to_run_again(self) -> set[str]:
        """Identifiers of failed trials that are to run again and have not ended since.

        Their rows do not count.
        """
        folder = self.folder.child(OPEN)
        return {name for name in folder.folders() if AGAIN in folder.child(name).names()}

    def open_history(self, spec: TrialSpec) -> list[dict[str, Any]]:
        """Epochs in the newest readable checkpoint of an open trial.

        Empty where it has no checkpoint.
        """
        from trainable.trial.checkpoint import kept_history

        folder = trial_folder(self.folder, spec.trial_id)
        for name in checkpoint_names(folder):
            # A torn checkpoint is passed over by the trial too.
            with passed_over(f"the reading of the checkpoint {name} of {spec.trial_id}"):
                epochs = [fitted("history", entry) for entry in kept_history(read_checkpoint(folder, name))]
                # The trial that goes on from it will say what is wrong with one that does not fit.
                return [entry for entry, problems in epochs if not problems]
        return []

    def preemptions(self, trial_id: str) -> int:
        """Number of times that an open trial without a driver has lost its driver or its node.

        Every driver that started it counts as lost. A driver that only kept it waiting does not count.
        """
        names = self.folder.child(OPEN, trial_id).names()
        return sum(name.startswith(("started-", "lost-")) for name in names)


def histories_of(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """History rows of each trial, in the order of the epochs.

    Example:
        >>> histories_of([{"trial_id": "a", "epoch": 2}, {"trial_id": "a", "epoch": 1}])
        {'a': [{'trial_id': 'a', 'epoch': 1}, {'trial_id': 'a', 'epoch': 2}]}
    """
    histories: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        histories.setdefault(row["trial_id"], []).append(row)
    for entries in histories.values():
        entries.sort(key=lambda row: int(row["epoch"]))
    return histories


def read_spec(folder: Folder) -> TrialSpec:
    """Specification in the folder of an open trial.

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

"""A sweep's directory is its state: rows in write-once Parquet parts, open trials beside their checkpoints."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import Any

from orchestrator.directory.fitted_rows import fitted
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

    def histories(self, left_out: list[LeftOut] | None = None) -> dict[str, list[dict[str, Any]]]:
        """History rows of every finished trial, in the order of the epochs."""
        return histories_of(self.rows("history", left_out))

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
        found = read_parts(Readable(self.folder), "trials", columns=("trial_id",), left_out=[])
        return set(found["trial_id"].to_pylist())

    def open_names(self) -> list[str]:
        """Trials that have an entry, be it half made or half removed."""
        return self.folder.child(OPEN).folders()

    def open_trials(self) -> list[TrialSpec]:
        """Trials that were issued and have no row yet; a half-made entry counts as never issued."""
        specs = []
        for name in self.open_names():
            # One that is damaged too: what it was is not known, and its checkpoint tells itself from another trial's.
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                specs.append(read_spec(self.folder.child(OPEN, name)))
        return specs

    def to_run_again(self) -> set[str]:
        """Trials whose failed rows do not count any more, since they are to run again and have not ended since."""
        place = self.folder.child(OPEN)
        return {name for name in place.folders() if AGAIN in place.child(name).names()}

    def open_history(self, spec: TrialSpec) -> list[dict[str, Any]]:
        """Epochs in the newest readable checkpoint of an open trial; none where it has no checkpoint."""
        from trainable.trial.trainer import kept_history

        place = trial_folder(self.folder, spec.trial_id)
        for name in checkpoint_names(place):
            # A torn checkpoint is passed over by the trial too.
            with contextlib.suppress(Exception):
                epochs = [fitted("history", entry) for entry in kept_history(read_checkpoint(place, name))]
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
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["trial_id"], []).append(row)
    for entries in found.values():
        entries.sort(key=lambda row: int(row["epoch"]))
    return found


def read_spec(place: Folder) -> TrialSpec:
    """The specification in the folder of an open trial.

    Raises:
        FileNotFoundError: It has none.
        DamagedFile: Its checksum does not agree.
        Exception: It is not that of a trial.
    """
    fields = json.loads(read_small(place, SPEC))
    fields.pop(KEY, None)
    spec = TrialSpec.from_json(json.dumps(fields))
    # A damaged one of an older version, without a checksum, may still be JSON.
    if spec.trial_id != place.name or not (place.name.startswith(spec.cell) and spec.cell.endswith(spec.label)):
        raise DamagedFile(f"{place.uri}/{SPEC} is that of another trial ({spec.trial_id})")
    return spec

"""A sweep's directory is its state: rows in write-once Parquet parts, open trials beside their checkpoints."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable, Collection, Iterable
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.fitted import Unfit, check_predictions, fitted
from orchestrator.lease import Lease
from orchestrator.spool import Direct, Post, Spool
from store.columns import arrow_schema, is_of_the_test, to_table
from store.errors import DamagedFile
from store.folder import Folder
from store.gathered import GATHERED, gather
from store.open import Readable, folder_at, read_small
from store.parts import LeftOut, part_bytes, part_cell, part_name, read_parts
from store.sealed import KEY, seal_json, sweep_of_sheet
from trainable.open_trial import OPEN, PREDICTIONS, checkpoint_names, read_checkpoint, read_predictions, trial_folder
from trainable.spec import TrialSpec
from trainable.texts import one_line

SPEC = "spec.json"
COMPACTED = ("history", "predictions", "trials")
_AGAIN = "again"
SEEN_SECONDS = 5.0
"""By then another node's file is seen here."""


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
        return {name for name in place.folders() if _AGAIN in place.child(name).names()}

    def open_history(self, spec: TrialSpec) -> list[dict[str, Any]]:
        """Epochs in the newest readable checkpoint of an open trial; none where it has no checkpoint."""
        from trainable.trainer import kept_history

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


class Writer:
    """The one driver's pen: every file it writes is new, and carries its generation.

    Args:
        directory: The sweep's directory.
        lease: The lease on it.
        post: How it is written; at once where the directory is local, else by the threads of a spool.
        sweep: Identity of the sweep, which every part carries; None = as older versions wrote them.
    """

    def __init__(
        self, directory: SweepDirectory, lease: Lease, post: Post | None = None, sweep: str | None = None
    ) -> None:
        self.directory = directory
        self.sweep = sweep
        self.post: Post = post or (Direct() if directory.folder.local is not None else Spool())
        self._lease = lease
        self._sequence = count(1)
        self._preempted: dict[str, int] = {}

    @property
    def _folder(self) -> Folder:
        return self.directory.folder

    def append(self, table: str, about: str, rows: list[dict[str, Any]] | pa.Table) -> None:
        """Write rows as one new part.

        Args:
            table: Name of the table.
            about: The cell, or what else the part is about.
            rows: The rows; none = nothing is written.

        Raises:
            LeaseLost: Another driver has taken over.
            InputError: The directory cannot be written.
        """
        self._lease.check()
        data = self._part(table, rows)
        if data is not None:
            content = self.post.keep(data)
            self.post.do(about, lambda: self._send(table, about, content()))

    def _send(self, table: str, about: str, data: bytes, sequence: int | None = None) -> None:
        self._lease.check(patient=True)
        number = next(self._sequence) if sequence is None else sequence
        name = part_name(about, self._lease.generation, self._lease.id, number, data)
        self._folder.child(table).write(name, data)

    def known(self, spec: TrialSpec) -> None:
        """Take note of a trial that an earlier driver issued and that goes on."""
        self._preempted[spec.trial_id] = self.directory.preemptions(spec.trial_id)

    def preemptions(self, trial_id: str) -> int:
        """How often the trial has lost its driver or its node."""
        return self._preempted.get(trial_id, 0)

    def issue(self, spec: TrialSpec) -> None:
        """Leave the mark of a trial that is about to run."""
        self._lease.check()
        # A trial whose mark does not survive a power failure is issued again: that is worth no wait for the disk.
        self._mark(spec.trial_id, SPEC, seal_json(json.loads(spec.to_json())))

    def start(self, trial_id: str) -> None:
        """Leave the mark of a trial that this driver has started."""
        self._lease.check()
        self._mark(trial_id, f"started-{self._lease.generation:04d}")

    def run_again(self, trial_id: str) -> None:
        """Leave the mark of a failed trial that is to run again, also where this driver does not come to it."""
        self._lease.check()
        self._mark(trial_id, _AGAIN)

    def lose(self, trial_id: str, times: int) -> None:
        """Leave the mark of a trial whose node was lost, for the ``times``-th time under this driver."""
        self._lease.check()
        self._preempted[trial_id] = self._preempted.get(trial_id, 0) + 1
        self._mark(trial_id, f"lost-{self._lease.generation:04d}-{times}")

    def _mark(self, trial_id: str, name: str, data: bytes = b"") -> None:
        place = self._folder.child(OPEN, trial_id)
        self.post.do(trial_id, lambda: place.write(name, data, durable=False))

    def finish(self, row: dict[str, Any], history: list[dict[str, Any]], model: bool = False) -> None:
        """Write a trial that ended; its row comes last, since a trial is finished when its row is readable.

        Args:
            row: Its row. Where the predictions that it left cannot be written, or it left none of its test results,
                this becomes the row of a failed trial, also later than this call: whoever counts the trial counts the
                same row.
            history: Its epochs.
            model: True = a trial that was tested must have left its model too.
        """
        self._lease.check()
        trial_id, cell = row["trial_id"], row["cell"]
        place = self._folder.child(OPEN, trial_id)
        parts: list[tuple[str, Callable[[], bytes]]] = []
        for table, rows in (("history", [{"trial_id": trial_id, **entry} for entry in history]), ("trials", [row])):
            data = self._part(table, rows)
            if data is not None:
                parts.append((table, self.post.keep(data)))

        def work() -> None:
            tested = row["phase"] == "confirm" and row["status"] == "completed" and row.get("n_test") is not None
            try:
                found = self._predictions(place, trial_id, tested)
                if tested and model:
                    _await(self._folder.child("models"), f"{trial_id}.safetensors", "its model")
            except DamagedFile:
                # Without its row the trial stays open: a resume evaluates it anew, from its last checkpoint.
                place.remove(PREDICTIONS)
                return
            except Unfit as error:
                found = None
                row.update(dict.fromkeys(filter(is_of_the_test, row)), status="failed", error=one_line(str(error)))
                parts[-1] = ("trials", lambda: self._rows_part("trials", [row]))
            if found is not None:
                self._send("predictions", cell, found)
            for table, content in parts:
                self._send(table, cell, content())
            place.remove_tree()

        self.post.do(trial_id, work)

    def drop(self, trial_id: str) -> None:
        """Forget an open trial that is not wanted any more."""
        self._lease.check()
        self.post.do(trial_id, self._folder.child(OPEN, trial_id).remove_tree)

    def compact(self, cell: str) -> None:
        """Merge the parts of a cell into one a table; the new part is written before the old ones are removed."""
        self._lease.check()
        # Numbered now: a part that is written while this waits is newer than what is merged.
        numbers = {table: next(self._sequence) for table in COMPACTED}

        def work() -> None:
            for table, number in numbers.items():
                self._merge(table, cell, number)

        self.post.after_all(work)

    def forget_histories(self, cell: str, trials: Collection[str]) -> None:
        """Remove the epochs and predictions of trials of a cell that have no row that counts, at once.

        A row is replaced by the newer one, but of a longer first attempt the last epochs would stay.
        """
        for table in ("history", "predictions"):
            self._merge(table, cell, next(self._sequence), without=trials)

    def _merge(self, table: str, cell: str, number: int, without: Collection[str] = ()) -> None:
        self._lease.check(patient=True)
        place = self._folder.child(table)
        old = [name for name in place.names(f"{cell}.") if part_cell(name) == cell]
        if len(old) < (1 if without else 2):
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                rows = read_parts(Readable(self._folder), table, cell=cell)
                if without:
                    rows = rows.filter(pc.invert(pc.is_in(rows["trial_id"], pa.array(without, pa.string()))))
                data = self._part(table, rows)
        except UserWarning as unreadable:
            # What could not be read must not be removed: the next time its rows may be readable.
            warnings.warn(f"{unreadable}; the parts of {cell} are left as they are", stacklevel=2)
            return
        if data is not None:
            self._send(table, cell, data, number)
        for name in old:
            place.remove(name)

    def gather(self, seconds: float = 0.0) -> None:
        """Put the trials of all cells into one file that opens faster than the parts it is derived from.

        Args:
            seconds: For so long an object store may be away.
        """
        # pandas is not needed before.
        from analysis.loading import derive

        self._lease.check()
        folder = self._folder.patiently(seconds)
        place, readable = folder.child(GATHERED), Readable(folder)
        found = gather(readable, lambda rows: derive(readable, rows))
        if found is None:
            return
        name, data = found
        place.write(name, data, durable=False)
        for old in place.names():
            if old != name:
                place.remove(old)

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until everything is in the directory; True where it is.

        Raises:
            Exception: What could not be written.
        """
        return self.post.flush(seconds)

    def note_change(self, entry: dict[str, Any]) -> int:
        """Add a line to ``changes.jsonl``; returns how many it has now."""
        self._lease.check()
        try:
            # Lines that are damaged stay: readers name them.
            old = self._folder.read("changes.jsonl").rstrip(b"\n")
        except FileNotFoundError:
            old = b""
        line = seal_json(entry if self.sweep is None else {**entry, "sweep": self.sweep})
        lines = [*old.split(b"\n"), line] if old else [line]
        self._folder.write("changes.jsonl", b"\n".join([*lines, b""]))
        return len(lines)

    def _predictions(self, place: Folder, trial_id: str, needed: bool) -> bytes | None:
        if needed:
            _await(place, PREDICTIONS, "its predictions")
        try:
            data = read_predictions(place)
        except FileNotFoundError:
            return None
        try:
            table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
            # Bytes that are no text would fail whoever reads them later.
            table.validate(full=True)
            if "trial_id" not in table.column_names:
                table = table.add_column(0, "trial_id", pa.array([trial_id] * len(table), pa.string()))
            table = typed("predictions", table)
            check_predictions(table, trial_id)
            return self._part("predictions", table)
        except Exception as error:
            raise Unfit(f"its predictions cannot be written ({one_line(str(error), 300)})") from error

    def _part(self, table: str, rows: list[dict[str, Any]] | pa.Table) -> bytes | None:
        return self._rows_part(table, rows) if len(rows) else None

    def _rows_part(self, table: str, rows: list[dict[str, Any]] | pa.Table) -> bytes:
        data = rows if isinstance(rows, pa.Table) else to_table(table, rows)
        return part_bytes(data, table, self.sweep)


def histories_of(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """History rows of each trial, in the order of the epochs."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["trial_id"], []).append(row)
    for entries in found.values():
        entries.sort(key=lambda row: int(row["epoch"]))
    return found


def _await(place: Folder, name: str, what: str) -> None:
    if not place.seen(name, SEEN_SECONDS):
        raise Unfit(
            f"{what} did not reach {place.uri}: the worker must write to the directory that the driver sees, on a "
            "disk that all nodes share or s3://..."
        )


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


def typed(table: str, data: pa.Table) -> pa.Table:
    """Give columns the types and the order of a table's schema; absent ones are null."""
    schema = arrow_schema(table, data.column_names)
    columns = [
        data[field.name].cast(field.type) if field.name in data.column_names else pa.nulls(len(data), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)

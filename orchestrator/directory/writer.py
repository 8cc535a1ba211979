"""Only writer of a sweep's directory: rows in write-once Parquet parts, open trials beside their checkpoints."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Collection
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.directory.fitted_rows import Unfit, check_predictions
from orchestrator.directory.lease import Lease
from orchestrator.directory.reader import AGAIN, SPEC, SweepDirectory
from orchestrator.directory.write_queue import ImmediateWrites, ThreadedQueue, WriteQueue
from store.columns import arrow_schema, is_of_the_test, to_table
from store.errors import DamagedFile
from store.folder import Folder
from store.gathered import GATHERED, gather
from store.open import Readable
from store.parts import part_bytes, part_cell, part_name, read_parts
from store.sealed import seal_json
from trainable.spec import TrialSpec
from trainable.texts import one_line
from trainable.trial.open_trial import OPEN, PREDICTIONS, read_predictions

COMPACTED = ("history", "predictions", "trials")
SEEN_SECONDS = 5.0
"""Longest time in seconds until another node's file is visible here."""


class Writer:
    """Only writer of a sweep's directory.

    Every file that it writes is new, and has the lease's generation in its name.

    Args:
        directory: The sweep's directory.
        lease: The lease on it.
        queue: Write queue. By default work is done at once where the directory is local, else by threads.
        sweep: Identity of the sweep, which every part holds; None = as older versions wrote them.
    """

    def __init__(
        self, directory: SweepDirectory, lease: Lease, queue: WriteQueue | None = None, sweep: str | None = None
    ) -> None:
        self.directory = directory
        self.sweep = sweep
        local = directory.folder.local is not None
        self.queue: WriteQueue = queue or (ImmediateWrites() if local else ThreadedQueue())
        self._lease = lease
        self._sequence = count(1)
        self._preempted: dict[str, int] = {}

    @property
    def driver(self) -> str:
        """Identifier of this driver, unique among those of the sweep."""
        return f"{self._lease.generation}_{self._lease.id}"

    @property
    def _folder(self) -> Folder:
        return self.directory.folder

    def check(self) -> None:
        """Raise where another driver has taken over.

        Raises:
            LeaseLost: The lease is another driver's.
        """
        self._lease.check()

    def append(self, table: str, about: str, rows: list[dict[str, Any]] | pa.Table) -> None:
        """Write rows as one new part.

        Args:
            table: Name of the table.
            about: The cell, or another subject of the part.
            rows: The rows; none = nothing is written.

        Raises:
            LeaseLost: Another driver has taken over.
            InputError: The directory cannot be written.
        """
        self._lease.check()
        data = self._part(table, rows)
        if data is not None:
            content = self.queue.keep(data)
            self.queue.put(about, lambda: self._send(table, about, content()))

    def _send(self, table: str, about: str, data: bytes, sequence: int | None = None) -> None:
        self._lease.check(wait=True)
        number = next(self._sequence) if sequence is None else sequence
        name = part_name(about, self._lease.generation, self._lease.id, number, data)
        self._folder.child(table).write(name, data)

    def known(self, spec: TrialSpec) -> None:
        """Record a trial that an earlier driver issued and that goes on."""
        self._preempted[spec.trial_id] = self.directory.preemptions(spec.trial_id)

    def preemptions(self, trial_id: str) -> int:
        """Number of times that the trial has lost its driver or its node."""
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
        """Leave the mark of a failed trial that is to run again, even if this driver ends before that."""
        self._lease.check()
        self._mark(trial_id, AGAIN)

    def lose(self, trial_id: str, times: int) -> None:
        """Leave the mark of a trial whose node was lost, for the ``times``-th time under this driver."""
        self._lease.check()
        self._preempted[trial_id] = self._preempted.get(trial_id, 0) + 1
        self._mark(trial_id, f"lost-{self._lease.generation:04d}-{times}")

    def _mark(self, trial_id: str, name: str, data: bytes = b"") -> None:
        folder = self._folder.child(OPEN, trial_id)
        self.queue.put(trial_id, lambda: folder.write(name, data, durable=False))

    def finish(self, row: dict[str, Any], history: list[dict[str, Any]], model: bool = False) -> None:
        """Write a trial that ended, its row last.

        A trial counts as finished when its row can be read.

        Args:
            row: Its row. Where its predictions cannot be written, or its test results are missing, this object becomes
                the row of a failed trial, maybe later than this call. So all who count the trial see the same row.
            history: Its epochs.
            model: True = a trial that was tested must have left its model too.
        """
        self._lease.check()
        trial_id, cell = row["trial_id"], row["cell"]
        folder = self._folder.child(OPEN, trial_id)
        parts: list[tuple[str, Callable[[], bytes]]] = []
        for table, rows in (("history", [{"trial_id": trial_id, **entry} for entry in history]), ("trials", [row])):
            data = self._part(table, rows)
            if data is not None:
                parts.append((table, self.queue.keep(data)))

        def work() -> None:
            tested = row["phase"] == "confirm" and row["status"] == "completed" and row.get("n_test") is not None
            try:
                predictions = self._predictions(folder, trial_id, tested)
                if tested and model:
                    _await(self._folder.child("models"), f"{trial_id}.safetensors", "its model")
            except DamagedFile:
                # Without its row the trial stays open: a resume evaluates it anew, from its last checkpoint.
                folder.remove(PREDICTIONS)
                return
            except Unfit as error:
                predictions = None
                row.update(dict.fromkeys(filter(is_of_the_test, row)), status="failed", error=one_line(str(error)))
                parts[-1] = ("trials", lambda: self._rows_part("trials", [row]))
            if predictions is not None:
                self._send("predictions", cell, predictions)
            for table, content in parts:
                self._send(table, cell, content())
            folder.remove_tree()

        self.queue.put(trial_id, work)

    def drop(self, trial_id: str) -> None:
        """Remove an open trial that is not wanted any more."""
        self._lease.check()
        self.queue.put(trial_id, self._folder.child(OPEN, trial_id).remove_tree)

    def compact(self, cell: str) -> None:
        """Merge the parts of a cell into one for each table.

        The new part is written before the old ones are removed.
        """
        self._lease.check()
        # Numbered now: a part that is written while this waits is newer than what is merged.
        numbers = {table: next(self._sequence) for table in COMPACTED}

        def work() -> None:
            for table, number in numbers.items():
                self._merge(table, cell, number)

        self.queue.put_last(work)

    def forget_histories(self, cell: str, trials: Collection[str]) -> None:
        """Remove, at once, the epochs and predictions of trials of a cell that have no row that counts.

        A newer row replaces an older one, but the last epochs of a longer first attempt would stay.
        """
        for table in ("history", "predictions"):
            self._merge(table, cell, next(self._sequence), without=trials)

    def _merge(self, table: str, cell: str, number: int, without: Collection[str] = ()) -> None:
        self._lease.check(wait=True)
        folder = self._folder.child(table)
        old = [name for name in folder.names(f"{cell}.") if part_cell(name) == cell]
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
            folder.remove(name)

    def gather(self, seconds: float = 0.0) -> None:
        """Copy the trials of all cells into one file that opens faster than the parts.

        Args:
            seconds: Longest time for which an object store may be unavailable.
        """
        # pandas is not needed before.
        from analysis.loading import derive

        self._lease.check()
        folder = self._folder.patiently(seconds)
        target, readable = folder.child(GATHERED), Readable(folder)
        file = gather(readable, lambda rows: derive(readable, rows))
        if file is None:
            return
        name, data = file
        target.write(name, data, durable=False)
        for old in target.names():
            if old != name:
                target.remove(old)

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until everything is in the directory.

        Args:
            seconds: Longest time to wait; None = the store's retry budget.

        Returns:
            True where everything is there, False after ``seconds``.

        Raises:
            Exception: Reason why something could not be written.
        """
        return self.queue.flush(seconds)

    def note_change(self, entry: dict[str, Any]) -> int:
        """Add a line to ``changes.jsonl``.

        Returns:
            The number of lines that the file has now.
        """
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

    def _predictions(self, folder: Folder, trial_id: str, needed: bool) -> bytes | None:
        if needed:
            _await(folder, PREDICTIONS, "its predictions")
        try:
            data = read_predictions(folder)
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


def _await(folder: Folder, name: str, what: str) -> None:
    if not folder.seen(name, SEEN_SECONDS):
        raise Unfit(
            f"{what} did not reach {folder.uri}: the worker must write to the directory that the driver sees, on a "
            "disk that all nodes share or s3://..."
        )


def typed(table: str, data: pa.Table) -> pa.Table:
    """Give columns the types and the order of a table's schema, with nulls for absent columns.

    Args:
        table: Name of the table.
        data: Columns of the table, in any order.

    Example:
        >>> table = typed("history", pa.table({"epoch": [1.0]}))
        >>> table.schema.field("epoch").type, table["trial_id"].null_count
        (DataType(int64), 1)
    """
    schema = arrow_schema(table, data.column_names)
    columns = [
        data[field.name].cast(field.type) if field.name in data.column_names else pa.nulls(len(data), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)

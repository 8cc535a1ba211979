"""The directory is the state: parts, compaction, and the order in which a finished trial is written."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.directory.lease import Lease
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.writer import Writer
from orchestrator.plan.identity import at_place, trial_spec
from store.columns import SCHEMA_VERSION, VERSION_KEY, to_table
from store.errors import InputError
from store.folder import Folder, LocalFolder
from store.names import Place
from store.parts import part_cell
from store.sealed import is_whole, unseal_bytes
from tests.orchestrator.support import fake_history, fake_row, histories_in, sweep_cells, sweep_config
from trainable.spec import TrialSpec
from trainable.trial.open_trial import write_predictions

CELLS = sweep_cells(sweep_config())
CELL, OTHER = CELLS[0].id, CELLS[1].id


def make_spec(number: int, cell: int = 0) -> TrialSpec:
    name = f"{CELLS[cell].id}-r0-{number:03d}"
    spec = trial_spec(sweep_config(), CELLS[cell], "search", name, {"lr": 1e-3}, 0)
    return at_place(spec, Place(number, None, 0))


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    found = SweepDirectory(str(tmp_path / "sweep"))
    found.folder.write("sweep.yaml", b"name: fake\n")
    return found


@pytest.fixture
def writer(directory: SweepDirectory) -> Writer:
    return Writer(directory, Lease(directory.folder, "abcd1234", 3))


def files(directory: SweepDirectory) -> dict[str, bytes]:
    root = Path(directory.uri)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def ids(directory: SweepDirectory) -> list[str]:
    return sorted(row["trial_id"] for row in directory.rows("trials"))


def finish(writer: Writer, number: int, cell: int = 0, value: float = 0.5) -> None:
    spec = make_spec(number, cell)
    writer.issue(spec)
    writer.finish(fake_row(spec, value), fake_history([value - 0.1, value]))


def test_a_finished_sweep_has_its_trials_in_one_file_too(directory: SweepDirectory, writer: Writer) -> None:
    for cell in (1, 0):
        finish(writer, 1, cell)
    writer.gather()
    (first,) = directory.folder.child("gathered").names()
    finish(writer, 2)
    writer.gather()
    (name,) = directory.folder.child("gathered").names()
    table = pa.ipc.open_file(unseal_bytes(name, directory.folder.child("gathered").read(name))).read_all()
    assert name != first and sorted(table["trial_id"].to_pylist()) == ids(directory)
    assert table["cell"].to_pylist() == sorted(table["cell"].to_pylist())
    # The parts stay what is true.
    assert len(directory.folder.child("trials").names()) == 3


class TestParts:
    def test_rows_read_back_as_they_were_written(self, directory: SweepDirectory, writer: Writer) -> None:
        row = fake_row(make_spec(1), 0.1 + 0.2)
        writer.append("trials", CELL, [row])
        (found,) = directory.rows("trials")
        assert {name: found[name] for name in row} == row
        assert {value for name, value in found.items() if name not in row} == {None}

    def test_each_part_has_a_new_name_with_cell_generation_and_driver(
        self, directory: SweepDirectory, writer: Writer
    ) -> None:
        for number in range(3):
            writer.append("trials", CELL, [fake_row(make_spec(number), 0.5)])
        names = directory.folder.child("trials").names()
        assert len(names) == 3
        assert {part_cell(name) for name in names} == {CELL}
        assert all(".0003-abcd1234-" in name for name in names)

    def test_no_rows_are_no_part(self, directory: SweepDirectory, writer: Writer) -> None:
        writer.append("trials", CELL, [])
        assert directory.folder.folders() == []

    def test_a_part_is_whole_or_absent(
        self, directory: SweepDirectory, writer: Writer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def cut(self: Path, target: Any) -> None:
            raise OSError("pulled the plug")

        monkeypatch.setattr(Path, "replace", cut)
        with pytest.raises(OSError, match="pulled the plug"):
            writer.append("trials", CELL, [fake_row(make_spec(1), 0.5)])
        assert list(files(directory)) == ["sweep.yaml"]

    def test_the_newest_row_of_a_key_wins(self, directory: SweepDirectory, writer: Writer) -> None:
        for value in (0.1, 0.9):
            writer.append("trials", CELL, [fake_row(make_spec(1), value)])
        assert [row["val_biased"] for row in directory.rows("trials")] == [0.9]

    def test_a_directory_without_a_sweep_has_no_rows(self, tmp_path: Path) -> None:
        directory = SweepDirectory(str(tmp_path / "nothing"))
        assert not directory.exists() and directory.rows("trials") == [] and histories_in(directory) == {}
        assert directory.open_trials() == []

    def test_a_column_that_the_table_does_not_have_is_refused(self, writer: Writer) -> None:
        with pytest.raises(InputError, match="'val_best'"):
            writer.append("trials", CELL, [{**fake_row(make_spec(1), 0.5), "val_best": 1.0}])


class TestFinish:
    def test_a_finished_trial_leaves_row_and_history_and_closes(
        self, directory: SweepDirectory, writer: Writer
    ) -> None:
        finish(writer, 1)
        assert ids(directory) == [make_spec(1).trial_id]
        (history,) = histories_in(directory).values()
        assert [(entry["epoch"], entry["val_biased"]) for entry in history] == [(1, 0.4), (2, 0.5)]
        assert directory.open_trials() == []

    def test_the_row_is_written_last(
        self, directory: SweepDirectory, writer: Writer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = make_spec(1)
        writer.issue(spec)
        place = directory.folder.child("trials_open", spec.trial_id)
        write_predictions(place, {"variant": ["unbiased"], "image": ["i"], "label": [1]})
        done = []
        write, remove = LocalFolder.write, LocalFolder.remove_tree
        monkeypatch.setattr(
            LocalFolder, "write", lambda self, name, data: (done.append(Path(self.uri).name), write(self, name, data))
        )
        monkeypatch.setattr(LocalFolder, "remove_tree", lambda self: (done.append("closed"), remove(self)))
        writer.finish(fake_row(spec, 0.5), fake_history([0.5]))
        assert done == ["predictions", "history", "trials", "closed"]

    @pytest.mark.parametrize("after", ["predictions", "history"])
    def test_a_trial_whose_row_was_not_written_is_still_open(
        self, directory: SweepDirectory, writer: Writer, monkeypatch: pytest.MonkeyPatch, after: str
    ) -> None:
        spec = make_spec(1)
        writer.issue(spec)
        place = directory.folder.child("trials_open", spec.trial_id)
        write_predictions(place, {"variant": ["unbiased"], "image": ["i"], "label": [1]})
        write = LocalFolder.write

        def killed(self: Folder, name: str, data: bytes) -> None:
            if Path(self.uri).name not in ("predictions", after):
                raise OSError("killed")
            write(self, name, data)

        with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
            patch.setattr(LocalFolder, "write", killed)
            writer.finish(fake_row(spec, 0.5), fake_history([0.5]))
        assert directory.rows("trials") == [] and directory.open_trials() == [spec]
        # The next driver finishes it again: no key stands twice.
        Writer(directory, Lease(directory.folder, "ffff0000", 4)).finish(fake_row(spec, 0.5), fake_history([0.5]))
        for table, rows in (("trials", 1), ("history", 1), ("predictions", 1)):
            assert len(directory.rows(table)) == rows, table

    def test_predictions_are_filed_under_the_trial(self, directory: SweepDirectory, writer: Writer) -> None:
        spec = make_spec(1)
        writer.issue(spec)
        columns = {"variant": ["unbiased"] * 2, "image": ["a", "b"], "label": [0, 1], "predicted": [0, 1],
                   "p_cat": [0.9, 0.2], "p_dog": [0.1, 0.8]}  # fmt: skip
        place = directory.folder.child("trials_open", spec.trial_id)
        write_predictions(place, columns)
        writer.finish(fake_row(spec, 0.5), [])
        rows = directory.rows("predictions")
        assert [row["trial_id"] for row in rows] == [spec.trial_id] * 2
        assert [row["p_dog"] for row in rows] == pytest.approx([0.1, 0.8])


class TestOpenTrials:
    def test_an_issued_trial_is_open_with_its_whole_specification(
        self, directory: SweepDirectory, writer: Writer
    ) -> None:
        writer.issue(make_spec(1))
        assert directory.open_trials() == [make_spec(1)]

    def test_a_trial_that_only_waited_was_not_preempted(self, directory: SweepDirectory, writer: Writer) -> None:
        spec = make_spec(1)
        writer.issue(spec)
        following = Writer(directory, Lease(directory.folder, "next", 4))
        following.known(spec)
        following.start(spec.trial_id)
        assert following.preemptions(spec.trial_id) == 0

    def test_each_further_driver_that_starts_a_trial_is_a_preemption(
        self, directory: SweepDirectory, writer: Writer
    ) -> None:
        spec = make_spec(1)
        writer.issue(spec)
        writer.start(spec.trial_id)
        writer.start(spec.trial_id)
        assert writer.preemptions(spec.trial_id) == 0
        following = Writer(directory, Lease(directory.folder, "next", 4))
        following.known(spec)
        following.start(spec.trial_id)
        assert following.preemptions(spec.trial_id) == 1

    def test_each_lost_node_is_a_preemption(self, directory: SweepDirectory, writer: Writer) -> None:
        spec = make_spec(1)
        writer.issue(spec)
        writer.start(spec.trial_id)
        writer.lose(spec.trial_id, 1)
        writer.lose(spec.trial_id, 2)
        assert writer.preemptions(spec.trial_id) == 2
        following = Writer(directory, Lease(directory.folder, "next", 4))
        following.known(spec)
        assert following.preemptions(spec.trial_id) == 3

    def test_a_dropped_trial_is_forgotten(self, directory: SweepDirectory, writer: Writer) -> None:
        writer.issue(make_spec(1))
        writer.drop(make_spec(1).trial_id)
        assert directory.open_trials() == []

    @pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"training": {}}', b"\xff\xfe", b"null"])
    def test_a_half_made_entry_counts_as_never_issued(
        self, directory: SweepDirectory, writer: Writer, text: bytes
    ) -> None:
        directory.folder.child("trials_open", "half").write("spec.json", text)
        directory.folder.child("trials_open", "empty").write("started-0001", b"")
        writer.issue(make_spec(1))
        assert directory.open_trials() == [make_spec(1)]


class TestCompaction:
    @pytest.fixture
    def full(self, directory: SweepDirectory, writer: Writer) -> Iterator[SweepDirectory]:
        for number in range(4):
            finish(writer, number)
            finish(writer, number, cell=1)
        yield directory

    def parts(self, directory: SweepDirectory, cell: str, table: str = "trials") -> list[str]:
        return [name for name in directory.folder.child(table).names() if part_cell(name) == cell]

    def test_a_cell_is_left_with_one_part_a_table_and_all_its_rows(self, full: SweepDirectory, writer: Writer) -> None:
        before = {table: full.rows(table) for table in ("trials", "history")}
        writer.compact(CELL)

        def by_key(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return sorted(rows, key=lambda row: (row["trial_id"], row.get("epoch", 0)))

        for table, rows in before.items():
            assert len(self.parts(full, CELL, table)) == 1
            assert by_key(full.rows(table)) == by_key(rows)

    def test_other_cells_are_left_alone(self, full: SweepDirectory, writer: Writer) -> None:
        before = self.parts(full, OTHER)
        writer.compact(CELL)
        assert self.parts(full, OTHER) == before and len(before) == 4

    def test_a_second_compaction_changes_nothing(self, full: SweepDirectory, writer: Writer) -> None:
        writer.compact(CELL)
        before = files(full)
        writer.compact(CELL)
        assert files(full) == before

    def test_the_old_parts_go_after_the_new_one_is_there(
        self, full: SweepDirectory, writer: Writer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names, remove, seen = ids(full), LocalFolder.remove, []

        def watched(self: Folder, name: str) -> None:
            seen.append(ids(full))
            remove(self, name)

        monkeypatch.setattr(LocalFolder, "remove", watched)
        writer.compact(CELL)
        assert seen and all(found == names for found in seen)

    def test_a_compaction_that_is_killed_loses_nothing(
        self, full: SweepDirectory, writer: Writer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = ids(full)

        def killed(self: Folder, name: str) -> None:
            raise OSError("killed")

        with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
            patch.setattr(LocalFolder, "remove", killed)
            writer.compact(CELL)
        assert ids(full) == names
        writer.compact(CELL)
        assert ids(full) == names

    def test_the_newest_row_survives(self, full: SweepDirectory, writer: Writer) -> None:
        finish(writer, 2, value=0.9)
        writer.compact(CELL)
        values = {row["trial_id"]: row["val_biased"] for row in full.rows("trials")}
        assert values[make_spec(2).trial_id] == 0.9 and len(values) == 8

    def damaged(self, directory: SweepDirectory, kind: str) -> str:
        """Put a part that cannot be read among those of the cell."""
        name = f"{CELL}.0003-abcd1234-000999.parquet"
        buffer = io.BytesIO()
        table = to_table("trials", [fake_row(make_spec(9), 0.5)])
        if kind == "foreign":
            table = pa.table({"unrelated": [1, 2]})
        pq.write_table(table, buffer)
        data = buffer.getvalue()
        directory.folder.child("trials").write(name, data[: len(data) // 2] if kind == "truncated" else data)
        return name

    @pytest.mark.parametrize("kind", ["truncated", "foreign"])
    def test_a_part_that_cannot_be_read_survives_with_a_warning(
        self, full: SweepDirectory, writer: Writer, kind: str
    ) -> None:
        name = self.damaged(full, kind)
        before = files(full)[f"trials/{name}"]
        with pytest.warns(UserWarning, match=name):
            writer.compact(CELL)
        assert files(full)[f"trials/{name}"] == before
        with pytest.warns(UserWarning, match=name):
            assert len(ids(full)) == 8

    def test_rows_that_could_not_be_read_just_then_are_not_lost(
        self, full: SweepDirectory, writer: Writer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names, read, first = ids(full), LocalFolder.read, self.parts(full, CELL)[0]

        def flaky(self: Any, path: str) -> bytes:
            if path.endswith(first):
                raise OSError("the server did not answer")
            return read(self, path)

        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setattr(LocalFolder, "read", flaky)
            writer.compact(CELL)
        assert ids(full) == names

    def test_a_part_of_a_newer_version_stops_it(self, full: SweepDirectory, writer: Writer) -> None:
        table = to_table("trials", [fake_row(make_spec(9), 0.5)])
        buffer = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({VERSION_KEY: str(SCHEMA_VERSION + 1).encode()}), buffer)
        full.folder.child("trials").write(f"{CELL}.0003-abcd1234-000999.parquet", buffer.getvalue())
        before = full.folder.child("trials").names()
        with pytest.raises(InputError, match="update lnl-sweep"):
            writer.compact(CELL)
        assert full.folder.child("trials").names() == before


def test_a_copied_directory_reads_the_same(directory: SweepDirectory, writer: Writer, tmp_path: Path) -> None:
    for number in range(3):
        finish(writer, number)
    writer.issue(make_spec(7))
    shutil.move(directory.uri, tmp_path / "elsewhere")
    copy = SweepDirectory(str(tmp_path / "elsewhere"))
    assert ids(copy) == [make_spec(number).trial_id for number in range(3)]
    assert copy.open_trials() == [make_spec(7)] and len(histories_in(copy)) == 3


def test_nothing_in_a_directory_names_the_place_where_it_lies(directory: SweepDirectory, writer: Writer) -> None:
    finish(writer, 1)
    writer.issue(make_spec(2))
    assert not [name for name, data in files(directory).items() if str(directory.uri).encode() in data]


def test_changes_are_added_line_by_line(directory: SweepDirectory, writer: Writer) -> None:
    writer.note_change({"what": 1})
    writer.note_change({"what": 2})
    data = directory.folder.read("changes.jsonl")
    assert [json.loads(line)["what"] for line in data.splitlines()] == [1, 2] and is_whole("changes.jsonl", data)

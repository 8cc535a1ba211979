"""``resume --failed``: trials that failed run again, and nothing of their first attempt stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import sweep
from orchestrator.directory.damage import survey
from orchestrator.directory.lease import Lease
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.writer import Writer
from orchestrator.search.dispatch import Dispatcher
from tests.orchestrator.support import Simulation, dispatcher_for, fake_history, fake_row, histories_in, sweep_config
from trainable.spec import TrialSpec

CONFIG = sweep_config(
    dataset={"name": "fake", "bias": {"rho": [0.0, 1.0]}},
    methods=["erm"],
    search={"trials": 4},
    confirm={"seeds": 1},
    training={"epochs": 5},
)


def ending(spec: TrialSpec) -> str:
    """The second search trial of each cell fails, and every confirm trial of the last cell."""
    fails = spec.trial_id.endswith("-001") or (spec.phase == "confirm" and spec.bias["rho"] == 1.0)
    return "failed" if fails else "completed"


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    """A sweep that has ended, two search trials and a confirm trial of which failed in their last epoch."""
    found = SweepDirectory(str(tmp_path / "sweep"))
    found.folder.write("sweep.yaml", b"name: fake\n")
    writer = Writer(found, Lease(found.folder, "first", 1))
    simulation = Simulation(dispatcher_for(CONFIG), slots=2, status=ending).run()
    for row in simulation.rows.values():
        writer.finish(row, simulation.histories[row["trial_id"]])
    for cell in simulation.dispatcher.cells:
        writer.compact(cell.id)
    return found


def failed_in(directory: SweepDirectory) -> set[str]:
    return {row["trial_id"] for row in directory.rows("trials") if row["status"] == "failed"}


def resumed(directory: SweepDirectory, failed: bool, cells: int = 2) -> tuple[Dispatcher, Writer]:
    dispatcher = Dispatcher(CONFIG, dispatcher_for(CONFIG).cells[:cells])
    writer = Writer(directory, Lease(directory.folder, "second", 2))
    sweep._restore(dispatcher, writer, survey(directory), sweep.Options(failed=failed))
    return dispatcher, writer


def issued(dispatcher: Dispatcher) -> list[TrialSpec]:
    return list(iter(dispatcher.next, None))


def test_without_it_they_count_as_finished(directory: SweepDirectory) -> None:
    assert len(failed_in(directory)) == 3
    dispatcher, _ = resumed(directory, failed=False)
    assert dispatcher.finished and issued(dispatcher) == []
    assert {len(history) for history in histories_in(directory).values()} == {5}


def test_failed_trials_run_again_and_no_others(directory: SweepDirectory) -> None:
    before, failed = {row["trial_id"]: row for row in directory.rows("trials")}, failed_in(directory)
    dispatcher, _ = resumed(directory, failed=True)
    searched = {name for name in failed if before[name]["phase"] == "search"}
    assert len(searched) == 2 and {spec.trial_id for spec in issued(dispatcher)} == searched
    simulation = Simulation(resumed(directory, failed=True)[0], slots=2).run()
    ran = {spec.trial_id for spec in simulation.issued}
    assert ran & before.keys() == failed and simulation.dispatcher.finished
    assert simulation.dispatcher.problems() == []


def test_the_new_row_wins_and_a_shorter_attempt_keeps_no_epoch_of_the_longer(directory: SweepDirectory) -> None:
    old = {row["trial_id"]: row for row in directory.rows("trials")}
    dispatcher, writer = resumed(directory, failed=True)
    specs = issued(dispatcher)
    for spec in specs:
        writer.finish(fake_row(spec, 0.25, "pruned"), fake_history([0.125, 0.25]))
    again, histories = {spec.trial_id for spec in specs}, histories_in(directory)
    for row in directory.rows("trials"):
        name = row["trial_id"]
        if name in again:
            assert (row["status"], row["error"], row["val_biased"]) == ("pruned", None, 0.25)
            assert [entry["val_biased"] for entry in histories[name]] == [0.125, 0.25]
        else:
            assert row == old[name] and (row["status"] == "failed" or len(histories[name]) == 5)
    for cell in dispatcher.cells:
        writer.compact(cell.id)
    assert histories_in(directory).keys() == histories.keys()
    assert all(len(histories_in(directory)[name]) == 2 for name in again)


def test_after_an_interruption_it_need_not_be_asked_for_again(directory: SweepDirectory) -> None:
    before = {row["trial_id"]: row for row in directory.rows("trials")}
    dispatcher, writer = resumed(directory, failed=True)
    first, second = [spec for spec in issued(dispatcher) if spec.phase == "search"]
    writer.finish(fake_row(first, 0.25), fake_history([0.125, 0.25]))
    writer.issue(second)
    # The driver is gone here: the first trial has its new row, the second has begun, the confirm trials have not.
    simulation = Simulation(resumed(directory, failed=False)[0], slots=2).run()
    ran = {spec.trial_id for spec in simulation.issued}
    confirm = {name for name, row in before.items() if row["status"] == "failed" and row["phase"] == "confirm"}
    assert ran & before.keys() == {second.trial_id} | confirm
    assert simulation.dispatcher.problems() == []


def test_after_an_interruption_nothing_of_the_first_attempt_stays_either(directory: SweepDirectory) -> None:
    failed = failed_in(directory)
    writer = Writer(directory, Lease(directory.folder, "second", 2))
    # The driver is gone when it has left the marks.
    for name in failed:
        writer.run_again(name)
    resumed(directory, failed=False)
    assert not failed & histories_in(directory).keys()


def test_a_trial_that_fails_again_stays_failed(directory: SweepDirectory) -> None:
    dispatcher, writer = resumed(directory, failed=True)
    specs = issued(dispatcher)
    for spec in specs:
        writer.finish(fake_row(spec, None, "failed"), [])
    again = {spec.trial_id for spec in specs}
    assert again <= failed_in(directory) and not again & directory.to_run_again()
    assert not again & {spec.trial_id for spec in issued(resumed(directory, failed=False)[0])}


def test_what_is_left_of_the_folder_of_a_finished_trial_is_cleared_away(directory: SweepDirectory) -> None:
    rows, place = directory.rows("trials"), directory.folder.child("trials_open")
    whole, torn, without = [row["trial_id"] for row in rows if row["status"] == "completed"][:3]
    (failed, *_) = failed_in(directory)
    spec = next(s for s in Simulation(dispatcher_for(CONFIG), slots=2).run().issued if s.trial_id == whole)
    place.child(whole).write("spec.json", spec.to_json().encode())
    place.child(torn).write("spec.json", b'{"trial_id"')
    place.child(without).write("started-0001", b"")
    place.child(failed).write("again", b"")
    place.child("unknown").write("started-0001", b"")
    resumed(directory, failed=False)
    # A failed trial that is to run again has not finished, and what was never issued is left alone.
    assert place.folders() == sorted([failed, "unknown"])


def test_those_of_cells_that_do_not_run_keep_theirs(directory: SweepDirectory) -> None:
    dispatcher, _ = resumed(directory, failed=True, cells=1)
    (cell,) = dispatcher.cells
    left = {row["trial_id"] for row in directory.rows("trials") if row["cell"] != cell.id}
    histories = histories_in(directory)
    assert all(len(histories[name]) == 5 for name in left)
    assert not histories.keys() & {name for name in failed_in(directory) if name not in left}

"""What the user sees while a sweep runs."""

from __future__ import annotations

import io
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator import progress as progress_module
from orchestrator.progress import STATUS_FILE, Progress, StatusFile, cell_table, duration, status_line
from orchestrator.search.dispatch import CellStatus
from store.errors import InputError
from store.folder import Folder, LocalFolder
from store.open import folder_at
from tests.orchestrator.support import Simulation, dispatcher_for, sweep_config


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3599, "59 min 59 s"),
     (3599.7, "1 h 00 min"), (7500, "2 h 05 min"), (360000, "100 h 00 min")],
)  # fmt: skip
def test_seconds_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def snapshot(**changes: Any) -> dict[str, Any]:
    return {"name": "demo", "planned": 20, "planned_is_exact": False, "finished": 5, "running": 2, "seconds": 65.0,
            "eta_seconds": None, **changes}  # fmt: skip


def test_the_status_line_marks_an_upper_bound() -> None:
    assert status_line(snapshot()) == "demo: 5 of <= 20 trials finished, 2 running, 1 min 05 s"


def test_the_line_where_no_node_can_run_a_trial() -> None:
    line = status_line(snapshot(awaits_node=True))
    assert line == "demo: 5 of <= 20 trials finished, 2 waiting for a node that can run them, 1 min 05 s"


def test_the_status_line_with_an_exact_plan_and_an_end_in_sight() -> None:
    line = status_line(snapshot(planned_is_exact=True, eta_seconds=90))
    assert line == "demo: 5 of 20 trials finished, 2 running, 1 min 05 s, about 1 min 30 s to go"


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress_module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def simulation() -> Simulation:
    return Simulation(dispatcher_for(sweep_config(name="demo")), slots=2)


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(simulation: Simulation, tmp_path: Path, clock: Clock, shown: io.StringIO) -> Progress:
    return Progress(simulation.dispatcher, Console(file=shown, width=200), StatusFile(folder_at(tmp_path)))


def status_file(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / STATUS_FILE).read_text())
    return found


def test_the_snapshot_says_what_is_planned_done_and_running(
    progress: Progress, simulation: Simulation, clock: Clock
) -> None:
    simulation.run(rows=3)
    progress.start(2)
    clock.now += 10
    found = progress.snapshot()
    assert (found["finished"], found["running"], found["slots"], found["state"]) == (3, 1, 2, "running")
    assert (found["planned"], found["planned_is_exact"]) == (6 * (5 + 2), False)
    assert len(found["cells"]) == 6 and found["seconds"] == 10.0 and found["failed"] == []
    assert abs(found["heartbeat"] - time.time()) < 60
    assert [CellStatus(**cell) for cell in json.loads(json.dumps(found))["cells"]] == simulation.dispatcher.status()


def test_the_time_to_go_follows_from_the_rate(progress: Progress, simulation: Simulation, clock: Clock) -> None:
    assert progress.snapshot()["eta_seconds"] is None
    simulation.run(rows=12)
    clock.now += 60
    planned, _, finished = simulation.dispatcher.totals()
    assert progress.snapshot()["eta_seconds"] == pytest.approx((planned - finished) * 60 / 12)


def test_trials_of_an_earlier_driver_do_not_count_towards_the_rate(clock: Clock) -> None:
    config = sweep_config()
    resumed = Simulation(dispatcher_for(config), slots=2).run(rows=30).crash(config)
    progress = Progress(resumed.dispatcher, Console(file=io.StringIO()))
    clock.now += 60
    assert progress.snapshot()["eta_seconds"] is None


def test_a_finished_sweep_has_nothing_to_go(progress: Progress, simulation: Simulation, clock: Clock) -> None:
    simulation.run()
    clock.now += 60
    assert progress.snapshot()["eta_seconds"] == 0


def test_the_share_of_busy_slots(progress: Progress, clock: Clock) -> None:
    progress.start(2)
    clock.now += 10
    progress.budget.trial_ended({"train_seconds": 12.0})
    progress.budget.trial_ended({"train_seconds": None})
    assert progress.snapshot()["busy"] == 0.6


def test_slots_that_are_added_count_from_then_on(progress: Progress, clock: Clock) -> None:
    progress.start(2)
    clock.now += 10
    progress.budget.use_slots(4, clock.now)
    clock.now += 5
    progress.budget.trial_ended({"train_seconds": 30.0})
    snapshot = progress.snapshot()
    assert (snapshot["slots"], snapshot["busy"]) == (4, 0.75)


def test_trials_that_still_run_keep_their_slots_busy(progress: Progress, clock: Clock) -> None:
    progress.start(2)
    for name in ("a", "b"):
        progress.budget.trial_started(name, clock.now)
    clock.now += 10
    assert progress.snapshot()["busy"] == 1.0
    progress.budget.trial_left("b")
    clock.now += 10
    assert progress.snapshot()["busy"] == 0.5
    progress.budget.trial_left("unknown")


def test_a_line_counts_what_was_pruned_and_what_failed(simulation: Simulation) -> None:
    cells = [asdict(cell) for cell in simulation.dispatcher.status()]
    cells[0].update(pruned=2, failed=1)
    cells[1].update(pruned=1)
    snapshot = {"name": "demo", "planned_is_exact": True, "eta_seconds": None, "finished": 4, "planned": 9}
    line = status_line({**snapshot, "running": 2, "seconds": 5, "cells": cells})
    assert line == "demo: 4 of 9 trials finished, 2 running, 3 pruned, 1 failed, 5 s"


def printed(cells: list[CellStatus], width: int) -> str:
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(cell_table(cells))
    return console.export_text()


def test_cells_that_a_bias_value_does_not_tell_apart_have_names_without_what_all_share() -> None:
    config = sweep_config(dataset={"name": "fake", "bias": {"rho": [0.0, 0.5], "gamma": [0.0, 1.0]}})
    cells = dispatcher_for(config).status()
    assert len(cells) == 8
    # Eighty columns hold them, as in a pipe.
    for line, cell in zip(printed(cells, 80).splitlines()[1:], cells, strict=True):
        name = line.split()[1]
        assert name.startswith("rho") and "gamma" in name and name in cell.cell and "\u2026" not in line


def test_repetitions_of_a_cell_have_its_names(simulation: Simulation) -> None:
    first = simulation.dispatcher.status()[0]
    lines = printed([first, replace(first, repeat=1)], 80).splitlines()
    assert [line.split()[1][-3:] for line in lines[1:]] == ["-r0", "-r1"]


def test_the_status_file_is_written_now_and_then(progress: Progress, clock: Clock, tmp_path: Path) -> None:
    progress.start(2)
    first = status_file(tmp_path)["seconds"]
    clock.now += progress_module.WRITE_SECONDS / 2
    progress.update()
    assert status_file(tmp_path)["seconds"] == first
    clock.now += progress_module.WRITE_SECONDS
    progress.update()
    assert status_file(tmp_path)["seconds"] > first


def test_the_last_state_is_written(progress: Progress, tmp_path: Path) -> None:
    progress.start(2)
    progress.stop("interrupted")
    assert status_file(tmp_path)["state"] == "interrupted"


def test_a_directory_that_cannot_be_written_any_more_does_not_hide_why_it_ended(
    progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Folder, name: str, data: bytes) -> None:
        raise InputError("no space left")

    monkeypatch.setattr(LocalFolder, "write", full)
    progress.stop("stopped")


def test_plain_lines_come_every_quarter_of_a_minute(progress: Progress, clock: Clock, shown: io.StringIO) -> None:
    progress.start(2)
    for _ in range(6):
        clock.now += progress_module.PLAIN_SECONDS / 3
        progress.update()
    lines = shown.getvalue().splitlines()
    assert len(lines) == 2 and all(line.startswith("demo: 0 of <= 42 trials") for line in lines)


def test_the_table_of_cells() -> None:
    searching = CellStatus("c", "lnl", 0.02, 9, False, 3, 2, 1, 0, 0.91234, 0.5, True)
    done = CellStatus("d", "erm", 0.4, 9, True, 9, 0, 0, 1, None, None, False)
    out = io.StringIO()
    Console(file=out, width=120).print(cell_table([searching, done]))
    first, second = out.getvalue().splitlines()[1:]
    assert first.split() == ["lnl", "0.02", "search", "3/<=9", "2", "1", "0", "0.912", "0.5"]
    assert second.split() == ["erm", "0.4", "done", "9/9", "0", "0", "1"]


def test_a_live_table_is_shown_in_a_terminal(simulation: Simulation, clock: Clock) -> None:
    out = io.StringIO()
    live = Progress(simulation.dispatcher, Console(file=out, force_terminal=True, width=120))
    live.start(2)
    live.stop("finished")
    assert "bias value" in out.getvalue()

"""The report that is rebuilt while a sweep runs."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import reporting
from orchestrator.reporting import EVERY_SECONDS, ReportKeeper


class Process:
    def __init__(self, log: list[Any], command: list[str], **options: Any) -> None:
        self.running, self.killed = True, False
        log.append(self)
        self.command = command
        # No process has it: its priority cannot be set.
        self.pid = 2**22 + 1

    def poll(self) -> int | None:
        return None if self.running else 0

    def kill(self) -> None:
        self.running, self.killed = False, True

    def wait(self) -> int:
        return -9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(reporting.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    log: list[Process] = []
    monkeypatch.setattr(reporting.subprocess, "Popen", lambda command, **options: Process(log, command, **options))
    return log


def test_a_short_sweep_pays_nothing(clock: list[float], started: list[Process]) -> None:
    keeper = ReportKeeper("results/x")
    for _ in range(20):
        clock[0] += 10
        keeper.ended(cell=True)
    assert not started


def test_it_is_rebuilt_when_a_cell_has_ended_and_never_twice_at_once(
    clock: list[float], started: list[Process]
) -> None:
    keeper = ReportKeeper("results/x")
    clock[0] += EVERY_SECONDS
    keeper.ended(cell=False)
    assert not started
    keeper.ended(cell=True)
    assert [process.command[-2:] for process in started] == [["report", "results/x"]]
    clock[0] += 40
    keeper.ended(cell=True)
    assert len(started) == 1
    started[0].running = False
    keeper.ended(cell=False)
    # It took 40 s: the next one may not begin before twenty times that have passed.
    clock[0] += 19 * 40
    keeper.ended(cell=False)
    assert len(started) == 1
    clock[0] += 41
    keeper.ended(cell=False)
    assert len(started) == 2


def test_one_that_runs_is_ended_with_the_sweep(clock: list[float], started: list[Process]) -> None:
    keeper = ReportKeeper("results/x")
    clock[0] += EVERY_SECONDS
    keeper.ended(cell=True)
    keeper.stop()
    assert started[0].killed
    keeper.stop()

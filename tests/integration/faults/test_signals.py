"""Ctrl-C, SIGTERM and the end of the terminal end a sweep in a state that can be resumed, and say how."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.interruption import SAME_SECONDS
from tests.integration.support import Driver, Rows, assert_same_results, differences, null_driver, rows

pytestmark = pytest.mark.slow


@dataclass
class Stopped:
    """How the sweep stood when a signal had ended it."""

    code: int
    text: str
    status: dict[str, Any]
    lease: dict[str, Any]
    finished: Rows


@dataclass
class Story:
    out: Path
    stops: list[Stopped]
    last_code: int
    last_text: str


def interrupt(running: Driver) -> None:
    running.kill(signal.SIGINT)


def terminate(running: Driver) -> None:
    running.kill(signal.SIGTERM)


def hang_up(running: Driver) -> None:
    # A terminal that is closed tells all processes of its session, those of Ray too.
    os.killpg(running.process.pid, signal.SIGHUP)


def interrupt_twice(running: Driver) -> None:
    running.kill(signal.SIGINT)
    time.sleep(2 * SAME_SECONDS)
    running.kill(signal.SIGINT)


@pytest.fixture(scope="module")
def story(short_tmp: Path, sweep_file: Path) -> Story:
    """One sweep: interrupted, resumed, terminated, resumed, hung up, resumed, interrupted twice, resumed to its end."""
    # The tests may run under nohup, and what is ignored is inherited.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    out = short_tmp / "stopped"
    stops: list[Stopped] = []
    words: tuple[object, ...] = ("run", sweep_file, "--out", out)
    for stop in (interrupt, terminate, hang_up, interrupt_twice):
        with null_driver(short_tmp, out, *words) as running:
            running.wait_for_rows(len(rows(out)) + 3)
            stop(running)
            code = running.wait(180)
        status, lease = (json.loads((out / name).read_text()) for name in ("status.json", "driver.json"))
        stops.append(Stopped(code, running.text(), status, lease, rows(out)))
        words = ("resume", out)
    signal.signal(signal.SIGHUP, before)
    with null_driver(short_tmp, out, *words) as running:
        code = running.wait()
    return Story(out, stops, code, running.text())


@pytest.fixture(params=[0, 1, 2], ids=["SIGINT", "SIGTERM", "SIGHUP"])
def stopped(request: pytest.FixtureRequest, story: Story) -> Stopped:
    return story.stops[request.param]


def test_it_stops_with_exit_code_130_and_says_how_to_go_on(stopped: Stopped, story: Story) -> None:
    assert stopped.code == 130, stopped.text
    assert f"lnl-sweep resume {story.out}" in stopped.text
    assert "Traceback" not in stopped.text


def test_the_status_says_so(stopped: Stopped) -> None:
    assert stopped.status["state"] == "interrupted"
    assert stopped.status["finished"] < stopped.status["planned"]


def test_the_directory_is_given_back(stopped: Stopped) -> None:
    assert stopped.lease["released"] is True


def test_a_second_ctrl_c_ends_it_without_a_traceback(story: Story) -> None:
    twice = story.stops[-1]
    assert twice.code == 130 and f"lnl-sweep resume {story.out}" in twice.text, twice.text
    assert "Traceback" not in twice.text and "Exception ignored" not in twice.text
    assert twice.lease["released"] is True
    assert differences(twice.finished, rows(story.out)) == []


def test_no_finished_trial_runs_again(stopped: Stopped, story: Story) -> None:
    assert differences(stopped.finished, rows(story.out)) == []


def test_the_last_resume_completes_the_sweep(story: Story, null_run: Path) -> None:
    assert story.last_code == 0, story.last_text
    count = len(rows(story.out))
    assert f"planned = {count}, finished = {count}" in story.last_text
    assert_same_results(story.out, null_run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.2, 1.0])
def test_it_stops_in_the_same_way_while_ray_starts(
    seconds: float, number: signal.Signals, short_tmp: Path, sweep_file: Path
) -> None:
    out = short_tmp / f"early-{number}-{seconds}"
    with null_driver(short_tmp, out, "run", sweep_file, "--out", out) as running:
        running.wait_for((out / "driver.json").exists, "the lease")
        time.sleep(seconds)
        running.kill(number)
        code = running.wait(180)
    assert code == 130, running.text()
    assert f"lnl-sweep resume {out}" in running.text() and "Traceback" not in running.text()
    assert json.loads((out / "driver.json").read_text())["released"] is True

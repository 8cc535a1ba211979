"""Worker processes, nodes and drivers are killed; the rows are those of the run to which nothing happened."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support import (
    NODE,
    Driver,
    Row,
    Rows,
    assert_same_results,
    differences,
    freeze_in_a_step,
    null_driver,
    open_marks,
    raylet_of,
    rows,
)
from trainable.trial.open_trial import CHECKPOINT

pytestmark = pytest.mark.slow

TRIALS = 16
KILLS = 5


def assert_all_finished(text: str) -> None:
    counts = re.search(r"planned = (\d+), finished = (\d+)", text)
    assert counts and int(counts[1]) == int(counts[2]) == TRIALS, text


@dataclass
class Survived:
    """A sweep that lost a worker process and a node.

    Attributes:
        worker_killed: When the process was killed.
        stuck: The trial that was on the node when its raylet was killed.
    """

    out: Path
    code: int
    text: str
    worker_killed: datetime
    stuck: str

    def having(self, **values: Any) -> list[Row]:
        return [row for row in rows(self.out).values() if all(row[name] == value for name, value in values.items())]


def in_training(out: Path) -> list[str]:
    """Open trials that have a checkpoint: they have trained an epoch and go on."""
    return [place.parent.name for place in open_marks(out, CHECKPOINT)]


def checkpoint_of(trial: Path) -> int:
    """A number that changes with each checkpoint; 0 before the first."""
    try:
        return (trial / CHECKPOINT).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def stands_still(running: Driver, seconds: float = 8) -> str:
    """Wait until one trial is left that was started and writes nothing for so long: many times what an epoch takes."""
    since: dict[tuple[str, int, int], float] = {}
    found: list[str] = []

    def look() -> bool:
        now, done = time.monotonic(), len(rows(running.out))
        started = {place.parent for place in open_marks(running.out, "started-*")}
        states = {(place.name, checkpoint_of(place), done) for place in started}
        for state in set(since) - states:
            del since[state]
        found[:] = [state[0] for state in states if now - since.setdefault(state, now) >= seconds]
        return len(started) == len(found) == 1

    running.wait_for(look, "a trial that stands still")
    return found[0]


@pytest.fixture(scope="module")
def survived(short_tmp: Path, sweep_file: Path, cluster: Any) -> Survived:
    out = short_tmp / "survived"
    doomed = cluster.add_node(**NODE)
    try:
        with null_driver(short_tmp, out, "run", sweep_file, "--out", out, "--address", cluster.address) as running:
            running.wait_for_rows(2)
            steady = raylet_of(cluster.head_node)
            running.wait_for(lambda: bool(in_training(out)), "a trial that trains")
            os.kill(freeze_in_a_step(running, steady), signal.SIGKILL)
            worker_killed = datetime.now(UTC)
            # A trial that stands still on the node until the node is gone: it cannot be lost between two trials.
            frozen = freeze_in_a_step(running, raylet_of(doomed))
            try:
                stuck = stands_still(running)
                os.kill(raylet_of(doomed), signal.SIGKILL)
                # With its parent gone the kernel wakes it, and it might finish its last epoch before it notices.
                os.kill(frozen, signal.SIGKILL)
                code = running.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(frozen, signal.SIGKILL)
            text = running.text()
    finally:
        cluster.remove_node(doomed, allow_graceful=False)
    return Survived(out, code, text, worker_killed, stuck)


class TestWorkerAndNode:
    def test_the_sweep_finishes(self, survived: Survived) -> None:
        assert survived.code == 0, survived.text
        assert_all_finished(survived.text)

    def test_no_trial_failed(self, survived: Survived) -> None:
        assert {(row["status"], row["error"]) for row in rows(survived.out).values()} == {("completed", None)}

    def test_the_killed_process_cost_one_attempt_and_no_preemption(self, survived: Survived) -> None:
        (row,) = survived.having(attempts=2)
        assert row["preemptions"] == 0 and row["started_at"] < row["finished_at"]
        assert row["finished_at"] > survived.worker_killed

    def test_the_lost_node_cost_its_trial_a_preemption_and_no_attempt(self, survived: Survived) -> None:
        (lost,) = survived.having(preemptions=1)
        assert (lost["trial_id"], lost["attempts"]) == (survived.stuck, 1)
        assert len(survived.having(attempts=1)) == TRIALS - 1

    def test_what_ray_says_of_a_worker_that_died_stands_in_the_log_alone(self, survived: Survived) -> None:
        assert "(raylet)" not in survived.text
        assert "(raylet) A worker died" in (survived.out / "ray" / "driver.log").read_text()

    def test_the_rows_are_those_of_the_undisturbed_run(self, survived: Survived, null_run: Path) -> None:
        assert_same_results(survived.out, null_run)


@dataclass
class Kill:
    before: Rows
    after: Rows


@dataclass
class Persevered:
    """A sweep whose driver was killed again and again."""

    out: Path
    code: int
    text: str
    kills: list[Kill]
    seed: int


@pytest.fixture(scope="module")
def persevered(short_tmp: Path, sweep_file: Path, cluster: Any) -> Persevered:
    """Each driver dies at a random moment: of its start, of a trial, or between two rows."""
    out, seed = short_tmp / "persevered", random.SystemRandom().randrange(10**6)
    moment = random.Random(seed)
    words: tuple[object, ...] = ("run", sweep_file, "--out", out)
    before: list[Rows] = []
    for _ in range(KILLS):
        with null_driver(short_tmp, out, *words, "--address", cluster.address) as running:
            running.wait_for(lambda: (out / "driver.json").exists() and (out / "sweep.yaml").exists(), "a start")
            had = len(rows(out))
            # Trials must be left for the kills that follow.
            more = moment.choice([None, 0, 1, 2] if had <= 6 else [None, 0])
            if more is not None:
                running.wait_for_open()
                running.wait_for_rows(had + more)
            end = time.monotonic() + moment.uniform(0, 1)
            while time.monotonic() < end and len(rows(out)) < TRIALS - KILLS:
                time.sleep(0.02)
            running.kill(signal.SIGKILL)
            assert running.wait() == -signal.SIGKILL
        before.append(rows(out))
        words = ("resume", out)
    with null_driver(short_tmp, out, *words, "--address", cluster.address) as running:
        code = running.wait()
    return Persevered(out, code, running.text(), [Kill(then, rows(out)) for then in before], seed)


class TestDriver:
    def test_the_last_one_finishes_the_sweep(self, persevered: Persevered) -> None:
        assert persevered.code == 0, (persevered.seed, persevered.text)
        assert_all_finished(persevered.text)

    def test_it_was_killed_in_mid_sweep(self, persevered: Persevered) -> None:
        assert len(persevered.kills[-1].before) < TRIALS, persevered.seed

    def test_no_finished_trial_ran_again_and_none_is_lost(self, persevered: Persevered) -> None:
        for kill in persevered.kills:
            assert differences(kill.before, kill.after) == [], persevered.seed

    def test_no_kill_is_counted_as_an_error(self, persevered: Persevered) -> None:
        assert {row["attempts"] for row in rows(persevered.out).values()} == {1}, persevered.seed

    def test_the_rows_are_those_of_the_undisturbed_run(self, persevered: Persevered, null_run: Path) -> None:
        assert_same_results(persevered.out, null_run)
        assert list((persevered.out / "trials_open").iterdir()) == []

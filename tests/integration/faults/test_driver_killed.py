"""The driver is killed in mid-sweep; ``lnl-sweep resume`` goes on from what the directory holds."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.directory.reader import SweepDirectory
from store.open import folder_at
from tests.integration.support import SEARCHED, Driver, Rows, assert_same_results, differences, driver, open_marks, rows
from trainable.trial.open_trial import CHECKPOINT

pytestmark = pytest.mark.slow


@dataclass
class Killed:
    out: Path
    before: Rows
    left: Open
    when: datetime
    code: int
    text: str
    temporary: tuple[list[Path], list[Path]]


@dataclass
class Open:
    """The open trials of a directory, without those whose row is there and whose folder is about to go."""

    started: list[str]
    waiting: list[str]
    checkpoints: list[str]


def open_now(out: Path) -> Open:
    finished = {key[0] for key in rows(out)}
    issued = [spec.trial_id for spec in SweepDirectory(str(out)).open_trials() if spec.trial_id not in finished]
    begun, kept = ({place.parent.name for place in open_marks(out, mark)} for mark in ("started-*", CHECKPOINT))
    started = [name for name in issued if name in begun]
    waiting = [name for name in issued if name not in begun]
    return Open(started, waiting, [name for name in started if name in kept])


def stopped_between(running: Driver) -> bool:
    """Whether one trial has a checkpoint and another waits; the driver is stopped then, so that it stays so."""
    running.kill(signal.SIGSTOP)
    found = open_now(Path(running.out))
    if found.checkpoints and found.waiting:
        return True
    running.kill(signal.SIGCONT)
    return False


@pytest.fixture(scope="module")
def killed(short_tmp: Path, sweep_file: Path) -> Killed:
    out, temporary = short_tmp / "killed", short_tmp / "killed-tmp"
    temporary.mkdir()
    own = {"TMPDIR": str(temporary)}
    with driver(short_tmp, out, "run", sweep_file, "--out", out, variables=own) as running:
        running.wait_for_rows(4)
        running.wait_for(lambda: stopped_between(running), "a checkpoint and a trial that waits")
        running.kill(signal.SIGKILL)
        when = datetime.now(UTC)
        assert running.wait() == -signal.SIGKILL
    before = rows(out)
    left, folders = open_now(out), list(temporary.glob("lnl-sweep-*"))
    with driver(short_tmp, out, "resume", out, variables=own) as resumed:
        code = resumed.wait()
    return Killed(out, before, left, when, code, resumed.text(), (folders, list(temporary.glob("lnl-sweep-*"))))


def test_it_was_killed_in_mid_sweep(killed: Killed) -> None:
    assert 4 <= len(killed.before) < SEARCHED
    assert killed.left.checkpoints


def test_resume_finishes_the_sweep(killed: Killed) -> None:
    assert killed.code == 0, killed.text
    counts = re.search(r"planned = (\d+), finished = (\d+)", killed.text)
    assert counts and counts[1] == counts[2] == str(len(rows(killed.out)))


def test_no_finished_trial_ran_again_and_none_is_lost(killed: Killed) -> None:
    # The whole row is the same, its times included: it is the row of the run before the kill.
    assert differences(killed.before, rows(killed.out)) == []


def test_trials_that_ran_are_counted_as_preempted(killed: Killed) -> None:
    after = rows(killed.out)
    assert {after[name,]["preemptions"] for name in killed.left.started} == {1}


def test_a_trial_that_only_waited_for_a_slot_was_not_preempted(killed: Killed) -> None:
    # One more trial is issued than there are slots: two were running, the third had not begun.
    assert killed.left.waiting
    others = [row for key, row in rows(killed.out).items() if key[0] not in killed.left.started]
    assert {row["preemptions"] for row in others} == {0}


def test_a_trial_with_a_checkpoint_went_on_from_it(killed: Killed) -> None:
    after = rows(killed.out)
    for name in killed.left.checkpoints:
        row = after[name,]
        assert row["started_at"] < killed.when < row["finished_at"]


def test_nothing_is_left_open(killed: Killed) -> None:
    assert list((killed.out / "trials_open").iterdir()) == []


def test_its_temporary_folders_stay_no_longer_than_to_the_next_run(killed: Killed) -> None:
    after_the_kill, after_the_resume = killed.temporary
    assert after_the_kill and after_the_resume == []


def test_a_cell_is_left_with_one_part_a_table(killed: Killed) -> None:
    cells = {row["cell"] for row in rows(killed.out).values()}
    for table in ("trials", "history", "predictions"):
        # The killed driver may have left a hidden file that it was writing.
        assert len(folder_at(killed.out).child(table).names()) == len(cells)


def test_the_results_are_those_of_an_undisturbed_sweep(killed: Killed, undisturbed: Path) -> None:
    assert_same_results(killed.out, undisturbed)

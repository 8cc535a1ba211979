"""A full disk, a directory that turns read-only, damaged and foreign parts, and two drivers on one directory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.integration.support import Rows, assert_same_results, differences, null_driver, results, rows

pytestmark = pytest.mark.slow


def assert_one_sentence(text: str, *words: str) -> None:
    """The last line is an error in words; no traceback anywhere."""
    assert "Traceback" not in text, text
    last = text.strip().splitlines()[-1]
    assert last.startswith("lnl-sweep: error: ") and all(word in last for word in words), text


@pytest.fixture(scope="module")
def small_disk(short_tmp: Path) -> Iterator[Path]:
    place = short_tmp / "disk"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", place]).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> Path:
    """Leave no byte free."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(2**12))
    return filler


def remount(place: Path, mode: str) -> None:
    """Ray's logs may be open for writing just now: then the kernel refuses, and is asked again."""
    for _ in range(400):
        if subprocess.run(["mount", "-o", f"remount,{mode}", place], capture_output=True).returncode == 0:
            return
        time.sleep(0.02)
    raise AssertionError(f"could not remount {mode}")


@dataclass
class Stopped:
    code: int
    text: str
    before: Rows
    after: Rows


@dataclass
class Story:
    out: Path
    full: Stopped
    read_only: Stopped
    code: int
    text: str


@pytest.fixture(scope="module")
def story(short_tmp: Path, sweep_file: Path, small_disk: Path, cluster: Any) -> Story:
    """One sweep whose disk is full, then read-only, then as it should be."""
    out = small_disk / "sweep"
    place = ("--address", cluster.address)
    with null_driver(short_tmp, out, "run", sweep_file, "--out", out, *place) as running:
        before = running.wait_for_rows(3)
        filler = fill(small_disk)
        code = running.wait(120)
        full = Stopped(code, running.text(), before, rows(out))
    filler.unlink()
    with null_driver(short_tmp, out, "resume", out, *place) as running:
        before = running.wait_for_rows(len(full.after) + 2)
        remount(small_disk, "ro")
        code = running.wait(120)
        read_only = Stopped(code, running.text(), before, rows(out))
    remount(small_disk, "rw")
    with null_driver(short_tmp, out, "resume", out, *place) as running:
        code = running.wait()
    return Story(out, full, read_only, code, running.text())


class TestDisk:
    def test_a_full_disk_ends_the_sweep_with_a_sentence(self, story: Story) -> None:
        assert story.full.code == 2, story.full.text
        assert_one_sentence(story.full.text, "No space left on device")

    def test_a_read_only_directory_ends_the_sweep_with_a_sentence(self, story: Story) -> None:
        assert story.read_only.code == 2, story.read_only.text
        assert_one_sentence(story.read_only.text, "Read-only file system")

    def test_then_it_finishes(self, story: Story) -> None:
        assert story.code == 0, story.text
        assert re.search(r"planned = 16, finished = 16", story.text)

    def test_no_finished_trial_ran_again_and_none_is_lost(self, story: Story) -> None:
        for stopped in (story.full, story.read_only):
            assert differences(stopped.before, stopped.after) == []
            assert differences(stopped.after, rows(story.out)) == []

    def test_no_trial_is_blamed(self, story: Story) -> None:
        assert {(row["status"], row["error"]) for row in rows(story.out).values()} == {("completed", None)}

    def test_the_rows_are_those_of_the_undisturbed_run(self, story: Story, null_run: Path) -> None:
        assert_same_results(story.out, null_run)


class TestDamagedParts:
    @pytest.fixture(scope="class")
    def mended(self, short_tmp: Path, null_run: Path, cluster: Any) -> tuple[Path, str, set[str], int, str]:
        """A copy of the finished sweep in which one part is truncated and two do not belong; then resumed."""
        out = short_tmp / "damaged"
        shutil.copytree(null_run, out)
        part = sorted((out / "trials").glob("*.parquet"))[0]
        lost = set(pd.read_parquet(part)["trial_id"])
        part.write_bytes(part.read_bytes()[:-100])
        pd.DataFrame({"x": [1, 2]}).to_parquet(out / "trials" / "cell.9999-other-000001.parquet")
        (out / "trials" / "notes.parquet").write_bytes(b"not a table")
        with null_driver(short_tmp, out, "resume", out, "--address", cluster.address) as running:
            code = running.wait()
        return out, part.name, lost, code, running.text()

    def test_the_lost_trials_and_no_others_run_again(
        self, mended: tuple[Path, str, set[str], int, str], null_run: Path
    ) -> None:
        out, _, lost, code, text = mended
        assert code == 0, text
        old, new = rows_of(null_run), rows_of(out)
        assert len(lost) == 4 and old.keys() == new.keys()
        assert {key[0] for key in old if old[key]["finished_at"] != new[key]["finished_at"]} == lost

    def test_the_user_is_told_which_files_are_left_out(self, mended: tuple[Path, str, set[str], int, str]) -> None:
        _, name, _, _, text = mended
        assert all(word in text for word in (name, "cell.9999-other-000001.parquet", "notes.parquet")), text

    def test_the_rows_are_those_of_the_undisturbed_run(
        self, mended: tuple[Path, str, set[str], int, str], null_run: Path
    ) -> None:
        for table in ("trials", "history", "predictions"):
            first, second = results_of(mended[0], table), results_of(null_run, table)
            assert first.keys() == second.keys() and differences(first, second) == []


def rows_of(folder: Path) -> Rows:
    return _quietly(rows, folder, "trials")


def results_of(folder: Path, table: str) -> Rows:
    return _quietly(results, folder, table)


def _quietly(read: Any, folder: Path, table: str) -> Rows:
    """Read a directory that holds parts which are left out with a warning, as it should be."""
    copy = folder.with_name(f"{folder.name}-readable")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("ray", "models", "samples"))
    for part in (copy / table).glob("*.parquet"):
        try:
            if "trial_id" not in pd.read_parquet(part):
                part.unlink()
        except (OSError, ValueError):
            part.unlink()
    found: Rows = read(copy, table)
    return found


@dataclass
class Rivals:
    out: Path
    refused: int
    refusal: str
    second: int
    second_text: str
    when_second_ended: Rows
    late: int
    late_text: str


@pytest.fixture(scope="module")
def rivals(short_tmp: Path, sweep_file: Path, cluster: Any) -> Rivals:
    """The first driver sleeps until its lease is over; the second finishes the sweep; then the first wakes up."""
    out = short_tmp / "rivals"
    with null_driver(short_tmp, out, "run", sweep_file, "--out", out) as first:
        first.wait_for_rows(3)
        first.wait_for_open()
        # It still lives, which is what counts on one machine, and cannot end its sweep before the second has come.
        first.kill(signal.SIGSTOP)
        with null_driver(short_tmp, out, "resume", out, "--address", cluster.address) as second:
            refused, refusal = second.wait(180), second.text()
        # As if it ran on a machine that was cut off a minute ago: its process cannot be seen from here.
        entry = json.loads((out / "driver.json").read_text())
        (out / "driver.json").write_text(
            json.dumps({**entry, "host": "elsewhere", "heartbeat": entry["heartbeat"] - 120})
        )
        with null_driver(short_tmp, out, "resume", out, "--address", cluster.address) as second:
            code, text = second.wait(), second.text()
        ended = rows(out)
        first.kill(signal.SIGCONT)
        late = first.wait(90)
    return Rivals(out, refused, refusal, code, text, ended, late, first.text())


class TestTwoDrivers:
    def test_the_second_is_refused_while_the_first_works(self, rivals: Rivals) -> None:
        assert rivals.refused == 2
        assert_one_sentence(rivals.refusal, "in use by another driver")

    def test_it_takes_over_when_the_lease_is_over(self, rivals: Rivals) -> None:
        assert rivals.second == 0, rivals.second_text
        assert re.search(r"planned = 16, finished = 16", rivals.second_text)

    def test_the_first_wakes_up_and_stops_with_a_sentence(self, rivals: Rivals) -> None:
        assert rivals.late not in (0, -signal.SIGKILL)
        assert "taken over" in rivals.late_text and "Traceback" not in rivals.late_text, rivals.late_text

    def test_what_it_writes_late_never_wins(self, rivals: Rivals, null_run: Path) -> None:
        assert differences(rivals.when_second_ended, rows(rivals.out)) == []
        assert_same_results(rivals.out, null_run)


def test_a_directory_that_is_deleted_is_not_made_anew(short_tmp: Path, sweep_file: Path, cluster: Any) -> None:
    out = short_tmp / "deleted"
    words = ("run", sweep_file, "--out", out, "--address", cluster.address)
    with null_driver(short_tmp, out, *words) as running:
        running.wait_for_rows(2)
        # Ray may write into it in the same moment.
        shutil.rmtree(out, ignore_errors=True)
        code, text = running.wait(180), running.text()
    assert code == 2, text
    assert_one_sentence(text, "has vanished")
    assert not out.exists(), sorted(out.rglob("*"))

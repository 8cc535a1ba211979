"""``lnl-sweep bench`` runs the benchmarks of the checkout; the simulated sweep keeps its slots busy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.bench_driver import timed
from orchestrator.cli import main
from orchestrator.commands import bench as commands_bench


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(commands_bench, "FOLDER", tmp_path)
    (tmp_path / "bench_one.py").write_text("print('ratio 1.23', flush=True)")
    (tmp_path / "bench_two.py").write_text("raise SystemExit(3)")
    return tmp_path


def test_it_runs_what_is_named_and_says_where(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "one"]) == 0
    out = capfd.readouterr().out
    assert "ratio 1.23" in out and re.search(r"load average .*, ray \d.*, optuna \d", out)


def test_one_that_fails_is_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 1
    assert "failed: two" in capfd.readouterr().err


def test_an_unknown_name_is_bad_input(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "onee"]) == 2
    assert "'one'" in capfd.readouterr().err


def test_without_a_checkout_it_says_so(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path in folder.glob("*.py"):
        path.unlink()
    assert main(["bench"]) == 2
    assert "checkout" in capfd.readouterr().err


@pytest.mark.parametrize("sampler", ["qmc", "tpe"])
def test_many_slots_are_busy_until_the_last_trials(sampler: str) -> None:
    _, done = timed(cells=8, sampler=sampler, slots=16)
    assert len(done.runs) == 8 * 25
    assert done.busy_share() >= 0.95


def test_the_slots_are_all_used_and_no_more() -> None:
    _, done = timed(cells=2, sampler="tpe", slots=6)
    starts = [run.start for run in done.runs]
    assert max(sum(run.start <= t < run.end for run in done.runs) for t in starts) == 6

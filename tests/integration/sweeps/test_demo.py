"""``lnl-sweep run`` without a file: the demo, and what it says about its data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sweeps
from orchestrator import cli
from orchestrator.config.shipped import DEMO, read_sweep
from orchestrator.config.sweep_file import read_config


def test_no_file_means_the_phantom() -> None:
    assert DEMO == "brain_phantom"
    assert read_sweep(None, []) == read_config(Path(sweeps.__path__[0]) / "brain_phantom.yaml")


def test_one_trial_says_once_what_its_data_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    small = [word for key in ("patients=30", "slices=2", "image_size=32") for word in ("--set", f"dataset.{key}")]
    words = ["train", "brain_phantom", "--method", "erm", "--rho", "1", "--epochs", "1", "--network", "small_cnn"]
    assert cli.main([*words, *small]) == 0
    assert capsys.readouterr().out.count("note: synthetic slices, not patients") == 1


@pytest.mark.slow
def test_the_demo_runs_and_calls_its_data_synthetic(short_tmp: Path) -> None:
    out = short_tmp / "demo"
    done = subprocess.run(
        [Path(sys.executable).parent / "lnl-sweep", "run", "--smoke", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "LNL_SWEEP_CACHE": str(short_tmp / "demo-cache"), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = re.search(r"planned = (\d+), finished = (\d+)", done.stdout)
    assert counts and counts[1] == counts[2]
    assert done.stdout.count("note: synthetic slices, not patients") == 1
    html = (out / "report.html").read_text()
    visible = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    assert "Note: synthetic slices, not patients." in visible

"""``lnl-sweep report`` and ``lnl-sweep pack``, and how large a report gets."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

import analysis
from orchestrator.cli import main

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "bench_analysis.py"


def test_report_exports_and_packs(small_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = tmp_path / "sweep.zip"
    assert main(["pack", str(small_dir), "-o", str(packed)]) == 0
    out = tmp_path / "both.html"
    paper, csv = tmp_path / "paper", tmp_path / "csv"
    words = ["report", str(small_dir), str(packed), "--out", str(out), "--paper", str(paper), "--csv", str(csv)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert out.as_uri() in said and "files in" in said
    assert (csv / "sharing.csv").exists() and (paper / "table.tex").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["report", "nowhere"], "there is no folder nowhere"),
        (["report", "x", "--csv", "s3://b/x"], "--csv: must be a path on this machine, got 's3://b/x'"),
        (["report", "x", "--paper", "s3://b/x"], "must be a path on this machine"),
        (["pack", "x", "-o", "s3://b/x.zip"], "must be a path on this machine"),
        (["pack", "nowhere"], "there is no folder nowhere"),
        (["report"], "required"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(words)
    except SystemExit as stop:
        code = int(str(stop.code))
    said = capsys.readouterr().err
    assert code == 2 and sentence in said and "Traceback" not in said


def test_png_without_a_browser_ends_with_2(
    small_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    assert main(["report", str(small_dir), "--out", str(tmp_path / "r.html"), "--png"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "install" in said[0]


def test_a_report_goes_where_the_sweep_has_an_address(small_dir: Path, tmp_path: Path) -> None:
    packed = analysis.pack(small_dir, tmp_path / "s.zip")
    (tmp_path / "u").mkdir()
    shutil.unpack_archive(packed, tmp_path / "u")
    (tmp_path / "u" / "report.html").unlink()
    written = analysis.write_report((tmp_path / "u").as_uri())
    assert written == f"{(tmp_path / 'u').as_uri()}/report.html"
    assert (tmp_path / "u" / "report.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.slow
def test_a_report_of_5000_trials_is_under_4_megabytes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("lnl_sweep_bench_analysis", BENCHMARK)
    assert spec is not None and spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = bench
    spec.loader.exec_module(bench)
    frame = bench.write_sweep(tmp_path / "sweep", 5000, 160_000)
    assert len(frame) == 5000
    assert Path(analysis.write_report(tmp_path / "sweep")).stat().st_size < 4e6

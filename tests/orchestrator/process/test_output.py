"""Printing never fails a command: other encodings, a full disk, a closed pipe, no output at all."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.cli import main
from orchestrator.commands import run as commands
from orchestrator.process.output import Lenient, lenient


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished sweep's folder, whose report is made at once and whose table holds more than ASCII."""

    def write_report(folder: str) -> Path:
        report = Path(folder, "report.html")
        report.write_text("<html>", encoding="utf-8")
        return report

    for name in ("load", "load_predictions"):
        monkeypatch.setattr(f"analysis.{name}", lambda folder: None)
    monkeypatch.setattr("analysis.loading.load_config", lambda folder: {"dataset_info": {"note": "\u2264 caf\u00e9"}})
    monkeypatch.setattr("analysis.summary_table", lambda *_: pd.DataFrame({"0.02": ["\u00b1 .1"]}, ["lnl"]))
    monkeypatch.setattr("analysis.write_report", write_report)
    return tmp_path


def test_a_character_that_the_encoding_lacks_is_escaped() -> None:
    bytes_written = io.BytesIO()
    stream = Lenient(io.TextIOWrapper(bytes_written, encoding="ascii"))
    print("caf\u00e9 \udce9 \u2264 1", file=stream)  # type: ignore[call-overload]
    stream.flush()
    assert bytes_written.getvalue() == b"caf\\xe9 \\udce9 \\u2264 1\n" and stream.error is None


@pytest.mark.parametrize("output", ["ascii", "full", "pipe", "closed"])
def test_a_finished_sweep_has_its_report_whatever_its_output_is(
    output: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if output == "ascii":
        stream: io.TextIOWrapper | None = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    elif output == "full":
        stream = open("/dev/full", "w", buffering=1)  # noqa: SIM115
    elif output == "pipe":
        reader, writer = os.pipe()
        os.close(reader)
        stream = os.fdopen(writer, "w", buffering=1)
    else:
        stream = None
    monkeypatch.setattr(sys, "stdout", stream)
    with lenient() as shown:
        assert commands._finish(str(finished))
    assert (finished / "report.html").exists()
    assert (shown.error is not None) == (output in ("full", "pipe"))
    if stream is not None:
        stream.close()


def test_a_sweep_without_a_confirm_trial_has_no_table(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("analysis.summary_table", lambda *_: pd.DataFrame())
    assert commands._finish(str(finished))
    said = capsys.readouterr().out
    assert said.startswith("no confirm trial has a result yet\n") and "DataFrame" not in said


def test_the_report_is_written_before_anything_is_printed(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stops(io.StringIO):
        def write(self, text: str) -> int:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdout", Stops())
    with pytest.raises(KeyboardInterrupt):
        commands._finish(str(finished))
    assert (finished / "report.html").exists()


@pytest.mark.parametrize(("command", "code"), [(["schema"], 1), (["data", "list"], 0)])
def test_a_full_disk_is_told_and_fails_what_only_prints(
    command: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(command) == code
    assert "the output cannot be written (No space left on device)" in capfd.readouterr().err


def test_a_process_whose_output_is_full_or_closed_ends_with_its_own_code() -> None:
    program = f"{sys.executable} -m orchestrator.cli"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    for redirected, code in ((">/dev/full", 1), ("| head -c 1", 0), (">&- 2>&-", 0), ("2>/dev/full >/dev/null", 0)):
        line = f"set -o pipefail; {program} schema {redirected}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment)
        assert done.returncode == code and "Traceback" not in done.stderr and "ignored" not in done.stderr, redirected

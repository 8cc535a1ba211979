"""Damage is named by its file, costs what was in it, and is mended by a resume; the last line is what the disk says."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import analysis
from orchestrator import sweep as sweep_module
from orchestrator.cli import main
from orchestrator.directory import lease
from orchestrator.directory.damage import survey
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.verify import verify
from orchestrator.sweep import Options, Result, run_sweep
from store.errors import InputError
from store.parts import part_cell
from store.sealed import KEY, seal_json
from tests.integration.damage import run_here, sweep_config


def run(out: Path, executor: Any = None, **options: Any) -> tuple[Result, str]:
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "_run", executor or run_here())
        patch.setattr(lease, "SETTLE_SECONDS", 0.0)
        result = run_sweep(sweep_config(), str(out), Options(console=Console(file=said, width=500), **options))
    return result, said.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "sweep"
    result, _ = run(out)
    assert (result.planned, result.finished, result.problems) == (20, 20, [])
    return out


@pytest.fixture
def sweep(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "sweep"))


def a_part(sweep: Path, table: str) -> Path:
    return sorted((sweep / table).glob("*-erm.*.parquet"))[0]


def flip(path: Path, place: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(bytes(data))


def values(sweep: Path) -> dict[str, float]:
    rows = SweepDirectory(str(sweep)).rows("trials")
    return {row["trial_id"]: row["val_counterfactual"] for row in rows}


def say(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    capsys.readouterr()
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_a_whole_sweep(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = say(capsys, "verify", sweep)
    assert code == 0 and " 0 damaged, 0 trials not whole" in said and "20 of 20 trials count as finished" in said


@pytest.mark.parametrize("table", ["trials", "history", "predictions"])
def test_a_damaged_part_is_named_left_out_and_trained_again(
    sweep: Path, finished: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    part = a_part(sweep, table)
    flip(part)
    code, said = say(capsys, "verify", sweep)
    assert code == 1 and f"damaged: {table}/{part.name}: it is damaged" in said
    _, status = say(capsys, "status", sweep)
    assert f"damaged: {table}/{part.name}" in status and " 20 of " not in status
    result, printed = run(sweep)
    assert result.complete and f"left out {part}" in printed
    assert (sweep / "damaged" / table / part.name).is_file() and not part.exists()
    assert values(sweep) == values(finished) and verify(str(sweep)).whole
    assert not survey(SweepDirectory(str(sweep))).lost


@pytest.mark.parametrize("table", ["history", "predictions"])
def test_what_a_removed_part_held_is_trained_again(sweep: Path, finished: Path, table: str) -> None:
    a_part(sweep, table).unlink()
    assert verify(str(sweep)).lost
    result, printed = run(sweep)
    assert result.complete and "runs again" in printed
    assert values(sweep) == values(finished) and verify(str(sweep)).whole


def test_rows_that_are_gone_are_told_by_the_epochs_that_they_left(
    sweep: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_part(sweep, "trials").unlink()
    for command, expected in (("verify", 1), ("status", 0)):
        code, said = say(capsys, command, sweep)
        assert code == expected and said.count(": its row is gone") == 5
    run(sweep)
    assert values(sweep) == values(finished) and verify(str(sweep)).whole


def test_a_cell_of_which_nothing_is_left_is_told_by_the_last_count(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = part_cell(a_part(sweep, "trials").name)
    for table in ("trials", "history", "predictions"):
        for part in (sweep / table).glob(f"{cell}.*"):
            part.unlink()
    code, said = say(capsys, "verify", sweep)
    assert code == 1 and f"damaged: trials/{cell}.*" in said and "5 finished trials have no row" in said
    assert run(sweep)[0].complete and verify(str(sweep)).whole


def test_a_driver_file_that_is_a_list_is_damaged_in_words(sweep: Path) -> None:
    (sweep / "driver.json").write_text("[1]")
    assert "has changed since it was written" in verify(str(sweep)).damaged["driver.json"]


def test_epochs_and_predictions_go_whose_trial_is_not_wanted_again(sweep: Path) -> None:
    a_part(sweep, "trials").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "_run", run_here())
        patch.setattr(lease, "SETTLE_SECONDS", 0.0)
        fewer = sweep_module.validate({**sweep_config().model_dump(by_alias=True), "confirm": {"seeds": 1}}, "fewer")
        run_sweep(fewer, str(sweep), Options(console=Console(file=io.StringIO())))
    assert verify(str(sweep)).whole
    trials = set(analysis.load(sweep, superseded=True)["trial_id"])
    assert len(trials) == 19 and set(analysis.load_predictions(sweep)["trial_id"]) <= trials


def test_parts_without_their_sheet_are_no_place_for_a_new_sweep(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweep / "sweep.yaml").unlink()
    before = sorted(sweep.rglob("*"))
    with pytest.raises(InputError, match=r"sweep\.yaml is missing.*: restore it from a copy, or choose another --out"):
        run(sweep)
    assert sorted(sweep.rglob("*")) == before
    code, said = say(capsys, "verify", sweep)
    assert code == 1 and "restore it before a resume" in said and "trains again" not in said


def test_a_packed_sweep_without_its_predictions_is_not_whole(sweep: Path, tmp_path: Path) -> None:
    for part in (sweep / "predictions").iterdir():
        part.unlink()
    packed = analysis.pack(sweep, tmp_path / "sweep.zip")
    assert set(verify(str(packed)).lost.values()) == {"it has no predictions"}


def test_a_file_that_may_not_be_read_is_not_taken_for_a_damaged_one(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (sweep / "sweep.yaml", a_part(sweep, "trials")):
        # A test may run as root, to whom everything is open.
        def refuse(file: Any, *rest: Any, real: Any = os.open, closed: Path = path) -> int:
            if Path(file) == closed:
                raise PermissionError(errno.EACCES, "Permission denied", str(file))
            return int(real(file, *rest))

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            for words in (("status", sweep), ("resume", sweep)):
                code, said = say(capsys, *words)
                assert code == 2 and f"{path} cannot be read (Permission denied)" in said
    assert not (sweep / "damaged").exists()


def test_the_status_of_a_driver_whose_clock_is_ahead_promises_no_life(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sweep / "status.json"
    written = json.loads(path.read_text())
    for ahead, said in (
        (3600, r"state: running, by a clock 3[56]\d\d s ahead of the one here"),
        (-3600, r"no sign of life for 36\d\d s"),
        (0, r"state: running$"),
    ):
        entry = {key: value for key, value in written.items() if key != KEY}
        path.write_bytes(seal_json({**entry, "state": "running", "heartbeat": time.time() + ahead}))
        assert main(["status", str(sweep)]) == 0
        assert re.search(said, capsys.readouterr().out, re.MULTILINE)


def test_an_edited_sheet_is_refused_with_the_way_to_change_a_sweep(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = sweep / "sweep.yaml"
    sheet.write_text(sheet.read_text().replace("epochs: 2", "epochs: 3"))
    for words in (("resume", sweep), ("status", sweep), ("report", sweep), ("pack", sweep, "-o", sweep / "x.zip")):
        code, said = say(capsys, *words)
        assert code == 2 and f"{sweep}/sweep.yaml has changed since it was written" in said and "--set" in said
    code, said = say(capsys, "verify", sweep)
    assert code == 1 and "damaged: sweep.yaml: " in said


@pytest.mark.parametrize("kept", ["header", "checksum", "neither"])
def test_a_sheet_without_its_checksum_is_no_way_round(sweep: Path, kept: str) -> None:
    sheet = sweep / "sweep.yaml"
    lines = sheet.read_text().replace("epochs: 2", "epochs: 3").splitlines(keepends=True)
    lines = lines[0 if kept == "header" else 1 : len(lines) if kept == "checksum" else -1]
    sheet.write_text("".join(lines))
    with pytest.raises(InputError, match=r"sweep\.yaml"):
        directory = SweepDirectory(str(sweep))
        sweep_module.resume_config(directory)
        directory.check_readable()
    shutil.rmtree(sweep / "gathered")
    with pytest.raises(InputError, match=r"sweep\.yaml"):
        analysis.load(sweep)


def test_the_sheet_of_another_sweep_moves_no_part_aside(sweep: Path, tmp_path: Path) -> None:
    run(tmp_path / "other")
    shutil.copyfile(tmp_path / "other" / "sweep.yaml", sweep / "sweep.yaml")
    with pytest.raises(InputError, match=r"sweep\.yaml is that of another sweep than the parts beside it"):
        run(sweep)
    assert not (sweep / "damaged").exists()


def test_a_directory_that_vanishes_is_never_made_anew(tmp_path: Path) -> None:
    out = tmp_path / "sweep"

    def vanish(started: Any) -> None:
        record = started.budget.trial_ended

        def ended(row: Any) -> None:
            record(row)
            shutil.rmtree(out)
            # Ray's snapshots make their own part of it anew.
            (out / "ray" / "run-0").mkdir(parents=True)

        started.budget.trial_ended = ended
        run_here()(started)

    with pytest.raises(InputError, match="has vanished"):
        run(out, vanish)
    assert not out.exists()


def test_the_last_line_is_what_the_disk_says(tmp_path: Path) -> None:
    out = tmp_path / "sweep"

    def lose_a_row(started: Any) -> None:
        run_here()(started)
        a_part(out, "trials").unlink()

    result, _ = run(out, lose_a_row)
    assert (result.planned, result.finished, result.complete) == (20, 15, False)
    assert sum("its row is gone" in line for line in result.problems) == 5
    assert run(out)[0].complete


def test_a_line_of_the_changes_that_is_gone_is_warned_of(sweep: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "_run", run_here())
        more = sweep_module.validate({**sweep_config().model_dump(by_alias=True), "confirm": {"seeds": 3}}, "more")
        run_sweep(more, str(sweep), Options(console=Console(file=io.StringIO())))
    assert verify(str(sweep)).whole
    changes = sweep / "changes.jsonl"
    lines = changes.read_text()
    trials = analysis.load(sweep)
    for text, named in ((lines.replace('"rows": 20', '"rows": 10'), "line 1"), ("", "1 lines")):
        changes.write_text(text)
        with pytest.warns(UserWarning, match=f"left out {named} of .*changes.jsonl"):
            analysis.changes.mark_seeds_added(trials, sweep)
        assert "changes.jsonl" in verify(str(sweep)).damaged


@pytest.mark.parametrize("odd", ["pipe", "loop", "folder", "trials is a file"])
def test_odd_entries_end_in_a_sentence(sweep: Path, odd: str, capsys: pytest.CaptureFixture[str]) -> None:
    part = a_part(sweep, "trials")
    if odd == "trials is a file":
        shutil.rmtree(sweep / "trials")
        (sweep / "trials").write_text("")
    else:
        part.unlink()
        {"pipe": os.mkfifo, "loop": lambda p: p.symlink_to(p.name), "folder": Path.mkdir}[odd](part)
    for words in (("status", sweep), ("verify", sweep), ("report", sweep)):
        code, said = say(capsys, *words)
        assert code in (0, 1, 2) and "Traceback" not in said
        assert odd == "folder" or str(sweep) in said
    if odd == "trials is a file":
        assert "must be a folder" in say(capsys, "report", sweep)[1]
    else:
        assert run(sweep)[0].complete


def test_it_is_a_command_of_its_own(sweep: Path) -> None:
    flip(next((sweep / "splits").iterdir()))
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "verify", str(sweep)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and "damaged: splits/" in done.stdout and "Traceback" not in done.stderr

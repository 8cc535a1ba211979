"""Directories that are there and hold no sweep, a damaged or another one, or one in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cli import main
from store.columns import SCHEMA_VERSION
from tests.bad_input.support import SWEEP, Refuse, part


@pytest.mark.parametrize("command", ["resume", "status", "report"])
def test_a_folder_that_is_not_there(refuse: Refuse, command: str) -> None:
    assert "missing" in refuse(command, "missing")


@pytest.mark.parametrize("command", ["resume", "status", "report", "verify", "pack", "run"])
def test_a_name_that_no_file_can_have(refuse: Refuse, command: str) -> None:
    assert "File name too long" in refuse(command, "x" * 300)


@pytest.mark.parametrize("command", ["resume", "status", "report"])
def test_a_folder_without_a_sweep(refuse: Refuse, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in refuse(command, tmp_path / "empty")


@pytest.mark.parametrize("command", ["resume", "status"])
def test_a_file_in_place_of_its_folder(refuse: Refuse, started: Path, sweep: Path, command: str) -> None:
    assert f"give its folder, {started}\n" in refuse(command, started / "sweep.yaml")
    assert f"start it with lnl-sweep run {sweep}" in refuse(command, sweep)


def test_a_folder_in_place_of_a_sweep_file(refuse: Refuse, started: Path) -> None:
    found = refuse("run", f"{started}/")
    assert f"lnl-sweep resume {started};" in found and f"lnl-sweep run {started}/sweep.yaml --out NEW" in found
    assert "lnl-sweep resume s3://bucket/x\n" in refuse("run", "s3://bucket/x")


@pytest.mark.parametrize("command", ["resume", "status"])
@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("dataset: [", "damaged"),
        ("just words", "not a sweep's file"),
        ("name: x\n", "not a sweep's file"),
        ("dataset: {name: coloured_digits, bias: {color_variance: 1}}\n", "'methods'"),
        (SWEEP + "epochs: 3\n", "'epochs'"),
        ("\x00", "damaged"),
    ],
)
def test_a_damaged_sweep_file(refuse: Refuse, started: Path, command: str, text: str, named: str) -> None:
    (started / "sweep.yaml").write_text(text)
    found = refuse(command, started)
    assert named in found and "sweep.yaml" in found


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("training.epochs=3", "training.epochs = 2, and 3"),
        ("seed=1", "seed = 0, and 1"),
        ("training.clip_norm=null", "training.clip_norm"),
        ("search.sampler=random", "search.sampler = 'qmc', and 'random'"),
        ("methods.lnl.fixed.lr=1e-3", "'lnl' with other settings"),
        ("resources.cpu=2", "resources.cpu"),
        ("confirm.seed=8", "did you mean 'seeds'?"),
        ("dataset.bias.color_variance=[0.02, -1]", "-1"),
    ],
)
@pytest.mark.parametrize("command", ["resume", "run"])
def test_a_change_that_would_mix_rows(
    refuse: Refuse, started: Path, sweep: Path, command: str, override: str, named: str
) -> None:
    words = ["resume", started] if command == "resume" else ["run", sweep, "--out", started]
    assert named in refuse(*words, "--set", override)


def test_the_address_of_job_submission(refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    found = refuse("run", "brain_phantom", "--out", tmp_path / "out")
    assert "got 'http://127.0.0.1:8265'" in found and "unset RAY_ADDRESS" in found


def changed_provenance(folder: Path, **changes: Any) -> None:
    sheet = yaml.safe_load((folder / "sweep.yaml").read_text())
    sheet["provenance"].update(changes)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sheet, sort_keys=False))


def test_results_of_other_data(refuse: Refuse, started: Path) -> None:
    changed_provenance(started, data_checksum="0123")
    assert "0123" in refuse("resume", started)
    assert "0123" in refuse("resume", started, "--mix-versions")


def test_results_of_other_numerics(refuse: Refuse, started: Path) -> None:
    changed_provenance(started, numerics=-1)
    found = refuse("resume", started)
    assert "numerics -1 ->" in found and "--mix-versions" in found


def test_results_of_another_method_source(refuse: Refuse, started: Path) -> None:
    changed_provenance(started, method_checksums={"erm": "0123", "lnl": "4567"})
    assert "method erm" in refuse("resume", started)


@pytest.mark.parametrize(
    ("entry", "named"), [("network_checksum", "the source of the network"), ("weights_checksum", "weights file")]
)
def test_results_of_another_network(refuse: Refuse, started: Path, entry: str, named: str) -> None:
    changed_provenance(started, **{entry: "0123"})
    found = refuse("resume", started)
    assert named in found and "--mix-versions" in found


def test_results_of_a_newer_version(refuse: Refuse, started: Path) -> None:
    (path,) = (started / "trials").iterdir()
    path.write_bytes(part({"trial_id": "t", "cell": "c", "phase": "search"}, SCHEMA_VERSION + 1))
    assert "update lnl-sweep" in refuse("resume", started)


def test_a_directory_in_use(refuse: Refuse, started: Path) -> None:
    import time

    entry = {"id": "x", "generation": 1, "host": "elsewhere", "pid": 12, "heartbeat": time.time(), "released": False}
    (started / "driver.json").write_text(json.dumps(entry))
    assert "pid 12 on elsewhere" in refuse("resume", started)


def test_the_status_of_a_sweep_that_has_not_written_one(refuse: Refuse, started: Path) -> None:
    assert "status.json" in refuse("status", started)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": "running"}'])
def test_the_status_of_a_sweep_whose_file_is_damaged(
    started: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (started / "status.json").write_text(text)
    assert main(["status", str(started)]) == 0
    said = capsys.readouterr().out
    assert f"{started}/status.json is damaged" in said and "finished in all: 1" in said

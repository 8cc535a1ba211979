"""Bad input: exit code 2, one sentence that names the value or the nearest name, and nothing is touched."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from orchestrator.cli import main
from orchestrator.identity import search_id, trial_spec
from orchestrator.plan import make_plan
from orchestrator.sheet import sweep_sheet
from orchestrator.sweep_file import parse_config
from store.columns import SCHEMA_VERSION, VERSION_KEY, to_table
from trainable.data.base import _load
from trainable.errors import InputError, import_registered
from trainable.report import spec_row

SWEEP = """
name: tiny
dataset: {name: coloured_digits, bias: {color_variance: [0.02, 0.4]}}
network: {name: pixel_front}
methods: [erm, {name: lnl, fixed: {lr: 2e-2}}]
search: {trials: 2}
confirm: {seeds: 2}
training: {epochs: 2, batch_size: 64}
"""


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder with its bytes; directories have none."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


Refuse = Callable[..., str]


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Run a command that must be refused; returns its one sentence. The working directory is an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orchestrator.cluster.start_ray", lambda *_: pytest.fail("Ray was started on bad input"))

    def run(*words: object) -> str:
        before = contents(tmp_path)
        try:
            code: Any = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        assert code == 2, captured.err
        assert len(captured.err) < 1500
        assert captured.err.startswith("lnl-sweep") and captured.err.count("\n") == 1, captured.err
        assert "Traceback" not in captured.err + captured.out
        assert contents(tmp_path) == before
        return captured.err

    return run


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SWEEP)
    return path


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """The directory of a sweep with one finished trial."""
    plan = make_plan(parse_config(SWEEP))
    folder = tmp_path / "DIR"
    (folder / "trials").mkdir(parents=True)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep_sheet(plan), sort_keys=False))
    cell = plan.cells[0]
    spec = trial_spec(plan.config, cell, "search", search_id(cell.id, 0, 0), dict(cell.fixed), 0)
    row = {**spec_row(spec, "completed"), "val_counterfactual": 0.5}
    (folder / "trials" / f"{cell.id}.0001-abcd1234-000001.parquet").write_bytes(part(row))
    return folder


def part(row: dict[str, Any], version: int = SCHEMA_VERSION) -> bytes:
    table = to_table("trials", [row]).replace_schema_metadata({VERSION_KEY: str(version).encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


# ------------------------------------------------------------------ commands and options


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["rum"], "did you mean 'run'?"),
        (["resum", "DIR"], "did you mean 'resume'?"),
        (["data", "lits"], "did you mean 'list'?"),
        (["run", "--dryrun"], "--dryrun"),
        (["run", "--cpus", "two"], "'two'"),
        (["run", "--cpus", "0", "--dry-run"], "got '0'"),
        (["run", "--cpus", "-1"], "got '-1'"),
        (["resume"], "DIR"),
        (["train", "coloured_digits", "--epochs", "many"], "'many'"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_word_on_the_command_line(refuse: Refuse, words: list[str], named: str) -> None:
    assert named in refuse(*words)


# ------------------------------------------------------------------ the sweep file


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"", "nothing"),
        (b"- erm\n- lnl\n", "a list"),
        (b"dataset: {name: coloured_digits\n", "line"),
        (b"dataset:\n\tname: x\n", "line 2"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"methods: [erm]\n", "'dataset'"),
        (b"dataset: {name: coloured_digits}\nmethods: [erm]\n", "'dataset.bias'"),
        (b"dataset: {name: coloured_digits, bias: {color_variance: 1}}\nmethods: []\n", "methods"),
        (b"{a: 1, a: 2}\n!!python/object/apply:os.system ['true']\n", "line 2"),
        (b"? [a, b]\n: 1\n", "line 1"),
        (b"1: 2\n", "'dataset'"),
        (SWEEP.encode() + b"yes: 1\n", "keys must be text, but got True"),
        (SWEEP.encode() + b'"a\\nb": 1\n', "unknown key 'a\\nb'"),
        (SWEEP.encode() + b"seed: 2026-13-45\n", "month must be in 1..12"),
        (SWEEP.encode() + b"seed: !!int x\n", "put quotes around a text"),
        (b"seed: " + b"9" * 5000, "put quotes around a text"),
        (b"a: \x07\n", "control characters"),
        (b"a: {<<: {b: 1}, <<: {b: 2}}\n", "'a.<<' stands twice"),
    ],
)
def test_a_file_that_is_no_sweep(refuse: Refuse, tmp_path: Path, text: bytes, named: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_bytes(text)
    assert named in refuse("run", path, "--out", "out")


def test_a_file_that_is_not_there(refuse: Refuse) -> None:
    assert "'missing.yaml'" in refuse("run", "missing.yaml")


def test_a_folder_in_place_of_a_file(refuse: Refuse, tmp_path: Path) -> None:
    assert str(tmp_path) in refuse("run", tmp_path)


# ------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("dataset.name=colored_digits", "did you mean 'coloured_digits'?"),
        ("dataset.image_sise=28", "did you mean 'image_size'?"),
        ("dataset.image_size=15", "got 15"),
        ("dataset.image_size=big", "'big'"),
        ("dataset.subset=al", "did you mean 'all'?"),
        ("dataset.bias={rho: [1]}", "'rho'"),
        ("dataset.bias={colour_variance: [1]}", "did you mean 'color_variance'?"),
        ("dataset.bias.color_variance=[.nan]", "nan"),
        ("dataset.bias.color_variance=[-0.1]", "-0.1"),
        ("dataset.bias.color_variance=[1e6]", "1000000"),
        ("dataset.bias.color_variance=[.inf]", "inf"),
        ("dataset.bias.color_variance=[0, -0.0]", "stands twice"),
        ("limits.max_hours=1e400", "must be a finite number, but got inf"),
        ("training.clip_norm=.inf", "must be a finite number, but got inf"),
        ("training.batch_size=99999999999999999999", "less than or equal to 1000000"),
        ("methods=[LNL]", "did you mean 'lnl'?"),
        ("network=PIXEL_FRONT", "did you mean 'pixel_front'?"),
        ("methods.lnl.fixed.MU=1", "did you mean 'mu'?"),
        ("training.optimizer=ADAM", "did you mean 'adam'?"),
        ("methods.lnl.bias=[]", "at least one bias value"),
        ("methods.lnl.bias.color_variance=[]", "at least one bias value"),
        ("methods.\u00b2.name=erm", "no entry '\u00b2'"),
        ("confirm.rules=[val_biased, {rule: val_biased, seeds: 3}]", "'val_biased' stands twice"),
        ("primary={compare: [erm, erm]}", "two different labels"),
        ("primary={compare: [lnl, erm], rule: val_biased}", "one of the rules that are confirmed"),
        ("methods.lnl.space={pretrain_epochs: {uniform: [0, 1]}}", "int: [0, 1]"),
        ("network={name: resnet18, split_at: 3}", "network.split_at must be text"),
        ("network={name: resnet18, weights: 3}", "network.weights must be text"),
        (f"network={{name: resnet18, weights: {'w' * 300}}}", "path of a state dict"),
        ("dataset.bias.color_variance=[0.1, 0.1]", "0.1"),
        ("dataset.bias.color_variance=[]", "at least one bias value"),
        ("dataset.bias.color_variance=[low]", "'low'"),
        ("methods=[lln]", "did you mean 'lnl'?"),
        ("methods=[erm, erm]", "'erm' stands twice"),
        ("methods.lnl.fixed.lamda=1", "did you mean 'lambda_'?"),
        ("methods.lnl.fixed.lambda_=strong", "'strong'"),
        ("methods.lnl.space={pretrain_epochs: {uniform: [0, 2]}}", "must be less than the 2 epochs"),
        ("methods.lnl.space={mu: {log: [0, 1]}}", "'mu'"),
        ("methods.lnl.space={mu: {uniform: [2, 1]}}", "'mu'"),
        ("methods.lnl.space={mu: {int: [1, 2.5]}}", "2.5"),
        ("methods.lnl.space={mu: {choice: []}}", "'mu'"),
        ("methods.lnl.space={mu: {}}", "exactly one of log, uniform, int, choice"),
        ("network=pixel_frnt", "did you mean 'pixel_front'?"),
        ("network=resnet_18", "did you mean 'resnet18'?"),
        ("network.wdith=3", "'wdith'"),
        ("network.Name=small_cnn", "did you mean 'name'?"),
        ("network=Small_CNN", "did you mean 'small_cnn'?"),
        ("methods=[LNL]", "did you mean 'lnl'?"),
        ("methods.lnl.fixed.LR=0.1", "did you mean 'lr'?"),
        ("training.augmentation=[flipp]", "'flipp'"),
        ("training.batch_size=1", "training.batch_size: input should be greater than or equal to 2, but got 1"),
        ("training.epochs=0", "but got 0"),
        ("training.epoch=first", "'first'"),
        ("training.optimiser=adam", "did you mean 'optimizer'?"),
        ("search.trials=0", "but got 0"),
        ("search.rule=val_reweighted", "'val_reweighted'"),
        ("search.sampler=bayes", "'bayes'"),
        ("confirm.rules=[val_best]", "'val_best'"),
        ("confirm.seeds=0", "but got 0"),
        ("metric=f1", "'f1'"),
        ("primary={compare: [lnl, grl]}", "'grl'"),
        ("resources.gpu=0.3", "0.3"),
        ("name=../elsewhere", "'../elsewhere'"),
        ("name=..", "and not dots alone, but got 2 characters, '..'"),
        (f"name={'n' * 61}", "at most 60 characters"),
        ("methods.lnl.label=a/b", "'a/b'"),
        ('methods.lnl.label="a\\n"', "at most 60 characters"),
        (f"methods.lnl.label={'l' * 300}", "methods.1.label: it must have at most 60 characters"),
        (f"metric={'m' * 100000}", "[... cut from 100002 characters ...]"),
        ("dataset.subset=2026-01-01", "must be text, a number"),
        ("serch.trials=3", "did you mean 'search'?"),
        ("methods.9.label=x", "'9'"),
        ("search.trials", "'search.trials'"),
        ("name: tiny", "'name: tiny'"),
        ("search={trials: [", "'{trials: ['"),
    ],
)
def test_a_bad_value(refuse: Refuse, sweep: Path, tmp_path: Path, override: str, named: str) -> None:
    assert named in refuse("run", sweep, "--out", tmp_path / "out", "--set", override)


# ------------------------------------------------------------------ where the results shall go


@pytest.mark.parametrize("words", [["run"], ["run", "--dry-run"]])
@pytest.mark.parametrize(
    ("out", "named"), [("caf\udce9", "'caf\\udce9'"), ("a\nb", "'a\\nb'"), (f"a/{'b' * 256}/c", "at most 255 bytes")]
)
def test_a_folder_that_cannot_be_made(refuse: Refuse, sweep: Path, words: list[str], out: str, named: str) -> None:
    assert named in refuse(*words, sweep, "--out", out)


def test_a_file_in_the_place_of_the_directory(refuse: Refuse, sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    assert "taken" in refuse("run", sweep, "--out", tmp_path / "taken")


def test_a_directory_below_a_file(refuse: Refuse, sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    assert "taken" in refuse("run", sweep, "--out", tmp_path / "taken" / "below")


def test_a_place_where_nothing_can_be_created(refuse: Refuse, sweep: Path) -> None:
    assert "/proc/nowhere" in refuse("run", sweep, "--out", "/proc/nowhere/sweep")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written(refuse: Refuse, sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "locked" in refuse("run", sweep, "--out", tmp_path / "locked" / "sweep")


def test_an_unknown_kind_of_place(refuse: Refuse, sweep: Path) -> None:
    assert "gopher://host/x" in refuse("run", sweep, "--out", "gopher://host/x")


# ------------------------------------------------------------------ a directory that is there


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


# ------------------------------------------------------------------ one trial, and pictures


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["colored_digits", "--color_variance", "0.1"], "did you mean 'coloured_digits'?"),
        (["coloured_digits", "--method", "lln", "--color_variance", "0.1"], "did you mean 'lnl'?"),
        (["coloured_digits"], "color_variance"),
        (["coloured_digits", "--colour_variance", "0.1"], "did you mean 'color_variance'?"),
        (["coloured_digits", "--color_variance", "lots"], "'lots'"),
        (["coloured_digits", "--color_variance"], "--color_variance takes a number"),
        (["coloured_digits", "--color_variance", "-1"], "got -1"),
        (["coloured_digits", "--color_variance", "nan"], "got nan"),
        (["coloured_digits", "0.1"], "'0.1'"),
        (["coloured_digits", "--color_variance", "0.1", "--epochs", "0"], "but got 0"),
        (["coloured_digits", "--color_variance", "0.1", "--network", "pixel_frnt"], "did you mean 'pixel_front'?"),
        (["coloured_digits", "--color_variance", "0.1", "--device", "tpu"], "'tpu'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "lambda=1"], "'lambda'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "lr=fast"], "'fast'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "lr"], "'lr'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "lr=["], "'['"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "train.ramp=1"], "did you mean 'training'?"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "training.ramps=1"], "did you mean 'ramp'?"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "training.ramp=steep"], "'steep'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "training.epochs=3"], "as --epochs"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "network.name=kim2019"], "as --network"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "training.optimizer=adm"], "'adm'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "training.batch_size=1"], "but got 1"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "dataset.image_size=3"], "but got 3"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "dataset.size=3"], "'size'"),
    ],
)
def test_a_trial_that_cannot_be(refuse: Refuse, words: list[str], named: str) -> None:
    assert named in refuse("train", *words)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["brain_mri"], "give either --from PATH"),
        (["brain_mri", "--from", "a", "--download", "b"], "one of the two"),
        (["brain_mri", "--from", "nowhere.zip", "--to", "shared"], "nowhere.zip"),
        (["brain_mri", "--to", "shared"], "is not prepared"),
        (["brain_mri", "--to", __file__], "must name a folder that can be written"),
        (["brain_mri", "--to", ""], "give either --from PATH"),
        (["brain_mri", "--to", "ftp://host/data"], "'ftp://host/data' is not a directory"),
        (["brain_mri", "--to"], "--to"),
        (["brain_mir", "--to", "shared"], "did you mean 'brain_mri'?"),
        (["coloured_digits", "--to", "shared"], "needs no preparation"),
    ],
)
def test_data_that_cannot_be_prepared(refuse: Refuse, empty_cache: Path, words: list[str], named: str) -> None:
    assert named in refuse("data", "prepare", *words)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LNL_SWEEP_DATA", raising=False)
    _load.cache_clear()
    yield tmp_path / "cache"
    _load.cache_clear()


MRI = """
dataset: {name: brain_mri, bias: {rho: [0, 1]}}
network: {name: small_cnn}
methods: [erm]
"""


@pytest.mark.parametrize(
    ("place", "named"),
    [
        (None, "set LNL_SWEEP_DATA to the folder or s3:// address"),
        ("/no/such/folder", "LNL_SWEEP_DATA is '/no/such/folder': there is no brain_mri in it"),
        ("mri.yaml", "LNL_SWEEP_DATA is 'mri.yaml': there is no brain_mri in it"),
        ("torn", "its manifest.json cannot be read"),
        ("ftp://host/data", "LNL_SWEEP_DATA is 'ftp://host/data'"),
        ("s3://", "LNL_SWEEP_DATA is 's3://'"),
    ],
)
def test_data_that_the_nodes_cannot_get(
    refuse: Refuse, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | None, named: str
) -> None:
    if place is not None:
        monkeypatch.setenv("LNL_SWEEP_DATA", place)
    (tmp_path / "mri.yaml").write_text(MRI)
    (tmp_path / "torn" / "brain_mri").mkdir(parents=True)
    (tmp_path / "torn" / "brain_mri" / "manifest.json").write_text("{")
    for words in (["run", "mri.yaml", "--out", "out"], ["train", "brain_mri", "--rho", "1"]):
        assert named in refuse(*words)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["colored_digits", "--out", "x.png"], "did you mean 'coloured_digits'?"),
        (["coloured_digits", "--out", "x.png"], "--bias color_variance="),
        (["coloured_digits", "--out", "x.png", "--bias", "color_variance=a"], "'color_variance=a'"),
        (["coloured_digits", "--out", "x.png", "--bias", "rho=1"], "'rho'"),
        (["coloured_digits", "--out", "x.png", "--bias", "color_variance=-1"], "got -1"),
        (["coloured_digits", "--out", "x.png", "--color_variance", "99"], "got 99"),
        (["coloured_digits", "--out", "x.png", "--set", "image_sise=28", "--color_variance", "1"], "'image_sise'"),
        (["coloured_digits", "--out", "missing/x.png", "--color_variance", "1"], "'missing/x.png'"),
        (["coloured_digits", "--out", "x.docx", "--color_variance", "1"], "'x.docx'"),
        (["coloured_digits", "--out", "/proc/x.png", "--color_variance", "1"], "'/proc/x.png'"),
        (["coloured_digits", "--color_variance", "1"], "--out"),
    ],
)
def test_a_picture_that_cannot_be(refuse: Refuse, words: list[str], named: str) -> None:
    assert named in refuse("data", "preview", *words)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--set", "training.epochs=1"], "--epochs N"),
        (["--set", "dataset.name=x"], "its first argument"),
        (["--set", "dataset.bias=3"], "--rho 1"),
        (["--color_variance", "0.2"], "stands twice"),
    ],
)
def test_what_train_would_pass_over(refuse: Refuse, words: list[str], named: str) -> None:
    assert named in refuse("train", "coloured_digits", "--color_variance", "0.1", *words)


def test_bias_values_in_two_options(refuse: Refuse) -> None:
    words = ["--bias", "rho=0", "--bias", "rho=1"]
    assert "--bias rho=0,1" in refuse("data", "preview", "brain_phantom", *words, "--out", "x.png")


def test_a_file_of_a_method_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn_method.py").write_text("import nothing_of_that_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"torn_method\.py cannot be imported \(ModuleNotFoundError: .*mend or remove"):
        import_registered("torn_method")

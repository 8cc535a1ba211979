"""Trials that fail: only values that are not finite are a divergence, and what all fail with is told and mended."""

from __future__ import annotations

import io
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from rich.console import Console

from orchestrator import sweep
from orchestrator.cli import main
from orchestrator.directory.reader import SweepDirectory
from orchestrator.search.failures import AlikeCheck, Failures, failures_of
from tests.orchestrator.support import fake_row
from trainable.texts import reason_of
from trainable.trial.trainer import Trainer, TrialFailed

SWEEP = """
name: tiny
dataset: {name: coloured_digits, bias: {color_variance: [0.02, 0.4]}}
network: {name: pixel_front}
methods: [erm]
search: {trials: 3, sampler: qmc}
confirm: {seeds: 1}
training: {epochs: 2}
"""
MISSING = "FileNotFoundError: [Errno 2] No such file or directory: '/data/train.npy'"


def row(error: str | None, name: str = "cell-r0-000", phase: str = "search") -> dict[str, Any]:
    status = "completed" if error is None else "failed"
    return {"trial_id": name, "cell": "cell", "phase": phase, "status": status, "error": error}


# ------------------------------------------------------------------ what diverged


def sentence(loss: float = 0.5, weight: float = 0.5) -> str:
    """Error of a trainer after an epoch with this loss and this weight."""
    part = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(part.weight, weight)
    trainer = cast(Trainer, SimpleNamespace(epoch=3, stepper=SimpleNamespace(modules={}), parts=lambda: {"f": part}))
    with pytest.raises(TrialFailed) as caught:
        Trainer._fail_unless_finite(trainer, {"train_loss": loss, "mi_loss": None})
    return reason_of(caught.value)


@pytest.mark.parametrize("error", ["q-share (high) is nan", "a parameter of second.f is not a finite number"])
def test_terms_and_networks_of_a_users_method_have_any_name(error: str) -> None:
    other = "TrialFailed: epoch 2: val_biased is undefined"
    assert failures_of([row(f"TrialFailed: epoch 2: {error}"), row(other)]) == Failures(1, 1, other, 1)


@pytest.mark.parametrize(
    "values", [{"loss": math.nan}, {"loss": math.inf}, {"loss": -math.inf}, {"weight": math.nan}, {"weight": math.inf}]
)
def test_values_that_are_not_finite_are_a_divergence(values: dict[str, float]) -> None:
    assert failures_of([row(sentence(**values)), row(None)]) == Failures(diverged=1)


@pytest.mark.parametrize(
    "error",
    [
        MISSING,
        "InputError: the images of /data/table.csv must be PNG, but row 3 names a GIF",
        "the worker process died 3 times (ActorDiedError: Worker unexpectedly exits with a connection error code 2)",
        "took longer than limits.trial_minutes = 2",
        "TrialFailed: epoch 1: val_reweighted is undefined on these validation images",
        "RuntimeError: epoch 1: train_loss is nan",
        None,
    ],
)
def test_any_other_error_is_no_divergence(error: str | None) -> None:
    failed = {**row(error), "status": "failed"}
    assert failures_of([failed]) == Failures(0, 1, error or "no reason", 1)


def test_the_commonest_error_is_that_of_trials_that_differ_in_names_and_numbers_alone() -> None:
    rows = [row(f"OSError: no /tmp/cell-r0-00{i}/x, pid {i}", f"cell-r0-00{i}") for i in range(3)]
    found = failures_of([row("ValueError: other"), *rows, row(sentence(math.nan)), row(sentence(math.nan))])
    assert found.lines() == [
        "4 trials failed, 3 of them with: OSError: no /tmp/cell-r0-000/x, pid 0",
        "2 search trials diverged (counted, never selected)",
    ]


def test_a_confirm_trial_that_diverged_is_named_elsewhere() -> None:
    assert failures_of([row(sentence(math.nan), phase="confirm")]).lines() == []


# ------------------------------------------------------------------ the first trials fail alike


def noticed(rows: list[dict[str, Any]], least: int = 3, earlier: list[dict[str, Any]] | None = None) -> str | None:
    check = AlikeCheck(least, earlier or [])
    for each in rows:
        check.ended(each)
    return None if check.failure is None else str(check.failure)


def test_it_is_noticed_once_enough_have_failed() -> None:
    assert noticed([row(MISSING)] * 2) is None
    assert noticed([row(MISSING)] * 3) == f"the first 3 trials all failed alike ({MISSING})"
    assert noticed([row(MISSING)] * 4, least=5) is None


@pytest.mark.parametrize("other", [None, "ValueError: other", "TrialFailed: epoch 1: train_loss is nan"])
def test_one_that_ends_otherwise_shows_that_it_is_not_the_sweep(other: str | None) -> None:
    assert noticed([row(MISSING), row(other), *[row(MISSING)] * 5]) is None
    assert noticed([row(other), *[row(MISSING)] * 5]) is None


def test_rows_that_the_sweep_has_already_show_it_too() -> None:
    assert noticed([row(MISSING)] * 5, earlier=[row(None)]) is None
    assert noticed([row(MISSING)] * 5, earlier=[row(MISSING)]) is not None


# ------------------------------------------------------------------ a sweep


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(SWEEP)
    return path


def test_a_sweep_whose_first_trials_fail_alike_stops_and_its_remedy_works(
    tiny: Path, trials: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = trials(MISSING)
    assert main(["run", "tiny.yaml", "--out", "out"]) == 1
    shown = capsys.readouterr()
    assert len(ran) == 3 and "diverged" not in shown.out + shown.err
    assert f"3 trials failed with: {MISSING}" in shown.out
    assert "the first 3 trials all failed alike" in shown.out and "out --failed" in shown.out
    assert main(["status", "out"]) == 0
    assert f"3 trials failed with: {MISSING}" in capsys.readouterr().out

    trained = trials(None)
    before = SweepDirectory("out").rows("splits")
    assert main(["resume", "out", "--failed", "--set", "dataset.subset=development"]) == 0
    directory = SweepDirectory("out")
    rows = directory.rows("trials")
    assert len(rows) == len(trained) == 8 and {row["status"] for row in rows} == {"completed"}
    assert {spec.dataset_options["subset"] for spec in trained} == {"development"}
    assert len(directory.rows("splits")) < len(before) and directory.open_names() == []
    assert len(list(Path("out/replaced/trials").iterdir())) == 3
    assert '"new": "development"' in Path("out/changes.jsonl").read_text()
    assert main(["verify", "out"]) == 0, capsys.readouterr().out


def test_a_finished_sweep_needs_no_ray(tiny: Path, trials: Any, capsys: pytest.CaptureFixture[str]) -> None:
    trials(None)
    assert main(["run", "tiny.yaml", "--out", "out"]) == 0
    nobody = ["--address", "127.0.0.1:1"]
    assert main(["resume", "out", *nobody]) == 0
    assert "no Ray can be reached" not in capsys.readouterr().err
    assert main(["resume", "out", "--set", "search.trials=4", *nobody]) == 2
    assert "no Ray can be reached at 127.0.0.1:1" in capsys.readouterr().err


def test_where_a_trial_has_succeeded_no_setting_of_its_kind_may_change(
    tiny: Path, trials: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trials(None)
    assert main(["run", "tiny.yaml", "--out", "out"]) == 0
    capsys.readouterr()
    assert main(["resume", "out", "--failed", "--set", "training.epochs=3"]) == 2
    assert "was run with training.epochs = 2" in capsys.readouterr().err
    assert not Path("out/replaced").exists()


def test_where_all_have_failed_the_refusal_names_the_way(
    tiny: Path, trials: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trials(MISSING)
    assert main(["run", "tiny.yaml", "--out", "out"]) == 1
    capsys.readouterr()
    rows = SweepDirectory("out").rows("trials")
    assert main(["resume", "out", "--set", "training.epochs=3"]) == 2
    assert "all 3 trials that ended have failed" in (err := capsys.readouterr().err) and "--failed --set" in err
    assert SweepDirectory("out").rows("trials") == rows


def test_a_sweep_without_any_row_takes_every_change(
    tiny: Path, trials: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "_run", interrupted)
    assert main(["run", "tiny.yaml", "--out", "out"]) == 130
    trained = trials(None)
    assert main(["resume", "out", "--set", "training.epochs=3"]) == 0
    assert {spec.training.epochs for spec in trained} == {3} and len(trained) == 8


def test_the_plain_lines_tell_a_new_commonest_error_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator import progress as module
    from orchestrator.progress import Progress
    from tests.orchestrator.support import dispatcher_for, sweep_config

    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    out, dispatcher = io.StringIO(), dispatcher_for(sweep_config())
    progress = Progress(dispatcher, Console(file=out, width=200))
    progress.start(2)
    spec = dispatcher.next()
    assert spec is not None
    dispatcher.record(fake_row(spec, None, "failed", error="OSError: [a] file"), [])
    for _ in range(3):
        now[0] += module.PLAIN_SECONDS
        progress.update()
    lines = out.getvalue().splitlines()
    assert len(lines) == 4 and lines[1] == "1 trial failed with: OSError: [a] file"

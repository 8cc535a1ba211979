"""What a sweep will take, guessed from a few steps of the cells that cost most."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.config.sweep_file import validate
from orchestrator.plan.cells import Cell
from orchestrator.plan.estimate import Timing, estimate, time_cell
from orchestrator.plan.identity import trial_spec
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.search.dispatch import Dispatcher
from trainable.methods.base import Batch
from trainable.spec import TrialSpec
from trainable.trial.sizing import timing
from trainable.trial.trainer import Trainer

EPOCHS = 10
TREE = {
    "dataset": {
        "name": "brain_phantom", "patients": 60, "slices": 4, "image_size": 32,
        "bias": [{"rho": 0}, {"rho": 1, "gamma": 1}, {"rho": 0.5}],
    },
    "network": {"name": "small_cnn", "width": 4},
    "methods": [
        "erm", {"name": "lnl", "space": {"lambda_": {"log": [0.01, 100]}, "lr": {"choice": [1e-4, 1e-3, 1e-2]}}}
    ],
    "search": {"trials": 2},
    "confirm": {"seeds": 1},
    "training": {"epochs": EPOCHS, "batch_size": 8},
}  # fmt: skip


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LNL_SWEEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield make_plan(validate(TREE))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[TrialSpec, int, int]]:
    """Every step that is trained: its trial, the step's number, its images."""
    seen: list[tuple[TrialSpec, int, int]] = []
    real = Trainer.train_batch

    def counted(self: Trainer, batch: Batch, step: int) -> Any:
        seen.append((self.spec, step, len(batch.y)))
        return real(self, batch, step)

    monkeypatch.setattr(Trainer, "train_batch", counted)
    return seen


def timed_here(plan: Plan, cells: Sequence[Cell]) -> dict[str, Timing]:
    """In this process, where each step can be seen."""
    return {cell.label: time_cell(plan, cell) for cell in cells}


def test_a_few_steps_of_the_costliest_cell_are_timed(plan: Plan, steps: list[tuple[TrialSpec, int, int]]) -> None:
    found = estimate(plan, (), timed_here)
    for label in ("erm", "lnl"):
        own = [(spec, step, images) for spec, step, images in steps if spec.label == label]
        assert [images for _, _, images in own] == [4, 4] + [8] * 8, "an epoch has over twenty steps"
        # The blue head as well as the red one, and the last epoch, where the ramp has ended.
        assert {tuple(spec.bias.items()) for spec, _, _ in own} == {(("rho", 1.0), ("gamma", 1.0))}
        assert all(step * 8 >= (EPOCHS - 1) * 160 for _, step, _ in own)
        assert found["source"][label].startswith("8 training steps and")
        assert found["seconds_per_trial"][label] > 0
    for spec in (spec for spec, _, _ in steps if spec.method == "lnl"):
        assert spec.hyperparameters["lambda_"] == pytest.approx(1.0), "not the anchor's 0"
        assert spec.hyperparameters["lr"] == 1e-3
    assert found["operations"] > 0


def trainer_of(plan: Plan) -> Trainer:
    return Trainer(trial_spec(plan.config, plan.cells[0], "search", "t", {}, 0), "cpu")


@pytest.mark.parametrize("slow", [False, True])
def test_a_part_is_scaled_to_an_epoch(slow: bool, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, now = trainer_of(plan), 0.0

    def take(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(timing, "_SLOW", 0.01 if slow else 10.0)
    monkeypatch.setattr(Trainer, "train_batch", lambda self, batch, step: take(0.005 * len(batch.y)))
    validation = sum({id(own): len(own) for own in trainer.validation_images.values()}.values())
    monkeypatch.setattr(timing.evaluate, "predict", lambda nets, images, *more: take(0.001 * len(images)))
    found = timing.epoch_time(trainer)
    assert found.seconds == pytest.approx(0.005 * sum(trainer.feed.sizes) + 0.001 * validation)
    assert found.image == pytest.approx(0.001)
    # 36 test images (9 patients): at each epoch, then five variants at the end.
    assert timing.tested_seconds(trainer, found.image) == pytest.approx(0.001 * 36 * (EPOCHS + 5))
    assert found.words.startswith("a training step of 4 images" if slow else "8 training steps")


def test_patience_ends_the_timing(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_PATIENCE", 1e-9)
    assert timing.epoch_time(trainer_of(plan)).words.startswith("1 training step and")


def test_finished_trials_are_believed_before_any_timing(plan: Plan, steps: list[Any]) -> None:
    ran = {"status": "completed", "threads": 1, "gpu_share": 0.0, "device_name": "cpu"}
    times = (("erm", 10.0), ("erm", 20.0), ("lnl", 40.0))
    rows = [{**ran, "label": label, "train_seconds": seconds} for label, seconds in times]
    found = estimate(plan, rows, timed_here)
    assert not steps
    assert found["seconds_per_trial"] == {"erm": 15.0, "lnl": 40.0}
    assert found["source"]["erm"] == "2 trials in the directory"


@pytest.mark.parametrize(
    ("search", "rules"),
    [
        ({"trials": 2, "repeats": 3}, ["val_counterfactual", "val_biased"]),
        ({"trials": 2, "per_rule": True}, ["val_counterfactual", "val_biased"]),
        ({"trials": 2, "per_rule": True, "repeats": 2}, ["val_biased"]),
    ],
)
def test_it_counts_the_trials_that_the_driver_plans(search: dict[str, Any], rules: list[str], plan: Plan) -> None:
    config = {**TREE, "search": {**search, "rule": "val_counterfactual"}, "confirm": {"seeds": 3, "rules": rules}}
    full = make_plan(validate(config))
    ran = {"status": "completed", "threads": 1, "gpu_share": 0.0, "device_name": "cpu", "train_seconds": 1.0}
    found = estimate(full, [{**ran, "label": label} for label in ("erm", "lnl")], timed_here)
    planned, exact, _ = Dispatcher(full.config, full.cells).totals()
    assert (found["trials"], exact) == (planned, False)
    assert found["seconds"] == planned and found["search"] + found["confirm"] == planned

"""The training loop, its row, and how it fails."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from store import columns
from store.errors import InputError
from trainable.spec import Training, TrialSpec
from trainable.trial import augment
from trainable.trial.optimise import ramp, schedule
from trainable.trial.outcome import Outcome, at_chance
from trainable.trial.trainer import Trainer, TrialFailed

MakeSpec = Callable[..., TrialSpec]
TIMES = ("started_at", "finished_at", "train_seconds", "images_per_second", "peak_memory_mb")


def run(spec: TrialSpec) -> Outcome:
    trainer = Trainer(spec, "cpu")
    while not trainer.finished:
        trainer.train_epoch()
    return trainer.finish()


def without(row: dict[str, Any], names: tuple[str, ...] = TIMES) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def untimed(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [without(row, ("seconds",)) for row in history]


@pytest.mark.parametrize("phase", ["search", "confirm"])
def test_columns_are_those_of_the_schema(phase: str, tiny: MakeSpec) -> None:
    outcome = run(tiny("lnl", phase=phase, keep_model=True))
    trials = columns.to_table("trials", [outcome.row])
    history = columns.to_table("history", outcome.history)
    assert trials["status"].to_pylist() == ["completed"] and history["epoch"].to_pylist() == [1, 2]
    tests = [name for name, value in outcome.row.items() if name.startswith("test_") and value is not None]
    tests += [row["epoch"] for row in outcome.history if row["test_accuracy"] is not None]
    if phase == "search":
        assert not tests and outcome.predictions is None and outcome.model is None
        assert outcome.row["n_test"] is None and outcome.row.get("bias_probe_accuracy") is None
    else:
        assert "test_accuracy" in tests and outcome.model is not None and outcome.predictions is not None
        columns.arrow_schema("predictions", outcome.predictions)
        assert len(outcome.predictions["trial_id"]) == len(outcome.predictions["label"])
        assert 0 <= outcome.row["bias_probe_accuracy"] <= 1
        assert outcome.history[-1]["test_accuracy"] == pytest.approx(outcome.row["test_accuracy"])


def test_row_says_what_was_trained(tiny: MakeSpec) -> None:
    row = run(tiny("lnl", hyperparameters={"mu": 0.5}, label="mine", sweep="s", cell="c", enqueued_from="d")).row
    assert row["bias_rho"] == 0.9 and "bias_gamma" not in row
    assert (row["lambda_"], row["mu"], row["lr"], row["lr_bias"]) == (1.0, 0.5, 1e-2, 1e-3)
    assert json.loads(row["hyperparameters"])["weight_decay"] == row["weight_decay"]
    assert (row["label"], row["sweep"], row["cell"], row["enqueued_from"]) == ("mine", "s", "c", "d")
    assert (row["n_train"], row["n_val"], row["epochs"], row["best_epoch"]) == (67, 13, 2, 2)
    assert row["device"] == "cpu" and row["threads"] == 1 and row["image_size"] == 8
    assert row["started_at"] < row["finished_at"] and row["train_seconds"] > 0 and row["images_per_second"] > 0


@pytest.mark.parametrize("method", ["erm", "lnl"])
def test_same_specification_same_row(method: str, tiny: MakeSpec) -> None:
    one, two = (run(tiny(method, phase="confirm")) for _ in range(2))
    assert without(one.row) == without(two.row)
    assert untimed(one.history) == untimed(two.history)
    assert one.predictions is not None and two.predictions is not None
    assert all(list(one.predictions[name]) == list(two.predictions[name]) for name in one.predictions)
    other = run(tiny(method, phase="confirm", seed=6))
    assert untimed(one.history) != untimed(other.history)


def test_methods_share_batches_and_initial_weights(tiny: MakeSpec) -> None:
    plain, lnl = Trainer(tiny("erm"), "cpu"), Trainer(tiny("lnl"), "cpu")
    assert torch.equal(plain.feed.order(1), lnl.feed.order(1))
    assert not torch.equal(plain.feed.order(0), plain.feed.order(1))
    assert all(torch.equal(a, b) for a, b in zip(plain.nets.f.parameters(), lnl.nets.f.parameters(), strict=True))


def test_a_last_batch_of_one_is_dropped_and_a_larger_one_kept(tiny: MakeSpec) -> None:
    assert Trainer(tiny(batch_size=22), "cpu").feed.sizes == [22, 22, 22]
    assert Trainer(tiny(batch_size=20), "cpu").feed.sizes == [20, 20, 20, 7]
    assert len(Trainer(tiny(batch_size=500), "cpu").feed.sizes) == 1


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("part", ["f", "h"])
def test_divergence_is_a_failure_with_a_reason(optimizer: str, part: str, tiny: MakeSpec) -> None:
    rates = {"lr": 1e35, "lr_bias": 1e-3} if part == "f" else {"lr": 1e-3, "lr_bias": 1e35}
    trainer = Trainer(tiny("lnl", optimizer=optimizer, clip_norm=None, hyperparameters=rates), "cpu")
    with pytest.raises(TrialFailed, match=r"epoch [12]: .*(loss is (nan|inf|-inf)|not a finite number)"):
        while not trainer.finished:
            trainer.train_epoch()
    row = trainer.row("failed", "reason")
    assert (row["status"], row["error"]) == ("failed", "reason")
    columns.to_table("trials", [row])


def test_collapse_is_judged_from_training_images(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("erm", epochs=1), "cpu")
    trainer.train_epoch()
    batch_norm = trainer.nets.f[1]  # type: ignore[index]
    with torch.no_grad():
        batch_norm.weight.zero_()
    assert trainer.finish().row["collapsed"] is True
    good = run(tiny("erm", epochs=15, hyperparameters={"lr": 3e-2}))
    assert good.history[-1]["train_accuracy"] > 0.6 and good.row["collapsed"] is False


@pytest.mark.parametrize(
    ("accuracy", "k", "largest", "expected"),
    [(0.18, 10, 0.1, True), (0.2, 10, 0.1, False), (0.61, 3, 0.6, True), (0.63, 3, 0.6, False), (0.53, 2, 0.5, True)],
)
def test_chance(accuracy: float, k: int, largest: float, expected: bool) -> None:
    assert at_chance(accuracy, k, largest) is expected


def test_best_epoch_is_reported_with_its_values(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("erm", epochs=6, epoch="best", rule="val_biased", hyperparameters={"lr": 5e-2}), "cpu")
    while not trainer.finished:
        trainer.train_epoch()
    values = [row["val_biased"] for row in trainer.history]
    row = trainer.finish().row
    assert row["best_epoch"] == values.index(max(values)) + 1
    assert row["val_biased"] == max(values) == trainer.objective
    assert row["val_unbiased"] == trainer.history[row["best_epoch"] - 1]["val_unbiased"]
    assert row["epochs"] == 6


def test_objective_of_reweighted_is_less_one_standard_error(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("erm", rule="val_reweighted", bias={"rho": 0.0}), "cpu")
    trainer.train_epoch()
    row = trainer.row()
    assert row["val_reweighted_se"] > 0 and row["val_reweighted_n_eff"] > 1
    assert trainer.objective == pytest.approx(row["val_reweighted"] - row["val_reweighted_se"])


def test_reweighting_is_null_where_a_class_has_no_image_left(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("erm", bias={"rho": 1.0}), "cpu")
    assert trainer.train_epoch()["val_reweighted"] is None
    with pytest.raises(InputError, match="weaker bias or another rule"):
        Trainer(tiny("erm", bias={"rho": 1.0}, rule="val_reweighted"), "cpu")


def test_schedules_are_functions_of_the_step() -> None:
    cosine, step = Training(), Training(schedule="step")
    assert schedule(cosine, 0, 100) == 1 and schedule(cosine, 50, 100) == pytest.approx(0.5)
    assert [schedule(step, s, 100) for s in (39, 40, 80)] == pytest.approx([1, 0.1, 0.01])
    assert schedule(Training(schedule="constant"), 99, 100) == 1
    assert ramp(0.3, 0) == 0 and ramp(0.3, 0.3) == 1 == ramp(0.0, 0.0)
    assert ramp(0.3, 0.15) == pytest.approx(2 / (1 + math.exp(-5)) - 1)


@pytest.mark.parametrize("extra", [{"precision": "bf16"}, {"class_weights": "balanced"}, {"clip_norm": None}])
def test_other_ways_of_training(extra: dict[str, Any], tiny: MakeSpec) -> None:
    assert run(tiny("lnl", **extra)).row["status"] == "completed"


def test_augmentation_is_reproducible_and_keeps_shapes(tiny: MakeSpec) -> None:
    options = {"augmentation": ("flip", "shift"), "dataset_options": {"spatial": False}}
    one, two = (run(tiny("lnl", **options)) for _ in range(2))
    assert untimed(one.history) == untimed(two.history)
    assert untimed(one.history) != untimed(run(tiny("lnl", dataset_options={"spatial": False})).history)
    x = torch.rand(5, 3, 16, 16)
    for change in augment.AUGMENTATIONS.values():
        changed = change(x, torch.Generator().manual_seed(0))
        assert changed.shape == x.shape and not torch.equal(changed, x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lnk"}, "did you mean 'lnl'"),
        ({"hyperparameters": {"lambda": 1}}, "unknown hyperparameter"),
        ({"bias": {"rho": 1.5}}, "rho must lie in"),
        ({"bias": {"roh": 1.0}}, "did you mean 'rho'"),
        ({"augmentation": ("flip",)}, "belong to pixels"),
        ({"augmentation": ("flop",), "dataset_options": {"spatial": False}}, "did you mean 'flip'"),
        ({"batch_size": 1}, "two images"),
        ({"network": "tiny_nat"}, "did you mean 'tiny_net'"),
    ],
)
def test_bad_input(options: dict[str, Any], message: str, tiny: MakeSpec) -> None:
    with pytest.raises(InputError, match=message):
        Trainer(tiny(**options), "cpu")


def test_bad_device_and_rule(tiny: MakeSpec) -> None:
    with pytest.raises(InputError, match="unknown device"):
        Trainer(tiny(), "gpu")
    digits = dataclasses.replace(
        tiny(), dataset="coloured_digits", bias={"color_variance": 0.02}, network="pixel_front", rule="val_reweighted"
    )
    with pytest.raises(InputError, match="val_reweighted is not defined for coloured_digits"):
        Trainer(digits, "cpu")

"""Evaluation with weights: metrics by hand, and whole trials whose columns follow from their predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.points.bias_groups import FLIPS, WORST_GROUP, laid_together
from analysis.points.calibration import FIGURES, figures_of
from analysis.points.scores import MEASURES, PredictionStore, measured
from store.columns import PREDICTIONS
from tests.trainable.data.table.test_image_table import NAMED, columns, ruler
from trainable.api import make_spec
from trainable.data import ImageTable
from trainable.data.base import DATASETS, load_dataset
from trainable.data.view import DataView
from trainable.errors import InputError
from trainable.evaluation import calibration, metrics
from trainable.evaluation.probe import bias_probe
from trainable.evaluation.rules import check_rule, check_test, first_rule
from trainable.trial.trainer import Trainer


@pytest.fixture
def _x_ray() -> Iterator[None]:
    def x_ray(paint: bool = False, plain: bool = False) -> ImageTable:
        labels, attribute, patient = columns(480)
        images = np.random.default_rng(1).integers(0, 120, (480, 32, 32), dtype=np.uint8)
        images[labels == 1, 10:20, 10:20] += 40
        if not paint:
            images[attribute == 1, :6, :6] = 255
        if plain:
            return ImageTable(images, labels, None, patient, classes=NAMED["classes"])
        return ImageTable(images, labels, attribute, patient, **NAMED, paint=ruler if paint else None)

    DATASETS.entries["x_ray_of_tests"] = x_ray
    yield
    del DATASETS.entries["x_ray_of_tests"]


def test_metrics_of_whole_weights_are_those_of_copies() -> None:
    rng = np.random.default_rng(0)
    labels, weights = rng.integers(0, 3, 60), rng.integers(0, 4, 60)
    probs = rng.dirichlet(np.ones(3), 60)
    rows = np.repeat(np.arange(60), weights)
    for metric in (
        metrics.accuracy, metrics.balanced_accuracy, metrics.auroc, calibration.brier, calibration.log_loss,
        calibration.confidence_gap, calibration.calibration_error,
    ):  # fmt: skip
        assert metric(probs, labels, weights) == pytest.approx(metric(probs[rows], labels[rows]), abs=1e-12)
        assert np.isnan(metric(probs, labels, np.zeros(60)))


def test_worst_group_as_a_metric() -> None:
    labels, attribute = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, -1, 1, 1])
    probs = np.eye(2)[[0, 1, 0, 0, 1, 0]]
    assert metrics.score("worst_group", probs, labels, None, attribute) == 0.5
    assert metrics.score("worst_class", probs, labels, None, attribute) == 0.5
    weights = np.array([1.0, 0, 1, 1, 3, 1])
    assert metrics.score("worst_group", probs, labels, weights, attribute) == 0.75
    assert metrics.score("worst_group", probs, labels, np.array([0.0, 0, 0, 1, 0, 0]), attribute) == 1
    assert metrics.score("worst_group", probs, labels) == 0.5


def trained(method: str, rho: float, **options: Any) -> tuple[Trainer, dict[str, Any], pd.DataFrame]:
    spec = make_spec(
        "x_ray_of_tests", method=method, epochs=2, batch_size=32, network="small_cnn", dataset_options=options, rho=rho
    )
    trainer = Trainer(dataclasses.replace(spec, metric="worst_group", trial_id="t"), "cpu")
    while not trainer.finished:
        trainer.train_epoch()
    outcome = trainer.finish()
    assert outcome.predictions is not None
    return trainer, outcome.row, pd.DataFrame(outcome.predictions)


def recomputed(row: dict[str, Any], predictions: pd.DataFrame) -> dict[str, float]:
    """The test columns from predictions, where the row has them."""
    found = dict(zip(FIGURES, figures_of(predictions[predictions["variant"] == "unbiased"]), strict=True))
    for column in [*MEASURES, *(name for name in row if name.startswith("recall_"))]:
        metric, variant = measured(column)
        if row[column] is None:
            continue
        rows: pd.DataFrame | None = predictions
        if variant in (WORST_GROUP, FLIPS):
            rows = laid_together(variant, predictions, pd.Series({"t": row[column]}))
        assert rows is not None, column
        scores = PredictionStore(rows, variant).scores([["t"]], metric)
        assert scores is not None, column
        found[column] = float(scores.values[0])
    return found


@pytest.mark.parametrize(
    ("method", "rho", "options"),
    [
        ("erm", 0.75, {"span": [0.5, 1.0]}),
        ("lnl", 1.0, {"span": [0.5, 1.0]}),
        ("ceiling", 0.5, {"span": [0.5, 1.0]}),
        ("repaint", 0.9, {"paint": True}),
        ("erm", 0.0, {"plain": True}),
    ],
)
@pytest.mark.usefixtures("_x_ray")
def test_columns_are_the_figures_of_the_predictions(method: str, rho: float, options: dict[str, Any]) -> None:
    trainer, row, predictions = trained(method, rho, **options)
    found = recomputed(row, predictions)
    assert {name for name in found if row[name] is not None} >= {"test_accuracy", "test_auroc", "ece", "recall_none"}
    for name, value in found.items():
        if row[name] is not None:
            assert row[name] == pytest.approx(value, abs=1e-9), name
    assert row["n_train"] == len(trainer.view.train(trainer.method.training_draw))
    assert row["n_val"] == len(trainer.validation_images["val_biased"]) and row["n_test"] == len(
        trainer.view.split.test
    )
    assert set(predictions) <= {*PREDICTIONS, "p_none", "p_pneumothorax"}
    has_weights = "paint" not in options and "plain" not in options
    assert ("weight" in predictions) == has_weights == (row["ece_null"] is None)
    if has_weights:
        of_variant = predictions.groupby("variant")["weight"]
        assert of_variant.mean().to_numpy() == pytest.approx(1) and of_variant.nunique()["aligned"] == 1
        assert row["flip_rate"] is None and row["val_counterfactual"] is None
        assert (row["val_reweighted"] is None) == (rho == 1)
        assert (
            row["n_conflicting"] == round((1 - rho) * row["n_train"])
            or abs(row["n_conflicting"] - (1 - rho) * row["n_train"]) <= 1
        )
        # The mark tells the attribute, which is independent of the class for the probe: chance is .5 to .65.
        assert row["bias_probe_accuracy"] > 0.8
    if "plain" in options:
        assert row["test_aligned_accuracy"] is None and row["bias_probe_accuracy"] is None
        assert row["test_worst_group_accuracy"] == row["test_worst_class_accuracy"]
    assert row["metric"] == "worst_group" and row["val_unbiased"] is not None


@pytest.mark.usefixtures("_x_ray")
def test_the_probe_does_not_read_the_label_as_the_bias() -> None:
    import torch
    from torch import nn

    class Label(nn.Module):
        """Features that hold the class and nothing of the mark."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :, 10:20, 10:20]

    view = DataView(load_dataset("x_ray_of_tests"), {"rho": 1.0}, 0, None, "confirm")
    accuracy = bias_probe(Label(), view, None, seed=0)
    attribute, weights = view.test("independent").attribute.numpy(), view.test("independent").weights
    assert weights is not None
    chance = max(float(weights[torch.from_numpy(attribute == b)].sum() / weights.sum()) for b in (0, 1))
    # In the images as they are the class tells 85 % of the attribute.
    assert accuracy is not None and abs(accuracy - chance) < 0.15


@pytest.mark.usefixtures("_x_ray")
def test_rules_of_a_cell() -> None:
    table = load_dataset("x_ray_of_tests", span=[0.5, 1.0])
    weak, strong = (DataView(table, {"rho": rho}, 0, None, "confirm") for rho in (0.75, 1.0))
    assert (first_rule(weak), first_rule(strong)) == ("val_reweighted", "val_biased")
    check_rule(strong, "val_unbiased")
    check_test(strong)
    with pytest.raises(InputError, match="at rho = 1 class none has none with drain"):
        check_rule(strong, "val_reweighted")
    with pytest.raises(InputError, match="x_ray_of_tests never has val_counterfactual: choose one of val_reweighted"):
        check_rule(weak, "val_counterfactual")
    painted = DataView(load_dataset("x_ray_of_tests", paint=True), {"rho": 1.0}, 0, None, "confirm")
    assert first_rule(painted) == "val_counterfactual"

"""Figures of weighted test rows: as many images as the weights say, patients left out with the weights fixed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis.numbers.confusion import _Tested
from analysis.points.bias_groups import WORST_GROUP, laid_together
from analysis.points.calibration import FIGURES, figures_of
from analysis.points.scores import PredictionStore, effective
from analysis.statistics.variance import Sample, interval_of, share_interval
from tests.analysis.points.test_scores import by_hand, predictions, standing_in

METRICS = (
    "accuracy", "balanced_accuracy", "auroc", "brier", "log_loss", "confidence_gap", "calibration_error", "recall_1",
    "worst_class",
)  # fmt: skip


def weighted(whole: bool, patients: int = 8) -> pd.DataFrame:
    """Predictions of two seeds with weights, the same in both: whole numbers, or any with zeros."""
    rng = np.random.default_rng(3)
    # Of one class each: whose copies must not change the class of a patient.
    frame = predictions(patients=patients, mixed=False).reset_index(drop=True)
    values = rng.integers(1, 4, 30).astype(float) if whole else rng.random(30) * (rng.random(30) > 0.1)
    return frame.assign(weight=frame["image"].map({f"i{i:02d}": values[i] for i in range(30)}))


@pytest.mark.parametrize("metric", METRICS)
def test_a_weight_of_three_is_the_image_three_times(metric: str) -> None:
    frame = weighted(whole=True)
    copies = frame.loc[frame.index.repeat(frame["weight"].astype(int))].drop(columns="weight")
    found, repeated = (PredictionStore(f, "unbiased").scores([["t0"], ["t1"]], metric) for f in (frame, copies))
    assert found is not None and repeated is not None
    assert found.values == pytest.approx(repeated.values, abs=1e-12)
    assert found.left_out == pytest.approx(repeated.left_out, abs=1e-12)
    # Copies are no further images.
    assert found.n_images == 30 and found.weight is not None and found.weight.sum() == len(copies) / 2


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "auroc"])
def test_patients_are_left_out_with_the_weights_fixed(metric: str) -> None:
    frame = weighted(whole=False)
    scores = PredictionStore(frame, "unbiased").scores([["t0"], ["t1"]], metric)
    assert scores is not None and scores.left_out is not None
    for k, trial in enumerate(("t0", "t1")):
        rows = frame[frame["trial_id"] == trial].set_index("image")
        assert scores.values[k] == pytest.approx(by_hand(rows, metric, rows["weight"]))
        for i, patient in enumerate(scores.patients):
            expected = by_hand(rows, metric, standing_in(rows, patient) * rows["weight"])
            assert scores.left_out[k, i] == pytest.approx(expected)


def test_images_count_as_many_as_they_are_worth() -> None:
    assert effective(np.array([4.0, 1, 1, 1, 1]), np.array([16.0, 1, 1, 1, 1])) == 3.2
    frame = weighted(whole=False)
    scores = PredictionStore(frame, "unbiased").scores([["t0"], ["t1"]], "recall_1")
    rows = frame[frame["trial_id"] == "t0"]
    w = rows["weight"].to_numpy()
    of_class = w[(rows["label"] == 1).to_numpy()]
    assert scores is not None and scores.n_effective == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert scores.n_bearing == int(of_class.sum() ** 2 / (of_class**2).sum())
    plain = PredictionStore(frame.drop(columns="weight"), "unbiased").scores([["t0"], ["t1"]], "recall_1")
    assert (
        plain is not None
        and plain.n_effective == math.inf
        and plain.weight is None
        and plain.n_bearing == (rows["label"] == 1).sum()
    )


def test_an_interval_is_never_worth_more_than_its_weights() -> None:
    right, strata = np.ones((2, 12)), np.zeros(12, dtype=np.int64)
    equal, unequal = (
        interval_of(Sample(np.ones(2), right, strata, worth), (0, 1), proportion=True) for worth in (math.inf, 3.0)
    )
    assert unequal.low < equal.low < 1
    assert share_interval(Sample(np.ones(2), right, strata, 3.0), 100).low == pytest.approx(unequal.low)
    # One mistake has a small variance, but no more images than are effective.
    values = np.array([0.95, 0.96])
    left_out = values[:, None] + np.linspace(-0.001, 0.001, 12)
    wide, narrow = (share_interval(Sample(values, left_out, strata), n) for n in (6, 200))
    assert wide.high - wide.low > narrow.high - narrow.low


def test_a_share_that_exceeds_one_by_rounding_has_an_interval() -> None:
    above = np.nextafter(1.0, 2)
    left_out = np.full((3, 12), above) + np.linspace(-1e-3, 0, 12)
    interval = share_interval(Sample(np.full(3, above), left_out, np.zeros(12, dtype=np.int64), 9.0), 28.53)
    assert 0.5 < interval.low < interval.high <= 1


def test_calibration_of_weighted_images_has_no_null_value() -> None:
    frame = weighted(whole=True).query("trial_id == 't0'")
    copies = frame.loc[frame.index.repeat(frame["weight"].astype(int))].drop(columns="weight")
    found, repeated = (dict(zip(FIGURES, figures_of(f), strict=True)) for f in (frame, copies))
    for name in FIGURES:
        assert name == "ece_null" or found[name] == pytest.approx(repeated[name], abs=1e-12)
    assert math.isnan(found["ece_null"]) and not math.isnan(repeated["ece_null"])
    assert all(math.isnan(x) for x in figures_of(frame.assign(weight=0.0)))


def test_groups_are_found_again_and_count_each_image_once() -> None:
    frame = weighted(whole=False).query("trial_id == 't0'")
    attribute = np.arange(len(frame)) % 2
    frame = frame.assign(attribute=attribute, variant="independent")
    right = (frame["predicted"] == frame["label"]).groupby([frame["label"], attribute]).mean()
    rows = laid_together(WORST_GROUP, frame, pd.Series({"t0": right.min()}))
    assert rows is not None and rows["weight"].isna().all()
    scores = PredictionStore(rows, WORST_GROUP).scores([["t0"]], "worst_group")
    assert scores is not None and scores.values[0] == pytest.approx(right.min())


def test_confusion_of_weighted_images() -> None:
    frame = weighted(whole=True)
    copies = frame.loc[frame.index.repeat(frame["weight"].astype(int))].drop(columns="weight").reset_index(drop=True)
    shares = []
    for one in (frame.reset_index(drop=True), copies):
        tested = _Tested(one)
        shares.append([row for k in range(3) for row in tested.shares([tested.rows["t0"], tested.rows["t1"]], k, 3)])
    for found, repeated in zip(*shares, strict=True):
        assert found["share"] == pytest.approx(repeated["share"])
        assert found["low"] <= repeated["low"] + 1e-12

"""Metrics from predictions against scikit-free calculations, and left-out values against leaving out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.points.scores import PredictionStore, auroc_left_out


def predictions(trials: int = 2, n: int = 30, patients: int | None = 7, mixed: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    # A patient's images are of several classes, or all of one.
    label = np.arange(n) % 3 if mixed or not patients else np.arange(n) % patients % 3
    frames = []
    for k in range(trials):
        p = rng.dirichlet(np.ones(3), n) + np.eye(3)[label]
        frames.append(
            pd.DataFrame(
                {
                    "trial_id": f"t{k}",
                    "variant": "unbiased",
                    "image": [f"i{i:02d}" for i in range(n)],
                    "patient": [f"p{i % patients}" for i in range(n)] if patients else None,
                    "label": label,
                    "predicted": p.argmax(axis=1),
                    **{f"p_{c}": p[:, c] for c in range(3)},
                }
            )
        )
    return pd.concat(frames).sample(frac=1, random_state=0)


def by_hand(rows: pd.DataFrame, metric: str, weights: pd.Series | None = None) -> float:
    """The metric of weighted images; by default all weigh the same."""
    w = pd.Series(1.0, index=rows.index) if weights is None else weights
    correct = (rows["predicted"] == rows["label"]) * w
    if metric == "accuracy":
        return float(correct.sum() / w.sum())
    if metric == "balanced_accuracy":
        return float((correct.groupby(rows["label"]).sum() / w.groupby(rows["label"]).sum()).mean())
    areas = []
    for c in range(3):
        pos, neg = (rows.loc[(rows["label"] == c) == side, f"p_{c}"].to_numpy() for side in (True, False))
        wp, wn = (w[(rows["label"] == c) == side].to_numpy() for side in (True, False))
        pairs = wp[:, None] * wn
        areas.append(np.sum(pairs * ((pos[:, None] > neg) + 0.5 * (pos[:, None] == neg))) / pairs.sum())
    return float(np.mean(areas))


def standing_in(rows: pd.DataFrame, patient: str) -> pd.Series:
    """Weights of the images where the other patients of a patient's class take its place."""
    kind = rows.groupby("patient")["label"].agg(lambda labels: labels.value_counts().sort_index().idxmax())
    own = kind[kind == kind[patient]].index
    weights = rows["patient"].isin(own).map({True: len(own) / (len(own) - 1), False: 1.0})
    return weights.where(rows["patient"] != patient, 0.0)


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "auroc"])
def test_values_and_left_out_values(metric: str, mixed: bool) -> None:
    patients = 8
    frame = predictions(patients=patients, mixed=mixed)
    scores = PredictionStore(frame, "unbiased").scores([["t0"], ["t1"]], metric)
    assert scores is not None and scores.left_out is not None
    assert (scores.unit, len(scores.patients), scores.n_images) == ("patients", patients, 30)
    for k, trial in enumerate(("t0", "t1")):
        rows = frame[frame["trial_id"] == trial].set_index("image")
        assert scores.values[k] == pytest.approx(by_hand(rows, metric))
        for i, patient in enumerate(scores.patients):
            expected = by_hand(rows, metric, standing_in(rows, patient))
            assert scores.left_out[k, i] == pytest.approx(expected)


def test_images_stand_in_where_there_are_no_patients() -> None:
    scores = PredictionStore(predictions(patients=None), "unbiased").scores([["t0"], ["t1"]], "accuracy")
    assert scores is not None
    assert (scores.unit, len(scores.patients)) == ("images", 30)


def test_folds_of_a_seed_are_pooled() -> None:
    frame = predictions(1)
    first = frame["image"] < "i12"
    folds = pd.concat([frame[first].assign(trial_id="a"), frame[~first].assign(trial_id="b")])
    pooled = PredictionStore(folds, "unbiased").scores([["a", "b"]], "balanced_accuracy")
    assert pooled is not None
    assert pooled.values[0] == pytest.approx(by_hand(frame, "balanced_accuracy"))


@pytest.mark.parametrize("trials", [[["t0"], ["absent"]], []])
def test_missing_predictions_give_no_scores(trials: list[list[str]]) -> None:
    assert PredictionStore(predictions(), "unbiased").scores(trials, "accuracy") is None


def test_seeds_tested_on_different_images_give_no_scores() -> None:
    frame = predictions()
    cut = frame[(frame["trial_id"] == "t0") | (frame["image"] != "i00")]
    assert PredictionStore(cut, "unbiased").scores([["t0"], ["t1"]], "accuracy") is None


def test_auroc_with_ties() -> None:
    arguments: dict[str, Any] = {"group": np.arange(4), "strata": None}
    value, _ = auroc_left_out(np.array([0.5, 0.5, 0.9, 0.1]), np.array([True, False, True, False]), **arguments)
    assert value == (0.5 + 1 + 1 + 1) / 4


def test_columns_of_classes_that_another_sweep_has_are_passed_over() -> None:
    named = predictions().rename(columns={f"p_{c}": f"p_{name}" for c, name in enumerate("xyz")})
    other = predictions().rename(columns={f"p_{c}": f"p_{name}" for c, name in enumerate("abc")})
    both = pd.concat([other.assign(trial_id="other"), named], ignore_index=True)
    rows = both[both["trial_id"] != "other"]
    scores = PredictionStore(rows, "unbiased").scores([["t0"], ["t1"]], "auroc")
    assert scores is not None
    assert scores.values[0] == pytest.approx(by_hand(predictions().query("trial_id == 't0'"), "auroc"))

"""Calibration figures from stored predictions: against calculations by hand, and against those a trial computes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.figures.measures import null_range, null_words, plot_measure, with_null
from analysis.points.calibration import figures_of, null_of, with_calibration
from analysis.points.measures import measure_of
from analysis.statistics.variance import Sample, interval_of
from trainable.evaluation import calibration


def parts(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return frame[[f"p_{name}" for name in "abc"]].to_numpy(), frame["label"].to_numpy()


def test_trial_and_analysis_compute_the_same(three: ModuleType) -> None:
    frame = three.predictions(1)
    probs, labels = parts(frame)
    expected = [
        calibration.brier(probs, labels),
        calibration.log_loss(probs, labels),
        calibration.confidence_gap(probs, labels),
        calibration.calibration_error(probs, labels),
        calibration.calibration_error_null(probs),
    ]
    assert figures_of(frame) == pytest.approx(expected, abs=1e-14)
    assert figures_of(frame.sample(frac=1, random_state=1)) == pytest.approx(expected, abs=1e-14)


def test_the_null_value_of_confidences_like_those_of_the_phantom() -> None:
    # erm at rho = .5 and lnl at rho = .9 of a demo: sure of most images, or unsure of most.
    steps = (np.arange(216) + 0.5) / 216
    for confidence in (1 - 0.62 * steps**2.2, 0.42 + 0.56 * steps):
        null = null_of(confidence)
        rng = np.random.default_rng(0)
        right = rng.random((3000, 216)) < confidence
        place = np.ceil(confidence * 15).astype(int) - 1
        gaps = (right - confidence) @ np.eye(15)[place]
        drawn = np.abs(gaps).sum(axis=1) / 216
        assert null == pytest.approx(drawn.mean(), abs=4 * drawn.std() / np.sqrt(3000))
        assert 0.056 < null < 0.071


def test_probabilities_that_are_not_stored_give_nothing(three: ModuleType) -> None:
    assert np.isnan(figures_of(three.predictions(1).drop(columns="p_c"))).all()


def test_rows_of_older_versions_are_filled_and_others_kept(three: ModuleType) -> None:
    frame = three.predictions(3)
    trials = three.trials_of(frame)
    trials.loc[0, "ece"] = 0.5
    filled = with_calibration(trials, frame)
    assert filled["ece"].iloc[0] == 0.5
    for k in range(3):
        expected = figures_of(frame[frame["trial_id"] == f"t{k}"])
        assert filled.loc[k, "test_brier"] == pytest.approx(expected[0])
        assert filled.loc[k, "ece_null"] == pytest.approx(expected[4])
    assert trials["test_brier"].isna().all()
    assert with_calibration(trials, None) is trials
    assert with_calibration(filled, frame) is filled
    assert with_calibration(trials, frame, ["test_accuracy"]) is trials


def left_out_by_hand(frame: pd.DataFrame, figure: int) -> np.ndarray:
    """Jackknife within classes of equal patients with equal slices: the others of the class counted f times."""
    found = []
    for patient in sorted(frame["patient"].unique()):
        own = frame[frame["patient"] == patient]
        mates = frame[(frame["label"] == own["label"].iloc[0]) & (frame["patient"] != patient)]
        rest = frame[frame["label"] != own["label"].iloc[0]]
        # Four patients a class: three stand in for four, so three copies of the rest and four of the mates.
        found.append(figures_of(pd.concat([*[rest] * 3, *[mates] * 4]))[figure])
    return np.array(found)


@pytest.mark.parametrize(
    ("column", "figure"), [("test_brier", 0), ("test_log_loss", 1), ("confidence_gap", 2), ("ece", 3)]
)
def test_bands_count_patients_within_classes(three: ModuleType, column: str, figure: int) -> None:
    frame = three.predictions(3)
    row = analysis.accuracy_vs_bias(three.trials_of(frame), frame, column=column).iloc[0]
    own = [frame[frame["trial_id"] == f"t{k}"] for k in range(3)]
    assert row["mean"] == pytest.approx(np.mean([figures_of(o)[figure] for o in own]))
    theta = np.stack([left_out_by_hand(o, figure) for o in own])
    sample = Sample(np.array([figures_of(o)[figure] for o in own]), theta, np.arange(12) % 3)
    expected = interval_of(sample, measure_of(column).bounds)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (row["band"], row["n_patients"]) == ("seeds and patients", 12)
    shuffled = analysis.accuracy_vs_bias(
        three.trials_of(frame), frame.sample(frac=1, random_state=3), column=column
    ).iloc[0]
    assert (shuffled["low"], shuffled["high"]) == pytest.approx((row["low"], row["high"]), abs=1e-12)


def test_the_figure_and_its_words_name_the_null_value(three: ModuleType) -> None:
    frame = three.predictions(3)
    trials = with_calibration(three.trials_of(frame), frame)
    curve, null = (analysis.accuracy_vs_bias(trials, frame, column=name) for name in ("ece", "ece_null"))
    low, high = null_range(null, "val_biased") or (0, 0)
    assert low == high == pytest.approx(trials["ece_null"].mean())
    assert f"{low:.3f} on as many images" in null_words(null, "val_biased")
    assert with_null(curve, null)["null_value"].tolist() == [low]
    figure = plot_measure(curve, measure_of("ece"), null)
    assert [(shape.y0, shape.y1) for shape in figure.layout.shapes if shape.type == "rect"] == [(low, high)]
    assert figure.layout.yaxis.range[0] <= low and figure.layout.yaxis.range[1] >= high


def test_a_signed_figure_is_drawn_below_zero_and_one_above_one_is_too(three: ModuleType) -> None:
    frame = three.predictions(3)
    trials = with_calibration(three.trials_of(frame), frame).assign(confidence_gap=-0.4, test_log_loss=1.7)
    gap = plot_measure(analysis.accuracy_vs_bias(trials, column="confidence_gap"), measure_of("confidence_gap"))
    assert gap.layout.yaxis.range[0] < -0.4 and gap.layout.yaxis.range[1] > 0
    assert "0 is best" in gap.layout.yaxis.title.text
    loss = plot_measure(analysis.accuracy_vs_bias(trials, column="test_log_loss"), measure_of("test_log_loss"))
    assert loss.layout.yaxis.range[1] > 1.7


def test_the_worst_case_of_a_missing_seed_is_the_end_of_the_range(three: ModuleType) -> None:
    frame = three.predictions(3)
    trials = with_calibration(three.trials_of(frame), frame).assign(seeds_planned=4)
    row = analysis.accuracy_vs_bias(trials, frame, column="test_brier").iloc[0]
    assert row["worst_case"] == pytest.approx((sum(row["values"]) + 2) / 4)


def test_the_example_has_calibration_although_its_rows_are_older() -> None:
    trials, own = analysis.example(), analysis.load_predictions(Path(analysis.__file__).parent / "example")
    curve = analysis.accuracy_vs_bias(trials, own, column="test_brier")
    assert curve["mean"].between(0, 2).all() and set(curve["band"]) == {"seeds and patients"}

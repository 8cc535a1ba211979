"""Recalls, worst classes and groups and flips from predictions: who names them, and their interval over patients."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.points.additive import worst_named_by_others
from analysis.points.bias_groups import FLIPS, WORST_GROUP, laid_together
from analysis.statistics.variance import Sample, share_interval


def sums_of(accuracies: list[list[float]], images: int = 100) -> np.ndarray:
    """Sums by seed, one patient and group, of groups of equal size."""
    hits = np.array(accuracies) * images
    return np.concatenate([hits, np.full_like(hits, images)], axis=1)[:, None, :]


def test_the_worst_is_named_by_the_other_seeds() -> None:
    # Without seed 0 group 1 is the worst (.55 against .60), without seed 1 or 2 group 0 (.55 and .45).
    picked, named = worst_named_by_others(sums_of([[0.40, 0.70], [0.50, 0.60], [0.70, 0.50]]))
    assert named.tolist() == [1, 0, 0]
    assert (picked[:, 0, 0] / picked[:, 0, 1]).tolist() == [0.70, 0.50, 0.70]


def test_a_single_seed_names_its_own_and_of_a_tie_the_first_is_named() -> None:
    picked, named = worst_named_by_others(sums_of([[0.5, 0.3, 0.3]]))
    assert named.tolist() == [1] and picked[0, 0].tolist() == [30, 100]


def test_groups_of_equal_accuracy_are_not_biased_low() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        picked, _ = worst_named_by_others(sums_of((rng.binomial(50, 0.8, (5, 6)) / 50).tolist(), 50))
        found.append((picked[:, 0, 0] / picked[:, 0, 1]).mean())
    assert np.mean(found) == pytest.approx(0.8, abs=4 * np.std(found) / 20)


def test_nobody_hit_among_nine_patients_is_not_nobody_ever() -> None:
    sample = Sample(np.zeros(5), np.zeros((5, 9)), np.zeros(9, dtype=np.int64))
    interval = share_interval(sample, 72)
    # Wilson with n = 9: z^2 / (n + z^2); the exact one-sided bound 1 - .05^(1/9) is .283.
    z2 = 1.959963984540054**2
    assert (interval.mean, interval.low) == (0, pytest.approx(0, abs=1e-15))
    assert interval.high == pytest.approx(z2 / (9 + z2), abs=1e-12)
    assert interval.high > 1 - 0.05 ** (1 / 9)
    # The same share in all is worth no more, whatever rounding makes of its variance.
    same = share_interval(Sample(np.full(3, 0.1), np.full((3, 9), 0.1), np.zeros(9, dtype=np.int64)), 72)
    assert same.high - same.low > 0.3


def test_a_single_mistake_is_worth_no_more_than_the_images() -> None:
    hits = np.zeros((5, 9))
    hits[0, 0] = 1
    values, left_out = hits.sum(axis=1) / 72, (hits.sum(axis=1, keepdims=True) - hits) / 64
    limited = share_interval(Sample(values, left_out, np.zeros(9, dtype=np.int64)), 72)
    free = share_interval(Sample(values, left_out, np.zeros(9, dtype=np.int64)), np.inf)
    assert free.high < 0.05 < limited.high < 0.2


@pytest.mark.parametrize("column", ["recall_b", "test_worst_class_accuracy"])
def test_a_recall_has_the_interval_of_its_class(three: ModuleType, column: str) -> None:
    frame = three.predictions(3)
    frame.loc[frame["label"] == 1, "predicted"] = np.where(np.arange(36) % 4 == 0, 1, 2)
    own = frame[frame["label"] == 1]
    trials = three.trials_of(frame, recall_b=0.0, test_worst_class_accuracy=0.0)
    trials["recall_b"] = (own["predicted"] == 1).groupby(own["trial_id"]).mean().to_numpy()
    row = analysis.accuracy_vs_bias(trials, frame, column=column).iloc[0]
    hits = (own["predicted"] == 1).groupby([own["trial_id"], own["patient"]]).sum().unstack().to_numpy()
    values = hits.sum(axis=1) / 12
    left_out = (hits.sum(axis=1, keepdims=True) - hits) / 9
    expected = share_interval(Sample(values, left_out, np.zeros(4, dtype=np.int64)), 12)
    assert row["mean"] == pytest.approx(values.mean())
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (row["band"], row["n_patients"]) == ("seeds and patients", 4)
    assert ("named by other seeds" in row["caption"]) == (column != "recall_b")
    # The confusion matrix says the same of its cell.
    cells = analysis.confusion_by_strength(trials, frame)
    cell = cells[(cells["true"] == 1) & (cells["predicted"] == 1)].iloc[0]
    assert (cell["low"], cell["high"]) == pytest.approx((row["low"], row["high"]), abs=1e-12)
    assert (cell["band"], cell["n_patients"], cell["n_images"]) == ("seeds and patients", 4, 12)
    again = analysis.confusion_by_strength(trials, frame.sample(frac=1, random_state=2))
    assert again[["share", "low", "high"]].to_numpy() == pytest.approx(cells[["share", "low", "high"]].to_numpy())


def test_one_seed_has_no_band_and_names_its_own(three: ModuleType) -> None:
    frame = three.predictions(1)
    recalls = (frame["predicted"] == frame["label"]).groupby(frame["label"]).mean()
    trials = three.trials_of(frame, test_worst_class_accuracy=recalls.min())
    for given in (frame, None):
        row = analysis.accuracy_vs_bias(trials, given, column="test_worst_class_accuracy").iloc[0]
        assert (row["band"], row["named_by"], row["mean"]) == ("none", "itself", pytest.approx(recalls.min()))
        assert "named by itself (biased low)" in row["caption"]


def test_without_predictions_the_stored_minima_are_said_to_lie_too_low(three: ModuleType) -> None:
    trials = three.trials_of(three.predictions(3), test_worst_group_accuracy=[0.1, 0.2, 0.3])
    row = analysis.accuracy_vs_bias(trials, column="test_worst_group_accuracy").iloc[0]
    assert (row["mean"], row["band"], row["named_by"]) == (pytest.approx(0.2), "seeds only", "itself")
    assert analysis.accuracy_vs_bias(trials)["named_by"].isna().all()


def two_variants(three: ModuleType, seed: int = 0) -> pd.DataFrame:
    """The predictions of four variants, each with its own mistakes and attributes."""
    rng = np.random.default_rng(seed)
    frames = []
    for variant in ("unbiased", "aligned", "independent", "conflicting"):
        frame = three.predictions(3, seed=seed + len(frames)).assign(variant=variant)
        image = frame["image"].str.removeprefix("i").astype(int)
        shift = {"unbiased": 0, "aligned": 1, "independent": 2, "conflicting": 3}[variant]
        frame["attribute"] = ((image + shift) // 2 % 2).to_numpy()
        frame["predicted"] = np.where(rng.random(len(frame)) < 0.3, (frame["label"] + 1) % 3, frame["label"])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize(
    ("by", "variants"),
    [("attribute", ["independent"]), ("variant", ["aligned", "conflicting"]), ("attribute", ["unbiased"])],
)
def test_the_groups_are_those_that_give_the_stored_figures(three: ModuleType, by: str, variants: list[str]) -> None:
    frame = two_variants(three)
    rows = frame[frame["variant"].isin(variants)]
    right = (rows["predicted"] == rows["label"]).groupby([rows["trial_id"], rows["label"], rows[by]]).mean()
    stored = right.groupby("trial_id").min()
    found = laid_together(WORST_GROUP, frame, stored)
    assert found is not None and len(found) == len(rows) and found[WORST_GROUP].nunique() == 6
    trials = three.trials_of(frame[frame["variant"] == "unbiased"], test_worst_group_accuracy=stored.to_numpy())
    row = analysis.accuracy_vs_bias(trials, frame, column="test_worst_group_accuracy").iloc[0]
    table = right.unstack("trial_id")
    expected = [table.loc[table.drop(columns=t).mean(axis=1).idxmin(), t] for t in table]
    assert row["values"] == pytest.approx(expected)
    assert (row["band"], row["named_by"]) == ("seeds and patients", "other seeds")
    assert laid_together(WORST_GROUP, frame, stored + 0.001) is None


def test_flips_are_counted_where_both_variants_are_stored(three: ModuleType) -> None:
    frame = two_variants(three)
    wide = frame.pivot(index=["trial_id", "image"], columns="variant", values="predicted")
    flips = (wide["aligned"] != wide["conflicting"]).groupby("trial_id").mean()
    found = laid_together(FLIPS, frame.sample(frac=1, random_state=0), flips)
    assert found is not None and len(found) == len(wide)
    trials = three.trials_of(frame[frame["variant"] == "unbiased"], flip_rate=flips.to_numpy())
    row = analysis.accuracy_vs_bias(trials, frame, column="flip_rate").iloc[0]
    assert row["values"] == pytest.approx(flips.to_numpy())
    assert (row["band"], row["n_patients"]) == ("seeds and patients", 12)
    # A pair with a variant of its own is not among the stored ones: the trials' figures, over seeds.
    other = analysis.accuracy_vs_bias(trials.assign(flip_rate=[0.11, 0.12, 0.13]), frame, column="flip_rate").iloc[0]
    assert (other["mean"], other["band"]) == (pytest.approx(0.12), "seeds only")

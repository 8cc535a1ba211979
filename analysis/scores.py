"""A metric from predictions, and again with each patient left out: what the patient half of a band is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

MEASURES = {
    "test_accuracy": ("accuracy", "unbiased"),
    "test_balanced_accuracy": ("balanced_accuracy", "unbiased"),
    "test_auroc": ("auroc", "unbiased"),
    "test_aligned_accuracy": ("accuracy", "aligned"),
    "test_independent_accuracy": ("accuracy", "independent"),
    "test_conflicting_accuracy": ("accuracy", "conflicting"),
}
"""Trial columns that can be computed from predictions: (metric, test variant)."""


@dataclass(frozen=True)
class Scores:
    """One metric over K seeds and the P patients (images, where there are no patients) of a test set.

    Attributes:
        values: ``[K]``.
        left_out: ``[K, P]``, the metric without each patient's images.
        patients: The P patients' hashes, sorted.
        unit: ``patients`` or ``images``.
        n_images: Test images.
        hits: ``[G, K, P]``, correct images by class, seed and patient (G = 1 for accuracy); None for AUROC.
        sizes: ``[G, P]``, images by class and patient; None for AUROC.
    """

    values: Array
    left_out: Array
    patients: tuple[str, ...]
    unit: str
    n_images: int
    hits: Array | None
    sizes: Array | None


class PredictionStore:
    """Predictions of one test variant, by trial."""

    def __init__(self, predictions: pd.DataFrame, variant: str) -> None:
        rows = predictions[predictions["variant"] == variant]
        has_patients = bool(rows["patient"].notna().all()) and len(rows) > 0
        self._unit = "patients" if has_patients else "images"
        codes, names = pd.factorize(rows["patient" if has_patients else "image"], sort=True)
        self._names = [str(name) for name in names]
        trial_codes, trial_ids = pd.factorize(rows["trial_id"])
        order = np.argsort(trial_codes, kind="stable")
        ends = np.cumsum(np.bincount(trial_codes, minlength=len(trial_ids)))
        self._rows = {
            str(t): order[e - n : e] for t, e, n in zip(trial_ids, ends, np.diff(ends, prepend=0), strict=True)
        }
        self._group = codes.astype(np.int64)
        self._label = rows["label"].to_numpy(dtype=np.int64)
        self._predicted = rows["predicted"].to_numpy(dtype=np.int64)
        # A class that another sweep of the same frame has is no class here.
        columns = [name for name in rows if str(name).startswith("p_") and rows[name].notna().any()]
        self._probability = rows[columns].to_numpy(dtype=np.float64)

    def scores(self, trials: Sequence[Sequence[str]], metric: str) -> Scores | None:
        """Score seeds, each the pooled predictions of one or more trials (folds, repeats).

        Args:
            trials: For each seed its trial identifiers.
            metric: ``accuracy``, ``balanced_accuracy`` or ``auroc``.

        Returns:
            The scores, or None where a trial has no predictions or the seeds were not tested on the same images.
        """
        if not trials or any(t not in self._rows for seed in trials for t in seed):
            return None
        rows = [np.concatenate([self._rows[t] for t in seed]) for seed in trials]
        present = np.unique(self._group[rows[0]])
        tables = [self._table(r) for r in rows]
        if any(
            not np.array_equal(sizes * len(trials[0]), tables[0][1] * len(seed))
            for (_, sizes), seed in zip(tables, trials, strict=True)
        ):
            return None
        names = tuple(self._names[i] for i in present)
        n_images = len(np.unique(self._group[rows[0]])) if self._unit == "images" else len(rows[0])
        if metric == "auroc":
            both = [self._auroc(r, present) for r in rows]
            values, left_out = np.array([v for v, _ in both]), np.stack([out for _, out in both])
            return Scores(values, left_out, names, self._unit, n_images, None, None)
        hits = np.stack([table[0] for table in tables], axis=1)[:, :, present]
        sizes = np.stack([table[1] for table in tables], axis=1)[:, :, present]
        if metric == "accuracy":
            hits, sizes = hits.sum(axis=0, keepdims=True), sizes.sum(axis=0, keepdims=True)
        filled = sizes.sum(axis=(1, 2)) > 0
        hits, sizes = hits[filled], sizes[filled]
        all_hits, all_sizes = hits.sum(axis=2), sizes.sum(axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            without = np.nanmean((all_hits[:, :, None] - hits) / (all_sizes[:, :, None] - sizes), axis=0)
        values = (all_hits / all_sizes).mean(axis=0)
        # Seeds may pool several repeats: hits a repeat, so that sizes are the same for all.
        repeats = all_sizes[:1] / all_sizes[:1, :1]
        return Scores(values, without, names, self._unit, n_images, hits / repeats[:, :, None], sizes[:, 0, :])

    def _table(self, rows: Codes) -> tuple[Array, Array]:
        """Correct images and images of each class and patient, ``[classes, patients]``."""
        classes, patients = int(self._label.max()) + 1, len(self._names)
        cell = self._label[rows] * patients + self._group[rows]
        correct = (self._predicted[rows] == self._label[rows]).astype(float)
        shape = (classes, patients)
        hits = np.bincount(cell, weights=correct, minlength=classes * patients)
        sizes = np.bincount(cell, minlength=classes * patients)
        return hits.reshape(shape).astype(np.float64), sizes.reshape(shape).astype(np.float64)

    def _auroc(self, rows: Codes, present: Codes) -> tuple[float, Array]:
        group = np.searchsorted(present, self._group[rows])
        values, without = [], []
        for c in range(self._probability.shape[1]):
            positive = self._label[rows] == c
            if positive.any() and not positive.all():
                value, left = auroc_left_out(self._probability[rows, c], positive, group, len(present))
                values.append(value)
                without.append(left)
        if not values:
            return float("nan"), np.full(len(present), np.nan)
        return float(np.mean(values)), np.nanmean(np.stack(without), axis=0)


def auroc_left_out(score: Array, positive: NDArray[np.bool_], group: Codes, n_groups: int) -> tuple[float, Array]:
    """Area under the ROC curve (Mann-Whitney), and again without each group, exactly, by placements.

    Args:
        score: ``[N]``.
        positive: ``[N]``.
        group: ``[N]``, codes below ``n_groups``.
        n_groups: P.

    Returns:
        The area and ``[P]`` areas; missing where a group holds all positives or all negatives.
    """
    pos, neg = score[positive], score[~positive]
    won_pos, won_neg = _placements(pos, np.sort(neg)), len(pos) - _placements(neg, np.sort(pos))
    g_pos, g_neg = group[positive], group[~positive]
    lost = np.bincount(g_pos, won_pos, n_groups) + np.bincount(g_neg, won_neg, n_groups)
    n_pos, n_neg = np.bincount(g_pos, minlength=n_groups), np.bincount(g_neg, minlength=n_groups)
    for g in np.flatnonzero((n_pos > 0) & (n_neg > 0)):
        # Pairs inside the group were taken off twice.
        lost[g] -= _placements(pos[g_pos == g], np.sort(neg[g_neg == g])).sum()
    total = won_pos.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        without = (total - lost) / ((len(pos) - n_pos) * (len(neg) - n_neg))
    return float(total / (len(pos) * len(neg))), np.where(np.isfinite(without), without, np.nan)


def _placements(values: Array, ordered: Array) -> Array:
    """How many of ``ordered`` lie below each value, ties counted half."""
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((below + upto) / 2, dtype=float)

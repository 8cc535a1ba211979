"""A metric from predictions, and again with each patient left out: what the patients' share of a band is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.variance import Sample, stand_in, strata_of

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
class Images:
    """Test images of one seed.

    Attributes:
        label: ``[N]``, class.
        predicted: ``[N]``, predicted class.
        probability: ``[N, C]``, of each class.
        n_classes: Classes of the test set.
    """

    label: Codes
    predicted: Codes
    probability: Array
    n_classes: int


@dataclass(frozen=True)
class Additive:
    """A metric that is a function of sums over images, so that patients can be re-weighted.

    Attributes:
        summands: What each image adds, ``[N, S]``.
        figure: The metric of such sums, ``[..., S]`` to ``[...]``.
    """

    summands: Callable[[Images], Array]
    figure: Callable[[Array], Array]


def _hits(images: Images) -> Array:
    correct = (images.predicted == images.label).astype(float)
    return np.stack([correct, np.ones_like(correct)], axis=1)


def _hits_by_class(images: Images) -> Array:
    own = np.eye(images.n_classes)[images.label]
    return np.concatenate([own * (images.predicted == images.label)[:, None], own], axis=1)


def _share(sums: Array) -> Array:
    return np.asarray(sums[..., 0] / sums[..., 1], dtype=float)


def _mean_recall(sums: Array) -> Array:
    hits, sizes = np.split(sums, 2, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nanmean(hits / sizes, axis=-1), dtype=float)


ADDITIVE = {"accuracy": Additive(_hits, _share), "balanced_accuracy": Additive(_hits_by_class, _mean_recall)}


@dataclass(frozen=True)
class Scores:
    """One metric over K seeds and the P patients (images, where there are no patients) of a test set.

    Attributes:
        values: ``[K]``.
        left_out: ``[K, P]``, the metric where the others of a patient's class stand in for it; None for one patient.
        strata: ``[P]``, the class of each patient (``variance.strata_of``); None for one patient.
        patients: The P patients' hashes, sorted.
        unit: ``patients`` or ``images``.
        n_images: Test images.
        hits: ``[G, K, P]``, correct images by class, seed and patient (G = 1 for accuracy); None for other metrics.
        sizes: ``[G, P]``, images by class and patient; None for other metrics.
    """

    values: Array
    left_out: Array | None
    strata: Codes | None
    patients: tuple[str, ...]
    unit: str
    n_images: int
    hits: Array | None = None
    sizes: Array | None = None

    def sample(self, places: Sequence[int]) -> Sample:
        """The seeds at the given places with the patients beside them, for ``analysis.variance``."""
        rows = list(places)
        if self.left_out is None:
            return Sample(self.values[rows])
        return Sample(self.values[rows], self.left_out[rows], self.strata)


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
        tables = [self._sizes(r) for r in rows]
        if any(
            not np.array_equal(sizes * len(trials[0]), tables[0] * len(seed))
            for sizes, seed in zip(tables, trials, strict=True)
        ):
            return None
        names = tuple(self._names[i] for i in present)
        n_images = len(np.unique(self._group[rows[0]])) if self._unit == "images" else len(rows[0])
        group = [np.searchsorted(present, self._group[r]) for r in rows]
        strata = strata_of(self._label[rows[0]], group[0], len(present))
        described = (strata, names, self._unit, n_images)
        if metric == "auroc":
            both = [self._auroc(r, g, strata) for r, g in zip(rows, group, strict=True)]
            outs = [out for _, out in both if out is not None]
            return Scores(np.array([value for value, _ in both]), np.stack(outs) if outs else None, *described)
        additive = ADDITIVE[metric]
        sums = np.stack([self._sums(additive, r, g, len(present)) for r, g in zip(rows, group, strict=True)])
        values = additive.figure(sums.sum(axis=1))
        left_out = None if strata is None else additive.figure(stand_in(sums, strata))
        # Seeds may pool several repeats: hits a repeat, so that sizes are the same for all.
        hits, sizes = np.split(sums.transpose(2, 0, 1), 2)
        repeats = sizes.sum(axis=(0, 2)) / sizes[:, 0].sum()
        filled = sizes.sum(axis=(1, 2)) > 0
        return Scores(values, left_out, *described, hits[filled] / repeats[:, None], sizes[filled, 0])

    def _sizes(self, rows: Codes) -> Array:
        """Images of each class and patient, ``[classes * patients]``."""
        classes, patients = int(self._label.max()) + 1, len(self._names)
        cell = self._label[rows] * patients + self._group[rows]
        return np.bincount(cell, minlength=classes * patients).astype(np.float64)

    def _images(self, rows: Codes) -> Images:
        probability = self._probability[rows]
        n_classes = max(int(self._label.max()) + 1, probability.shape[1])
        return Images(self._label[rows], self._predicted[rows], probability, n_classes)

    def _sums(self, additive: Additive, rows: Codes, group: Codes, n_groups: int) -> Array:
        """Sums of a metric's summands by patient, ``[P, S]``."""
        summands = additive.summands(self._images(rows))
        return np.stack([np.bincount(group, column, n_groups) for column in summands.T], axis=1)

    def _auroc(self, rows: Codes, group: Codes, strata: Codes | None) -> tuple[float, Array | None]:
        values, without = [], []
        for c in range(self._probability.shape[1]):
            positive = self._label[rows] == c
            if positive.any() and not positive.all():
                value, left = auroc_left_out(self._probability[rows, c], positive, group, strata)
                values.append(value)
                without.append(left)
        if not values:
            return float("nan"), None if strata is None else np.full(len(strata), np.nan)
        return float(np.mean(values)), None if strata is None else np.nanmean(np.stack(without), axis=0)


def auroc_left_out(
    score: Array, positive: NDArray[np.bool_], group: Codes, strata: Codes | None
) -> tuple[float, Array]:
    """Area under the ROC curve (Mann-Whitney), and again with each patient's place taken by the others of its class.

    Exact, by placements (DeLong et al. 1988): with patient p of class c left out, the images of c's other patients
    weigh f = P_c / (P_c - 1), and a pair of images the product of their weights.

    Args:
        score: ``[N]``.
        positive: ``[N]``.
        group: ``[N]``, codes of patients.
        strata: ``[P]``, the class of each patient; None = the area alone.

    Returns:
        The area and ``[P]`` areas (none without strata); missing where nothing positive or nothing negative is left.
    """
    pos, neg = score[positive], score[~positive]
    area = float(_placements(pos, np.sort(neg)).sum() / (len(pos) * len(neg)))
    if strata is None:
        return area, np.zeros(0)
    n_groups, kinds = len(strata), np.unique(strata)
    g_pos, g_neg = group[positive], group[~positive]
    s_pos, s_neg = strata[g_pos], strata[g_neg]
    # Pairs won by positive images of one class against negative ones of another, and by each patient's.
    wins = np.zeros((len(kinds), len(kinds)))
    own_pos, own_neg = np.zeros((len(kinds), n_groups)), np.zeros((len(kinds), n_groups))
    for i, kind in enumerate(kinds):
        against = _placements(pos, np.sort(neg[s_neg == kind]))
        own_pos[i] = np.bincount(g_pos, against, n_groups)
        wins[:, i] = [against[s_pos == other].sum() for other in kinds]
        beaten = int((s_pos == kind).sum()) - _placements(neg, np.sort(pos[s_pos == kind]))
        own_neg[i] = np.bincount(g_neg, beaten, n_groups)
    n_pos, n_neg = np.bincount(g_pos, minlength=n_groups), np.bincount(g_neg, minlength=n_groups)
    inside = np.zeros(n_groups)
    for g in np.flatnonzero((n_pos > 0) & (n_neg > 0)):
        inside[g] = _placements(pos[g_pos == g], np.sort(neg[g_neg == g])).sum()
    without = np.full(n_groups, np.nan)
    for i, kind in enumerate(kinds):
        own = np.flatnonzero(strata == kind)
        f = len(own) / (len(own) - 1)
        rest = np.arange(len(kinds)) != i
        as_pos = f * (wins[i, rest].sum() - own_pos[rest][:, own].sum(axis=0))
        as_neg = f * (wins[rest, i].sum() - own_neg[rest][:, own].sum(axis=0))
        both = f**2 * (wins[i, i] - own_pos[i, own] - own_neg[i, own] + inside[own])
        total = wins[np.ix_(rest, rest)].sum() + as_pos + as_neg + both
        left_pos, left_neg = (n[strata != kind].sum() + f * (n[own].sum() - n[own]) for n in (n_pos, n_neg))
        with np.errstate(invalid="ignore", divide="ignore"):
            without[own] = total / (left_pos * left_neg)
    return area, np.where(np.isfinite(without), without, np.nan)


def _placements(values: Array, ordered: Array) -> Array:
    """How many of ``ordered`` lie below each value, ties counted half."""
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((below + upto) / 2, dtype=float)

"""A metric from predictions, and again with each patient left out, for the patients' share of a band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.points.additive import RECALL, Additive, Images, additive, worst_named_by_others
from analysis.points.bias_groups import FLIPS, WORST_GROUP
from analysis.statistics.variance import Sample, joined, stand_in, strata_of
from store.sheet.external import is_external

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

MEASURES = {
    "test_accuracy": ("accuracy", "unbiased"),
    "test_balanced_accuracy": ("balanced_accuracy", "unbiased"),
    "test_auroc": ("auroc", "unbiased"),
    "test_aligned_accuracy": ("accuracy", "aligned"),
    "test_independent_accuracy": ("accuracy", "independent"),
    "test_conflicting_accuracy": ("accuracy", "conflicting"),
    "test_worst_group_accuracy": ("worst_group", WORST_GROUP),
    "test_worst_class_accuracy": ("worst_class", "unbiased"),
    "flip_rate": ("flips", FLIPS),
    "ece": ("calibration_error", "unbiased"),
    "confidence_gap": ("confidence_gap", "unbiased"),
    "test_brier": ("brier", "unbiased"),
    "test_log_loss": ("log_loss", "unbiased"),
}
"""Trial columns that can be computed from predictions: (metric, test variant or what is made of several)."""
_FOR_BOOTSTRAP = ("accuracy", "balanced_accuracy")


def measured(column: str) -> tuple[str, str]:
    """Name the metric and the test variant behind a trial column, also of a class's recall.

    Args:
        column: A test column of the trials.

    Returns:
        Both names; empty where predictions do not tell.

    Example:
        >>> measured("test_conflicting_accuracy"), measured("recall_glioma"), measured("bias_probe_accuracy")
        (('accuracy', 'conflicting'), ('recall_glioma', 'unbiased'), ('', ''))
    """
    if is_external(column):
        variant, _, metric = column.rpartition("/")
        return metric, variant
    return (column, "unbiased") if column.startswith(RECALL) else MEASURES.get(column, ("", ""))


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
        bearing: ``[P]``, the patients that the metric is of (of a class's recall those with images of the class);
            None = all.
        n_bearing: Images of these patients that it is of, those of the seed that has the fewest; of weighted images
            their effective number (``effective``).
        weight: ``[P]``, sum of the weights of each patient's images; None where every image counts 1.
        n_effective: Effective number of images, (sum w)^2 / sum w^2; infinite where every image counts 1.
        named_by: Who named the worst group or class, ``other seeds`` or ``itself``; "" for other metrics.
    """

    values: Array
    left_out: Array | None
    strata: Codes | None
    patients: tuple[str, ...]
    unit: str
    n_images: int
    hits: Array | None = None
    sizes: Array | None = None
    bearing: NDArray[np.bool_] | None = None
    n_bearing: int = 0
    named_by: str = ""
    weight: Array | None = None
    n_effective: float = math.inf

    def sample(self, places: Sequence[int], bearing: bool = False) -> Sample:
        """The seeds at the given places with the patients beside them, for ``analysis.statistics.variance``.

        Args:
            places: The seeds.
            bearing: Leave out the patients that the metric is not of, as a proportion over few patients needs; two
                figures can be paired with all of them only.
        """
        rows = list(places)
        if self.left_out is None or self.strata is None:
            return Sample(self.values[rows])
        if not bearing or self.bearing is None:
            worth = math.inf if self.weight is None else effective(self.weight, self.weight**2)
            return Sample(self.values[rows], self.left_out[rows], self.strata, worth, self.n_effective)
        if self.bearing.sum() < 2:
            return Sample(self.values[rows])
        of_them = None if self.weight is None else self.weight[self.bearing]
        worth = math.inf if of_them is None else effective(of_them, of_them**2)
        strata = joined(self.strata[self.bearing])
        return Sample(self.values[rows], self.left_out[rows][:, self.bearing], strata, worth)


def effective(weights: Array, squares: Array) -> float:
    """Effective number of units of these weights, (sum w)^2 / sum w^2 (Kish 1965): as many equal ones say as much.

    Args:
        weights: w.
        squares: w^2, or sums of them.

    Returns:
        The number; 0 where all weights are 0.

    Example:
        >>> w = np.array([4.0, 1.0, 1.0, 1.0, 1.0])
        >>> effective(w, w**2)
        3.2
    """
    total = float(squares.sum())
    return float(weights.sum()) ** 2 / total if total > 0 else 0.0


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
        self._weight: Array | None = None
        if "weight" in rows and rows["weight"].notna().any():
            self._weight = rows["weight"].fillna(1.0).to_numpy(dtype=np.float64)
        self._predicted = rows["predicted"].to_numpy(dtype=np.int64)
        # A class that another sweep of the same frame has is no class here.
        columns = [name for name in rows if str(name).startswith("p_") and rows[name].notna().any()]
        self._probability = rows[columns].to_numpy(dtype=np.float64)
        self._classes = tuple(str(name).removeprefix("p_") for name in columns)
        self._bias_group, self._other = (
            rows[name].to_numpy(dtype=np.int64) if name in rows else np.full(len(rows), otherwise, dtype=np.int64)
            for name, otherwise in ((WORST_GROUP, 0), (FLIPS, -1))
        )

    def scores(self, trials: Sequence[Sequence[str]], metric: str) -> Scores | None:
        """Score seeds, each the pooled predictions of one or more trials (folds, repeats).

        Args:
            trials: For each seed its trial identifiers.
            metric: ``auroc`` or one of ``analysis.points.additive``.

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
            scores = Scores(np.array([value for value, _ in both]), np.stack(outs) if outs else None, *described)
            return self._with_weights(scores, rows[0], group[0])
        how = additive(metric)
        if how is None or (how.probabilities and self._probability.shape[1] <= self._label[rows[0]].max()):
            return None
        sums = np.stack([self._sums(how, r, g, len(present), 1) for r, g in zip(rows, group, strict=True)])
        squares = sums
        if self._weight is not None:
            squares = np.stack([self._sums(how, r, g, len(present), 2) for r, g in zip(rows, group, strict=True)])
        found = _of_sums(how, sums, squares, strata, described, metric in _FOR_BOOTSTRAP)
        return None if found is None else self._with_weights(found, rows[0], group[0])

    def _with_weights(self, scores: Scores, rows: Codes, group: Codes) -> Scores:
        """The scores with the weights of the patients, where images have some."""
        if self._weight is None:
            return scores
        w = self._weight[rows]
        of_patient = np.bincount(group, w, len(scores.patients)).astype(np.float64)
        return replace(scores, weight=of_patient, n_effective=effective(w, w**2))

    def _sizes(self, rows: Codes) -> Array:
        """Images of each class and patient, ``[classes * patients]``."""
        classes, patients = int(self._label.max()) + 1, len(self._names)
        cell = self._label[rows] * patients + self._group[rows]
        return np.bincount(cell, minlength=classes * patients).astype(np.float64)

    def _images(self, rows: Codes) -> Images:
        probability = self._probability[rows]
        n_classes = max(int(self._label.max()) + 1, probability.shape[1])
        return Images(
            label=self._label[rows],
            predicted=self._predicted[rows],
            probability=probability,
            classes=self._classes,
            n_classes=n_classes,
            group=self._bias_group[rows],
            n_groups=int(self._bias_group.max()) + 1,
            other=self._other[rows],
        )

    def _sums(self, how: Additive, rows: Codes, group: Codes, n_groups: int, power: int) -> Array:
        """Sums of a metric's summands by patient, times a power of the weights: ``[P, S]``."""
        summands = how.summands(self._images(rows))
        if self._weight is not None:
            summands = summands * (self._weight[rows] ** power)[:, None]
        return np.stack([np.bincount(group, column, n_groups) for column in summands.T], axis=1)

    def _auroc(self, rows: Codes, group: Codes, strata: Codes | None) -> tuple[float, Array | None]:
        values, without = [], []
        for c in range(self._probability.shape[1]):
            positive = self._label[rows] == c
            # A class that all images have, or none, has no ROC curve.
            if positive.any() and not positive.all():
                weight = None if self._weight is None else self._weight[rows]
                value, left = auroc_left_out(self._probability[rows, c], positive, group, strata, weight)
                values.append(value)
                without.append(left)
        if not values:
            return float("nan"), None if strata is None else np.full(len(strata), np.nan)
        return float(np.mean(values)), None if strata is None else np.nanmean(np.stack(without), axis=0)


def _of_sums(
    how: Additive, sums: Array, squares: Array, strata: Codes | None, described: tuple[Any, ...], bootstrap: bool
) -> Scores | None:
    """Make scores from sums by seed and patient, ``[K, P, S]``, of weights and of their squares.

    Returns:
        The scores; None where no image counts, or where the seeds have different ones.
    """
    named_by = ""
    if how.named:
        sizes = sums[..., sums.shape[-1] // 2 :].sum(axis=1)
        if not np.array_equal(sizes * sizes[0].sum(), sizes[0] * sizes.sum(axis=1, keepdims=True)):
            return None
        half = sums.shape[-1] // 2
        sums, worst = worst_named_by_others(sums)
        squares = np.stack([squares[k][:, [g, half + g]] for k, g in enumerate(worst)])
        named_by = "other seeds" if len(sums) > 1 else "itself"
    values = how.figure(sums.sum(axis=1))
    if not np.isfinite(values).all():
        return None
    left_out = None if strata is None else how.figure(stand_in(sums, strata))
    scores = Scores(values, left_out, *described)
    if how.narrow:
        bearing = np.asarray(sums[..., -1].any(axis=0), dtype=bool)
        n_bearing = int(
            min(effective(of_seed, w2) for of_seed, w2 in zip(sums[..., -1], squares[..., -1], strict=True))
        )
        scores = replace(scores, bearing=bearing, n_bearing=n_bearing, named_by=named_by)
    if not bootstrap:
        return scores
    # Seeds may pool several repeats: hits a repeat, so that sizes are the same for all.
    hits, sizes = np.split(sums.transpose(2, 0, 1), 2)
    repeats = sizes.sum(axis=(0, 2)) / sizes[:, 0].sum()
    filled = sizes.sum(axis=(1, 2)) > 0
    return replace(scores, hits=hits[filled] / repeats[:, None], sizes=sizes[filled, 0])


def auroc_left_out(
    score: Array,
    positive: NDArray[np.bool_],
    group: Codes,
    strata: Codes | None,
    weight: Array | None = None,
) -> tuple[float, Array]:
    """Compute the area under the ROC curve, and again with each patient's place taken by the others of its class.

    The area is that of Mann-Whitney; the others are exact, by placements (DeLong et al. 1988): with patient p of class
    c left out, the images of c's other patients weigh f = P_c / (P_c - 1), and a pair of images the product of their
    weights.

    Args:
        score: ``[N]``.
        positive: ``[N]``.
        group: ``[N]``, codes of patients.
        strata: ``[P]``, the class of each patient; None = the area alone.
        weight: ``[N]``, what each image counts, fixed when a patient is left out; None = 1.

    Returns:
        The area and ``[P]`` areas (none without strata); missing where nothing positive or nothing negative is left.

    Example:
        >>> score, positive = np.array([0.9, 0.4, 0.6, 0.1]), np.array([True, True, False, False])
        >>> auroc_left_out(score, positive, np.arange(4), None)[0]  # 3 of 4 pairs are in the right order
        0.75
        >>> auroc_left_out(score, positive, np.arange(4), np.array([0, 0, 1, 1]))[1].tolist()
        [0.5, 1.0, 1.0, 0.5]
    """
    w = np.ones(len(score)) if weight is None else weight
    pos, neg, w_pos, w_neg = score[positive], score[~positive], w[positive], w[~positive]
    total_pos, total_neg = float(w_pos.sum()), float(w_neg.sum())
    if total_pos <= 0 or total_neg <= 0:
        return float("nan"), np.full(0 if strata is None else len(strata), np.nan)
    area = min(1.0, float((w_pos * _placements(pos, neg, w_neg)).sum() / (total_pos * total_neg)))
    if strata is None:
        return area, np.zeros(0)
    n_groups, kinds = len(strata), np.unique(strata)
    g_pos, g_neg = group[positive], group[~positive]
    s_pos, s_neg = strata[g_pos], strata[g_neg]
    # Pairs won by positive images of one class against negative ones of another, and by each patient's.
    wins = np.zeros((len(kinds), len(kinds)))
    own_pos, own_neg = np.zeros((len(kinds), n_groups)), np.zeros((len(kinds), n_groups))
    for i, kind in enumerate(kinds):
        against = w_pos * _placements(pos, neg[s_neg == kind], w_neg[s_neg == kind])
        own_pos[i] = np.bincount(g_pos, against, n_groups)
        wins[:, i] = [against[s_pos == other].sum() for other in kinds]
        of_kind = s_pos == kind
        beaten = w_neg * (w_pos[of_kind].sum() - _placements(neg, pos[of_kind], w_pos[of_kind]))
        own_neg[i] = np.bincount(g_neg, beaten, n_groups)
    n_pos, n_neg = np.bincount(g_pos, w_pos, n_groups), np.bincount(g_neg, w_neg, n_groups)
    inside = np.zeros(n_groups)
    # A pair inside one patient was taken away twice, as a positive and as a negative one.
    for g in np.flatnonzero((n_pos > 0) & (n_neg > 0)):
        mine, other = g_pos == g, g_neg == g
        inside[g] = (w_pos[mine] * _placements(pos[mine], neg[other], w_neg[other])).sum()
    without = np.full(n_groups, np.nan)
    for i, kind in enumerate(kinds):
        of_kind = np.flatnonzero(strata == kind)
        f = len(of_kind) / (len(of_kind) - 1)
        rest = np.arange(len(kinds)) != i
        as_pos = f * (wins[i, rest].sum() - own_pos[rest][:, of_kind].sum(axis=0))
        as_neg = f * (wins[rest, i].sum() - own_neg[rest][:, of_kind].sum(axis=0))
        both = f**2 * (wins[i, i] - own_pos[i, of_kind] - own_neg[i, of_kind] + inside[of_kind])
        total = wins[np.ix_(rest, rest)].sum() + as_pos + as_neg + both
        left_pos, left_neg = (n[strata != kind].sum() + f * (n[of_kind].sum() - n[of_kind]) for n in (n_pos, n_neg))
        with np.errstate(invalid="ignore", divide="ignore"):
            without[of_kind] = total / (left_pos * left_neg)
    return area, np.where(np.isfinite(without), without, np.nan)


def _placements(values: Array, others: Array, weight: Array) -> Array:
    """Sum the weights of the others that lie below each value, ties counted half."""
    order = np.argsort(others, kind="stable")
    ordered, upto_each = others[order], np.concatenate([[0.0], np.cumsum(weight[order])])
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((upto_each[below] + upto_each[upto]) / 2, dtype=float)

"""Metrics of predicted probabilities: pure functions on numpy arrays.

Everywhere: ``probs`` float ``[N, K]``, rows sum to 1; ``labels`` int64 ``[N]`` in 0 .. K - 1; ``weights`` float
``[N]``, not negative, or None for ones. A metric that its data leave undefined (no image, a single class) is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainable.errors import InputError, unknown_name
from trainable.spec import Metric

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Scored = Metric | Literal["worst_class"]
"""A sweep's metric, or its worst group where the groups are the classes alone (``scored``)."""
_JACKKNIFE_BLOCKS = 100


def _weights(labels: Ints, weights: Floats | None) -> NDArray[np.float64]:
    return np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)


def accuracy(probs: Floats, labels: Ints, weights: Floats | None = None) -> float:
    """Share of right predictions, in [0, 1].

    A tie of probabilities goes to the lower class.

    Args:
        probs: Probabilities, float ``[N, K]``.
        labels: Classes, int64 ``[N]``.
        weights: Weight of each image, float ``[N]``, or None for ones.

    Example:
        >>> probs, labels = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]), np.array([0, 0, 1, 1])
        >>> accuracy(probs, labels)
        0.75
    """
    w = _weights(labels, weights)
    total = w.sum()
    return float(w[probs.argmax(axis=1) == labels].sum() / total) if total > 0 else float("nan")


def recalls(probs: Floats, labels: Ints, weights: Floats | None = None) -> NDArray[np.float64]:
    """Share of right predictions among the images of each class, float64 ``[K]`` in [0, 1].

    It is NaN for a class without images.

    Args:
        probs: Probabilities, float ``[N, K]``.
        labels: Classes, int64 ``[N]``.
        weights: Weight of each image, float ``[N]``, or None for ones.

    Example:
        >>> probs, labels = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]), np.array([0, 0, 1, 1])
        >>> recalls(probs, labels)
        array([0.5, 1. ])
    """
    w = _weights(labels, weights)
    n_classes = probs.shape[1]
    right = np.bincount(labels, weights=w * (probs.argmax(axis=1) == labels), minlength=n_classes)
    total = np.bincount(labels, weights=w, minlength=n_classes)
    by_class: NDArray[np.float64] = np.divide(right, total, out=np.full(n_classes, np.nan), where=total > 0)
    return by_class


def balanced_accuracy(probs: Floats, labels: Ints, weights: Floats | None = None) -> float:
    """Mean recall over the classes that have images, in [0, 1].

    Args:
        probs: Probabilities, float ``[N, K]``.
        labels: Classes, int64 ``[N]``.
        weights: Weight of each image, float ``[N]``, or None for ones.

    Example:
        >>> probs, labels = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]), np.array([0, 0, 1, 1])
        >>> balanced_accuracy(probs, labels)
        0.75
    """
    by_class = recalls(probs, labels, weights)
    by_class = by_class[~np.isnan(by_class)]
    return float(by_class.mean()) if len(by_class) else float("nan")


def auroc(probs: Floats, labels: Ints, weights: Floats | None = None) -> float:
    """Area under the ROC curve, one class against the rest, mean over classes, in [0, 1].

    The area is the chance that an image of the class scores above one of the rest, a tie counting half (the
    Mann-Whitney statistic: Hanley & McNeil 1982). Classes without images, or without a rest, are left out.

    Args:
        probs: Probabilities, float ``[N, K]``.
        labels: Classes, int64 ``[N]``.
        weights: Weight of each image, float ``[N]``, or None for ones.

    Example:
        >>> probs, labels = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]), np.array([0, 0, 1, 1])
        >>> auroc(probs, labels)
        1.0
    """
    w = _weights(labels, weights)
    areas = []
    for k in range(probs.shape[1]):
        positive = labels == k
        inside, outside = w[positive].sum(), w[~positive].sum()
        if inside <= 0 or outside <= 0:
            continue
        _, rank = np.unique(probs[:, k], return_inverse=True)
        rest = np.bincount(rank, weights=w * ~positive)
        beaten = np.cumsum(rest) - rest / 2
        areas.append(min(1.0, float((w * beaten[rank])[positive].sum() / (inside * outside))))
    return float(np.mean(areas)) if areas else float("nan")


def worst_group_accuracy(correct: NDArray[np.bool_], groups: Ints, weights: Floats | None = None) -> float:
    """Lowest accuracy over groups (Sagawa et al., ICLR 2020).

    Args:
        correct: Whether each prediction is right, ``[N]``.
        groups: Group of each image, int64 ``[N]``, any numbers.
        weights: Weight of each image, float ``[N]``, or None for ones; a group of weight 0 is none.

    Returns:
        The minimum over the groups that have images, in [0, 1].

    Example:
        >>> worst_group_accuracy(np.array([True, True, True, False]), np.array([0, 0, 1, 1]))
        0.5
    """
    if not len(correct):
        return float("nan")
    _, inverse = np.unique(groups, return_inverse=True)
    if weights is None:
        return float((np.bincount(inverse, weights=correct) / np.bincount(inverse)).min())
    w = np.asarray(weights, dtype=np.float64)
    right, total = np.bincount(inverse, weights=w * correct), np.bincount(inverse, weights=w)
    return float((right[total > 0] / total[total > 0]).min()) if (total > 0).any() else float("nan")


def flip_rate(first: Ints, second: Ints) -> float:
    """Share of images whose predicted class differs between two variants that differ in the bias alone.

    Args:
        first: Predicted class of each image in one variant, ``[N]``.
        second: In the other, in the same order.

    Returns:
        A number in [0, 1].

    Raises:
        InputError: The two have different lengths.

    Example:
        >>> flip_rate(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0]))
        0.25
    """
    if len(first) != len(second):
        raise InputError(f"flip_rate compares the same images, but got {len(first)} and {len(second)} predictions")
    return float(np.mean(first != second)) if len(first) else float("nan")


def scored(metric: Metric, worst_group_by: str) -> Scored:
    """The metric as validation images are scored in it.

    Args:
        metric: The sweep's metric.
        worst_group_by: Of the data set: where a group is made of several test variants, which validation images have
            no counterpart of, the classes alone are groups.

    Example:
        >>> scored("worst_group", "attribute"), scored("worst_group", "variant"), scored("auroc", "variant")
        ('worst_group', 'worst_class', 'auroc')
    """
    return "worst_class" if metric == "worst_group" and worst_group_by == "variant" else metric


_METRICS = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "auroc": auroc}


def score(
    metric: Scored, probs: Floats, labels: Ints, weights: Floats | None = None, attribute: Ints | None = None
) -> float:
    """Compute the sweep's metric.

    Args:
        metric: ``accuracy``, ``balanced_accuracy``, ``auroc``, ``worst_group`` or ``worst_class``.
        probs: Probabilities.
        labels: Classes.
        weights: Weight of each image, or None.
        attribute: Bias attribute of each image, with the class the group of ``worst_group``; None = the class alone is.

    Returns:
        A number in [0, 1].

    Raises:
        InputError: Unknown metric.

    Example:
        >>> probs, labels = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]), np.array([0, 0, 1, 1])
        >>> score("balanced_accuracy", probs, labels)
        0.75
    """
    if metric in ("worst_group", "worst_class"):
        groups = labels
        if metric == "worst_group" and attribute is not None and len(attribute):
            # An attribute may be -1, not counted: a group of its own.
            groups = labels * (int(attribute.max()) + 2) + attribute + 1
        return worst_group_accuracy(probs.argmax(axis=1) == labels, groups, weights)
    if metric not in _METRICS:
        raise unknown_name("metric", metric, (*_METRICS, "worst_group"))
    return _METRICS[metric](probs, labels, weights)


@dataclass(frozen=True)
class Reweighted:
    """An estimate of the metric where bias and class are independent, made from biased data.

    Attributes:
        estimate: The re-weighted metric, in [0, 1].
        se: Its standard error, by group.
        n_eff: Effective number of images, (sum w)^2 / sum w^2 (Kish 1965).
    """

    estimate: float
    se: float
    n_eff: float


def bias_weights(labels: Ints, bias: Ints, target: Floats) -> NDArray[np.float64]:
    """Weights under which the bias is independent of the class: p_target(b) p(y) / p(y, b).

    Args:
        labels: Class of each image, ``[N]``.
        bias: Bias attribute of each image, int64 ``[N]`` in 0 .. B - 1.
        target: Law of the bias to estimate under, ``[B]``, sums to 1; e.g. all on "not annotated".

    Returns:
        float64 ``[N]``, sum N.

    Raises:
        InputError: A class has no image of a bias value that the target law contains.

    Example:
        >>> bias_weights(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1.0, 0.0]))
        array([2., 0., 1.])
    """
    n_values = len(target)
    classes = np.unique(labels)
    counts = np.bincount(labels * n_values + bias, minlength=(int(labels.max()) + 1) * n_values)
    counts = counts.reshape(-1, n_values)
    for y in classes:
        for b in np.flatnonzero((np.asarray(target) > 0) & (counts[y] == 0)):
            raise InputError(
                f"val_reweighted needs images of every class at every bias value it estimates for, but class {y} has "
                f"none of bias value {b}: use a weaker bias or another rule"
            )
    n_class = counts.sum(axis=1)
    weights: NDArray[np.float64] = np.asarray(target, dtype=np.float64)[bias] * n_class[labels] / counts[labels, bias]
    return weights


def reweighted(metric: Scored, probs: Floats, labels: Ints, bias: Ints, target: Floats, groups: Ints) -> Reweighted:
    """Estimate a metric at independence of bias and class from data in which they depend.

    With the metric accuracy and a target law that is all on "not annotated" this is
    sum over y of p(y) x accuracy on the unannotated images of class y: post-stratification (Horvitz & Thompson 1952).

    Args:
        metric: The sweep's metric.
        probs: Probabilities, ``[N, K]``.
        labels: Class of each image, ``[N]``.
        bias: Bias attribute of each image, ``[N]`` in 0 .. B - 1.
        target: Law of the bias to estimate under, ``[B]``.
        groups: Patient of each image, ``[N]``: images of one patient are not independent. The standard error is the
            delete-one-group jackknife (more than 100 groups are deleted in 100 blocks).

    Returns:
        Estimate, standard error and effective number of images.

    Raises:
        InputError: As in ``bias_weights``.

    Example:
        >>> probs, labels = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]), np.array([0, 0, 1, 1])
        >>> annotated = np.array([0, 1, 0, 0])
        >>> reweighted("accuracy", probs, labels, annotated, np.array([1.0, 0.0]), groups=np.arange(4)).estimate
        1.0
    """
    weights = bias_weights(labels, bias, target)
    estimate = score(metric, probs, labels, weights, bias)
    n_eff = float(weights.sum() ** 2 / (weights**2).sum())
    _, inverse = np.unique(groups, return_inverse=True)
    blocks = inverse % _JACKKNIFE_BLOCKS
    n_blocks = int(blocks.max()) + 1
    if n_blocks < 2:
        return Reweighted(estimate, float("nan"), n_eff)
    # Without some block a class can be without images, where the area under the curve is undefined: NaN is left out.
    kept = [blocks != block for block in range(n_blocks)]
    without = np.array([score(metric, probs[keep], labels[keep], weights[keep], bias[keep]) for keep in kept])
    se = float(np.sqrt((n_blocks - 1) * np.nanmean((without - np.nanmean(without)) ** 2)))
    return Reweighted(estimate, se, n_eff)

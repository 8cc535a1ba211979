"""Metrics as functions of sums over images, so that patients can be left out of them and re-weighted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

BINS = 15
LEAST_PROBABILITY = 1e-7
RECALL = "recall_"


@dataclass(frozen=True)
class Images:
    """Test images of one seed.

    What an image adds is multiplied by its weight where the test variant has weights (``PredictionStore``).

    Attributes:
        label: ``[N]``, class.
        predicted: ``[N]``, predicted class.
        probability: ``[N, C]``, of each class; fewer columns where the predictions hold fewer.
        classes: Names of the C classes.
        n_classes: Classes of the test set.
        group: ``[N]``, group of worst-group accuracy (``analysis.points.bias_groups``); 0 elsewhere.
        n_groups: Groups of the test set.
        other: ``[N]``, predicted class where nothing but the bias differs (``analysis.points.bias_groups``); -1
            elsewhere.
    """

    label: Codes
    predicted: Codes
    probability: Array
    classes: tuple[str, ...]
    n_classes: int
    group: Codes
    n_groups: int
    other: Codes


@dataclass(frozen=True)
class Additive:
    """A metric that is a function of sums over images.

    Attributes:
        summands: What each image adds, ``[N, S]``.
        figure: The metric of such sums, ``[..., S]`` to ``[...]``.
        probabilities: It needs the probability of every class, not the predicted class alone.
        named: Hits and sizes of groups of which one, the worst, is the figure.
        narrow: It is of some patients alone, those whose images count in the last summand.
    """

    summands: Callable[[Images], Array]
    figure: Callable[[Array], Array]
    probabilities: bool = False
    named: bool = False
    narrow: bool = False


def additive(metric: str) -> Additive | None:
    """Look up the metric of a name.

    Args:
        metric: A name such as ``accuracy``, ``brier`` or ``recall_<class>``.

    Returns:
        The metric; None for one that is no function of sums, such as AUROC.

    Example:
        >>> additive("accuracy").probabilities, additive("brier").probabilities
        (False, True)
        >>> additive("auroc") is None
        True
    """
    if metric.startswith(RECALL):
        name = metric.removeprefix(RECALL)
        return Additive(lambda images: _hits_of_class(images, name), share, narrow=True)
    return _ADDITIVE.get(metric)


def share(sums: Array) -> Array:
    """Divide the first sum by the last: a mean over images.

    Args:
        sums: ``[..., S]``.

    Returns:
        ``[...]``; missing where the last sum is 0.

    Example:
        >>> share(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [0.75, nan]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 0] / sums[..., -1], dtype=float)


def worst_named_by_others(sums: Array) -> tuple[Array, Codes]:
    """Pick the sums of the worst group of each seed, the one with the lowest mean accuracy over the OTHER seeds.

    The lowest of many noisy numbers lies below the lowest true one, unless others name it than measure it. A single
    seed names its own, which lies too low. Of a tie the first group is named.

    Args:
        sums: ``[K, P, 2 G]``, hits of the G groups, then their images.

    Returns:
        ``[K, P, 2]``, hits and images of each seed's group, and the groups ``[K]``.

    Example:
        >>> sums = np.array([[[9.0, 8.0, 10.0, 10.0]], [[6.0, 8.0, 10.0, 10.0]]])  # two seeds, one patient, two groups
        >>> of_worst, named = worst_named_by_others(sums)
        >>> named.tolist(), of_worst[:, 0].tolist()
        ([0, 1], [[9.0, 10.0], [8.0, 10.0]])
    """
    n_seeds, n_groups = len(sums), sums.shape[-1] // 2
    hits, sizes = np.split(sums.sum(axis=1), 2, axis=-1)
    # A group without images in a seed has no accuracy there: at infinity it is never the worst.
    accuracy = np.divide(hits, sizes, out=np.full_like(hits, np.inf), where=sizes > 0)
    others = (
        accuracy if n_seeds == 1 else np.stack([np.delete(accuracy, k, axis=0).mean(axis=0) for k in range(n_seeds)])
    )
    worst = np.asarray(others.argmin(axis=1), dtype=np.int64)
    of_worst = [sums[k][:, [g, n_groups + g]] for k, g in enumerate(worst)]
    return np.stack(of_worst), worst


def squared_errors(probability: Array, label: Codes) -> Array:
    """Compute the Brier score of each image: squared errors summed over classes.

    Args:
        probability: ``[N, C]``, of each class.
        label: ``[N]``, true class.

    Returns:
        ``[N]``, in [0, 2].

    Example:
        >>> squared_errors(np.array([[0.8, 0.2], [0.0, 1.0]]), np.array([0, 0])).round(2).tolist()
        [0.08, 2.0]
    """
    return np.asarray(((probability - np.eye(probability.shape[1])[label]) ** 2).sum(axis=1), dtype=float)


def losses(probability: Array, label: Codes) -> Array:
    """Compute the log loss of each image, -log of the true class's probability.

    Args:
        probability: ``[N, C]``, of each class; values under 1e-7 count as 1e-7.
        label: ``[N]``, true class.

    Returns:
        ``[N]``, nats, in [0, 16.1].

    Example:
        >>> losses(np.array([[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]]), np.array([0, 0, 0])).round(2).tolist()
        [0.11, 0.69, 16.12]
    """
    true = probability[np.arange(len(label)), label]
    return np.asarray(-np.log(np.clip(true, LEAST_PROBABILITY, 1.0)), dtype=float)


def bin_of(confidence: Array) -> Codes:
    """Sort confidences into the equal bins (i / 15, (i + 1) / 15] of the calibration error.

    Args:
        confidence: ``[N]``, largest probabilities.

    Returns:
        ``[N]``, int64, 0 to 14.

    Example:
        >>> bin_of(np.array([0.0, 0.5, 0.99])).tolist()
        [0, 7, 14]
    """
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _right(images: Images) -> Array:
    return np.asarray(images.predicted == images.label, dtype=float)


def _mean_of(value: Array) -> Array:
    return np.stack([value, np.ones_like(value)], axis=1)


def _hits_of_class(images: Images, name: str) -> Array:
    of_class = images.label == (images.classes.index(name) if name in images.classes else -1)
    return np.stack([of_class * _right(images), of_class], axis=1)


def _hits_by(code: Codes, n: int, right: Array) -> Array:
    of_group = np.eye(n)[code]
    return np.concatenate([of_group * right[:, None], of_group], axis=1)


def _gaps_by_bin(images: Images) -> Array:
    confidence = images.probability.max(axis=1)
    binned = np.eye(BINS)[bin_of(confidence)] * (_right(images) - confidence)[:, None]
    return np.concatenate([binned, np.ones((len(confidence), 1))], axis=1)


def _mean_recall(sums: Array) -> Array:
    hits, sizes = np.split(sums, 2, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nanmean(hits / sizes, axis=-1), dtype=float)


_ADDITIVE = {
    "accuracy": Additive(lambda images: _mean_of(_right(images)), share),
    "balanced_accuracy": Additive(
        lambda images: _hits_by(images.label, images.n_classes, _right(images)), _mean_recall
    ),
    "worst_class": Additive(
        lambda images: _hits_by(images.label, images.n_classes, _right(images)), share, named=True, narrow=True
    ),
    "worst_group": Additive(
        lambda images: _hits_by(images.group, images.n_groups, _right(images)), share, named=True, narrow=True
    ),
    "flips": Additive(lambda images: _mean_of((images.predicted != images.other).astype(float)), share),
    "brier": Additive(lambda images: _mean_of(squared_errors(images.probability, images.label)), share, True),
    "log_loss": Additive(lambda images: _mean_of(losses(images.probability, images.label)), share, True),
    "confidence_gap": Additive(
        lambda images: _mean_of(images.probability.max(axis=1) - _right(images)), share, probabilities=True
    ),
    "calibration_error": Additive(
        _gaps_by_bin, lambda sums: np.abs(sums[..., :-1]).sum(axis=-1) / sums[..., -1], probabilities=True
    ),
}

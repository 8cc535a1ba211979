"""Calibration of predicted probabilities: how far they lie from the truth, as pure functions on numpy arrays.

Everywhere: ``probs`` float ``[N, K]``, rows sum to 1; ``labels`` int64 ``[N]`` in 0 .. K - 1. Of no image: NaN.
``analysis.points.calibration`` computes the same figures from stored predictions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
BINS = 15
LEAST_PROBABILITY = 1e-7
"""Least probability in the log loss: a single float32 zero would make it infinite."""


def brier(probs: Floats, labels: Ints, weights: Floats | None = None) -> float:
    """Brier score of several classes (Brier 1950), in [0, 2]: squared errors summed over classes, mean over images.

    Half of it, the form for two classes alone, is not meant: guessing evenly among K classes scores 1 - 1 / K.

    Args:
        probs: Probabilities, float ``[N, K]``.
        labels: Classes, int64 ``[N]``.
        weights: Weight of each image, float ``[N]``, or None for ones.

    Example:
        >>> probs, labels = np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1])
        >>> brier(probs, labels)
        0.3125
    """
    if not len(labels):
        return float("nan")
    p = probs.astype(np.float64)
    return _mean(((p - np.eye(p.shape[1])[labels]) ** 2).sum(axis=1), weights)


def log_loss(probs: Floats, labels: Ints, weights: Floats | None = None) -> float:
    """Mean of -log of the true class's probability, nats, in [0, 16.12].

    Probabilities below 1e-7 count as 1e-7.

    Args:
        probs: Probabilities, float ``[N, K]``.
        labels: Classes, int64 ``[N]``.
        weights: Weight of each image, float ``[N]``, or None for ones.

    Example:
        >>> probs, labels = np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1])
        >>> round(log_loss(probs, labels), 4)
        0.4904
    """
    if not len(labels):
        return float("nan")
    true = probs[np.arange(len(labels)), labels].astype(np.float64)
    return -_mean(np.log(np.clip(true, LEAST_PROBABILITY, 1.0)), weights)


def confidence_gap(probs: Floats, labels: Ints, weights: Floats | None = None) -> float:
    """Mean confidence (largest probability) minus accuracy, in [-1, 1]: above 0 overconfident.

    Args:
        probs: Probabilities, float ``[N, K]``.
        labels: Classes, int64 ``[N]``.
        weights: Weight of each image, float ``[N]``, or None for ones.

    Example:
        >>> probs, labels = np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1])
        >>> confidence_gap(probs, labels)
        0.125
    """
    if not len(labels):
        return float("nan")
    right = (probs.argmax(axis=1) == labels).astype(np.float64)
    return _mean(probs.max(axis=1).astype(np.float64), weights) - _mean(right, weights)


def calibration_error(probs: Floats, labels: Ints, weights: Floats | None = None, bins: int = BINS) -> float:
    """Expected calibration error (Guo et al., ICML 2017, eq. 3), in [0, 1].

    Args:
        probs: Probabilities.
        labels: Classes.
        weights: Weight of each image, float ``[N]``, or None for ones.
        bins: Number of equal bins (i / bins, (i + 1) / bins] of the largest probability.

    Returns:
        sum over bins of (share of images) x |accuracy - mean confidence|.

    Example:
        >>> probs, labels = np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1])
        >>> calibration_error(probs, labels)
        0.375
    """
    if not len(labels):
        return float("nan")
    confidence = probs.max(axis=1).astype(np.float64)
    right = (probs.argmax(axis=1) == labels).astype(np.float64)
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    gaps = np.bincount(_bin_of(confidence, bins), weights=w * (right - confidence), minlength=bins)
    return float(np.abs(gaps).sum() / w.sum()) if w.sum() > 0 else float("nan")


def calibration_error_null(probs: Floats, bins: int = BINS) -> float:
    """Calibration error that a perfectly calibrated network with these confidences has on as many images, in [0, 1].

    A finite sample never has a calibration error of 0: in each bin the number of right predictions scatters about the
    sum of confidences. Its mean absolute deviation is exact here, from the law of a sum of independent draws, each of
    them right with its confidence. Errors that come together in a patient's images raise it further.

    Args:
        probs: Probabilities.
        bins: As in ``calibration_error``.

    Returns:
        The expectation of ``calibration_error``.

    Example:
        >>> round(calibration_error_null(np.array([[0.75, 0.25], [0.5, 0.5]])), 4)
        0.4375
    """
    if not len(probs):
        return float("nan")
    confidence = np.clip(probs.max(axis=1).astype(np.float64), 0.0, 1.0)
    bin_index = _bin_of(confidence, bins)
    return sum(_mean_deviation(confidence[bin_index == i]) for i in np.unique(bin_index)) / len(probs)


def _mean(values: NDArray[np.float64], weights: Floats | None) -> float:
    if weights is None:
        return float(values.mean())
    w = np.asarray(weights, dtype=np.float64)
    return float((w * values).sum() / w.sum()) if w.sum() > 0 else float("nan")


def _bin_of(confidence: NDArray[np.float64], bins: int) -> Ints:
    # Closed above, as in the paper: a confidence of 1 lies in the last bin.
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def _mean_deviation(p: NDArray[np.float64]) -> float:
    """E|X - E X| of the number X of successes of independent draws: their polynomials multiplied pair by pair."""
    size = 1 << max(len(p) - 1, 0).bit_length()
    # A draw that always fails is no draw: the number of polynomials is filled up to a power of two with such.
    chance = np.concatenate([p, np.zeros(size - len(p))])
    law = np.stack([1 - chance, chance], axis=1)
    while len(law) > 1:
        n = 2 * law.shape[1] - 1
        spectrum = np.fft.rfft(law, n, axis=1)
        law = np.fft.irfft(spectrum[::2] * spectrum[1::2], n, axis=1)
    return float((law[0] * np.abs(np.arange(law.shape[1]) - p.sum())).sum())

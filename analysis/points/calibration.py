"""Calibration columns of the trials, from stored predictions where rows of older versions lack them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.points.additive import BINS, bin_of, losses, squared_errors

Array = NDArray[np.float64]

FIGURES = ("test_brier", "test_log_loss", "confidence_gap", "ece", "ece_null")
"""Columns that a trial's predictions on the unbiased variant give."""


def with_calibration(
    trials: pd.DataFrame, predictions: pd.DataFrame | None, columns: Sequence[str] = FIGURES
) -> pd.DataFrame:
    """Fill in the calibration columns that trials lack, where their predictions hold every class's probability.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned, or None.
        columns: Columns to fill; others than ``FIGURES`` stay as they are.

    Returns:
        The trials; the same frame where nothing is missing.

    Example:
        >>> trials = pd.DataFrame({"trial_id": ["a"], "ece": [0.1]})
        >>> with_calibration(trials, None) is trials  # without predictions nothing can be filled in
        True
    """
    wanted = [name for name in columns if name in FIGURES]
    if predictions is None or predictions.empty or not wanted:
        return trials
    confirmed = (trials["phase"] == "confirm") & (trials["status"] == "completed")
    lacking = trials.loc[confirmed & trials[wanted].isna().any(axis=1), "trial_id"]
    rows = predictions[(predictions["variant"] == "unbiased") & predictions["trial_id"].isin(lacking)]
    figures = {trial: figures_of(of_trial) for trial, of_trial in rows.groupby("trial_id", sort=False)}
    if not figures:
        return trials
    table = pd.DataFrame.from_dict(figures, orient="index", columns=list(FIGURES))
    filled = {name: trials[name].fillna(trials["trial_id"].map(table[name]).where(confirmed)) for name in wanted}
    return trials.assign(**filled)


def figures_of(predictions: pd.DataFrame) -> list[float]:
    """Compute the calibration figures of one trial's predictions on one variant, in the order of ``FIGURES``.

    Args:
        predictions: Its rows; ``p_<class>`` columns in the order of the classes, empty ones those of another sweep.

    Returns:
        The figures; missing where a class has no probability, and ``ece_null`` where images have weights.

    Example:
        >>> rows = pd.DataFrame({"label": [0, 1], "predicted": [0, 0], "p_a": [0.8, 0.6], "p_b": [0.2, 0.4]})
        >>> dict(zip(FIGURES, (round(figure, 3) for figure in figures_of(rows)), strict=True))
        {'test_brier': 0.4, 'test_log_loss': 0.57, 'confidence_gap': 0.2, 'ece': 0.4, 'ece_null': 0.4}
    """
    columns = predictions[[name for name in predictions if str(name).startswith("p_")]].dropna(axis=1, how="all")
    probability, label = columns.to_numpy(dtype=np.float64), predictions["label"].to_numpy(dtype=np.int64)
    if probability.shape[1] <= label.max() or not np.isfinite(probability).all():
        return [float("nan")] * len(FIGURES)
    right = (predictions["predicted"].to_numpy(dtype=np.int64) == label).astype(float)
    confidence = probability.max(axis=1)
    weighted = "weight" in predictions and bool(predictions["weight"].notna().any())
    w = predictions["weight"].fillna(1.0).to_numpy(dtype=np.float64) if weighted else np.ones(len(label))
    if not w.any():
        return [float("nan")] * len(FIGURES)
    gaps = np.bincount(bin_of(confidence), w * (right - confidence), BINS)
    return [
        *(
            float(np.average(values, weights=w) if weighted else values.mean())
            for values in (squared_errors(probability, label), losses(probability, label), confidence - right)
        ),
        float(np.abs(gaps).sum() / w.sum()),
        # Of a sum of weighted draws no law is exact.
        float("nan") if weighted else null_of(confidence),
    ]


def null_of(confidence: Array) -> float:
    """Compute the expected calibration error of a perfectly calibrated network with these confidences.

    Each image is right with its confidence, independently: the mean absolute deviation of the number of right ones is
    computed exactly in each bin. Errors that come together in a patient's images raise it further.

    Args:
        confidence: ``[N]``, largest probabilities.

    Returns:
        A number in [0, 1].

    Example:
        >>> [round(null_of(np.full(n, 0.8)), 3) for n in (20, 2000)]  # it falls with the number of images
        [0.07, 0.007]
    """
    c = np.clip(np.asarray(confidence, dtype=float), 0.0, 1.0)
    bin_index = bin_of(c)
    return sum(_mean_deviation(c[bin_index == i]) for i in np.unique(bin_index)) / len(c)


def _mean_deviation(p: Array) -> float:
    """Compute E|X - E X| of the number X of successes of independent draws.

    The polynomials of the draws are multiplied pair by pair.
    """
    size = 1 << max(len(p) - 1, 0).bit_length()
    # A draw that always fails is no draw: the number of polynomials is filled up to a power of two with such.
    chance = np.concatenate([p, np.zeros(size - len(p))])
    law = np.stack([1 - chance, chance], axis=1)
    while len(law) > 1:
        n = 2 * law.shape[1] - 1
        # Products of polynomials by FFT: term by term a bin of many images would take the square of their number.
        spectrum = np.fft.rfft(law, n, axis=1)
        law = np.fft.irfft(spectrum[::2] * spectrum[1::2], n, axis=1)
    return float((law[0] * np.abs(np.arange(law.shape[1]) - p.sum())).sum())

"""All paired differences of several figures over the same seeds and patients at once, and the ranks they leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from analysis.statistics.bootstrap import Weights
from analysis.statistics.intervals import holm
from analysis.statistics.variance import Sample

Array = NDArray[np.float64]
_ALIKE, _ROUNDING = 1e-12, 1e-24


@dataclass(frozen=True)
class Pairs:
    """Paired differences between M figures.

    Attributes:
        difference: ``[M, M]``, row minus column.
        p: ``[M, M]``, two-sided p of each; missing where there is none.
    """

    difference: Array
    p: Array


def paired_differences(samples: Sequence[Sample]) -> Pairs:
    """Compute every paired difference with its p, by the variance of ``variance.variance_of``.

    V of a difference is a quadratic form, V_jj + V_kk - 2 V_jk in each of its parts, so that M figures need M by M
    covariances in place of M (M - 1) / 2 passes over the patients.

    Args:
        samples: M figures of the same K seeds, and of the same patients or all without any.

    Returns:
        The differences; no p for a single seed, on the diagonal, and where a difference is the same in all seeds and
        patients (``Variance.no_spread``).

    Example:
        >>> runs = [0.90, 0.92, 0.88, 0.91, 0.93], [0.85, 0.90, 0.86, 0.84, 0.88]
        >>> pairs = paired_differences([Sample(np.array(accuracies)) for accuracies in runs])
        >>> round(float(pairs.difference[0, 1]), 3), round(float(pairs.p[0, 1]), 6)
        (0.042, 0.012331)
    """
    values = np.stack([np.asarray(sample.values, dtype=float) for sample in samples])
    m, k = values.shape
    means = values.mean(axis=1)
    difference = means[:, None] - means[None, :]
    if k < 2:
        return Pairs(difference, np.full((m, m), np.nan))
    apart = values - means[:, None]
    own = apart @ apart.T / (k * (k - 1))
    seeds, size = _of_differences(own), np.diag(own).copy()
    squares = seeds**2 / (k - 1)
    patients, interaction = np.zeros((m, m)), np.zeros((m, m))
    strata = samples[0].strata
    if strata is not None and all(sample.left_out is not None for sample in samples):
        out = np.stack([np.asarray(sample.left_out, dtype=float) for sample in samples])
        mean = out.mean(axis=1)
        kinds = np.unique(strata)
        for kind in kinds:
            of_kind = np.flatnonzero(strata == kind)
            n = len(of_kind)
            centred = mean[:, of_kind] - mean[:, of_kind].mean(axis=1, keepdims=True)
            own = centred @ centred.T * ((n - 1) / n)
            part = _of_differences(own)
            patients += part
            size += np.diag(own)
            squares += part**2 / (n - 1)
            rest = out[:, :, of_kind] - mean[:, None, of_kind]
            rest = (rest - rest.mean(axis=2, keepdims=True)).reshape(m, -1)
            interaction += _of_differences(rest @ rest.T * ((n - 1) / n / (k * (k - 1))))
        squares += interaction**2 / ((k - 1) * (len(strata) - len(kinds)))
    total = np.maximum(np.maximum(seeds + patients - interaction, seeds), patients)
    # Of equal figures rounding leaves something behind: V is judged beside the size of what was subtracted.
    known = total > _ALIKE * (size[:, None] + size[None, :]) + _ROUNDING
    with np.errstate(divide="ignore", invalid="ignore"):
        t, df = np.abs(difference) / np.sqrt(total), total**2 / squares
        p = np.where(known, 2 * special.stdtr(df, -t), np.nan)
    return Pairs(difference, p)


def _of_differences(covariances: Array) -> Array:
    """Variances of all differences, from the covariances of the figures."""
    own = np.diag(covariances)
    return np.asarray(np.maximum(own[:, None] + own[None, :] - 2 * covariances, 0.0), dtype=float)


def open_ranks(pairs: Pairs, level: float = 0.95) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the ranks that each figure may have (Mogstad, Romano, Shaikh & Wilhelm 2024), the highest figure first.

    A figure lies below those that are higher by Holm's test of its M - 1 differences, and above those that are lower.
    Its rank lies between 1 + the number of the former and M - the number of the latter, with probability ``level`` at
    least. The figures whose interval begins at 1 are a confidence set of the best: each of them may be it.

    Args:
        pairs: The differences of M figures. A missing p counts as 1 in the adjustment.
        level: Coverage of each figure's interval, in (0, 1).

    Returns:
        ``[M]`` and ``[M]``: lowest and highest rank.

    Example:
        >>> runs = [0.90, 0.92, 0.91], [0.91, 0.90, 0.92], [0.50, 0.51, 0.52]
        >>> low, high = open_ranks(paired_differences([Sample(np.array(accuracies)) for accuracies in runs]))
        >>> low.tolist(), high.tolist()  # the first two cannot be told apart
        ([1, 1, 3], [2, 2, 3])
    """
    m = len(pairs.difference)
    low, high = np.ones(m, dtype=np.int64), np.full(m, m, dtype=np.int64)
    for j in range(m):
        others = [k for k in range(m) if k != j]
        for k, p in zip(others, holm_over(pairs.p[j, others]), strict=True):
            # False for a missing p: such a pair is not told apart.
            if p < 1 - level:
                low[j] += pairs.difference[j, k] < 0
                high[j] -= pairs.difference[j, k] > 0
    return low, high


def share_of_firsts(samples: Sequence[Sample], weights: Weights | None) -> Array:
    """Compute in how many draws of the crossed bootstrap each figure is the highest.

    The draws are those of ``bootstrap.draw_weights``, the same for all figures. A figure is linear in the weights of
    the patients, up to terms of second order: its change is that of the jackknife.

    Args:
        samples: M figures of the same K seeds and patients.
        weights: B draws of these; None = of patients nothing is known.

    Returns:
        ``[M]``, shares that sum to 1; equal figures share a draw.

    Example:
        >>> from analysis.statistics.bootstrap import draw_weights
        >>> weights = draw_weights(3, [0, 0], 100, np.random.default_rng(0))
        >>> out, strata = np.array([[0.9, 0.9]] * 3), np.array([0, 0])
        >>> high, low = (Sample(out[:, 0] - less, out - less, strata) for less in (0.0, 0.5))
        >>> share_of_firsts([high, low], weights).tolist()
        [1.0, 0.0]
    """
    m = len(samples)
    if weights is None:
        return np.full(m, np.nan)
    seeds = weights.seeds / weights.seeds.sum(axis=1, keepdims=True)
    drawn = np.stack([seeds @ np.asarray(sample.values, dtype=float) for sample in samples], axis=1)
    strata = samples[0].strata
    if strata is not None and weights.patients.shape[1] == len(strata):
        for i, sample in enumerate(samples):
            influence = _influence(sample)
            drawn[:, i] += np.einsum("bk,bk->b", seeds, (weights.patients - 1.0) @ influence.T)
    best = drawn >= drawn.max(axis=1, keepdims=True) - _ALIKE
    return np.asarray((best / best.sum(axis=1, keepdims=True)).mean(axis=0), dtype=float)


def _influence(sample: Sample) -> Array:
    """Change of each seed's figure for one more of each patient: ``[K, P]``."""
    out, strata = np.asarray(sample.left_out, dtype=float), np.asarray(sample.strata)
    influence = np.empty_like(out)
    for kind in np.unique(strata):
        of_kind = np.flatnonzero(strata == kind)
        n = len(of_kind)
        influence[:, of_kind] = (out[:, of_kind].mean(axis=1, keepdims=True) - out[:, of_kind]) * (n - 1) / n
    return influence


def holm_over(p_values: ArrayLike) -> Array:
    """Adjust p values by Holm, those that are missing counted as tests that found nothing.

    Args:
        p_values: ``[M]``.

    Returns:
        ``[M]``; missing where the p value is.

    Example:
        >>> holm_over([0.01, np.nan]).tolist()
        [0.02, nan]
    """
    p = np.asarray(p_values, dtype=float)
    adjusted = np.array(holm(np.where(np.isnan(p), 1.0, p).tolist()), dtype=float)
    return np.where(np.isnan(p), np.nan, adjusted)

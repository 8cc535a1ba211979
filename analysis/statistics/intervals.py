"""Intervals and tests over seeds, as pure functions of arrays.

``analysis.statistics.variance`` has those over seeds and patients.

Throughout, ``values`` holds one number per seed (``[K]``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from store.errors import InputError

Array = NDArray[np.float64]
_MAX_SIGN_FLIP = 20


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval (NaN where there is none)."""

    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class PairedTest:
    """A paired difference a - b.

    Attributes:
        difference: Mean difference.
        half: Half the width of its 95 % Student interval.
        t: Student's t.
        p: Two-sided p of the t test.
        sign_flip_p: Two-sided p of the exact sign-flip test.
        smallest_sign_flip_p: The least that test can give for so many pairs, 2 / 2^K.
    """

    difference: float
    half: float
    t: float
    p: float
    sign_flip_p: float
    smallest_sign_flip_p: float


def t_quantile(df: int, level: float = 0.95) -> float:
    """Compute the two-sided quantile of Student's t, e.g. t_{.975, df} for level .95.

    Args:
        df: Degrees of freedom, at least 1.
        level: Coverage, in (0, 1).

    Returns:
        The quantile, above 0.

    Example:
        >>> [round(t_quantile(df), 6) for df in (2, 4, 9)]
        [4.302653, 2.776445, 2.262157]
    """
    return float(special.stdtrit(df, 0.5 + level / 2))


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Compute the Student-t interval of a mean (Student 1908).

    mean +- t_{(1 + level) / 2, K - 1} s / sqrt(K), s the standard deviation with K - 1 in its denominator.

    Args:
        values: ``[K]``.
        level: Coverage, in (0, 1).

    Returns:
        The interval; without ends for K = 1.

    Raises:
        InputError: No value.

    Example:
        >>> interval = t_interval([0.80, 0.82, 0.87])
        >>> round(interval.mean, 2), round(interval.half, 6)
        (0.83, 0.089567)
    """
    x = np.asarray(values, dtype=float)
    if x.size == 0:
        raise InputError("an interval needs at least one value, but got none: give one value per seed")
    mean = float(x.mean())
    half = t_quantile(x.size - 1, level) * float(x.std(ddof=1)) / math.sqrt(x.size) if x.size > 1 else math.nan
    return Interval(mean, mean - half, mean + half)


def paired_test(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """Test a paired difference by Student's t, and by the exact sign-flip test (Fisher 1935) beside it.

    Args:
        a: ``[K]``, one value per seed.
        b: ``[K]``, the same seeds.

    Returns:
        The test of a - b.

    Raises:
        InputError: Fewer than two pairs, or different lengths.

    Example:
        >>> test = paired_test([0.90, 0.92, 0.88, 0.91, 0.93], [0.85, 0.90, 0.86, 0.84, 0.88])
        >>> round(test.difference, 3), round(test.p, 4), test.sign_flip_p
        (0.042, 0.0123, 0.0625)
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape or x.size < 2:
        raise InputError(f"a paired test needs two or more pairs, but got {x.size} and {y.size} values: pair by seed")
    d = x - y
    interval = t_interval(d)
    se = float(d.std(ddof=1)) / math.sqrt(d.size)
    t = interval.mean / se if se > 0 else math.copysign(math.inf, interval.mean) if interval.mean else 0.0
    # The lower tail: 1 minus the upper one would lose the digits of a small p.
    p = 2 * float(special.stdtr(d.size - 1, -abs(t)))
    return PairedTest(interval.mean, interval.half, t, p, sign_flip_p(d), 2.0 / 2**d.size)


def sign_flip_p(differences: ArrayLike) -> float:
    """Compute the two-sided p of the exact sign-flip test.

    It is the share of the 2^K sign patterns whose mean is as far from 0 as the one observed.

    It cannot go below 2 / 2^K, so under six pairs it never reaches .05.

    Args:
        differences: ``[K]``, K <= 20.

    Returns:
        The p value, in [2 / 2^K, 1]; NaN for more than 20 pairs, where the enumeration is too long.

    Example:
        >>> sign_flip_p([0.05, 0.02, 0.02, 0.07, 0.05])  # all of one sign: 2 of 32 patterns
        0.0625
    """
    d = np.asarray(differences, dtype=float)
    if d.size > _MAX_SIGN_FLIP:
        return math.nan
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    # Sums of the same numbers in another order differ in the last bits.
    tolerance = 1e-12 * float(np.abs(d).sum())
    return float(np.mean(np.abs(sums) >= abs(float(d.sum())) - tolerance))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for several tests (Holm 1979).

    Of the M sorted values the i-th (from 0) becomes max over j <= i of min(1, (M - j) p_(j)).

    Args:
        p_values: ``[M]``, each in [0, 1].

    Returns:
        ``[M]``, in the order given, each at most 1.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
        [0.03, 0.06, 0.06, 0.02]
    """
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda j: p_values[j])):
        # No adjusted p lies below that of a smaller p.
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def expected_maximum(values: ArrayLike) -> Array:
    """Compute the expected best of the first n search trials, for n = 1 .. N (Dodge et al. 2019, arXiv 1909.03004).

    E[max_n] = sum_i v_(i) ((i / N)^n - ((i - 1) / N)^n).

    Args:
        values: ``[N]``, validation values of the search trials, in any order.

    Returns:
        ``[N]``.

    Example:
        >>> expected_maximum([0.5, 0.6, 0.9]).round(4).tolist()
        [0.6667, 0.7556, 0.8074]
    """
    v = np.sort(np.asarray(values, dtype=float))
    steps = np.arange(v.size + 1) / max(v.size, 1)
    n = np.arange(1, v.size + 1)[:, None]
    return np.asarray((np.diff(steps[None, :] ** n, axis=1) * v).sum(axis=1), dtype=float)


def wilson(successes: float, n: float, quantile: float | None = None) -> tuple[float, float]:
    """Compute the interval of a proportion (Wilson 1927).

    Args:
        successes: Number of successes.
        n: Number of trials, above 0; an effective number need not be whole.
        quantile: Of the normal distribution (default: 1.96, for 95 %) or of Student's t.

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        InputError: Not 0 <= successes <= n, or n = 0.

    Example:
        >>> low, high = wilson(414, 460)
        >>> round(low, 4), round(high, 4)
        (0.8692, 0.9242)
        >>> round(wilson(0, 9)[1], 3)  # nine patients without a hit are no proof of 0
        0.299
    """
    if not 0 <= successes <= n or n <= 0:
        raise InputError(f"0 <= successes <= n and n > 0 must hold, but got ({successes}, {n}): count again")
    z2 = float(special.ndtri(0.975) if quantile is None else quantile) ** 2
    p = successes / n
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return centre - half, centre + half

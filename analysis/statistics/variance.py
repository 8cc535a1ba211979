"""One variance, one number of degrees of freedom and one p for every figure over seeds and patients.

Patients are resampled as they were drawn, within classes: a test set is split off class by class, so that the shares
of the classes are no accident. Everything that is said of a figure (its band, the interval and the p of a difference,
of an area, of what is won back) is computed here from the same numbers, so that no two of them can contradict each
other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from analysis.statistics.intervals import Interval, wilson
from store.errors import InputError

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
_ROUNDING = 1e-24
_NOTHING_KNOWN = 1e6
"""Quantile of Student's t of so few degrees of freedom that any interval by it holds all of [0, 1]."""


@dataclass(frozen=True)
class Sample:
    """A figure over K seeds, and over the P patients of its test set where these are known.

    Attributes:
        values: ``[K]``, the figure of each seed.
        left_out: ``[K, P]``, the figure of each seed where the other patients of a patient's class stand in for it;
            None where nothing is known of patients.
        strata: ``[P]``, the class of each patient; None where nothing is known of patients.
        worth: Effective number of patients where their images are weighted (``scores.effective``).
        n_images: Effective number of images where they are weighted.
    """

    values: Array
    left_out: Array | None = None
    strata: Codes | None = None
    worth: float = math.inf
    n_images: float = math.inf

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(self.values.mean())

    def minus(self, other: Sample, times: float = 1.0) -> Sample:
        """Subtract ``times`` another figure of the same seeds and patients, pair by pair."""
        if self.left_out is None or other.left_out is None:
            return Sample(self.values - times * other.values)
        return Sample(self.values - times * other.values, self.left_out - times * other.left_out, self.strata)


@dataclass(frozen=True)
class Variance:
    """Variance of a figure's mean over new seeds and new patients.

    Attributes:
        total: V = V_seeds + V_patients - V_interaction, not below either of the first two.
        df: Degrees of freedom of V (Satterthwaite 1946); infinite where V is 0.
        seeds: V_s, variance of the seeds' values over K; it holds the interaction too.
        patients: V_p, the stratified jackknife of the seeds' mean; it holds the interaction too. 0 without patients.
        interaction: V_sp, what a patient means to one seed and not to another, over K P. 0 without patients.
        n_seeds: K.
        n_patients: P; 0 without patients.
        classes: For each class that patients were drawn from P_c and V_pc; none without patients.
    """

    total: float
    df: float
    seeds: float
    patients: float
    interaction: float
    n_seeds: int
    n_patients: int
    classes: tuple[tuple[float, float], ...]

    @property
    def no_spread(self) -> bool:
        """True where two or more seeds have one and the same value, in every patient if these are known.

        V is then 0, which says nothing of other seeds: no interval and no test follows from it.
        """
        return self.n_seeds > 1 and self.total <= _ROUNDING

    def quantile(self, level: float = 0.95) -> float:
        """Compute the two-sided quantile of Student's t with ``df`` degrees of freedom."""
        return _quantile(self.df, 0.5 + level / 2)

    def half(self, level: float = 0.95) -> float:
        """Compute half the width of the interval: t_df sqrt(V)."""
        return self.quantile(level) * math.sqrt(self.total)

    def p(self, difference: float) -> float:
        """Compute the two-sided p of a difference, 2 P(T_df > |d| / sqrt(V)).

        It is below 1 - level just where the interval leaves 0 out.

        Args:
            difference: d, the figure's mean: a difference of two figures.

        Returns:
            The p, in [0, 1]; NaN for a single seed, and where V is 0, unless there is no difference at all (1).
        """
        if not math.isfinite(self.total + difference):
            return math.nan
        # A p of 0 from three equal differences would be a claim on seeds of which nothing is known.
        if self.no_spread:
            return 1.0 if difference == 0 else math.nan
        t = abs(difference) / math.sqrt(self.total)
        return 2 * float(special.ndtr(-t) if math.isinf(self.df) else special.stdtr(self.df, -t))

    def least_difference(self, power: float = 0.8, level: float = 0.95) -> float:
        """Compute the true difference that is found with probability ``power``: d_min = (t_{.975} + t_{.8}) sqrt(V)."""
        return (self.quantile(level) + _quantile(self.df, power)) * math.sqrt(self.total)


NO_VARIANCE = Variance(math.nan, math.nan, math.nan, math.nan, math.nan, 1, 0, ())
"""Variance of a single seed, of which nothing is known."""


def variance_of(sample: Sample) -> Variance:
    """Estimate the variance of a mean over crossed seeds and patients, patients within classes.

    V_s = s^2 / K; V_p = sum over classes c of (P_c - 1) / P_c sum_p (theta_-p - mean_c)^2 of the seeds' mean theta;
    V_sp the same of the deviations of the seeds from it, over K (K - 1) in place of a mean over K. V_s and V_p both
    hold the interaction, hence V = V_s + V_p - V_sp, never below either. Its degrees of freedom are those of
    Satterthwaite (1946): V^2 / (V_s^2 / (K - 1) + sum_c V_pc^2 / (P_c - 1) + V_sp^2 / ((K - 1)(P - C))).

    Without patients V = V_s with K - 1 degrees of freedom: Student's t over seeds.

    Args:
        sample: The figure.

    Returns:
        The variance; ``NO_VARIANCE`` for a single seed.

    Raises:
        InputError: No value, or a class of a single patient.

    Example:
        >>> sample = Sample(np.array([0.80, 0.82, 0.87]))  # nothing is known of patients: Student's t
        >>> variance = variance_of(sample)
        >>> round(variance.half(), 6), variance.df
        (0.089567, 2.0)
    """
    x = np.asarray(sample.values, dtype=float)
    k = x.size
    if k == 0:
        raise InputError("a variance needs at least one value, but got none: give one value per seed")
    if k == 1:
        return NO_VARIANCE
    seeds = float(x.var(ddof=1)) / k
    if sample.left_out is None or sample.strata is None:
        return Variance(seeds, k - 1.0 if seeds > 0 else math.inf, seeds, 0.0, 0.0, k, 0, ())
    out, strata = np.asarray(sample.left_out, dtype=float), np.asarray(sample.strata)
    mean = out.mean(axis=0)
    apart = out - mean
    classes: list[tuple[float, float]] = []
    interaction = 0.0
    for c in np.unique(strata):
        of_class = strata == c
        n = int(of_class.sum())
        if n < 2:
            raise InputError(
                f"patients within classes need two or more of each class, but class {c} has {n}: join it to another"
            )
        share = (n - 1) / n
        classes.append((n, share * float(((mean[of_class] - mean[of_class].mean()) ** 2).sum())))
        class_apart = apart[:, of_class] - apart[:, of_class].mean(axis=1, keepdims=True)
        interaction += share * float((class_apart**2).sum()) / (k * (k - 1))
    patients = sum(part for _, part in classes)
    # By chance the interaction can come out larger than either: a variance below one of its parts would be no bound.
    total = max(seeds + patients - interaction, seeds, patients)
    df = satterthwaite(total, seeds, interaction, k, classes)
    return Variance(total, df, seeds, patients, interaction, k, len(strata), tuple(classes))


def satterthwaite(
    total: float, seeds: float, interaction: float, n_seeds: int, classes: Sequence[tuple[float, float]]
) -> float:
    """Compute the degrees of freedom of V (Satterthwaite 1946).

    nu = V^2 / (V_s^2 / (K - 1) + sum_c V_pc^2 / (P_c - 1) + V_sp^2 / ((K - 1)(P - C))).

    Args:
        total: V.
        seeds: V_s.
        interaction: V_sp.
        n_seeds: K, at least 2.
        classes: P_c (at least 2) and V_pc of each class.

    Returns:
        The degrees of freedom; infinite where V is 0 but for rounding errors.

    Example:
        >>> round(satterthwaite(0.003, 0.002, 0.001, 5, [(9, 0.001), (9, 0.001)]), 2)
        7.11
    """
    # One mean is estimated in each class: P - C degrees of freedom are left.
    within = sum(n for n, _ in classes) - len(classes)
    parts = seeds**2 / (n_seeds - 1) + sum(v**2 / (n - 1) for n, v in classes)
    parts += interaction**2 / ((n_seeds - 1) * within)
    return total**2 / parts if total > _ROUNDING and parts > 0 else math.inf


def interval_of(
    sample: Sample, bounds: tuple[float, float] | None = None, level: float = 0.95, proportion: bool = False
) -> Interval:
    """Compute the mean with its interval, t_{nu} sqrt(V) to either side.

    Args:
        sample: The figure.
        bounds: Clip to this range; None = do not clip, as for a difference.
        level: Coverage, in (0, 1).
        proportion: The figure is a mean of zeros and ones (or of such means over classes): where the interval would
            leave [0, 1], or V is 0, Wilson's takes its place, over as many images as V is worth.

    Returns:
        The interval; without ends for a single seed, and for a difference (no ``bounds``) that is the same, and not 0,
        in all seeds (``Variance.no_spread``).

    Raises:
        InputError: As ``variance_of``.

    Example:
        >>> interval = interval_of(Sample(np.array([0.97, 0.99, 1.0])), bounds=(0.0, 1.0))
        >>> round(interval.low, 3), round(interval.high, 3)  # clipped to an accuracy's range
        (0.949, 1.0)
    """
    variance, mean = variance_of(sample), sample.mean
    if not math.isfinite(variance.total):
        return Interval(mean, math.nan, math.nan)
    if variance.no_spread and bounds is None and mean != 0:
        return Interval(mean, math.nan, math.nan)
    half = variance.half(level)
    low, high = mean - half, mean + half
    if proportion and variance.n_patients and (low < 0 or high > 1 or variance.total <= _ROUNDING):
        n_patients = min(variance.n_patients, sample.worth)
        return Interval(mean, *clustered_wilson(mean, variance, n_patients, level, sample.n_images))
    return Interval(mean, *(np.clip([low, high], *bounds).tolist() if bounds else (low, high)))


def share_interval(sample: Sample, n_images: float, level: float = 0.95) -> Interval:
    """Compute the interval of a mean of zeros and ones over few patients, such as a recall, by ``clustered_wilson``.

    Args:
        sample: The share; its patients are those whose images it is of.
        n_images: Images that it is of.
        level: Coverage, in (0, 1).

    Returns:
        The interval, in [0, 1]; over seeds alone where nothing is known of patients, without ends for a single seed.

    Raises:
        InputError: As ``variance_of``.

    Example:
        >>> left_out, strata = np.ones((2, 3)), np.zeros(3, dtype=np.int64)  # three patients, every image right
        >>> interval = share_interval(Sample(np.ones(2), left_out, strata), n_images=6)
        >>> round(interval.mean, 2), round(interval.low, 2)
        (1.0, 0.44)
    """
    variance = variance_of(sample)
    if not variance.n_patients:
        return interval_of(sample, (0.0, 1.0), level)
    n_patients = min(variance.n_patients, sample.worth)
    return Interval(sample.mean, *clustered_wilson(sample.mean, variance, n_patients, level, n_images))


def clustered_wilson(
    mean: float, variance: Variance, n_patients: float, level: float = 0.95, n_images: float = math.inf
) -> tuple[float, float]:
    """Compute Wilson's interval (1927) of a mean of zeros and ones, over as many images as its variance is worth.

    n_eff = m (1 - m) / V, and the number of patients where V is 0: nine patients without a hit say less than
    [0, 0]. The quantile is Student's with V's degrees of freedom. n_eff is at most the number of images (Korn &
    Graubard 1998): a single mistake of a single seed has so small a V that it would be worth hundreds (nine patients of
    eight images, five seeds, a share of .06: coverage .89 to .92 without that limit, .98 with it).

    Args:
        mean: m in [0, 1].
        variance: Its variance V over seeds and patients.
        n_patients: Patients the mean is over.
        level: Coverage, in (0, 1).
        n_images: Images the mean is over.

    Returns:
        Lower and upper end, in [0, 1].

    Example:
        >>> none = variance_of(Sample(np.zeros(5), np.zeros((5, 9)), np.zeros(9, dtype=np.int64)))
        >>> round(clustered_wilson(0.0, none, n_patients=9)[1], 2)  # nine patients without a hit
        0.3
    """
    # A share of weighted images may exceed 1 by a rounding error.
    mean = min(max(mean, 0.0), 1.0)
    spread = mean * (1 - mean)
    # The same share in every seed and patient has a V of rounding errors.
    n = min(spread / variance.total, n_images) if variance.total > _ROUNDING and spread > 0 else float(n_patients)
    quantile = variance.quantile(level)
    # Seeds that contradict one another image by image leave a V of hardly any degrees of freedom: nothing is known.
    return wilson(min(mean * n, n), n, quantile) if quantile < _NOTHING_KNOWN else (0.0, 1.0)


def stand_in(sums: ArrayLike, strata: ArrayLike) -> Array:
    """Add up numbers over patients, with each patient's place taken by the others of its class (combined ratio).

    T - T_c + f (T_c - s_p) with f = P_c / (P_c - 1): the class keeps its weight. Fixing the classes' shares instead
    (the separate ratio) covers .83 where the number of slices a patient varies.

    Args:
        sums: ``[..., P, S]``, S additive numbers of each patient (hits, images, ...).
        strata: ``[P]``, classes of two or more patients.

    Returns:
        ``[..., P, S]``, float64: the sums where patient p is left out.

    Example:
        >>> hits_and_images = [[4.0, 4.0], [2.0, 4.0], [0.0, 4.0]]
        >>> stand_in(hits_and_images, [0, 0, 0]).tolist()
        [[3.0, 12.0], [6.0, 12.0], [9.0, 12.0]]
    """
    s, c = np.asarray(sums, dtype=float), np.asarray(strata)
    result = np.empty_like(s)
    total = s.sum(axis=-2, keepdims=True)
    for kind in np.unique(c):
        of_kind = np.flatnonzero(c == kind)
        f = len(of_kind) / (len(of_kind) - 1)
        part = s[..., of_kind, :].sum(axis=-2, keepdims=True)
        result[..., of_kind, :] = total - part + f * (part - s[..., of_kind, :])
    return result


def strata_of(labels: ArrayLike, groups: ArrayLike, n_groups: int) -> Codes | None:
    """Find the class of each patient: that of most of its images.

    Of a tie the class with more images in all counts, then the lower one.

    A class of a single patient, which nobody can stand in for, joins the smallest other one (``joined``).

    Args:
        labels: ``[N]``, class of each image.
        groups: ``[N]``, patient of each image, below ``n_groups``.
        n_groups: P.

    Returns:
        ``[P]``, int64; None for fewer than two patients.

    Example:
        >>> strata_of([0, 0, 1, 1, 1, 0, 1], [0, 1, 2, 3, 4, 4, 4], 5).tolist()
        [0, 0, 1, 1, 1]
    """
    y, g = np.asarray(labels, dtype=np.int64), np.asarray(groups, dtype=np.int64)
    if n_groups < 2:
        return None
    n = int(y.max()) + 1
    counts = np.bincount(g * n + y, minlength=n_groups * n).reshape(n_groups, n)
    # The largest class first, so that the number which a class happens to have decides nothing.
    order = np.argsort(-counts.sum(axis=0), kind="stable")
    return joined(order[counts[:, order].argmax(axis=1)])


def joined(strata: ArrayLike) -> Codes:
    """Merge classes until each has two or more patients.

    A class of a single patient joins the smallest other one, of a tie all of these.

    Args:
        strata: ``[P]``, the class of each of two or more patients.

    Returns:
        ``[P]``, int64: the class of each patient after merging.

    Example:
        >>> joined([0, 0, 0, 1, 1, 2]).tolist()  # class 2 has one patient
        [0, 0, 0, 1, 1, 1]
    """
    merged = np.array(strata, dtype=np.int64)
    while True:
        kinds, counts = np.unique(merged, return_counts=True)
        if counts.min() > 1 or len(kinds) == 1:
            return merged
        alone = kinds[counts.argmin()]
        others = kinds != alone
        smallest = kinds[others & (counts == counts[others].min())]
        merged[np.isin(merged, [alone, *smallest])] = smallest[0]


def share_one_test_set(samples: Sequence[Sample]) -> bool:
    """True where all samples know their patients, and these have the same classes.

    Args:
        samples: One or more samples.

    Returns:
        The answer.

    Example:
        >>> share_one_test_set([Sample(np.ones(3)), Sample(np.ones(3))])  # nothing is known of patients
        False
    """
    first = samples[0].strata
    return all(
        s.left_out is not None
        and s.strata is not None
        and first is not None
        and np.array_equal(s.strata, first)
        and bool(np.isfinite(s.left_out).all())
        for s in samples
    )


def _quantile(df: float, probability: float) -> float:
    if math.isinf(df):
        return float(special.ndtri(probability))
    return float(special.stdtrit(df, probability))

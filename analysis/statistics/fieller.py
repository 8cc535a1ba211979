"""Share of the accuracy lost to the bias that a method wins back, with Fieller's interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import optimize

from analysis.statistics.variance import Sample, variance_of
from store.errors import InputError

_FAR = 1e9


@dataclass(frozen=True)
class Recovery:
    """Share of the gap between erm and the ceiling that a method wins back.

    Attributes:
        ratio: (m - e) / (c - e), ratio of means.
        low: Lower end of the interval; NaN where unbounded.
        high: Upper end; NaN where unbounded.
        g: Fieller's g; at 1 or more the gap c - e is not significant and the interval is unbounded.
    """

    ratio: float
    low: float
    high: float
    g: float

    @property
    def bounded(self) -> bool:
        """True where the interval is finite."""
        return self.g < 1


def recovery(method: Sample, erm: Sample, ceiling: Sample) -> Recovery:
    """Compute the share won back: R = (m - e) / (c - e), a ratio of means, with Fieller's interval (1954).

    Method, erm and ceiling are paired by seed and patient.

    The interval holds every R for which the interval of m - e - R (c - e) contains 0, with that contrast's own variance
    over seeds and patients and its degrees of freedom (``variance.variance_of``); over seeds alone that is Fieller's.
    It is bounded just where the gap c - e is significant.

    Args:
        method: Accuracy over K seeds, and over the patients of their test set.
        erm: The same seeds and patients.
        ceiling: The same seeds and patients.

    Returns:
        The recovery; R may lie above 1.

    Raises:
        InputError: Fewer than two seeds, or different lengths.

    Example:
        >>> import numpy as np
        >>> runs = [0.90, 0.92, 0.88], [0.68, 0.66, 0.70], [0.95, 0.96, 0.955]  # three seeds of method, erm and ceiling
        >>> recovered = recovery(*(Sample(np.array(accuracies)) for accuracies in runs))
        >>> round(recovered.ratio, 3), round(recovered.low, 2), round(recovered.high, 2), recovered.bounded
        (0.8, 0.55, 0.97, True)
    """
    sizes = [sample.values.size for sample in (method, erm, ceiling)]
    if len(set(sizes)) > 1 or sizes[0] < 2:
        raise InputError(
            f"won back needs two or more seeds of all three, but got {sizes[0]}, {sizes[1]} and {sizes[2]}: "
            "pair by seed"
        )
    gain, gap = method.minus(erm), ceiling.minus(erm)
    b = gap.mean
    if b == 0:
        return Recovery(math.nan, math.nan, math.nan, math.inf)
    of_gap = variance_of(gap)
    # One and the same gap in all seeds is no proof that it is not 0.
    ratio, g = gain.mean / b, math.inf if of_gap.no_spread else (of_gap.half() / b) ** 2
    # At g >= 1 the gap c - e may be 0, so that R may be any number: the set of such R is unbounded.
    if g >= 1:
        return Recovery(ratio, math.nan, math.nan, g)

    # The method is as far from both in every seed: nothing tells how far it would be in others.
    if variance_of(gain.minus(gap, ratio)).no_spread:
        return Recovery(ratio, math.nan, math.nan, g)

    def outside(r: float) -> float:
        contrast = gain.minus(gap, r)
        return abs(contrast.mean) - variance_of(contrast).half()

    return Recovery(ratio, _end(outside, ratio, -1), _end(outside, ratio, 1), g)


def _end(outside: Callable[[float], float], ratio: float, side: int) -> float:
    """First ratio to one side of the estimate at which the contrast leaves 0 out."""
    step = 1e-3
    while outside(ratio + side * step) <= 0:
        # The end may lie far away where the gap is barely significant: doubling reaches it in a few steps.
        step *= 2
        if step > _FAR:
            return side * math.inf
    if outside(ratio) >= 0:
        return ratio
    return float(optimize.brentq(outside, ratio, ratio + side * step, xtol=1e-14))

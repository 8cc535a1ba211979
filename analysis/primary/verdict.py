"""Verdict on the declared comparison: higher, lower, equivalent or undecided, from one interval and its variance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from analysis.statistics.variance import Variance

Kind = Literal["higher", "lower", "equivalent", "undecided", "one seed", "no spread", "interim", "none"]
MARGIN_LEVEL = 0.9
"""Level of the interval that must lie inside the margin: two one-sided tests at .05 each (Schuirmann 1987)."""


@dataclass(frozen=True)
class Verdict:
    """Verdict on a comparison.

    Attributes:
        kind: ``higher`` or ``lower`` where the 95 % interval leaves 0 out; ``equivalent`` where it does not and the
            90 % interval lies inside the margin; ``undecided`` otherwise. ``one seed`` has no interval, nor has ``no
            spread``, one and the same difference in all seeds; ``interim`` is not tested as long as something is
            missing, and ``none`` cannot be made.
        within_margin: The 90 % interval lies inside the margin.
        half_90: Half the width of the 90 % interval; NaN where there is none.
        d_min: True difference that this design would have found with a probability of .8; NaN without an interval.
    """

    kind: Kind
    within_margin: bool = False
    half_90: float = math.nan
    d_min: float = math.nan


def verdict_of(difference: float, variance: Variance, margin: float | None = None) -> Verdict:
    """Judge a difference.

    Args:
        difference: First minus second.
        variance: Its variance.
        margin: Difference that does not matter; None = nothing is called equivalent.

    Returns:
        The verdict; a difference that is both higher (or lower) and inside the margin is called higher (or lower).

    Example:
        >>> variance = Variance(0.0001, 4.0, 0.0001, 0.0, 0.0, 5, 0, ())
        >>> verdict_of(0.08, variance, margin=0.05).kind, verdict_of(0.01, variance, margin=0.05).kind
        ('higher', 'equivalent')
        >>> verdict_of(0.01, variance).kind  # without a margin nothing is equivalent
        'undecided'
    """
    if variance.no_spread:
        return Verdict("no spread")
    half = variance.half()
    if not math.isfinite(half + difference):
        return Verdict("one seed")
    narrow = variance.half(MARGIN_LEVEL)
    within = margin is not None and abs(difference) + narrow < margin
    # The test comes first: a difference that is found is not taken back because it is small.
    if abs(difference) > half:
        kind: Kind = "higher" if difference > 0 else "lower"
    else:
        kind = "equivalent" if within else "undecided"
    return Verdict(kind, within, narrow, variance.least_difference())

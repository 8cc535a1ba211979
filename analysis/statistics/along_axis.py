"""Numbers along the bias axis: normalised area under a curve, its breaking point, and a place between two values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.statistics.variance import Sample
from store.errors import InputError


@dataclass(frozen=True)
class BreakingPoint:
    """Crossing of a curve with a threshold: the first place below it, from weak to strong bias.

    Attributes:
        value: Bias value of the crossing, in units of the axis; None where it lies outside the grid.
        censored: ``beyond`` the strongest value measured, ``before`` the weakest, or "".
        text: In words of the axis: ``0.815``, ``> 1``, ``< 0``.
    """

    value: float | None
    censored: Literal["", "beyond", "before"]
    text: str


def normalised_area(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Compute the trapezoid area under a curve over the length of its axis: a mean accuracy over the range of bias.

    A = sum_i (y_i + y_{i+1}) / 2 (x_{i+1} - x_i) / (x_max - x_min).

    Args:
        x: ``[X]``, at least two different bias values in any order.
        y: ``[..., X]``, a missing value makes the area missing.

    Returns:
        ``[...]``, float64, in the units of y.

    Raises:
        InputError: Fewer than two values, or equal ones.

    Example:
        >>> round(float(normalised_area([0.0, 0.5, 1.0], [0.9, 0.9, 0.7])), 3)
        0.85
        >>> normalised_area([0.0, 1.0], [[0.9, 0.7], [0.9, 0.9]]).round(3).tolist()  # a curve a row
        [0.8, 0.9]
    """
    grid, height = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    order = np.argsort(grid)
    grid, height = grid[order], height[..., order]
    if grid.size < 2 or bool(np.any(np.diff(grid) == 0)):
        raise InputError(f"an area needs two or more different bias values, but got {grid.tolist()}: add strengths")
    mean = (height[..., 1:] + height[..., :-1]) / 2
    return np.asarray((mean * np.diff(grid)).sum(axis=-1) / (grid[-1] - grid[0]), dtype=float)


def crossing(
    x: ArrayLike,
    y: ArrayLike,
    threshold: ArrayLike,
    stronger: Literal["larger", "smaller"] = "larger",
) -> BreakingPoint:
    """Find the first bias value at which accuracy falls below a threshold, by linear interpolation.

    Of several crossings the one at the weakest bias counts.

    Args:
        x: ``[X]``, bias values in any order.
        y: ``[X]``, accuracies.
        threshold: One threshold, or ``[X]`` one for each bias value.
        stronger: Which direction of x is the stronger bias.

    Returns:
        The crossing; censored where it lies outside the values measured.

    Raises:
        InputError: No value, or a missing one.

    Example:
        >>> crossing([0.8, 0.9, 1.0], [0.911, 0.839, 0.674], 0.9).text
        '0.815'
        >>> crossing([0.8, 0.9, 1.0], [0.911, 0.839, 0.674], 0.5).censored
        'beyond'
    """
    grid = np.asarray(x, dtype=float)
    above = np.asarray(y, dtype=float) - np.asarray(threshold, dtype=float)
    if grid.size == 0 or not bool(np.isfinite(above).all()):
        raise InputError("a breaking point needs an accuracy at every bias value, but one is missing: finish the sweep")
    # A curve that rises and falls again has several crossings: the walk starts at weak bias, so that the first counts.
    order = np.argsort(grid if stronger == "larger" else -grid)
    grid, above = grid[order], above[order]
    below = np.flatnonzero(above < 0)
    weaker, beyond = ("<", ">") if stronger == "larger" else (">", "<")
    if below.size == 0:
        return BreakingPoint(None, "beyond", f"{beyond} {grid[-1]:g}")
    i = int(below[0])
    if i == 0:
        return BreakingPoint(None, "before", f"{weaker} {grid[0]:g}")
    value = float(grid[i - 1] + (grid[i] - grid[i - 1]) * above[i - 1] / (above[i - 1] - above[i]))
    return BreakingPoint(value, "", f"{value:.3g}")


def crossings(x: ArrayLike, above: ArrayLike, stronger: Literal["larger", "smaller"] = "larger") -> NDArray[np.float64]:
    """Find the crossings of many curves at once, as numbers that sort towards stronger bias.

    Args:
        x: ``[X]``, bias values in any order.
        above: ``[B, X]``, accuracy minus threshold.
        stronger: Which direction of x is the stronger bias.

    Returns:
        ``[B]``: the bias value of each first crossing as ``crossing`` finds it, negated where smaller values are the
        stronger bias; -inf before the values measured, inf beyond them.

    Example:
        >>> crossings([0.8, 0.9, 1.0], [[0.02, -0.02, -0.1], [0.1, 0.1, 0.1]]).round(3).tolist()
        [0.85, inf]
    """
    sign = 1.0 if stronger == "larger" else -1.0
    grid, height = sign * np.asarray(x, dtype=float), np.asarray(above, dtype=float)
    order = np.argsort(grid)
    grid, height = grid[order], height[:, order]
    below = height < 0
    first = below.argmax(axis=1)
    rows, before = np.arange(len(height)), np.maximum(first - 1, 0)
    start, end = height[rows, before], height[rows, first]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = grid[before] + (grid[first] - grid[before]) * start / (start - end)
    return np.where(below.any(axis=1), np.where(first == 0, -math.inf, value), math.inf)


def signed_position(point: BreakingPoint) -> float:
    """Place a crossing as a number that sorts: -inf before the axis, +inf beyond it (towards stronger bias).

    Args:
        point: The crossing.

    Returns:
        The bias value, or an infinity.

    Example:
        >>> signed_position(BreakingPoint(None, "beyond", "> 1"))
        inf
    """
    if point.value is not None:
        return point.value
    return math.inf if point.censored == "beyond" else -math.inf


@dataclass(frozen=True)
class Between:
    """Place on the axis between two values measured.

    Attributes:
        low: The value measured below it, or at it.
        high: The value measured above it, or at it.
        weight: Weight of the second in a linear interpolation, in [0, 1]; 0 where the place is a value measured.
    """

    low: float
    high: float
    weight: float


def neighbours(x: ArrayLike, value: float) -> Between | None:
    """Find the two values measured that enclose a place on the axis.

    Args:
        x: ``[X]``, bias values in any order.
        value: The place, in units of the axis.

    Returns:
        The values measured next to it; None outside the axis, where nothing is extrapolated.

    Example:
        >>> neighbours([0.5, 0.9, 1.0], 0.8)
        Between(low=0.5, high=0.9, weight=0.75)
        >>> neighbours([0.5, 0.9, 1.0], 0.4) is None
        True
    """
    grid = np.sort(np.asarray(x, dtype=float))
    if not grid.size or not grid[0] <= value <= grid[-1]:
        return None
    # The first value at or above the place: at a value measured, nothing is interpolated.
    i = int(np.searchsorted(grid, value))
    if grid[i] == value:
        return Between(float(grid[i]), float(grid[i]), 0.0)
    low, high = float(grid[i - 1]), float(grid[i])
    # Rounded far below what an axis resolves, so that .8 between .5 and .9 weighs .75 and not .7500000000000002.
    return Between(low, high, round((value - low) / (high - low), 12))


def interpolated(low: Sample, high: Sample, weight: float) -> Sample:
    """Interpolate a figure linearly between two bias values, seed by seed and patient by patient.

    The variance of the result is that of ``variance.variance_of``, as of any figure: what two bias values share in a
    seed or a patient counts once.

    Args:
        low: The figure at the value below.
        high: The figure of the same seeds and patients at the value above.
        weight: Weight of the second, in [0, 1].

    Returns:
        The figure between them; it knows its patients where both do.

    Example:
        >>> interpolated(Sample(np.array([0.8, 0.9])), Sample(np.array([0.4, 0.7])), 0.25).values.round(3).tolist()
        [0.7, 0.85]
    """
    if weight == 0:
        return low
    return low.minus(low, weight).minus(high, -weight)

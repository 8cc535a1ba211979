"""Numbers along the bias axis: normalised area under a curve, and where it breaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from store.errors import InputError


@dataclass(frozen=True)
class BreakingPoint:
    """Where a curve first falls below a threshold, walking towards stronger bias.

    Attributes:
        value: Bias value of the crossing; None where it lies outside the grid.
        censored: ``beyond`` the strongest value measured, ``before`` the weakest, or "".
        text: In words of the axis: ``0.815``, ``> 1``, ``< 0``.
    """

    value: float | None
    censored: Literal["", "beyond", "before"]
    text: str


def normalised_area(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Trapezoid area over the axis divided by its length: a mean accuracy over the range of bias.

    Args:
        x: ``[X]``, at least two different bias values in any order.
        y: ``[..., X]``, a missing value makes the area missing.

    Returns:
        ``[...]``.

    Raises:
        InputError: Fewer than two values, or equal ones.
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
    """First bias value at which accuracy falls below a threshold, by linear interpolation.

    Args:
        x: ``[X]``, bias values in any order.
        y: ``[X]``, accuracies.
        threshold: One threshold, or ``[X]`` one for each bias value.
        stronger: Which direction of x is the stronger bias.

    Returns:
        The crossing; censored where it lies outside the values measured.

    Raises:
        InputError: No value, or a missing one.
    """
    grid = np.asarray(x, dtype=float)
    above = np.asarray(y, dtype=float) - np.asarray(threshold, dtype=float)
    if grid.size == 0 or not bool(np.isfinite(above).all()):
        raise InputError("a breaking point needs an accuracy at every bias value, but one is missing: finish the sweep")
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


def signed_position(point: BreakingPoint) -> float:
    """A crossing as a number that sorts: -inf before the axis, +inf beyond it (towards stronger bias)."""
    if point.value is not None:
        return point.value
    return math.inf if point.censored == "beyond" else -math.inf

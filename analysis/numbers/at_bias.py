"""The curves at a place on the axis between the values measured, such as the bias of the data as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.numbers.comparisons import share_text
from analysis.points.measures import Measure
from analysis.points.pairing import (
    BASIS,
    LINE,
    Curve,
    basis_of,
    common_seeds,
    counterpart_curve,
    grid_of,
    left_out,
    line_names,
    paired_samples,
)
from analysis.points.points import CEILING, ERM, Point, by_label, stronger_direction
from analysis.statistics.along_axis import Between, interpolated, neighbours
from analysis.statistics.fieller import recovery
from analysis.statistics.intervals import Interval
from analysis.statistics.variance import Sample, interval_of
from store.rules import rule_name

COLUMNS = (
    *LINE,
    "bias_value",
    "below",
    "above",
    *("mean", "low", "high"),
    "reference",
    *("lost", "lost_low", "lost_high"),
    *("gained", "gained_low", "gained_high"),
    *("share", "share_low", "share_high", "share_text"),
    "reason",
    *BASIS,
    "caption",
)
"""Columns of ``analysis.at_bias``."""
_NONE = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class _Reference:
    """Figure that plain training is measured against: curve, its places below and above, and its name."""

    curve: Curve
    place: Between
    name: str


def at_bias_rows(
    points: Sequence[Point],
    value: float,
    measure: Measure,
    off_axis: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Compute the rows of ``analysis.at_bias`` at one place.

    Args:
        points: The points, with those of erm.
        value: The place on the axis, in its units.
        measure: What is measured.
        off_axis: Bias parameters off the axis: lines at other values of them are left out; None = all lines.

    Returns:
        One row per line.
    """
    curves = by_label(points)
    rows = []
    for key, curve in curves.items():
        first = next(iter(curve.values()))
        if any(first.bias.get(name, wanted) != wanted for name, wanted in (off_axis or {}).items()):
            continue
        rows.append(_row(curves, key, value, measure))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def reaches(row: Mapping[Any, Any]) -> bool:
    """Tell if a row has a figure at the place, and a difference beside it.

    Args:
        row: A row of ``analysis.at_bias``.

    Returns:
        True where it has both.

    Example:
        >>> reaches({"mean": 0.8, "lost": 0.1}), reaches({"mean": 0.8, "lost": math.nan})
        (True, False)
    """
    return math.isfinite(row["mean"]) and math.isfinite(row["lost"])


def _row(
    curves: Mapping[tuple[str, ...], Curve], key: tuple[str, ...], value: float, measure: Measure
) -> dict[str, Any]:
    curve, grid = curves[key], grid_of(curves, key)
    first = next(iter(curve.values()))
    row: dict[str, Any] = {**line_names(first), "bias_value": value, "reference": "", "reason": "", "share_text": ""}
    place = neighbours(grid, value)
    row |= {"below": place.low, "above": place.high} if place else {}
    sample, reason = _own(curve, place, grid, value)
    row |= _interval("mean", "", _NONE if sample is None else _within(sample, measure))
    if sample is None or place is None:
        row["reason"] = reason
    else:
        row |= _compared(curves, key, place, grid)
    row |= basis_of(first, sample)
    return {**row, "caption": _caption(row)}


def _own(curve: Curve, place: Between | None, grid: Sequence[float], value: float) -> tuple[Sample | None, str]:
    """A line's own figure at the place, or why there is none."""
    line = next(iter(curve.values())).line
    if place is None:
        measured = f"{grid[0]:g} alone" if len(grid) == 1 else f"{grid[0]:g} to {grid[-1]:g}"
        return None, (
            f"{line.bias_axis} = {value:.3g} lies outside the values measured ({measured}), and nothing is extrapolated"
        )
    if out := left_out(dict.fromkeys((place.low, place.high)), curve):
        return None, f"not applicable at {line.bias_axis} = {out}"
    absent = [end for end in dict.fromkeys((place.low, place.high)) if not (end in curve and curve[end].seeds)]
    if absent:
        return None, f"no finished seed at {line.bias_axis} {' and '.join(f'{end:g}' for end in absent)}"
    ends = [curve[place.low], curve[place.high]]
    seeds = common_seeds(*ends)
    if not seeds:
        return None, f"no seed has finished at both {place.low:g} and {place.high:g}"
    return _between(paired_samples(ends, seeds), place), ""


def _compared(
    curves: Mapping[tuple[str, ...], Curve], key: tuple[str, ...], place: Between, grid: Sequence[float]
) -> dict[str, Any]:
    """Compare a line with plain training and with what that is measured against, on the seeds that all three have."""
    erm, missing = counterpart_curve(curves, key, ERM)
    if erm is None:
        return {"reason": missing}
    reference = _reference(curves, key, erm, place, grid)
    involved = [(curves[key], place), (erm, place), (reference.curve, reference.place)]
    if any(end not in c or not c[end].seeds for c, at in involved for end in (at.low, at.high)):
        return {"reason": "plain training has no finished seed there", "reference": reference.name}
    points = [c[end] for c, at in involved for end in (at.low, at.high)]
    seeds = common_seeds(*points)
    if not seeds:
        return {"reason": f"no seed has finished in it, erm and {reference.name}", "reference": reference.name}
    samples = paired_samples(points, seeds)
    own, plain, best = (_between(samples[2 * i : 2 * i + 2], at) for i, (_, at) in enumerate(involved))
    method = next(iter(curves[key].values())).line.method
    result: dict[str, Any] = {"reference": reference.name}
    # The reference loses nothing against itself, and plain training wins nothing back from itself.
    if curves[key] is not reference.curve or reference.curve is erm:
        result |= _interval("lost", "lost_", interval_of(best.minus(own)))
    if curves[key] is not erm and method != CEILING:
        result |= _interval("gained", "gained_", interval_of(own.minus(plain)))
        if len(seeds) > 1:
            won = recovery(own, plain, best)
            ends = {"share_low": won.low, "share_high": won.high} if won.bounded else {}
            result |= {"share": won.ratio if won.bounded else math.nan, **ends, "share_text": share_text(won)}
    return result


def _reference(
    curves: Mapping[tuple[str, ...], Curve],
    key: tuple[str, ...],
    erm: Curve,
    place: Between,
    grid: Sequence[float],
) -> _Reference:
    """The ceiling where it has finished there, else plain training at the weakest bias measured."""
    ceiling, _ = counterpart_curve(curves, key, CEILING)
    if ceiling is not None and all(end in ceiling and ceiling[end].seeds for end in (place.low, place.high)):
        return _Reference(ceiling, place, next(iter(ceiling.values())).line.label)
    points = [point for other, curve in curves.items() if other[:-1] == key[:-1] for point in curve.values()]
    weakest = grid[0] if stronger_direction(points) == "larger" else grid[-1]
    line = next(iter(erm.values())).line
    return _Reference(erm, Between(weakest, weakest, 0.0), f"{line.label} at {line.bias_axis} = {weakest:g}")


def _between(ends: Sequence[Sample], place: Between) -> Sample:
    return interpolated(ends[0], ends[1], place.weight)


def _within(sample: Sample, measure: Measure) -> Interval:
    return interval_of(sample, measure.bounds, proportion=measure.wilson != "never")


def _interval(name: str, ends: str, interval: Interval) -> dict[str, float]:
    return {name: interval.mean, f"{ends}low": interval.low, f"{ends}high": interval.high}


def _caption(row: Mapping[str, Any]) -> str:
    """Write a row in words: where it lies, what it is interpolated between, and what its interval covers."""
    facet = f" ({row['facet']})" if row["facet"] else ""
    name = f"{row['label']}{facet} at {row['bias_axis']} = {row['bias_value']:g}, chosen by {rule_name(row['rule'])}"
    if not math.isfinite(row["mean"]):
        return f"{name}: no figure, {row['reason']}"
    ends = "" if math.isnan(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
    measured = row["below"] == row["above"]
    between = "measured" if measured else f"interpolated linearly between {row['below']:g} and {row['above']:g}"
    band = "no interval" if row["band"] == "none" else f"95 % over {row['band']}"
    tested = row["band"].split(" and ")[-1] if row["n_patients"] else "images"
    return (
        f"{name}: {row['mean']:.3f}{ends}, {between}, {band}, given the selected hyperparameters and these "
        f"{row['n_patients'] or row['n_test']} test {tested}; the place itself counts as known"
    )

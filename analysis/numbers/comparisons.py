"""Comparisons between methods, paired on (data set, bias value, seed): normalised areas, and shares won back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.numbers.captions import area_words, won_back_words
from analysis.points.pairing import (
    BASIS,
    LINE,
    Curve,
    applicable,
    band_name,
    basis_of,
    common_seeds,
    counterpart,
    counterpart_curve,
    grid_of,
    least_points,
    left_out,
    line_names,
    paired_samples,
)
from analysis.points.points import CEILING, ERM, Point, by_label
from analysis.statistics.along_axis import normalised_area
from analysis.statistics.fieller import Recovery, recovery
from analysis.statistics.intervals import Interval, PairedTest, paired_test
from analysis.statistics.pairwise import holm_over
from analysis.statistics.variance import NO_VARIANCE, Sample, Variance, interval_of, variance_of

AREA = "area"
_NONE = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Comparison:
    """Difference of two methods, at one bias value or of their areas, paired by seed and patient.

    Attributes:
        method: Label of the first.
        reference: Label of the second.
        rule: The selection rule of both.
        facet: The facet both lie on.
        means: The figure of each, mean over the common seeds.
        difference: First minus second, with its interval.
        band: What the interval covers.
        n_seeds: Common seeds.
        variance: Variance of the difference, which interval and p come from.
        p: Two-sided p of the difference.
        test: The paired test over seeds alone, a statement about these test images; None for a single seed.
        at: ``area``, or the bias value as text.
        reason: Why there is no comparison; "" where there is one.
        left_out: Of areas, the bias values at which one of the methods is not applicable, in words; "" = none.
    """

    method: str
    reference: str
    rule: str
    facet: str
    means: tuple[float, float]
    difference: Interval
    band: str
    n_seeds: int
    variance: Variance
    p: float
    test: PairedTest | None
    at: str = AREA
    reason: str = ""
    left_out: str = ""


def won_back_rows(points: Sequence[Point]) -> pd.DataFrame:
    """Compute the rows of ``analysis.won_back``.

    Args:
        points: The points, with those of erm and of the ceiling.

    Returns:
        The rows.
    """
    rows: list[dict[str, Any]] = []
    curves = by_label(points)
    for point in points:
        if point.line.method in (ERM, CEILING):
            continue
        erm, ceiling = (counterpart(curves, point, method) for method in (ERM, CEILING))
        seeds = common_seeds(point, erm, ceiling) if erm and ceiling else []
        if erm is None or ceiling is None or len(seeds) < 2:
            continue
        samples = paired_samples([point, erm, ceiling], seeds)
        recovered = recovery(*samples)
        rows.append(
            {
                **line_names(point),
                "bias_value": point.bias_value,
                "bias_strength": point.bias_strength,
                "ratio": recovered.ratio,
                "low": recovered.low,
                "high": recovered.high,
                "g": recovered.g,
                "text": share_text(recovered),
                **basis_of(point, samples[0]),
            }
        )
        rows[-1]["caption"] = won_back_words(rows[-1])
    more = ["bias_value", "bias_strength", "ratio", "low", "high", "g", "text", *BASIS, "caption"]
    return pd.DataFrame(rows, columns=[*LINE, *more])


def area_rows(points: Sequence[Point], reference: str = ERM, primary: Comparison | None = None) -> pd.DataFrame:
    """Compute the rows of ``analysis.areas``.

    Args:
        points: The points.
        reference: Label (or method) the others are compared with.
        primary: The declared comparison; None = none.

    Returns:
        The rows.
    """
    curves = by_label(points)
    rows: list[dict[str, Any]] = []
    for key, curve in curves.items():
        first = next(iter(curve.values()))
        whole = grid_of(curves, key)
        grid = applicable(whole, curve)
        # The area needs the line alone, the difference both lines: one may exist without the other.
        area, reason = _area(curve, grid)
        comparison = _to_reference(curves, key, grid, reference)
        test = comparison.test if comparison else None
        difference = comparison.difference if comparison and test else _NONE
        rows.append(
            {
                **line_names(first),
                **_ends(area),
                "difference": difference.mean,
                "difference_low": difference.low,
                "difference_high": difference.high,
                "p": comparison.p if comparison and test else math.nan,
                "p_seeds": test.p if test else math.nan,
                "sign_flip_p": test.sign_flip_p if test else math.nan,
                "n_pairs": comparison.n_seeds if comparison and test else 0,
                "declared": comparison is not None and same_comparison(comparison, primary),
                "reason": reason or (comparison.reason if comparison else ""),
                "left_out": left_out(whole, curve),
                **basis_of(first, area),
            }
        )
        rows[-1]["caption"] = area_words(rows[-1], reference)
    differences = ["difference", "difference_low", "difference_high", "p", "p_seeds", "sign_flip_p", "n_pairs"]
    names = ["area", "low", "high", *differences, "declared", "reason", "left_out", *BASIS, "caption"]
    frame = pd.DataFrame(rows, columns=[*LINE, *names])
    frame["p_holm"] = math.nan
    # The ceiling is no method that competes, and the declared comparison stands alone: both would make the adjustment
    # of the others stricter. Differences at single bias values are another family (``analysis.against_erm``).
    competes = ~frame["method"].isin([CEILING, ERM]) & ~frame["declared"].astype(bool)
    # A difference without spread has no p, and counts as a test all the same.
    tested = frame[frame["difference"].notna() & competes]
    for _, group in tested.groupby(["sweep", "dataset", "network", "rule", "bias_axis", "facet"], dropna=False):
        frame.loc[group.index, "p_holm"] = holm_over(group["p"].to_numpy(dtype=float))
    return frame


def same_comparison(made: Comparison, primary: Comparison | None) -> bool:
    """Tell if two comparisons are of the same methods at the same place, in either order.

    Args:
        made: A comparison.
        primary: The declared one; None = none.

    Returns:
        False also where the declared one cannot be made.

    Example:
        >>> area = no_comparison("lnl", "erm", "val_biased", "")
        >>> same_comparison(area, no_comparison("erm", "lnl", "val_biased", ""))
        True
        >>> same_comparison(area, no_comparison("lnl", "erm", "val_biased", "", "0.9"))
        False
    """
    if primary is None or primary.reason:
        return False
    places = [(c.rule, c.facet, c.at, frozenset((c.method, c.reference))) for c in (made, primary)]
    return places[0] == places[1]


def compare_curves(first: Curve, second: Curve, grid: list[float], reference: str) -> Comparison:
    """Compare two curves' normalised areas, paired on the seeds both have at every bias value.

    The interval is the curve's band on the paired difference, patients included where both have predictions. Bias
    values at which one of the methods is not applicable are left out of both.

    Args:
        first: Points by bias value.
        second: Points by bias value.
        grid: Bias values that both must have.
        reference: Label of the second.

    Returns:
        The comparison.
    """
    line = next(iter(first.values())).line
    without = left_out(grid, first, second)
    grid = applicable(grid, first, second)
    for curve, label in ((first, line.label), (second, reference)):
        gaps = [value for value in grid if value not in curve or not curve[value].seeds]
        if gaps or not curve:
            values = ", ".join(f"{value:g}" for value in gaps)
            return no_comparison(
                line.label, reference, line.rule, f"{label} has no finished seed at {line.bias_axis} {values}"
            )
    if len(grid) < least_points(line.facet):
        return no_comparison(line.label, reference, line.rule, "there are too few bias values for an area")
    seeds = common_seeds(*(curve[value] for curve in (first, second) for value in grid))
    if not seeds:
        return no_comparison(line.label, reference, line.rule, "no seed has finished at every bias value in both")
    a, b = (_area_of(samples, grid) for samples in _both(first, second, grid, seeds))
    return replace(_compared(first[grid[0]], reference, AREA, a, b), left_out=without)


def compare_at(first: Point, second: Point) -> Comparison:
    """Compare two methods at one bias value, paired on the seeds that both have.

    Args:
        first: A point.
        second: The point of the other method at the same place.

    Returns:
        The comparison.
    """
    at, line = f"{first.bias_value:g}", first.line
    seeds = common_seeds(first, second)
    if not seeds:
        return no_comparison(line.label, second.line.label, line.rule, f"no seed has finished in both at {at}", at)
    a, b = paired_samples([first, second], seeds)
    return _compared(first, second.line.label, at, a, b)


def _compared(point: Point, reference: str, at: str, a: Sample, b: Sample) -> Comparison:
    difference = a.minus(b)
    variance = variance_of(difference)
    return Comparison(
        method=point.line.label,
        reference=reference,
        rule=point.line.rule,
        facet=point.line.facet,
        means=(a.mean, b.mean),
        difference=interval_of(difference),
        band=band_name(point, difference),
        n_seeds=len(difference.values),
        variance=variance,
        p=variance.p(difference.mean),
        test=paired_test(a.values, b.values) if len(difference.values) > 1 else None,
        at=at,
    )


def _both(first: Curve, second: Curve, grid: list[float], seeds: list[int]) -> tuple[list[Sample], list[Sample]]:
    samples = paired_samples([curve[value] for curve in (first, second) for value in grid], seeds)
    return samples[: len(grid)], samples[len(grid) :]


def _area_of(samples: list[Sample], grid: list[float]) -> Sample:
    """The normalised area, which is linear in the accuracies, seed by seed and patient by patient."""
    values = normalised_area(grid, np.stack([s.values for s in samples], axis=-1))
    outs = [s.left_out for s in samples if s.left_out is not None]
    if len(outs) < len(samples):
        return Sample(values)
    return Sample(values, normalised_area(grid, np.stack(outs, axis=-1)), samples[0].strata)


def _to_reference(
    curves: Mapping[tuple[str, ...], Curve], key: tuple[str, ...], grid: list[float], name: str
) -> Comparison | None:
    """Compare a line with the reference of the same facet.

    Returns:
        The comparison; None for the reference itself.
    """
    line = next(iter(curves[key].values())).line
    reference, reason = counterpart_curve(curves, key, name)
    if reference is None:
        return no_comparison(line.label, name, line.rule, reason)
    if reference is curves[key]:
        return None
    comparison = compare_curves(curves[key], reference, grid, next(iter(reference.values())).line.label)
    if comparison.test is None and not comparison.reason:
        return no_comparison(line.label, name, line.rule, f"only one seed can be paired with {comparison.reference}")
    return comparison


def share_text(recovered: Recovery) -> str:
    """Write a share won back with its interval.

    Args:
        recovered: The share.

    Returns:
        The text; "-" where the gap between erm and the ceiling is not significant.

    Example:
        >>> share_text(Recovery(0.6, 0.4, 0.8, 0.1)), share_text(Recovery(1.0, math.nan, math.nan, 0.1))
        ('0.60 [0.40, 0.80]', '1.00 (no spread)')
    """
    if not recovered.bounded:
        return "-"
    if math.isnan(recovered.low):
        return f"{recovered.ratio + 0.0:.2f} (no spread)"
    # Adding 0.0 turns -0.0 into 0.0.
    ratio, low, high = (f"{round(value, 2) + 0.0:.2f}" for value in (recovered.ratio, recovered.low, recovered.high))
    return f"{ratio} [{low}, {high}]"


def _area(curve: Curve, grid: list[float]) -> tuple[Sample | None, str]:
    """Compute the area over the seeds present at every bias value, or give the reason for none."""
    line = next(iter(curve.values())).line
    absent = [value for value in grid if value not in curve or not curve[value].seeds]
    if absent:
        return None, f"no finished seed at {', '.join(f'{value:g}' for value in absent)}"
    if len(grid) < least_points(line.facet):
        return None, "too few bias values"
    seeds = common_seeds(*(curve[value] for value in grid))
    if not seeds:
        return None, "no seed has finished at every bias value"
    return _area_of(paired_samples([curve[value] for value in grid], seeds), grid), ""


def _ends(area: Sample | None) -> dict[str, float]:
    interval = _NONE if area is None else interval_of(area, (0.0, 1.0))
    return {"area": interval.mean, "low": interval.low, "high": interval.high}


def no_comparison(method: str, reference: str, rule: str, reason: str, at: str = AREA) -> Comparison:
    """Make a comparison without numbers, with the reason.

    Args:
        method: Label of the first.
        reference: Label of the second.
        rule: The selection rule.
        reason: The reason, in words.
        at: ``area``, or the bias value as text.

    Returns:
        The comparison: NaN for every number.

    Example:
        >>> no_comparison("lnl", "erm", "val_biased", "lnl has no finished seed at rho 1").reason
        'lnl has no finished seed at rho 1'
    """
    nan = math.nan
    return Comparison(method, reference, rule, "", (nan, nan), _NONE, "none", 0, NO_VARIANCE, nan, None, at, reason)

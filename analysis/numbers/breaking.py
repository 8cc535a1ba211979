"""The bias strength at which a method falls below a threshold, or stops helping."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from analysis.numbers.captions import breaking_words
from analysis.points.pairing import (
    BASIS,
    LINE,
    Curve,
    applicable,
    basis_of,
    common_seeds,
    counterpart,
    grid_of,
    least_points,
    left_out,
    line_names,
    paired_samples,
)
from analysis.points.points import CEILING, ERM, Point, by_label, stronger_direction
from analysis.statistics.along_axis import crossing, crossings
from analysis.statistics.bootstrap import draw_weights, percentile_interval, resample
from analysis.statistics.variance import Sample, interval_of

MARGIN = 0.05
_DRAWS = 1000
Direction = Literal["larger", "smaller"]


def breaking_rows(
    points: Sequence[Point],
    threshold: float | None = None,
    margin: float = MARGIN,
    reference: Literal["ceiling", "own"] = "ceiling",
) -> pd.DataFrame:
    """Compute the rows of ``analysis.breaking_points``.

    Args:
        points: The points.
        threshold: An accuracy; default: ``margin`` below the reference.
        margin: Loss of accuracy that does not count yet.
        reference: ``ceiling`` at the same bias value, or the line's ``own`` accuracy at its weakest bias.

    Returns:
        The rows.

    Example:
        >>> from analysis.points.points import Line
        >>> line = Line("sweep", "digits", "small_cnn", "val_biased", "erm", "erm", "rho", "")
        >>> runs = {0.8: [0.92, 0.90], 0.9: [0.84, 0.84], 1.0: [0.67, 0.68]}
        >>> points = [Point(line, at, at, (1, 2), np.array(run), None, 2, 0, 0, 200, ()) for at, run in runs.items()]
        >>> breaking_rows(points, threshold=0.9)["text"].tolist()
        ['0.814']
    """
    curves = by_label(points)
    direction = cast(Direction, stronger_direction(points))
    rows: list[dict[str, Any]] = []
    for key, curve in curves.items():
        first = next(iter(curve.values()))
        whole = grid_of(curves, key)
        grid = applicable(whole, curve)
        if (
            # The ceiling is trained without bias: there is no bias strength at which it breaks.
            first.line.method == CEILING
            or len(grid) < least_points(first.line.facet)
            or any(v not in curve or not curve[v].seeds for v in grid)
        ):
            continue
        line = [curve[value] for value in grid]
        weakest = curve[grid[0] if direction == "larger" else grid[-1]]
        ceilings: list[Point | None] = []
        if threshold is None:
            own = reference == "own"
            ceilings = [weakest if own else counterpart(curves, point, CEILING) for point in line]
        if any(c is None or not c.seeds for c in ceilings):
            continue
        tops = [c for c in ceilings if c is not None]
        limit = [float(c.values.mean()) - margin for c in tops] if threshold is None else threshold
        breaking = crossing(grid, [float(point.values.mean()) for point in line], limit, direction)
        ends = _interval(line, tops, margin if threshold is None else -threshold, direction)
        basis = basis_of(first, _sample(first, [*line, *tops]))
        rows.append(
            {
                **line_names(first),
                "value": math.nan if breaking.value is None else breaking.value,
                "censored": breaking.censored,
                "text": breaking.text,
                "low": ends[0],
                "high": ends[1],
                "not_better_from": _not_better(curves, curve, grid, direction),
                # As text: the default differs from one bias value to the next.
                "threshold": _threshold(threshold, margin, reference, weakest),
                "left_out": left_out(whole, curve),
                **(basis if ends[0] else {**basis, "band": "none"}),
            }
        )
        rows[-1]["caption"] = breaking_words(rows[-1])
    more = ["value", "censored", "text", "low", "high", "not_better_from", "threshold", "left_out", *BASIS, "caption"]
    return pd.DataFrame(rows, columns=[*LINE, *more])


def _sample(point: Point, points: list[Point]) -> Sample | None:
    """Basis of a crossing: the seeds, and the patients, of all its points."""
    seeds = common_seeds(*points)
    return paired_samples([point, *points], seeds)[0] if seeds else None


def _threshold(threshold: float | None, margin: float, reference: str, weakest: Point) -> str:
    """Write the threshold of a line as text."""
    if threshold is not None:
        return f"{threshold:g}"
    if reference == "own":
        return f"its own at {weakest.line.bias_axis} = {weakest.bias_value:g} - {margin:g}"
    return f"ceiling - {margin:g}"


def _interval(line: list[Point], ceilings: list[Point], margin: float, direction: Direction) -> tuple[str, str]:
    """Compute the percentile ends of the crossing as text, weaker bias first.

    Without ceilings the margin lies below 0: it is a threshold with its sign turned.

    Returns:
        Both ends; "" where there are no paired predictions.
    """
    points = [*line, *ceilings]
    seeds = common_seeds(*points)
    if len(seeds) < 2:
        return "", ""
    strata = paired_samples(points, seeds)[0].strata
    if strata is None:
        return "", ""
    scores = [p.scores for p in points if p.scores is not None and p.scores.hits is not None]
    # Only accuracies keep the hits of each patient that a draw counts anew.
    if len(scores) < len(points):
        return "", ""
    # A fixed generator: the same rows give the same interval.
    weights = draw_weights(len(seeds), strata, _DRAWS, np.random.default_rng(0))
    drawn = []
    for point, score in zip(points, scores, strict=True):
        assert score.hits is not None and score.sizes is not None
        drawn.append(resample(score.hits[:, [point.seeds.index(seed) for seed in seeds]], score.sizes, weights))
    grid = [point.bias_value for point in line]
    limits = np.stack(drawn[len(line) :], axis=1) if ceilings else 0.0
    above = np.stack(drawn[: len(line)], axis=1) - limits + margin
    low, high = percentile_interval(crossings(grid, above, direction))
    return _text(low, grid, direction), _text(high, grid, direction)


def _text(position: float, grid: list[float], direction: Direction) -> str:
    """Write one end of a crossing, whose positions sort towards stronger bias."""
    ends = (min(grid), max(grid)) if direction == "larger" else (max(grid), min(grid))
    weaker, beyond = ("<", ">") if direction == "larger" else (">", "<")
    if math.isinf(position):
        return f"{weaker} {ends[0]:g}" if position < 0 else f"{beyond} {ends[1]:g}"
    return f"{position if direction == 'larger' else -position:.3g}"


def _not_better(curves: Mapping[tuple[str, ...], Curve], curve: Curve, grid: list[float], direction: Direction) -> str:
    """Weakest bias at which the paired interval of method - erm reaches 0 again after having been above it."""
    line = next(iter(curve.values())).line
    if line.method == ERM:
        return ""
    helped = False
    for value in sorted(grid, reverse=direction == "smaller"):
        erm = counterpart(curves, curve[value], ERM)
        seeds = common_seeds(curve[value], erm) if erm else []
        if erm is None or len(seeds) < 2:
            return ""
        debiased, plain = paired_samples([curve[value], erm], seeds)
        gain = interval_of(debiased.minus(plain))
        # The same gain in all seeds has no spread to judge it by.
        if not math.isfinite(gain.low):
            return ""
        better = gain.low > 0
        if helped and not better:
            return f"{value:g}"
        helped = helped or better
    if not helped:
        return "never better"
    return f"> {max(grid):g}" if direction == "larger" else f"< {min(grid):g}"

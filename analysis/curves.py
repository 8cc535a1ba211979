"""The curve: accuracy against bias, one row per rule, method and bias value, with its band."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.changes import added_by_sweep
from analysis.measures import measure_of
from analysis.pairing import band_name
from analysis.replicates import Point, collect
from analysis.selection import rule_name
from analysis.statistics import Interval
from analysis.variance import interval_of

COLUMNS = (
    "sweep",
    "dataset",
    "network",
    "rule",
    "method",
    "label",
    "bias_axis",
    "facet",
    "gamma",
    "bias_value",
    "bias_strength",
    "mean",
    "low",
    "high",
    "median",
    "worst_case",
    "n_seeds",
    "n_planned",
    "n_failed",
    "n_collapsed",
    "n_added",
    "n_patients",
    "n_test",
    "band",
    "values",
    "seeds",
    "hyperparameters",
    "shared",
    "caption",
)


def accuracy_vs_bias(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    column: str | None = None,
    rules: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Accuracy against bias strength, from confirm rows only.

    The band is mean +- t_{nu} sqrt(V) over seeds and over patients within classes where predictions are given ("seeds
    and patients", or "seeds and images"; ``analysis.variance``), Student's t over seeds without them ("seeds only"), and
    none for a single seed.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned.
        column: Test column, of accuracy or another (``analysis.measures`` lists them); default: the sweep's metric on
            the unbiased test variant.
        rules: Selection rules to keep; default: all of the sweep.

    Returns:
        One row per (sweep, data set, network, rule, method label, facet, bias value), weak bias first: ``gamma`` (of
        brain images, also where no facet names it), ``mean``, ``low``, ``high`` (clipped to [0, 1]), ``median``,
        ``worst_case`` (mean if every missing seed had scored 0, or 1 where lower is better), ``n_seeds`` of
        ``n_planned``, ``n_failed``, ``n_collapsed``, ``n_added`` (of those planned, added after test results existed,
        where the trials carry ``seeds_added``: ``analysis.mark_seeds_added``), ``n_patients`` (or images in the band),
        ``band``, ``values`` and ``seeds`` (tuples), ``hyperparameters`` (tuple of JSON text), ``caption``.

    Raises:
        InputError: A column that the trials do not have, or sweeps of different metrics.
    """
    kept = (p for p in collect(trials, predictions, column) if rules is None or p.line.rule in rules)
    return curve_of(kept, column, added_by_sweep(trials))


def curve_of(
    points: Iterable[Point], column: str | None = None, added: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """The rows of ``accuracy_vs_bias`` from points already gathered.

    Args:
        points: The points.
        column: Test column; default: the sweep's metric.
        added: Seeds added after test results existed, by sweep.

    Returns:
        The rows.
    """
    proportion = column is None or measure_of(column).better == "higher"
    worst = 0.0 if proportion else 1.0
    late = added or {}
    rows = [_row(point, worst, proportion, late.get(point.line.sweep, 0)) for point in points]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def band(point: Point, proportion: bool = True) -> tuple[Interval, str]:
    """Interval of one point and the name of what it covers.

    Args:
        point: A point with at least one seed.
        proportion: The figure is a mean of zeros and ones, see ``variance.interval_of``.

    Returns:
        The interval and ``seeds and patients``, ``seeds and images``, ``seeds only`` or ``none``; ``repetitions`` in
        place of ``seeds`` where search and confirm were repeated.
    """
    sample = point.sample(point.seeds)
    return interval_of(sample, (0.0, 1.0), proportion=proportion), band_name(point, sample)


def _row(point: Point, worst: float, proportion: bool, added: int) -> dict[str, Any]:
    line, n = point.line, len(point.seeds)
    interval, kind = band(point, proportion) if n else (Interval(math.nan, math.nan, math.nan), "none")
    row = {
        **{name: getattr(line, name) for name in COLUMNS[:8]},
        "gamma": point.gamma,
        "bias_value": point.bias_value,
        "bias_strength": point.bias_strength,
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "median": float(np.median(point.values)) if n else math.nan,
        "worst_case": (float(point.values.sum()) + worst * (point.n_planned - n)) / point.n_planned
        if point.n_planned
        else math.nan,
        "n_seeds": n,
        "n_planned": point.n_planned,
        "n_failed": point.n_failed,
        "n_collapsed": point.n_collapsed,
        "n_added": min(added, point.n_planned),
        "n_patients": len(point.scores.patients) if point.scores and " and " in kind else 0,
        "n_test": point.n_test,
        "band": kind,
        "values": tuple(float(v) for v in point.values),
        "seeds": point.seeds,
        "hyperparameters": point.hyperparameters,
        "shared": point.shared,
    }
    return {**row, "caption": caption(row, worst)}


def caption(row: dict[str, Any], worst: float = 0.0) -> str:
    """What one point of the curve says, in words: the interval, what it covers, and what is missing."""
    words = [f"{row['label']} at {row['bias_axis']} = {row['bias_value']:g}, chosen by {rule_name(row['rule'])}:"]
    if row["n_seeds"] == 0:
        return f"{words[0]} no seed finished ({row['n_planned']} planned)"
    words.append(f"mean {row['mean']:.3f}")
    if row["band"] == "none":
        words.append("of one seed (no interval),")
    else:
        words.append(f"[{row['low']:.3f}, {row['high']:.3f}], 95 % over {row['band']},")
    unit = "repetitions" if row["band"].startswith("repetitions") else "seeds"
    words.append(f"{row['n_seeds']} of {row['n_planned']} {unit} finished,")
    if row["n_added"]:
        words.append(f"{row['n_added']} of these {row['n_planned']} were added after results had been seen,")
    if row["n_collapsed"]:
        words.append(f"{row['n_collapsed']} collapsed,")
    if row["n_seeds"] < row["n_planned"]:
        words.append(f"at worst {row['worst_case']:.3f} (missing seeds counted as {worst:g}),")
    tested = row["band"].split(" and ")[-1] if row["n_patients"] else "images"
    count = row["n_patients"] or row["n_test"]
    given = (
        "each with a search of its own, given" if unit == "repetitions" else "given the selected hyperparameters and"
    )
    words.append(f"{given} these {count} test {tested}")
    return " ".join(words)

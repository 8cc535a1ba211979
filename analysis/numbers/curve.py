"""The curve: accuracy against bias, one row per rule, method and bias value, with its band."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.numbers.captions import no_spread, unit_of
from analysis.points.measures import Measure, called, measure_of
from analysis.points.pairing import band_name
from analysis.points.points import Point
from analysis.statistics.intervals import Interval
from analysis.statistics.variance import interval_of, share_interval
from store.columns import BIAS, bias_parameters
from store.rules import rule_name

COLUMNS = (
    "sweep",
    "dataset",
    "network",
    "rule",
    "method",
    "label",
    "bias_axis",
    "facet",
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
    "least_patients",
    "n_test",
    "band",
    "values",
    "seeds",
    "hyperparameters",
    "shared",
    "named_by",
    "not_applicable",
    "caption",
)


def curve_rows(points: Iterable[Point], column: str) -> pd.DataFrame:
    """Compute the rows of ``analysis.accuracy_vs_bias``.

    Args:
        points: The points.
        column: Their test column.

    Returns:
        The rows.

    Example:
        >>> from analysis.points.points import Line
        >>> line = Line("sweep", "digits", "small_cnn", "val_biased", "erm", "erm", "rho", "")
        >>> point = Point(line, 0.9, 0.5, (1, 2, 3), np.array([0.80, 0.82, 0.87]), None, 5, 0, 0, 200, ())
        >>> curve_rows([point], "test_accuracy")[["mean", "worst_case"]].round(3).values.tolist()  # 3 of 5 seeds
        [[0.83, 0.498]]
    """
    measure = measure_of(column)
    rows = [_row(point, measure) for point in points]
    for row in rows:
        # In the caption alone: the rows keep the label that the sweep gives.
        row["caption"] = caption({**row, "label": called(row["label"], row["method"], column)}, measure.worst)
    index = COLUMNS.index("bias_value")
    curve = pd.DataFrame(rows, columns=[*COLUMNS[:index], *_off_axis(rows), *COLUMNS[index:]])
    curve.attrs["column"] = column
    return curve


def _off_axis(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Columns of the bias parameters off the axis, in the order in which they first appear."""
    return [f"{BIAS}{name}" for name in bias_parameters(dict.fromkeys(column for row in rows for column in row))]


def band(point: Point, measure: Measure) -> tuple[Interval, str, int]:
    """Compute the interval of one point, the name of what it covers, and the number of patients in it.

    Args:
        point: A point with at least one seed.
        measure: What is measured.

    Returns:
        The interval; ``seeds and patients``, ``seeds and images``, ``seeds only`` or ``none`` (``repetitions`` in place
        of ``seeds`` where search and confirm were repeated); the number of patients (or images), 0 = seeds only.

    Example:
        >>> from analysis.points.points import Line
        >>> line = Line("sweep", "digits", "small_cnn", "val_biased", "erm", "erm", "rho", "")
        >>> point = Point(line, 0.9, 0.5, (1, 2, 3), np.array([0.80, 0.82, 0.87]), None, 3, 0, 0, 200, ())
        >>> interval, kind, n_patients = band(point, measure_of("test_accuracy"))
        >>> round(interval.half, 3), kind, n_patients
        (0.09, 'seeds only', 0)
    """
    sample = point.sample(point.seeds, bearing=measure.wilson == "always")
    if measure.wilson == "always":
        interval = share_interval(sample, point.scores.n_bearing if point.scores else math.inf)
    else:
        interval = interval_of(sample, measure.bounds, proportion=measure.wilson == "edge")
    kind = band_name(point, sample)
    counted = 0 if sample.strata is None or kind == "none" else len(sample.strata)
    return interval, kind, counted


def _row(point: Point, measure: Measure) -> dict[str, Any]:
    line, n, worst = point.line, len(point.seeds), measure.worst
    interval, kind, n_patients = band(point, measure) if n else (Interval(math.nan, math.nan, math.nan), "none", 0)
    # Without predictions only the trials' own figures are known, each named by the seed it is measured on.
    named_by = (point.scores.named_by if point.scores else "itself") if measure.named and n else None
    return {
        **{name: getattr(line, name) for name in COLUMNS[:8]},
        **{f"{BIAS}{name}": value for name, value in point.bias.items()},
        "bias_value": point.bias_value,
        "bias_strength": point.bias_strength,
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "median": float(np.median(point.values)) if n else math.nan,
        "worst_case": _worst_case(point, worst),
        "n_seeds": n,
        "n_planned": point.n_planned,
        "n_failed": point.n_failed,
        "n_collapsed": point.n_collapsed,
        "n_added": point.n_added,
        "n_patients": n_patients,
        "least_patients": _least_patients(point) if " and " in kind else 0,
        "n_test": point.n_test,
        "band": kind,
        "values": tuple(float(v) for v in point.values),
        "seeds": point.seeds,
        "hyperparameters": point.hyperparameters,
        "shared": point.shared,
        "named_by": named_by,
        "not_applicable": point.not_applicable or None,
    }


def _worst_case(point: Point, worst: float) -> float:
    """Mean with every missing seed at the worst value, NaN where that is not known or no seed was planned."""
    missing = point.n_planned - len(point.seeds)
    if not point.n_planned or (missing and not math.isfinite(worst)):
        return math.nan
    return (float(point.values.sum()) + (worst * missing if missing else 0.0)) / point.n_planned


def _least_patients(point: Point) -> int:
    strata = None if point.scores is None else point.scores.strata
    return 0 if strata is None else int(np.unique(strata, return_counts=True)[1].min())


def caption(row: dict[str, Any], worst: float = 0.0) -> str:
    """Write one point of the curve in words: the interval, its units, and the missing seeds.

    Args:
        row: A row of ``analysis.accuracy_vs_bias``.
        worst: Value that missing seeds are counted as.

    Returns:
        The caption.

    Example:
        >>> row = {"label": "lnl", "bias_axis": "rho", "bias_value": 1.0, "rule": "val_biased"}
        >>> caption({**row, "n_seeds": 0, "n_planned": 5})
        'lnl at rho = 1, chosen by biased validation: no seed finished (5 planned)'
    """
    words = [f"{row['label']} at {row['bias_axis']} = {row['bias_value']:g}, chosen by {rule_name(row['rule'])}:"]
    if row.get("not_applicable"):
        return f"{words[0]} not applicable: {row['not_applicable']}"
    if row["n_seeds"] == 0:
        return f"{words[0]} no seed finished ({row['n_planned']} planned)"
    words.append(f"mean {row['mean']:.3f}")
    if row["band"] == "none":
        words.append("of one seed (no interval),")
    elif no_spread(row):
        words.append(
            f"in all {row['n_seeds']} {unit_of([row['band']])}, which have no spread to take an interval from,"
        )
    else:
        words.append(f"[{row['low']:.3f}, {row['high']:.3f}], 95 % over {row['band']},")
    if row["named_by"]:
        biased = " (biased low)" if row["named_by"] == "itself" else ""
        words.append(f"each seed's worst one named by {row['named_by']}{biased},")
    unit = unit_of([row["band"]])
    words.append(f"{row['n_seeds']} of {row['n_planned']} {unit} finished,")
    if row["n_added"]:
        words.append(f"{row['n_added']} of these {row['n_planned']} were added after results had been seen,")
    if row["n_collapsed"]:
        words.append(f"{row['n_collapsed']} collapsed,")
    if row["n_seeds"] < row["n_planned"] and math.isfinite(worst):
        words.append(f"at worst {row['worst_case']:.3f} (missing seeds counted as {worst:g}),")
    tested = row["band"].split(" and ")[-1] if row["n_patients"] else "images"
    count = row["n_patients"] or row["n_test"]
    given = (
        "each with a search of its own, given" if unit == "repetitions" else "given the selected hyperparameters and"
    )
    words.append(f"{given} these {count} test {tested}")
    return " ".join(words)

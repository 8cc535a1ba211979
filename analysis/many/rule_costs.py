"""Accuracy that selection rules cost: each method chosen by another rule, minus the same chosen by the headline's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.natural import like
from analysis.numbers.comparisons import AREA, Comparison, compare_at, compare_curves
from analysis.numbers.tables import headline_rule
from analysis.points.pairing import LINE, Curve, grid_of, line_names
from analysis.points.points import Point, by_label
from analysis.results import Results
from store.errors import unknown_name
from store.rules import RULES, rule_name

COLUMNS = (
    *LINE,
    *("at", "bias_value", "against", "difference", "low", "high", "p", "same", "reason", "n_seeds", "band", "caption"),
)
"""Columns of ``analysis.rule_costs``."""


def rule_costs(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    column: str | None = None,
    against: str | None = None,
) -> pd.DataFrame:
    """Compute what each selection rule costs a method in test accuracy, at each bias value and over the axis.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned; without them intervals are over seeds alone.
        column: Test column; default: the sweep's metric.
        against: Rule to compare with; default: the headline rule.

    Returns:
        One row per line and other rule (``rule``), once for the normalised area (``at`` = ``area``, ``bias_value``
        missing) and once for each bias value at which both have a finished seed: ``difference`` (this rule minus
        ``against``, paired by seed and patient) with ``low``, ``high`` (95 %) and ``p``, not adjusted; ``same``, True
        where no seed differs, as where both chose the same configurations; ``reason`` why there is none, ``n_seeds``,
        ``band``, ``caption``.

    Raises:
        InputError: No such rule, a column that the trials do not have, or sweeps of different metrics.

    Example:
        >>> import analysis
        >>> table = analysis.rule_costs(analysis.example())
        >>> row = table.query("label == 'lnl' and rule == 'val_biased' and at == '1' and facet == 'gamma = 0'").iloc[0]
        >>> row["caption"].split(",")[0]
        'lnl chosen by biased validation minus by counterfactual validation at rho = 1: -0.158 [-0.268'
    """
    if against is not None and against not in RULES:
        raise unknown_name("rule", against, RULES)
    points = Results(trials, predictions, column).of(None)
    return like(rule_cost_rows(points, against or headline_rule(trials)), trials)


def rule_cost_rows(points: Sequence[Point], against: str) -> pd.DataFrame:
    """Compute the rows of ``analysis.rule_costs``.

    Args:
        points: The points of all rules.
        against: The rule to compare with.

    Returns:
        The rows.
    """
    curves = by_label(points)
    rows: list[dict[str, Any]] = []
    for key, curve in curves.items():
        line = next(iter(curve.values())).line
        other = curves.get((*line.like("")[:3], against, *key[4:]), {})
        if line.rule == against or not other:
            continue
        whole = compare_curves(curve, other, grid_of(curves, key), line.label)
        rows.append(_row(curve, whole, against, math.nan))
        rows += [_row(curve, made, against, value) for value, made in _places(curve, other).items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _places(curve: Curve, other: Curve) -> Mapping[float, Comparison]:
    both = [value for value in curve if value in other and curve[value].seeds and other[value].seeds]
    return {value: compare_at(curve[value], other[value]) for value in both}


def _row(curve: Curve, made: Comparison, against: str, value: float) -> dict[str, Any]:
    point = next(iter(curve.values()))
    row: dict[str, Any] = {
        **line_names(point),
        "at": AREA if math.isnan(value) else made.at,
        "bias_value": value,
        "against": against,
        "difference": made.difference.mean,
        "low": made.difference.low,
        "high": made.difference.high,
        "p": made.p,
        "same": not made.reason and made.difference.mean == 0 and made.variance.no_spread,
        "reason": made.reason,
        "n_seeds": made.n_seeds,
        "band": made.band,
    }
    return {**row, "caption": _caption(row)}


def _caption(row: Mapping[str, Any]) -> str:
    where = "over the axis" if row["at"] == AREA else f"at {row['bias_axis']} = {row['at']}"
    what = f"{row['label']} chosen by {rule_name(row['rule'])} minus by {rule_name(row['against'])} {where}"
    if row["reason"]:
        return f"{what}: {row['reason']}"
    if row["same"]:
        return f"{what}: 0, the same in all {row['n_seeds']} seeds"
    ends = f" [{row['low']:+.3f}, {row['high']:+.3f}], 95 % over {row['band']}, not adjusted"
    return f"{what}: {row['difference']:+.3f}" + ("" if math.isnan(row["low"]) else ends)

"""Differences of every method to plain training at every bias value, with p values adjusted for their number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.natural import like
from analysis.numbers.comparisons import Comparison, compare_at, same_comparison
from analysis.points.pairing import BASIS, LINE, basis_of, common_seeds, counterpart, line_names, paired_samples
from analysis.points.points import CEILING, ERM, Point, by_label
from analysis.results import Results
from analysis.statistics.pairwise import holm_over

COLUMNS = (
    *LINE,
    *("bias_value", "bias_strength", "difference", "low", "high", "p", "p_holm", "p_holm_table", "n_tests"),
    *("n_tests_table", "declared", "reason"),
    *BASIS,
    "caption",
)
"""Columns of ``analysis.against_erm``."""


def against_erm(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    column: str | None = None,
    rule: str | None = None,
    primary: Comparison | None = None,
) -> pd.DataFrame:
    """Compare every method with plain training at every bias value, with p values adjusted for the number of tests.

    Intervals are not adjusted: each holds with 95 % by itself, and of 100 true zeros five are expected outside. The p
    values are adjusted by Holm, once over the methods at a bias value and once over the whole table. The comparison
    that a sweep declared beforehand is in neither family: it is the only one whose p stands unadjusted.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned.
        column: Test column; default: the sweep's metric.
        rule: Selection rule to keep; default: all.
        primary: The declared comparison, of ``analysis.primary_comparison``; None = all tests are adjusted.

    Returns:
        One row per method (neither plain training nor the ceiling) and bias value: ``difference`` (method - erm, paired
        by seed and patient), ``low``, ``high`` (95 %, unadjusted), ``p`` (unadjusted), ``p_holm`` (over the ``n_tests``
        methods at this bias value), ``p_holm_table`` (over the ``n_tests_table`` methods and bias values of the rule
        and facet), ``declared``, ``reason`` why there is no test, ``n_seeds`` (paired) of ``n_planned``, ``n_added``,
        ``n_patients``, ``n_test``, ``band``, ``caption``.

    Raises:
        InputError: A column that the trials do not have, or sweeps of different metrics.

    Example:
        >>> import analysis
        >>> table = analysis.against_erm(analysis.example(), rule="val_counterfactual")
        >>> row = table.query("label == 'lnl' and bias_value == 1 and facet == 'gamma = 0'").iloc[0]
        >>> round(float(row["difference"]), 3), bool(row["p"] < row["p_holm"] < row["p_holm_table"])
        (0.177, True)
    """
    return like(difference_rows(Results(trials, predictions, column).of(rule), primary), trials)


def difference_rows(points: Sequence[Point], primary: Comparison | None = None) -> pd.DataFrame:
    """Compute the rows of ``analysis.against_erm``.

    Args:
        points: The points, with those of erm.
        primary: The declared comparison; None = none.

    Returns:
        The rows.
    """
    curves = by_label(points)
    rows = []
    for point in points:
        if point.line.method in (ERM, CEILING):
            continue
        row = _row(point, counterpart(curves, point, ERM), primary)
        rows.append({**row, **dict.fromkeys(("p_holm", "p_holm_table"), math.nan), "n_tests": 0, "n_tests_table": 0})
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    # A difference without spread has no p, and counts as a test all the same.
    tested = frame[(frame["reason"] == "") & ~frame["declared"].astype(bool)]
    line = ["sweep", "dataset", "network", "rule", "bias_axis", "facet"]
    for keys, name, count in ((["bias_value"], "p_holm", "n_tests"), ([], "p_holm_table", "n_tests_table")):
        for _, group in tested.groupby([*line, *keys], dropna=False):
            frame.loc[group.index, name] = holm_over(group["p"].to_numpy(dtype=float))
            frame.loc[group.index, count] = len(group)
    frame["caption"] = [_caption(row) for row in frame.to_dict("records")]
    return frame


def _row(point: Point, erm: Point | None, primary: Comparison | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        **line_names(point),
        "bias_value": point.bias_value,
        "bias_strength": point.bias_strength,
        **dict.fromkeys(("difference", "low", "high", "p"), math.nan),
        "declared": False,
        "reason": "",
    }
    seeds = common_seeds(point, erm) if erm is not None and erm.seeds and point.seeds else []
    if point.not_applicable:
        row["reason"] = f"not applicable: {point.not_applicable}"
    elif not point.seeds:
        row["reason"] = "no finished seed"
    elif erm is None or not erm.seeds:
        row["reason"] = "there is no erm to compare with"
    elif not seeds:
        row["reason"] = "no seed has finished in both"
    if row["reason"] or erm is None:
        return {**row, **basis_of(point, None)}
    made = compare_at(point, erm)
    row |= {"difference": made.difference.mean, "low": made.difference.low, "high": made.difference.high, "p": made.p}
    if len(seeds) < 2:
        row["reason"] = "one seed allows no test"
    row["declared"] = same_comparison(made, primary)
    return {**row, **basis_of(point, paired_samples([point, erm], seeds)[0])}


def _caption(row: dict[Any, Any]) -> str:
    where = f"{row['label']} minus erm at {row['bias_axis']} = {row['bias_value']:g}"
    if math.isnan(row["difference"]):
        return f"{where}: {row['reason']}"
    number = f"{where}: {row['difference']:+.3f}"
    if row["reason"]:
        return f"{number} ({row['reason']})"
    if math.isnan(row["low"]):
        return f"{number} in all {row['n_seeds']} seeds, which have no spread to take an interval or a p from"
    words = f"{number} [{row['low']:+.3f}, {row['high']:+.3f}], 95 % over {row['band']}, not adjusted; p {row['p']:.2g}"
    if row["declared"]:
        return f"{words}, declared beforehand and not adjusted"
    return (
        f"{words}, by Holm {row['p_holm']:.2g} over {row['n_tests']} methods here and {row['p_holm_table']:.2g} over "
        f"{row['n_tests_table']} tests of the table"
    )

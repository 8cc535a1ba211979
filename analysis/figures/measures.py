"""Figures of the test columns beside the headline: the curve, and the level of a perfect network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.curve import CurveFigure, curve_figure
from analysis.figures.plotly_curve import draw_curve
from analysis.figures.small_multiples import draw_multiples, panels_of
from analysis.points.measures import NULL_VALUES, Measure, many, measure_of

_KEY = ["sweep", "dataset", "network", "rule", "facet", "label", "bias_axis", "bias_value"]
_BETTER = {"higher": "higher is better", "lower": "lower is better", "0": "0 is best"}


def measure_figure(
    curve: pd.DataFrame, measure: Measure, null: pd.DataFrame | None = None, **options: Any
) -> CurveFigure:
    """Compute what ``plot_measure`` draws.

    The arguments are the same.
    """
    figure = curve_figure(curve, metric=f"{measure.name} ({_BETTER[measure.better]})", **options)
    # The best value is marked, and stays in view.
    if measure.better == "0":
        return replace(figure, levels=(0.0,), level_name="the best value", y_range=_with(figure.y_range, 0.0, 0.0))
    ends = null_range(null, str(options.get("rule") or curve["rule"].iloc[0]))
    return figure if ends is None else replace(figure, null=ends, y_range=_with(figure.y_range, *ends))


def plot_measure(
    curve: pd.DataFrame,
    measure: Measure,
    null: pd.DataFrame | None = None,
    order: Sequence[str] | None = None,
    **options: Any,
) -> go.Figure:
    """Draw a test column against bias, with the level of a perfect network in a finite sample.

    Many methods have a panel each, as in the headline curve.

    Args:
        curve: What ``accuracy_vs_bias`` returned for the column.
        measure: What it measures.
        null: The same of its null value, or None.
        order: Labels in the order of the panels of many methods; None = by name.
        **options: As ``plot_accuracy_vs_bias`` takes them.

    Returns:
        The figure; a grey band lies over the null values, a dotted line at 0 where 0 is best.

    Raises:
        InputError: As ``plot_accuracy_vs_bias``.
    """
    return draw_one_or_panels(measure_figure(curve, measure, null, **options), many(curve), order)


def draw_one_or_panels(figure: CurveFigure, panels: bool, order: Sequence[str] | None = None) -> go.Figure:
    """Draw a figure beside the headline curve: in one picture, or a panel for each method.

    Args:
        figure: The figure, computed already.
        panels: True = a panel for each method.
        order: Labels in the order of the panels; None = by name.

    Returns:
        The plotly figure.

    Raises:
        InputError: Panels are asked for, and there is no method besides plain training and the ceiling.
    """
    if not panels:
        return draw_curve(figure)
    return draw_multiples(panels_of(figure, "name" if order is None else order, "in the order of the headline curve"))


def null_range(null: pd.DataFrame | None, rule: str) -> tuple[float, float] | None:
    """Find the lowest and the highest null value of a rule's points.

    Args:
        null: Curve of the null value, or None.
        rule: The selection rule.

    Returns:
        Both; None without any.

    Example:
        >>> null = pd.DataFrame({"rule": "val_biased", "n_seeds": [5, 5, 0], "mean": [0.04, 0.06, None]})
        >>> null_range(null, "val_biased"), null_range(None, "val_biased")
        ((0.04, 0.06), None)
    """
    if null is None:
        return None
    means = null.loc[(null["rule"] == rule) & (null["n_seeds"] > 0), "mean"].dropna()
    return (float(means.min()), float(means.max())) if len(means) else None


def null_words(null: pd.DataFrame | None, rule: str) -> str:
    """Write the sentence on the null values of a rule's points.

    Args:
        null: Curve of the null value, or None.
        rule: The selection rule.

    Returns:
        The sentence; "" without any.

    Example:
        >>> null = pd.DataFrame({"rule": "val_biased", "n_seeds": [5, 5], "mean": [0.04, 0.06]})
        >>> null_words(null, "val_biased").partition(" on ")[0]
        'A perfectly calibrated network with the same confidences would have 0.040 to 0.060'
    """
    ends = null_range(null, rule)
    if null is None or ends is None:
        return ""
    low, high = (f"{end:.3f}" for end in ends)
    span = low if low == high else f"{low} to {high}"
    return (
        f"A perfectly calibrated network with the same confidences would have {span} on as many images (the null "
        "value, the grey band): what lies there shows no miscalibration, and errors that "
        "come together in a patient's images raise it further."
    )


def with_null(curve: pd.DataFrame, null: pd.DataFrame | None) -> pd.DataFrame:
    """Add ``null_value``, the null value of each point, to a curve's rows.

    Args:
        curve: Rows of ``accuracy_vs_bias`` of a test column.
        null: Those of its null value, or None.

    Returns:
        The rows; as they are where there are no null values.

    Example:
        >>> curve = pd.DataFrame({**dict.fromkeys(_KEY, ["same"]), "mean": [0.08]})
        >>> with_null(curve, curve.assign(mean=0.05))[["mean", "null_value"]].values.tolist()
        [[0.08, 0.05]]
    """
    if null is None:
        return curve
    values = null.drop_duplicates(_KEY).set_index(_KEY)["mean"].rename("null_value")
    return curve.join(values, on=_KEY)


def own_figures(measures: Mapping[str, pd.DataFrame]) -> dict[str, tuple[pd.DataFrame, Measure, pd.DataFrame | None]]:
    """Select the test columns with a figure of their own: curve, measure and curve of the null value of each.

    Args:
        measures: Curves by test column, those of null values among them.

    Returns:
        Curve, measure and curve of the null value (or None), by test column.

    Example:
        >>> curve = pd.DataFrame()
        >>> list(own_figures({"ece": curve, "ece_null": curve, "flip_rate": curve}))
        ['ece', 'flip_rate']
    """
    return {
        column: (curve, measure_of(column), measures.get(NULL_VALUES.get(column, "")))
        for column, curve in measures.items()
        if column not in NULL_VALUES.values()
    }


def _with(ends: tuple[float, float], low: float, high: float) -> tuple[float, float]:
    """Ends of the y axis, wide enough to show a level."""
    return min(ends[0], low - 0.02), max(ends[1], high + 0.02)

"""Figures of the test columns beside the headline: the curve, and the level that a perfect network would have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.curve import plot_accuracy_vs_bias
from analysis.points.measures import NULL_VALUES, Measure, measure_of

_KEY = ["sweep", "dataset", "network", "rule", "facet", "label", "bias_axis", "bias_value"]
_BETTER = {"higher": "higher is better", "lower": "lower is better", "0": "0 is best"}


def plot_measure(curve: pd.DataFrame, measure: Measure, null: pd.DataFrame | None = None, **options: Any) -> go.Figure:
    """Draw a test column against bias, with what a perfect network would have in a finite sample.

    Args:
        curve: What ``accuracy_vs_bias`` returned for the column.
        measure: What it measures.
        null: The same of its null value, or None.
        **options: As ``plot_accuracy_vs_bias`` takes them.

    Returns:
        The figure; a grey band lies over the null values, a dotted line at 0 where 0 is best.

    Raises:
        InputError: As ``plot_accuracy_vs_bias``.
    """
    figure = plot_accuracy_vs_bias(curve, metric=f"{measure.name} ({_BETTER[measure.better]})", **options)
    ends = null_range(null, str(options.get("rule") or curve["rule"].iloc[0]))
    if measure.better == "0":
        _include(figure, 0.0, 0.0)
        figure.add_hline(y=0.0, line={"dash": "dot", "width": 1, "color": "#808080"})
    elif ends is not None:
        _include(figure, *ends)
        figure.add_hrect(
            y0=ends[0],
            y1=ends[1],
            fillcolor="rgba(128, 128, 128, 0.25)",
            line={"width": 1, "dash": "dot", "color": "#808080"},
            layer="below",
            annotation={"text": "null value: perfectly calibrated", "font": {"size": 11}},
            annotation_position="bottom left",
        )
    return figure


def null_range(null: pd.DataFrame | None, rule: str) -> tuple[float, float] | None:
    """Lowest and highest null value of a rule's points; None without any."""
    if null is None:
        return None
    means = null.loc[(null["rule"] == rule) & (null["n_seeds"] > 0), "mean"].dropna()
    return (float(means.min()), float(means.max())) if len(means) else None


def null_words(null: pd.DataFrame | None, rule: str) -> str:
    """Sentence on the null values of a rule's points; "" without any."""
    ends = null_range(null, rule)
    if null is None or ends is None:
        return ""
    low, high = (f"{end:.3f}" for end in ends)
    said = low if low == high else f"{low} to {high}"
    return (
        f"A perfectly calibrated network with the same confidences would have {said} on as many images (the null "
        "value, the grey band): what lies there shows no miscalibration, and errors that "
        "come together in a patient's images raise it further."
    )


def with_null(curve: pd.DataFrame, null: pd.DataFrame | None) -> pd.DataFrame:
    """A curve's rows with ``null_value``, the null value of each point; as they are without any."""
    if null is None:
        return curve
    values = null.drop_duplicates(_KEY).set_index(_KEY)["mean"].rename("null_value")
    return curve.join(values, on=_KEY)


def own_figures(measures: Mapping[str, pd.DataFrame]) -> dict[str, tuple[pd.DataFrame, Measure, pd.DataFrame | None]]:
    """The test columns with a figure of their own: curve, measure and curve of the null value of each."""
    return {
        column: (curve, measure_of(column), measures.get(NULL_VALUES.get(column, "")))
        for column, curve in measures.items()
        if column not in NULL_VALUES.values()
    }


def _include(figure: go.Figure, low: float, high: float) -> None:
    """Widen the y axis to show a level."""
    bottom, top = figure.layout.yaxis.range
    figure.layout.yaxis.range = [min(bottom, low - 0.02), max(top, high + 0.02)]

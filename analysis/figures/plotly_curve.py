"""The figure of accuracy against bias drawn by plotly: line, band and every seed as a dot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from analysis.figures.bias_axis import Axis
from analysis.figures.curve import CurveFigure, DrawnLine, curve_figure
from analysis.figures.natural import Mark
from analysis.figures.published import Source
from analysis.figures.style import axis, layout, safe, trace_id

_DODGE = 0.008
_DOTTED = {"dash": "dot", "width": 1, "color": "#808080"}
# Longer than the arrow of the stronger bias is high, beside which its word would be unreadable on a phone.
_TICK = 0.075


def plot_accuracy_vs_bias(
    curve: pd.DataFrame,
    *,
    rule: str | None = None,
    x: Literal["bias_value", "bias_strength"] = "bias_value",
    axis_title: str | None = None,
    metric: str = "accuracy",
    unbiased_at: float | None = None,
    chance: float | None = None,
    title: str | None = None,
    note: str = "",
    names: Mapping[str, str] | None = None,
    published: pd.DataFrame | None = None,
) -> go.Figure:
    """Draw accuracy against bias: line, band and one dot per seed for each method.

    The legend shows or hides the three together.

    Args:
        curve: What ``analysis.accuracy_vs_bias`` returned.
        rule: Selection rule to draw; default: the first in the curve.
        x: ``bias_strength`` lays data sets over one another.
        axis_title: Title of the x axis; default: the parameter's name.
        metric: Title of the y axis.
        unbiased_at: Bias value without any bias, marked on the axis.
        chance: Accuracy of guessing, marked as a line.
        title: Title; default: the data set.
        note: What the reader must know about data or network (synthetic, toy), under the title; where nothing is given,
            what the data set's name says (``brain_phantom``: synthetic slices).
        names: Long names of the labels.
        published: What ``analysis.published_numbers`` returned: hollow marks of other networks and palettes,
            those at the curve's other bias parameters.

    Returns:
        The figure; it is legible on a light and on a dark background.

    Raises:
        InputError: The curve has no row of that rule.

    Example:
        >>> import analysis
        >>> curve = analysis.accuracy_vs_bias(analysis.example(), rules=["val_counterfactual"])
        >>> figure = analysis.plot_accuracy_vs_bias(curve[curve["facet"] == "gamma = 0"], chance=1 / 3)
        >>> figure.layout.title.text.partition("<br>")[0]
        'brain_phantom: accuracy against bias, chosen by counterfactual validation'
    """
    return draw_curve(
        curve_figure(
            curve,
            rule=rule,
            x=x,
            axis_title=axis_title,
            metric=metric,
            unbiased_at=unbiased_at,
            chance=chance,
            title=title,
            note=note,
            names=names,
            published=published,
        )
    )


def draw_curve(shown: CurveFigure) -> go.Figure:
    """Draw a curve that is computed already.

    Args:
        shown: The curve.

    Returns:
        The plotly figure.
    """
    traces: list[go.Scatter] = []
    for i, line in enumerate(shown.lines):
        # The dots of several methods at one bias value stand side by side.
        dodge = _DODGE * (i - (len(shown.lines) - 1) / 2)
        x = [shown.axis.shifted(v, dodge) for v, values in zip(line.x, line.values, strict=True) for _ in values]
        traces += line_traces(line, x)
    figure = go.Figure()
    # All bands lie below all lines: a later method's band would change the colour of an earlier one's line.
    figure.add_traces(sorted(traces, key=lambda trace: trace.meta != "band"))
    for source in shown.published:
        figure.add_traces(_published(source))
    figure.update_layout(**layout(shown.title, shown.note))
    figure.update_layout(
        height=480 + 16 * (len(shown.lines) + len(shown.published)),
        xaxis=_x_axis(shown.axis),
        yaxis=axis(safe(shown.y_title), range=list(shown.y_range), tickformat=".2f"),
        # Plotly keeps zoom and hidden lines over a switch of rule while this stays the same.
        uirevision="curve",
        hovermode="closest",
    )
    _annotate(figure, shown)
    return figure


def line_traces(line: DrawnLine, dots: Sequence[float]) -> list[go.Scatter]:
    """Draw one line: its band, a dot for each seed, and the line of its means.

    Args:
        line: The line.
        dots: Place of each seed's dot, point by point.

    Returns:
        The traces, the band first; without one where no points with an interval are joined.
    """
    return [*([_band(line)] if line.band else []), _dots(line, dots), _mean(line)]


def _common(line: DrawnLine, kind: str) -> dict[str, Any]:
    return {
        "legendgroup": line.name,
        "name": safe(line.name),
        "uid": trace_id(f"{line.name}/{kind}"),
        "meta": kind,
    }


def _band(line: DrawnLine) -> go.Scatter:
    around: list[float] = []
    edge: list[float] = []
    for run in line.runs():
        x, low, high = (values[run][line.banded[run]] for values in (line.x, line.low, line.high))
        # A number that is none ends a shape, and the next one is filled by itself.
        gap = [math.nan] if around else []
        around += [*gap, *x, *x[::-1]]
        edge += [*gap, *high, *low[::-1]]
    return go.Scatter(
        x=_short(around),
        y=_short(edge),
        fill="toself",
        fillcolor=line.style.fill(0.16),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        **_common(line, "band"),
    )


def _dots(line: DrawnLine, x: Sequence[float]) -> go.Scatter:
    symbol = line.style.of_layer(line.layer).symbol
    return go.Scatter(
        x=_short(x),
        y=_short([v for values in line.values for v in values]),
        mode="markers",
        marker={"size": 5, "color": line.style.fill(0.75), "symbol": symbol, "line": {"width": 0}},
        customdata=np.array([i + 1 for values in line.values for i in range(len(values))], dtype=np.int16),
        hovertemplate=f"{safe(line.name)}, seed %{{customdata}}: %{{y:.3f}}<extra></extra>",
        showlegend=False,
        **_common(line, "dots"),
    )


def _mean(line: DrawnLine) -> go.Scatter:
    style = line.style.of_layer(line.layer)
    # A point that is none interrupts the line.
    gaps = list(line.breaks)
    x, mean, low, high = (np.insert(values, gaps, np.nan) for values in (line.x, line.mean, line.low, line.high))
    texts = ["<br>".join(safe(text) for text in texts) for texts in line.texts]
    for gap in reversed(gaps):
        texts.insert(gap, "")
    bars = {
        "type": "data",
        "symmetric": False,
        "array": high - mean,
        "arrayminus": mean - low,
        "color": style.color,
    }
    return go.Scatter(
        x=x,
        y=mean,
        mode="markers" if line.marks_only else "lines+markers",
        line={"color": style.color, "dash": style.dash, "width": 2.4},
        marker={"size": 9, "color": style.color, "symbol": style.symbol},
        error_y=bars if line.bars else None,
        customdata=texts,
        hovertemplate=f"<b>{safe(line.name)}</b><br>%{{customdata}}<extra></extra>",
        **_common(line, "mean"),
    )


def _published(source: Source) -> list[go.Scatter]:
    """Make a legend entry and hollow marks, which are never joined to one's own lines."""
    common: dict[str, Any] = {
        "legendgroup": f"published/{source.name}",
        "visible": source.visible or "legendonly",
        "mode": "markers",
        "meta": "published",
    }
    # Without a point of its own: one entry in the legend for the marks of all methods.
    entry = go.Scatter(
        x=[None],
        y=[None],
        name=safe(f"published: {source.name} (hollow, other networks)"),
        marker={"size": 9, "symbol": f"circle{source.mark}", "color": "#808080"},
        **common,
    )
    return [
        entry,
        *(
            go.Scatter(
                x=marks.x,
                y=marks.y,
                showlegend=False,
                marker={
                    "size": 9,
                    "symbol": f"{marks.style.symbol}{source.mark}",
                    "color": marks.style.color,
                    "line": {"width": 1.5},
                    "opacity": 0.85,
                },
                hovertemplate=f"{safe(marks.name)}, {safe(source.name)}: %{{y:.4g}}<extra>published</extra>",
                uid=trace_id(f"published/{source.name}/{marks.method}/{marks.name}"),
                **common,
            )
            for marks in source.methods
        ),
    ]


def _short(values: Sequence[float]) -> NDArray[np.float32]:
    """Round to float32: half as many bytes in the page, and still more digits than a screen has points."""
    return np.asarray(values, dtype=np.float32)


def _x_axis(x_axis: Axis) -> dict[str, Any]:
    """The values measured as ticks, the bias strength under each."""
    # Of 8 pixels a letter, on the narrowest page that is no phone's.
    text = x_axis.labels(8 / 700)
    title = safe(x_axis.title)
    if x_axis.column == "bias_value":
        small = "<span style='font-size:10px'>"
        text = [f"{v}<br>{small}{s:.2f}</span>" if v else "" for v, s in zip(text, x_axis.strengths, strict=True)]
        title += f"<br>{small}below each value: bias strength I(b; y) / H(y)</span>"
    return axis(
        title,
        type="log" if x_axis.log else "linear",
        range=x_axis.range(),
        tickmode="array",
        tickvals=list(x_axis.ticks),
        ticktext=text,
        tickangle=0,
    )


def _annotate(figure: go.Figure, shown: CurveFigure) -> None:
    figure.add_annotation(
        text="stronger bias",
        xref="paper",
        yref="paper",
        x=0.995,
        y=0.035,
        ax=-62,
        ay=0,
        xanchor="right",
        showarrow=True,
        arrowhead=2,
        arrowwidth=1.5,
        arrowcolor="#808080",
        font={"size": 12},
    )
    for mark in shown.natural:
        _mark_natural(figure, shown.axis, mark)
    if shown.unbiased_at is not None:
        label: dict[str, Any] = {"annotation": {"text": "unbiased"}, "annotation_position": "top right"}
        figure.add_vline(x=shown.unbiased_at, line=_DOTTED, **label)
    for level in shown.levels:
        figure.add_hline(y=level, line=_DOTTED)
    if shown.null is not None:
        figure.add_hrect(
            y0=shown.null[0],
            y1=shown.null[1],
            fillcolor="rgba(128, 128, 128, 0.25)",
            line={"width": 1, "dash": "dot", "color": "#808080"},
            layer="below",
            annotation={"text": "null value: perfectly calibrated", "font": {"size": 11}},
            annotation_position="bottom left",
        )


def _mark_natural(figure: go.Figure, x_axis: Axis, mark: Mark) -> None:
    """Mark the data as they are: no line across the curves, where it would pass for a value measured."""
    low, high = sorted(10**end if x_axis.log else end for end in x_axis.range())
    if mark.low is not None and mark.high is not None:
        figure.add_vrect(
            x0=min(max(mark.low, low), high),
            x1=max(min(mark.high, high), low),
            fillcolor="rgba(128, 128, 128, 0.10)",
            line={"width": 0},
            layer="below",
        )
    figure.add_shape(
        type="line",
        xref="x",
        yref="paper",
        x0=mark.value,
        x1=mark.value,
        y0=0,
        y1=_TICK,
        line={"width": 3, "color": "#808080"},
    )
    # Annotations of a logarithmic axis take the logarithm, shapes take the value.
    at = math.log10(mark.value) if x_axis.log else mark.value
    ends = x_axis.range()
    right = (at - ends[0]) / (ends[1] - ends[0]) > 0.5
    figure.add_annotation(
        text=safe(mark.name),
        hovertext=safe(mark.text),
        xref="x",
        yref="paper",
        x=at,
        y=_TICK,
        xanchor="right" if right else "left",
        yanchor="bottom",
        showarrow=False,
        font={"size": 11},
    )

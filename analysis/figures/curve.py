"""The figure: accuracy against bias strength, stronger bias to the right, with band and every seed as a dot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from analysis.figures.bias_axis import Axis, make_axis, x_layout
from analysis.figures.notes import note_of
from analysis.figures.published import add_published
from analysis.figures.style import Style, axis, layout, safe, styles, trace_id
from analysis.points.measures import shown
from analysis.points.pairing import least_points
from store.errors import InputError
from store.rules import rule_name

_DODGE = 0.008
_OVERLAID = ["sweep", "dataset", "network", "facet"]


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
    """Draw accuracy against bias: line, band and one dot per seed for each method, toggled together in the legend.

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
            those at a gamma of the curve.

    Returns:
        The figure; it is legible on light and dark ground.

    Raises:
        InputError: The curve has no row of that rule.
    """
    curve = shown(curve, curve.attrs.get("column"))
    rule = rule or (str(curve["rule"].iloc[0]) if len(curve) else "")
    rows = curve[(curve["rule"] == rule) & (curve["n_seeds"] > 0)]
    if rows.empty:
        raise InputError(f"a curve needs at least one confirm trial, but rule '{rule}' has none: finish the sweep")
    place = make_axis(rows, x, axis_title)
    look = styles(curve["label"])
    figure = go.Figure()
    lines = list(rows.groupby([*_OVERLAID, "label"], sort=False))
    traces = []
    overlaid = list(rows.groupby(_OVERLAID, sort=False).groups)
    for i, (key, line) in enumerate(lines):
        dodge = _DODGE * (i - (len(lines) - 1) / 2)
        label = str(line["label"].iloc[0])
        name = _line_name(line, curve, names or {})
        style = look[label].of_layer(overlaid.index(key[:-1]))
        traces += _traces(line.sort_values(["bias_strength", "bias_value"]), place, style, name, dodge)
    # All bands lie below all lines: a later method's band would change the colour of an earlier one's line.
    figure.add_traces(sorted(traces, key=lambda trace: trace.meta != "band"))
    if published is not None:
        add_published(figure, published, rows, look, place)
    datasets = " and ".join(rows["dataset"].unique())
    heading = title if title is not None else f"{datasets}: {metric} against bias, chosen by {rule_name(rule)}"
    figure.update_layout(**layout(heading, note or note_of(rows["dataset"].unique())))
    entries = sum(trace.showlegend is not False for trace in figure.data)
    figure.update_layout(height=480 + 16 * entries)
    beside = [float(y) for trace in figure.data if trace.meta == "published" for y in trace.y if y is not None]
    y_axis = _y_axis(curve, metric, beside)
    figure.update_layout(xaxis=x_layout(place), yaxis=y_axis, uirevision="curve", hovermode="closest")
    _annotate(figure, place, unbiased_at, chance)
    return figure


def _traces(line: pd.DataFrame, place: Axis, style: Style, name: str, dodge: float) -> list[go.Scatter]:
    x = line[place.column].to_numpy(dtype=float)
    marks_only = len(line) < least_points(str(line["facet"].iloc[0])) and len(line) < 3
    common: dict[str, Any] = {"legendgroup": name, "name": safe(name)}
    banded = line[line["band"] != "none"]
    traces = []
    if not marks_only and len(banded) > 1:
        edge_x = banded[place.column].to_numpy(dtype=float)
        traces.append(
            go.Scatter(
                x=_short([*edge_x, *edge_x[::-1]]),
                y=_short([*banded["high"], *banded["low"].iloc[::-1]]),
                fill="toself",
                fillcolor=style.fill(0.16),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                uid=trace_id(f"{name}/band"),
                meta="band",
                **common,
            )
        )
    traces.append(
        go.Scatter(
            x=_short([place.shifted(v, dodge) for v, values in zip(x, line["values"], strict=True) for _ in values]),
            y=_short([v for values in line["values"] for v in values]),
            mode="markers",
            marker={"size": 5, "color": style.fill(0.75), "symbol": style.symbol, "line": {"width": 0}},
            customdata=np.array([i + 1 for values in line["values"] for i in range(len(values))], dtype=np.int16),
            hovertemplate=f"{safe(name)}, seed %{{customdata}}: %{{y:.3f}}<extra></extra>",
            showlegend=False,
            uid=trace_id(f"{name}/dots"),
            meta="dots",
            **common,
        )
    )
    mean = line["mean"].to_numpy(dtype=float)
    bars = marks_only or len(banded) == 1
    traces.append(
        go.Scatter(
            x=x,
            y=mean,
            mode="markers" if marks_only else "lines+markers",
            line={"color": style.color, "dash": style.dash, "width": 2.4},
            marker={"size": 9, "color": style.color, "symbol": style.symbol},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": line["high"].to_numpy(dtype=float) - mean,
                "arrayminus": mean - line["low"].to_numpy(dtype=float),
                "color": style.color,
            }
            if bars
            else None,
            customdata=[hover(row, place) for row in line.to_dict("records")],
            hovertemplate=f"<b>{safe(name)}</b><br>%{{customdata}}<extra></extra>",
            uid=trace_id(f"{name}/mean"),
            meta="mean",
            **common,
        )
    )
    return traces


def _short(values: Sequence[float]) -> NDArray[np.float32]:
    """Half as many bytes in the page, and still more digits than a screen has points."""
    return np.asarray(values, dtype=np.float32)


def hover(row: dict[Any, Any], place: Axis) -> str:
    """What the pointer shows on a mean: value, interval, seeds and hyperparameters."""
    interval = "no interval (one seed)"
    if row["band"] != "none":
        interval = f"[{row['low']:.3f}, {row['high']:.3f}] 95 %, {row['band']}"
    seeds = f"{row['n_seeds']} of {row['n_planned']} seeds"
    collapsed = f", {row['n_collapsed']} collapsed" if row["n_collapsed"] else ""
    if not row["hyperparameters"]:
        return f"at {row['bias_value']:g}: {row['mean']:.3f} {interval}<br>{seeds}{collapsed}"
    texts = [_readable(text) for text in row["hyperparameters"]]
    return "<br>".join(
        [
            f"{safe(row['bias_axis'])} = {row['bias_value']:g} (strength {row['bias_strength']:.2f})",
            f"mean {row['mean']:.3f} {interval}",
            f"median {row['median']:.3f}, {seeds}{collapsed}",
            *(safe(text) for text in texts[:1]),
            *([f"and {len(texts) - 1} more configurations"] if len(texts) > 1 else []),
        ]
    )


def _readable(text: str) -> str:
    try:
        values = json.loads(text)
    except ValueError:
        return text
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())


def _line_name(line: pd.DataFrame, curve: pd.DataFrame, names: Mapping[str, str]) -> str:
    label = str(line["label"].iloc[0])
    long = names.get(label, "")
    parts = [f"{label}: {long}" if long and long != label else label, str(line["facet"].iloc[0])]
    parts += [str(line[key].iloc[0]) for key in ("dataset", "network", "sweep") if curve[key].nunique() > 1]
    return ", ".join(part for part in parts if part)


def _y_axis(curve: pd.DataFrame, metric: str, beside: Sequence[float]) -> dict[str, Any]:
    """The same range for every rule, so that switching rules does not move the scale."""
    seen = [*beside, *(v for values in curve["values"] for v in values)]
    seen += [v for name in ("low", "high") for v in curve[name].dropna()]
    low, high = min(seen), max(seen)
    # Shares stay inside their range; other figures may be signed, or above 1.
    bottom = low - 0.05 if low < 0 else max(-0.02, low - 0.05)
    top = high + 0.05 if high > 1 else min(1.02, high + 0.05)
    return axis(safe(metric), range=[bottom, top], tickformat=".2f")


def _annotate(figure: go.Figure, place: Axis, unbiased_at: float | None, chance: float | None) -> None:
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
    if unbiased_at is not None and place.column == "bias_value":
        low, high = sorted(place.range())
        where = math.log10(unbiased_at) if place.log and unbiased_at > 0 else unbiased_at
        if low <= where <= high and not (place.log and unbiased_at <= 0):
            line = {"dash": "dot", "width": 1, "color": "#808080"}
            figure.add_vline(x=unbiased_at, line=line, annotation={"text": "unbiased"}, annotation_position="top right")
    if chance is not None:
        figure.add_hline(y=chance, line={"dash": "dot", "width": 1, "color": "#808080"})

"""Lines of many methods over epochs or trials: a panel for each, beside plain training and the ceiling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from analysis.figures.panels.lines import DrawnCurve
from analysis.figures.style import axis, layout, safe, trace_id
from analysis.points.measures import MANY

REFERENCES = ("erm", "ceiling")
"""Methods that stand in every panel."""
MUTED = {"erm": ("rgba(213, 94, 0, 0.6)", "solid"), "ceiling": ("rgba(128, 128, 128, 0.9)", "dash")}
"""Colour and dash of their lines."""
PANEL, GAP = 112, 30
"""Height of a panel and of the room above it in pixels."""
COLUMNS, NARROW_COLUMNS = 3, 2
"""Panels in a row, and on a phone."""
_BETWEEN = 0.035
_BOTTOM, _LEGEND_LINE = 92, 28


@dataclass(frozen=True)
class Spot:
    """Place of a panel among the others.

    Attributes:
        x: Domain of its x axis.
        y: Domain of its y axis.
        lowest: True where no panel is below it, so that it bears the ticks.
        first: True where it begins a row.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    lowest: bool
    first: bool


def spots(n: int, columns: int) -> list[Spot]:
    """Place panels in rows.

    Args:
        n: Number of panels.
        columns: Most of a row.

    Returns:
        Their places, in order.

    Example:
        >>> [(spot.lowest, spot.first) for spot in spots(4, 3)]
        [(False, True), (True, False), (True, False), (True, True)]
    """
    columns = min(columns, n)
    inner = inner_height(n, columns)
    width = (1 - _BETWEEN * (columns - 1)) / columns
    placed = []
    for i in range(n):
        row, column = divmod(i, columns)
        top = 1 - row * (PANEL + GAP) / inner
        left = column * (width + _BETWEEN)
        across, upright = (left, min(left + width, 1.0)), (max(top - PANEL / inner, 0.0), top)
        placed.append(Spot(across, upright, lowest=i + columns >= n, first=column == 0))
    return placed


def inner_height(n: int, columns: int) -> int:
    """Height of so many panels with the room between them in pixels.

    Example:
        >>> inner_height(4, 3)
        254
    """
    rows = math.ceil(n / min(columns, n))
    return rows * PANEL + (rows - 1) * GAP


def axis_name(letter: str, number: int) -> str:
    """Name of a panel's axis in plotly.

    Example:
        >>> axis_name("x", 0), axis_name("x", 2)
        ('x', 'x3')
    """
    return letter if number == 0 else f"{letter}{number + 1}"


def need_panels(lines: Sequence[DrawnCurve]) -> bool:
    """Tell if lines are of more methods, besides plain training and the ceiling, than one picture can hold.

    Example:
        >>> need_panels([])
        False
    """
    return len({line.label for line in lines if line.method not in REFERENCES}) > MANY


def draw_panels(
    title: str, lines: Sequence[DrawnCurve], titles: tuple[str, str], order: Sequence[str] | None = None, note: str = ""
) -> go.Figure:
    """Draw each method's lines in a panel of its own, plain training and the ceiling muted beside them.

    All panels have the same axes.

    Args:
        title: Title of the figure.
        lines: The lines, those of plain training and the ceiling among them. Of several of one name in these the mean
            is drawn.
        titles: Titles of the x and the y axis.
        order: Labels in the order of the panels, those that are not among them last; None = by name.
        note: Words on the lines, under the title.

    Returns:
        The plotly figure; its ``layout.meta`` holds how a phone lays it out.

    Example:
        >>> from analysis.figures.style import styles
        >>> x, y = np.array([1, 2]), np.array([0.6, 0.8])
        >>> lines = [DrawnCurve(m, styles([m])[m], x, y, m, m) for m in ("erm", "lnl", "grl")]
        >>> figure = draw_panels("Learning curves", lines, ("epoch", "test accuracy"))
        >>> [note.text for note in figure.layout.annotations if note.name == "panel"]
        ['<b>grl</b>', '<b>lnl</b>']
    """
    labels = _ordered([line.label for line in lines if line.method not in REFERENCES], order)
    beside = _means([line for line in lines if line.method in REFERENCES])
    traces = []
    for i, label in enumerate(labels):
        at = {"xaxis": axis_name("x", i), "yaxis": axis_name("y", i)}
        traces += [_muted(line, first=i == 0).update(uid=trace_id(f"{i}/{line.name}"), **at) for line in beside]
        own = [line for line in lines if line.label == label]
        traces += [_own(line).update(uid=trace_id(f"{label}/{k}"), **at) for k, line in enumerate(own)]
    words = "by name" if order is None else "in the order of the headline curve"
    figure = go.Figure(traces, layout(title, "; ".join(part for part in (note, f"panels: {words}") if part)))
    ends = _ends([line.x for line in lines], 0.02), _ends([line.y for line in lines], 0.04)
    wide, narrow = (_axes(len(labels), columns, *ends) for columns in (COLUMNS, NARROW_COLUMNS))
    inner, phone = (inner_height(len(labels), columns) for columns in (COLUMNS, NARROW_COLUMNS))
    top, bottom = figure.layout.margin.t + 16, _BOTTOM + _LEGEND_LINE
    narrow |= {"height": phone + bottom, "margin": {"b": bottom}, "top": 20}
    figure.update_layout(**wide, meta={"narrow": narrow}, height=top + inner + _BOTTOM, hovermode="closest")
    figure.update_layout(margin={"t": top, "b": _BOTTOM}, title={"yanchor": "top", "yref": "container"})
    figure.update_layout(title_y=1 - 16 / figure.layout.height)
    common: dict[str, Any] = {"xref": "paper", "yref": "paper", "showarrow": False, "font": {"size": 12}}
    under: dict[str, Any] = {"x": 0.5, "y": 0, "yshift": -46, "yanchor": "middle"}
    left: dict[str, Any] = {"x": 0, "y": 0.5, "xshift": -46, "textangle": -90}
    for text, side in zip(titles, (under, left), strict=True):
        figure.add_annotation(text=safe(text), name="title", **side, **common)
    for i, label in enumerate(labels):
        where = {"xref": f"{axis_name('x', i)} domain", "yref": f"{axis_name('y', i)} domain"}
        figure.add_annotation(
            text=f"<b>{safe(label)}</b>", name="panel", x=0, y=1, xanchor="left", yanchor="bottom",
            showarrow=False, font={"size": 12}, **where,
        )  # fmt: skip
    return figure


def _ordered(labels: Sequence[str], order: Sequence[str] | None) -> list[str]:
    known = {label: i for i, label in enumerate(order or ())}
    return sorted(set(labels), key=lambda label: (known.get(label, len(known)), label))


def _means(lines: Sequence[DrawnCurve]) -> list[DrawnCurve]:
    """One line for each name, the mean of its lines at each place."""
    means = []
    for name in dict.fromkeys(line.name for line in lines):
        own = [line for line in lines if line.name == name]
        x = np.unique(np.concatenate([line.x for line in own]))
        y = [float(np.mean([line.y[line.x == value][0] for line in own if (line.x == value).any()])) for value in x]
        means.append(own[0].moved(x, np.array(y)))
    return means


def _muted(line: DrawnCurve, first: bool) -> go.Scatter:
    color, dash = MUTED[line.method]
    return go.Scatter(
        **_points(line),
        line={"color": color, "dash": dash, "width": 1.6},
        marker={"color": color},
        name=safe(line.name),
        legendgroup=line.name,
        showlegend=first,
        hovertemplate=f"{safe(line.name)}: %{{y:.3f}}<extra></extra>",
        meta="beside",
    )


def _own(line: DrawnCurve) -> go.Scatter:
    return go.Scatter(
        **_points(line),
        line={"color": line.style.color, "width": 1.3},
        marker={"color": line.style.color},
        opacity=0.8,
        name=safe(line.name),
        showlegend=False,
        hovertemplate=f"{safe(line.name)}, %{{x}}: %{{y:.3f}}<extra></extra>",
    )


def _points(line: DrawnCurve) -> dict[str, Any]:
    # Panels are small: four digits are more than they show. A line of a single point would not be seen.
    y = np.round(line.y, 4).astype(np.float32)
    return {"x": line.x, "y": y, "mode": "lines+markers" if len(line.x) == 1 else "lines"}


def _ends(values: Sequence[Any], share: float) -> list[float]:
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    room = (high - low) * share or 0.5
    return [round(low - room, 4), round(high + room, 4)]


def _axes(n: int, columns: int, across: list[float], upright: list[float]) -> dict[str, Any]:
    few = {"dtick": 1} if across[1] - across[0] < 6 else {"nticks": 5}
    axes: dict[str, Any] = {}
    for i, spot in enumerate(spots(n, columns)):
        common: dict[str, Any] = {"tickfont": {"size": 10}, "automargin": False}
        axes[f"xaxis{axis_name('', i)}"] = axis(
            "", domain=spot.x, anchor=axis_name("y", i), range=across, showticklabels=spot.lowest, **few, **common,
            **({"matches": "x"} if i else {}),
        )  # fmt: skip
        axes[f"yaxis{axis_name('', i)}"] = axis(
            "", domain=spot.y, anchor=axis_name("x", i), range=upright, showticklabels=spot.first, nticks=4,
            tickformat=".2f", **common, **({"matches": "y"} if i else {}),
        )  # fmt: skip
    return axes

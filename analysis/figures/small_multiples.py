"""Accuracy against bias of many methods: a panel for each, beside plain training and the ceiling, on the same axes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.curve import CurveFigure, DrawnLine, curve_figure
from analysis.figures.panels.draw import COLUMNS, MUTED, NARROW_COLUMNS, REFERENCES, axis_name, inner_height, spots
from analysis.figures.plotly_curve import line_traces
from analysis.figures.style import axis, layout, safe, trace_id
from store.errors import InputError

ORDERS = {
    "mean": "highest mean over the axis first",
    "strongest": "highest at the strongest bias first",
    "name": "by name",
    "given": "in the order given",
}
"""Orders of the panels, and their words."""
Order = Literal["mean", "strongest", "name", "given"]
_BOTTOM = 92
_TITLE_LINE = 16
_NOTE = 100
"""Letters of a line under the title."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One method's panel.

    Attributes:
        label: The method's label, with the data set where there are several.
        lines: Its lines, one for each facet, network and sweep.
        beside: Lines of plain training and the ceiling on the same data set.
    """

    label: str
    lines: tuple[DrawnLine, ...]
    beside: tuple[DrawnLine, ...] = ()

    @property
    def absent(self) -> tuple[float, ...]:
        """Places at which the method is not applicable on any of its lines."""
        return tuple(sorted({place for line in self.lines for place in line.absent}))


@dataclass(frozen=True, eq=False)
class Multiples:
    """Content of the small multiples.

    Attributes:
        shown: The figure that they are panels of; its lines stand at ``places``.
        panels: The panels, in order.
        beside: Lines of plain training and the ceiling.
        order: The order in words.
        places: Place of each tick: its number, where the values measured stand at equal distances.
        title: Title of the x axis.
    """

    shown: CurveFigure
    panels: tuple[Panel, ...]
    beside: tuple[DrawnLine, ...]
    order: str
    places: tuple[float, ...]
    title: str


def multiples(curve: pd.DataFrame, *, order: Order | Sequence[str] = "mean", **options: Any) -> Multiples:
    """Compute what ``analysis.plot_small_multiples`` draws.

    Args:
        curve: What ``analysis.accuracy_vs_bias`` returned.
        order: One of ``ORDERS``, or labels, those that are not among them last.
        **options: As ``curve_figure`` takes them.

    Returns:
        The panels.

    Raises:
        InputError: The curve has no row of that rule, no method besides plain training and the ceiling, or the order is
            not known.
    """
    if isinstance(order, str) and order not in ORDERS:
        raise InputError(f"order must be one of {', '.join(ORDERS)}, or a list of labels, but got {order!r}")
    return panels_of(curve_figure(curve, **options), order)


def panels_of(
    figure: CurveFigure, order: Order | Sequence[str] = "mean", words: str = "in the order given"
) -> Multiples:
    """Give each method of a figure a panel.

    Args:
        figure: The figure, computed already.
        order: One of ``ORDERS``, or labels, those that are not among them last.
        words: The order in words, where it is a list of labels.

    Returns:
        The panels.

    Raises:
        InputError: There is no method besides plain training and the ceiling.

    Example:
        >>> import analysis
        >>> curve = analysis.accuracy_vs_bias(analysis.example(), rules=["val_counterfactual"])
        >>> [panel.label for panel in panels_of(curve_figure(curve[curve["facet"] == "gamma = 0"]), "name").panels][:2]
        ['blind_eye', 'grl']
    """
    spaced = figure.axis.column == "bias_value"
    places = tuple(float(i) for i in range(len(figure.axis.ticks))) if spaced else figure.axis.ticks
    lines = tuple(_placed(line, figure) if spaced else line for line in figure.lines)
    beside = tuple(line for line in lines if line.method in REFERENCES)
    places_of = list(dict.fromkeys((line.label, line.dataset) for line in lines if line.method not in REFERENCES))
    if not places_of:
        raise InputError("small multiples need a method besides erm and the ceiling, but there is none: add one")
    several = len({line.dataset for line in lines}) > 1
    panels = [
        Panel(
            f"{label}, {dataset}" if several else label,
            tuple(line for line in lines if (line.label, line.dataset) == (label, dataset)),
            tuple(line for line in beside if line.dataset == dataset),
        )
        for label, dataset in places_of
    ]
    title = f"{figure.axis.title} (the values measured, at equal distances)" if spaced else figure.axis.title
    words = ORDERS[order] if isinstance(order, str) else words
    shown = replace(figure, lines=lines)
    return Multiples(shown, tuple(_ordered(panels, order)), beside, words, places, title)


def _placed(line: DrawnLine, figure: CurveFigure) -> DrawnLine:
    """Put a line's points at the numbers of their ticks."""
    numbers = {tick: float(i) for i, tick in enumerate(figure.axis.ticks)}
    sign = 1.0 if figure.axis.stronger == "larger" else -1.0
    ticks = sign * np.asarray(figure.axis.ticks)
    # A value at which every other method is absent too is no tick: it stands between its neighbours.
    absent = tuple(numbers.get(v, float(np.interp(sign * v, ticks, np.arange(len(ticks))))) for v in line.absent)
    return replace(line, x=np.array([numbers[v] for v in line.x]), absent=absent)


def _ordered(panels: list[Panel], order: Order | Sequence[str]) -> list[Panel]:
    if not isinstance(order, str):
        known = {label: i for i, label in enumerate(order)}
        return sorted(panels, key=lambda panel: known.get(panel.label, len(known)))
    if order == "given":
        return panels
    if order == "name":
        return sorted(panels, key=lambda panel: panel.label)
    first = [dict(zip(panel.lines[0].x, panel.lines[0].mean, strict=True)) for panel in panels]
    # Only where all have a mean: who is not applicable at the strongest bias must not profit from it.
    common = set.intersection(*(set(means) for means in first))
    heights = []
    for means in first:
        at = sorted(common or means)
        heights.append(means[at[-1]] if order == "strongest" else sum(means[x] for x in at) / len(at))
    ranked = sorted(range(len(panels)), key=lambda i: -heights[i])
    return [panels[i] for i in ranked]


def plot_small_multiples(
    curve: pd.DataFrame,
    *,
    rule: str | None = None,
    x: Literal["bias_value", "bias_strength"] = "bias_value",
    order: Order | Sequence[str] = "mean",
    axis_title: str | None = None,
    metric: str = "accuracy",
    unbiased_at: float | None = None,
    chance: float | None = None,
    title: str | None = None,
    note: str = "",
    names: Mapping[str, str] | None = None,
    published: pd.DataFrame | None = None,
) -> go.Figure:
    """Draw a panel for each method: its curve with band and seeds, plain training and the ceiling muted beside it.

    All panels have the same axes. The bias values stand at equal distances, so that .9, .95, .99 and 1 can be read
    (``x="bias_strength"`` is to scale).

    Args:
        curve: What ``analysis.accuracy_vs_bias`` returned.
        rule: Selection rule to draw; default: the first in the curve.
        x: ``bias_strength`` lays data sets over one another.
        order: ``mean`` (highest mean over the axis first, over the bias values at which every method is applicable),
            ``strongest``, ``name``, ``given``, or a list of labels.
        axis_title: Title of the x axis; default: the parameter's name.
        metric: Title of the y axis.
        unbiased_at: Bias value without any bias, marked on the axis.
        chance: Accuracy of guessing, marked as a line.
        title: Title; default: the data set.
        note: What the reader must know about data or network (synthetic, toy), under the title.
        names: Long names of the labels.
        published: What ``analysis.published_numbers`` returned: hollow marks in the panels of their methods.

    Returns:
        The figure; it is legible on a light and on a dark background.

    Raises:
        InputError: The curve has no row of that rule, no method besides plain training and the ceiling, or the order is
            not known.

    Example:
        >>> import analysis
        >>> curve = analysis.accuracy_vs_bias(analysis.example(), rules=["val_counterfactual"])
        >>> figure = analysis.plot_small_multiples(curve[curve["facet"] == "gamma = 0"], order="strongest")
        >>> [note.text for note in figure.layout.annotations if note.name == "panel"][:2]
        ['<b>repaint</b>', '<b>lnl</b>']
    """
    options: dict[str, Any] = {
        "rule": rule,
        "x": x,
        "axis_title": axis_title,
        "metric": metric,
        "unbiased_at": unbiased_at,
    }
    options |= {"chance": chance, "title": title, "note": note, "names": names, "published": published}
    return draw_multiples(multiples(curve, order=order, **options))


def draw_multiples(content: Multiples) -> go.Figure:
    """Draw small multiples that are computed already.

    Args:
        content: The panels.

    Returns:
        The plotly figure; its ``layout.meta`` holds how a phone lays it out.
    """
    figure = go.Figure()
    named: set[str] = set()
    bands: list[go.Scatter] = []
    lines: list[go.Scatter] = []
    for i, panel in enumerate(content.panels):
        where = {"xaxis": axis_name("x", i), "yaxis": axis_name("y", i)}
        lines += [_muted(line, i, first=line.name not in named).update(where) for line in panel.beside]
        named |= {line.name for line in panel.beside}
        for line in panel.lines:
            dots = [v for v, values in zip(line.x, line.values, strict=True) for _ in values]
            for trace in line_traces(line, dots):
                trace.update(showlegend=False, **where)
                if trace.meta == "mean":
                    trace.update(marker={"size": 6}, line={"width": 2})
                (bands if trace.meta == "band" else lines).append(trace)
        lines += [trace.update(where) for trace in _published(content, panel)]
    # All bands lie below all lines.
    figure.add_traces([*bands, *lines])
    wide, narrow = _grid(content, COLUMNS), _grid(content, NARROW_COLUMNS)
    # Panels have a title of their own above them, and a narrower page less room for a line of the note.
    under = textwrap.wrap(_under(content), _NOTE)
    note = f"<br><span style='font-size:12px'>{'<br>'.join(map(safe, under))}</span>"
    title = safe(content.shown.title)
    figure.update_layout(**layout(""))
    figure.update_layout(title={"text": f"{title}{note}", "yanchor": "top", "yref": "container"})
    top = 64 + 17 * len(under)
    # On a phone the legend has a line for each of its two entries, and the title of the x axis some.
    more = 28 + _TITLE_LINE * (len(_title_lines(content)) - 1)
    figure.update_layout(title_y=1 - 16 / (top + wide["height"]), title_x=0, title_xanchor="left", title_font_size=16)
    figure.update_layout(
        height=top + wide["height"],
        margin={"t": top, "b": _BOTTOM},
        uirevision="curve",
        hovermode="closest",
        meta={
            "narrow": {
                "height": narrow["height"] + more,
                "margin": {"b": _BOTTOM + more},
                "top": 20,
                "annotations": _in_lines(content),
                **narrow["axes"],
            }
        },
        **wide["axes"],
    )
    _annotate(figure, content)
    return figure


def _under(content: Multiples) -> str:
    sources = [source.name for source in content.shown.published if source.visible]
    hollow = f"hollow: published, {sources[0]}, other networks" if sources else ""
    level = f"dotted: {content.shown.level_name}" if content.shown.levels else ""
    null = "grey: null value, perfectly calibrated" if content.shown.null is not None else ""
    parts = [content.shown.note, f"panels: {content.order}", level, null, hollow]
    return "; ".join(part for part in parts if part)


def _muted(line: DrawnLine, panel: int, first: bool) -> go.Scatter:
    """Plain training or the ceiling, without band and seeds, as thin as can be read."""
    color, dash = MUTED[line.method]
    gaps = list(line.breaks)
    return go.Scatter(
        x=np.insert(line.x, gaps, np.nan),
        y=np.insert(line.mean, gaps, np.nan),
        mode="markers" if line.marks_only else "lines",
        line={"color": color, "dash": dash, "width": 1.6},
        marker={"size": 6, "color": color, "symbol": f"{line.style.symbol}-open" if line.layer else line.style.symbol},
        name=safe(line.name),
        legendgroup=line.name,
        showlegend=first,
        hovertemplate=f"{safe(line.name)}: %{{y:.3f}}<extra></extra>",
        uid=trace_id(f"{panel}/{line.name}/muted"),
        meta="beside",
    )


def _published(content: Multiples, panel: Panel) -> list[go.Scatter]:
    ticks = list(content.shown.axis.ticks)
    spaced = content.shown.axis.column == "bias_value"
    return [
        go.Scatter(
            x=[float(ticks.index(v)) if spaced else v for v, _ in inside],
            y=[y for _, y in inside],
            mode="markers",
            showlegend=False,
            marker={"size": 8, "symbol": f"{marks.style.symbol}{source.mark}", "color": marks.style.color},
            hovertemplate=f"{safe(marks.name)}, {safe(source.name)}: %{{y:.4g}}<extra>published</extra>",
            meta="published",
        )
        for source in content.shown.published
        if source.visible
        for marks in source.methods
        if marks.method == panel.lines[0].label
        and (inside := [(v, y) for v, y in zip(marks.x.tolist(), marks.y.tolist(), strict=True) if v in ticks])
    ]


def _grid(content: Multiples, columns: int) -> dict[str, Any]:
    """Place the panels in so many columns: the axes, and the height below the top margin in pixels."""
    n = len(content.panels)
    axis_of, pad = content.shown.axis, 0.35
    spaced = axis_of.column == "bias_value"
    ends = [content.places[0] - pad, content.places[-1] + pad] if spaced else axis_of.range()
    ticks: dict[str, Any] = (
        {"tickvals": list(content.places), "ticktext": [f"{v:g}" for v in axis_of.ticks]} if spaced else {"nticks": 4}
    )
    axes: dict[str, Any] = {}
    for i, spot in enumerate(spots(n, columns)):
        axes[f"xaxis{axis_name('', i)}"] = axis(
            "", domain=list(spot.x), anchor=axis_name("y", i), range=ends, showticklabels=spot.lowest,
            tickangle=-90 if columns < COLUMNS and len(content.places) > 6 else 0, tickfont={"size": 10},
            automargin=False, **ticks, **({"matches": "x"} if i else {}),
        )  # fmt: skip
        axes[f"yaxis{axis_name('', i)}"] = axis(
            "", domain=list(spot.y), anchor=axis_name("x", i), tickformat=".2f", nticks=4,
            range=list(content.shown.y_range), showticklabels=spot.first, tickfont={"size": 10},
            automargin=False, **({"matches": "y"} if i else {}),
        )  # fmt: skip
    return {"axes": axes, "height": inner_height(n, columns) + _BOTTOM}


def _in_lines(content: Multiples) -> list[dict[str, Any]]:
    """Changes of the annotations on a phone, in their order: the title of the x axis in lines."""
    words = _title_lines(content)
    return [{"text": "<br>".join(map(safe, words)), "yshift": -46 - _TITLE_LINE // 2 * (len(words) - 1)}]


def _title_lines(content: Multiples) -> list[str]:
    return textwrap.wrap(_x_title(content), 46)


def _x_title(content: Multiples) -> str:
    marked = f"; thick tick: {content.shown.natural[0].name}" if content.shown.natural else ""
    return f"{content.title}, stronger bias to the right{marked}"


def _annotate(figure: go.Figure, content: Multiples) -> None:
    # The title of the x axis first: a phone has it in lines.
    figure.add_annotation(
        text=safe(_x_title(content)), name="x title", x=0.5, y=0, xref="paper", yref="paper", yshift=-46,
        yanchor="middle", showarrow=False, font={"size": 12},
    )  # fmt: skip
    common: dict[str, Any] = {"showarrow": False, "font": {"size": 11}}
    for i, panel in enumerate(content.panels):
        where = {"xref": f"{axis_name('x', i)} domain", "yref": f"{axis_name('y', i)} domain"}
        figure.add_annotation(
            text=f"<b>{safe(panel.label)}</b>", name="panel", x=0, y=1, xanchor="left", yanchor="bottom",
            showarrow=False, font={"size": 12}, **where,
        )  # fmt: skip
        for place in panel.absent:
            figure.add_annotation(
                text="n/a", name="absent", hovertext="not applicable", x=place, xref=axis_name("x", i), y=0,
                yanchor="bottom", yref=where["yref"], **common,
            )  # fmt: skip
        if content.shown.null is not None:
            low, high = content.shown.null
            figure.add_shape(
                type="rect", x0=0, x1=1, y0=low, y1=high, xref=where["xref"], yref=axis_name("y", i), layer="below",
                fillcolor="rgba(128, 128, 128, 0.25)", line={"width": 0},
            )  # fmt: skip
        for level in content.shown.levels:
            figure.add_shape(
                type="line", x0=0, x1=1, y0=level, y1=level, xref=where["xref"], yref=axis_name("y", i),
                line={"dash": "dot", "width": 1, "color": "rgba(128, 128, 128, 0.6)"},
            )  # fmt: skip
        for at in _marks(content):
            figure.add_shape(
                type="line", x0=at, x1=at, y0=0, y1=0.1, xref=axis_name("x", i), yref=where["yref"],
                line={"width": 3, "color": "#808080"},
            )  # fmt: skip
    figure.add_annotation(
        text=safe(content.shown.y_title), name="y title", x=0, y=0.5, xref="paper", yref="paper", xshift=-46,
        textangle=-90, showarrow=False, font={"size": 12},
    )  # fmt: skip


def _marks(content: Multiples) -> list[float]:
    """Places of the data as they are, between the values measured."""
    shown = content.shown.axis
    sign = 1.0 if shown.stronger == "larger" else -1.0
    ticks = sign * np.asarray(shown.ticks)
    inside = [m.value for m in content.shown.natural if min(ticks) <= sign * m.value <= max(ticks)]
    return [float(np.interp(sign * value, ticks, content.places)) for value in inside]

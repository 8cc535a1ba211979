"""The confusion of the classes as heat maps, one for each bias value, computed first and then drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from analysis.figures.style import layout, safe
from store.errors import InputError
from store.rules import rule_name

_ACROSS, _ACROSS_NARROW = 4, 2
_SIDE, _SIDE_NARROW = 250, 190
_GAP = 48
_MOST = 8
_SCALE = [[0.0, "#f3f3f0"], [0.001, "#e9eef5"], [0.25, "#8fb6da"], [0.6, "#2f79b5"], [1.0, "#08306b"]]


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Shares at one bias value, with a title.

    ``shares`` is ``[C, C]``: rows are true classes, columns predicted ones; missing where a class has no test image.
    """

    title: str
    shares: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ConfusionFigure:
    """Heat maps of one method, weak bias first.

    Attributes:
        title: Its title.
        classes: Names of the C classes.
        maps: The heat maps.
    """

    title: str
    classes: tuple[str, ...]
    maps: tuple[HeatMap, ...]


def confusion_figure(
    confusion: pd.DataFrame,
    label: str,
    rule: str | None = None,
    classes: Sequence[str] = (),
    title: str | None = None,
) -> ConfusionFigure:
    """Compute what ``analysis.plot_confusion`` draws.

    The arguments are the same.

    Raises:
        InputError: No row of that method under that rule.

    Example:
        >>> line = {"sweep": "s", "label": "erm", "rule": "val_biased", "facet": "", "bias_axis": "rho"}
        >>> shares = {"true": [0, 0, 1, 1], "predicted": [0, 1, 0, 1], "share": [0.9, 0.1, 0.6, 0.4]}
        >>> confusion_figure(pd.DataFrame({**line, "bias_value": 1.0, **shares}), "erm").maps[0].shares.tolist()
        [[0.9, 0.1], [0.6, 0.4]]
    """
    rows = confusion[confusion["label"] == label]
    rule = rule or (str(rows["rule"].iloc[0]) if len(rows) else "")
    rows = rows[rows["rule"] == rule]
    if rows.empty:
        raise InputError(f"a confusion matrix needs predictions of '{label}' under '{rule}', but there are none")
    n = int(max(rows["true"].max(), rows["predicted"].max())) + 1
    groups = list(rows.groupby(["sweep", "facet", "bias_value"], sort=False))
    # Evenly spread, with both ends: the weakest and the strongest bias are the ones compared.
    kept = np.unique(np.linspace(0, len(groups) - 1, min(len(groups), _MOST)).round().astype(int))
    axis_name = str(rows["bias_axis"].iloc[0])
    maps = []
    for (_, facet, value), group in (groups[int(k)] for k in kept):
        shares = np.full((n, n), np.nan)
        shares[group["true"].to_numpy(dtype=int), group["predicted"].to_numpy(dtype=int)] = group["share"]
        maps.append(HeatMap(f"{axis_name} {value:g}" + (f", {facet}" if facet else ""), shares))
    return ConfusionFigure(
        f"{label}: predicted against true class, chosen by {rule_name(rule)}" if title is None else title,
        tuple(str(classes[i]) if i < len(classes) else str(i) for i in range(n)),
        tuple(maps),
    )


def plot_confusion(
    confusion: pd.DataFrame,
    label: str,
    rule: str | None = None,
    classes: Sequence[str] = (),
    title: str | None = None,
) -> go.Figure:
    """Draw the confusion of the classes by one method, a heat map for each bias value.

    Args:
        confusion: What ``analysis.confusion_by_strength`` returned.
        label: The method.
        rule: Selection rule; default: the first in the rows.
        classes: Names of the classes; default: their numbers.
        title: Title; default: in words.

    Returns:
        The figure: rows are true classes, columns predicted ones, each row adds up to 1. Of more than eight places
        eight are drawn, the weakest and the strongest bias among them.

    Raises:
        InputError: No row of that method under that rule.

    Example:
        >>> import analysis
        >>> trials = analysis.example().query("bias_value == 1 and label == 'erm'")
        >>> predictions = analysis.load_predictions(analysis.example_folder(), "unbiased")
        >>> table = analysis.confusion_by_strength(trials, predictions, rule="val_counterfactual")
        >>> figure = analysis.plot_confusion(table, "erm")
        >>> len(figure.data), figure.layout.title.text
        (2, 'erm: predicted against true class, chosen by counterfactual validation')
    """
    return draw_confusion(confusion_figure(confusion, label, rule, classes, title))


def draw_confusion(shown: ConfusionFigure) -> go.Figure:
    """Draw heat maps that are computed already.

    Args:
        shown: The heat maps.

    Returns:
        The plotly figure; ``layout.meta["narrow"]`` holds the layout for a phone.

    Example:
        >>> shares = np.array([[0.9, 0.1], [0.6, 0.4]])
        >>> shown = ConfusionFigure("erm", ("cat", "dog"), (HeatMap("rho 0.5", shares), HeatMap("rho 1", shares)))
        >>> [note.text for note in draw_confusion(shown).layout.annotations]
        ['rho 0.5', 'rho 1']
    """
    count = len(shown.maps)
    heats, above = [], []
    axes: dict[str, Any] = {}
    narrow: dict[str, Any] = {"annotations": [], "top": 20}
    for i, heat_map in enumerate(shown.maps):
        suffix = "" if i == 0 else str(i + 1)
        heats.append(_heat(heat_map.shares, shown.classes, f"x{suffix}", f"y{suffix}"))
        (x, y), (nx, ny) = (
            _domains(count, i, across, side) for across, side in ((_ACROSS, _SIDE), (_ACROSS_NARROW, _SIDE_NARROW))
        )
        axes[f"xaxis{suffix}"] = _axis(x, f"y{suffix}", i == count - 1 and "predicted class")
        axes[f"yaxis{suffix}"] = _axis(y, f"x{suffix}", i == 0 and "true class") | {
            "autorange": "reversed",
            # The rows are the same in all: named once a line, so that no name runs into the neighbour's cells.
            "showticklabels": i % _ACROSS == 0,
        }
        above.append(_above(safe(heat_map.title), x, y))
        labelled = i % _ACROSS_NARROW == 0
        narrow |= {f"xaxis{suffix}": {"domain": nx}, f"yaxis{suffix}": {"domain": ny, "showticklabels": labelled}}
        narrow["annotations"].append({"x": nx[0], "y": ny[1]})
    bar = {"title": {"text": "share"}, "thickness": 12, "outlinewidth": 0, "tickformat": ".0%"}
    below = {**bar, "orientation": "h", "x": 0.5, "y": 0, "yref": "container", "yanchor": "bottom", "len": 0.9}
    narrow |= {"height": _height(count, _ACROSS_NARROW, _SIDE_NARROW) + 40, "coloraxis": {"colorbar": below}}
    look = {
        **layout(shown.title),
        **axes,
        "annotations": above,
        "showlegend": False,
        "height": _height(count, _ACROSS, _SIDE),
        # One scale for all maps: the same colour is the same share.
        "coloraxis": {"cmin": 0, "cmax": 1, "colorscale": _SCALE, "colorbar": bar},
        "meta": {"narrow": narrow},
    }
    look["margin"] = {**look["margin"], "t": 60 if shown.title else 34, "b": 30}
    return go.Figure(heats, look)


def _heat(shares: NDArray[np.float64], names: Sequence[str], x: str, y: str) -> go.Heatmap:
    # In the cells of more classes numbers are too small to read.
    few = len(names) <= 5
    return go.Heatmap(
        z=np.round(shares, 4).astype(np.float32),
        x=[safe(name) for name in names],
        y=[safe(name) for name in names],
        xaxis=x,
        yaxis=y,
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        texttemplate="%{z:.2f}" if few else None,
        hovertemplate="true %{y}, predicted %{x}: %{z:.3f}<extra></extra>",
    )


def _domains(count: int, i: int, across: int, side: int) -> tuple[list[float], list[float]]:
    """Compute the domains of the i-th of several heat maps in a grid, row by row."""
    columns = min(across, count)
    lines = math.ceil(count / columns)
    row, column = divmod(i, columns)
    gap_x, gap_y = (0.08 if columns > 1 else 0.0), (_GAP / (side * lines) if lines > 1 else 0.0)
    width, height = (1 - gap_x * (columns - 1)) / columns, (1 - gap_y * (lines - 1)) / lines
    left, top = column * (width + gap_x), 1 - row * (height + gap_y)
    return [round(left, 4), round(left + width, 4)], [round(max(0.0, top - height), 4), round(top, 4)]


def _height(count: int, across: int, side: int) -> int:
    return side * math.ceil(count / min(across, count)) + 90


def _axis(domain: list[float], anchor: str, title: str | bool) -> dict[str, Any]:
    return {
        "domain": domain,
        "anchor": anchor,
        "type": "category",
        "title": {"text": title or "", "font": {"size": 11}, "standoff": 4},
        "tickfont": {"size": 10},
        "automargin": True,
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }


def _above(text: str, x: list[float], y: list[float]) -> dict[str, Any]:
    return {
        "text": text,
        "x": x[0],
        "y": y[1],
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 12},
    }

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

_WIDE, _PHONE = (4, 250, 780), (2, 190, 240)
"""Most maps in a row, and in pixels the height of a row and its width, of which margins take a share."""
_GAP, _BETWEEN = 30, 0.08
"""Room between rows in pixels, for a title, and between columns as a share of the width."""
_LETTER, _LINE, _LONGEST = 6, 10, 18
"""Pixels of a letter and of a line of the names, and their most letters."""
_TITLE, _BAR = 24, 46
"""Pixels of a title of an axis, and of the scale under the maps."""
_UNNAMED = {"showticklabels": False, "ticks": ""}
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
        ['rho 0.5', 'rho 1', 'predicted class']
    """
    heats, notes = [], []
    wide, phone = (_Room(len(shown.maps), shown.classes, *room) for room in (_WIDE, _PHONE))
    axes: dict[str, Any] = {}
    narrow: dict[str, Any] = {"annotations": [], "top": 20}
    for i, heat_map in enumerate(shown.maps):
        suffix = "" if i == 0 else str(i + 1)
        heats.append(_heat(heat_map.shares, shown.classes, f"x{suffix}", f"y{suffix}"))
        axes[f"xaxis{suffix}"] = _axis(f"y{suffix}") | wide.x_axis(i) | {"automargin": False}
        axes[f"yaxis{suffix}"] = _axis(f"x{suffix}", "true class" if i == 0 else "") | wide.y_axis(i)
        axes[f"yaxis{suffix}"]["autorange"] = "reversed"
        narrow |= {f"xaxis{suffix}": phone.x_axis(i), f"yaxis{suffix}": phone.y_axis(i)}
        (x, y), (nx, ny) = wide.domains(i), phone.domains(i)
        notes.append(_note(safe(heat_map.title), x[0], y[1], xanchor="left", yanchor="bottom"))
        narrow["annotations"].append({"x": nx[0], "y": ny[1]})
    notes.append(_note("predicted class", 0.5, 0, yanchor="top", yshift=-wide.names, font={"size": 11}))
    narrow["annotations"].append({"yshift": -phone.names})
    bar = {"title": {"text": "share"}, "thickness": 12, "outlinewidth": 0, "tickformat": ".0%"}
    below = {**bar, "orientation": "h", "x": 0.5, "y": 0, "yref": "container", "yanchor": "bottom", "len": 0.9}
    bottom = phone.names + _TITLE + _BAR
    narrow |= {"height": phone.height + bottom, "margin": {"b": bottom}, "coloraxis": {"colorbar": below}}
    look = {**layout(shown.title), **axes, "annotations": notes, "showlegend": False, "meta": {"narrow": narrow}}
    # One scale for all maps: the same colour is the same share.
    look["coloraxis"] = {"cmin": 0, "cmax": 1, "colorscale": _SCALE, "colorbar": bar}
    look["margin"] = {**look["margin"], "t": 60 if shown.title else 34, "b": wide.names + _TITLE}
    look["height"] = look["margin"]["t"] + wide.height + look["margin"]["b"]
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


@dataclass(frozen=True)
class _Room:
    """Places of heat maps in a grid, row by row, and of the classes' names at its left and its lower edge.

    The names are the same in all maps: inside the grid they would run into its titles and into each other.

    Attributes:
        count: Number of maps.
        classes: Names of the classes.
        across: Most maps in a row.
        side: Height of a row in pixels.
        width: Width of a row in pixels, about.
    """

    count: int
    classes: tuple[str, ...]
    across: int
    side: int
    width: int

    @property
    def height(self) -> int:
        """Height of all maps in pixels."""
        return self.side * math.ceil(self.count / self._columns) - _GAP

    @property
    def names(self) -> int:
        """Height in pixels of the names under the maps."""
        return 10 + (_LINE if self._lying else _LETTER * self._longest)

    def domains(self, i: int) -> tuple[list[float], list[float]]:
        """Domains of a map."""
        row, column = divmod(i, self._columns)
        width = (1 - _BETWEEN * (self._columns - 1)) / self._columns
        left, top = column * (width + _BETWEEN), 1 - row * self.side / self.height
        below = max(0.0, top - (self.side - _GAP) / self.height)
        return [round(left, 4), round(left + width, 4)], [round(below, 4), round(top, 4)]

    def x_axis(self, i: int) -> dict[str, Any]:
        """Domain and names of a map's predicted classes, which the lowest map of a column bears."""
        lowest = i + self._columns >= self.count
        shown = self._ticks(self._cell) if lowest else _UNNAMED
        return {"domain": self.domains(i)[0], **shown, "tickangle": 0 if self._lying else -90}

    def y_axis(self, i: int) -> dict[str, Any]:
        """Domain and names of a map's true classes, which the first map of a row bears."""
        first = i % self._columns == 0
        cell = (self.side - _GAP) / len(self.classes)
        return {
            "domain": self.domains(i)[1],
            **(self._ticks(cell) if first else {"showticklabels": False, "ticks": ""}),
        }

    def _ticks(self, cell: float) -> dict[str, Any]:
        # Of more classes than lines of text have room every second one is named, or every third.
        step = math.ceil(_LINE / cell)
        places = list(range(0, len(self.classes), step))
        return {
            "tickvals": places,
            "ticktext": [safe(_short(self.classes[k])) for k in places],
            "showticklabels": True,
            "ticks": "outside",
        }

    @property
    def _columns(self) -> int:
        return min(self.across, self.count)

    @property
    def _cell(self) -> float:
        return self.width * (1 - _BETWEEN * (self._columns - 1)) / self._columns / len(self.classes)

    @property
    def _longest(self) -> int:
        return max(len(_short(name)) for name in self.classes)

    @property
    def _lying(self) -> bool:
        """True where the names stand side by side under their cells."""
        return _LETTER * self._longest + 4 <= self._cell


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1].rstrip()}…"


def _axis(anchor: str, title: str = "") -> dict[str, Any]:
    return {
        "anchor": anchor,
        "type": "category",
        "title": {"text": title, "font": {"size": 11}, "standoff": 4},
        "tickfont": {"size": 10},
        "automargin": True,
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }


def _note(text: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    return {"text": text, "x": x, "y": y, "xref": "paper", "yref": "paper", "showarrow": False} | (
        {"font": {"size": 12}} | more
    )

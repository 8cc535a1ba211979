"""The curve for print: PDF and SVG at the width of one and of two columns, 8 pt type. No browser, no pyplot state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.figures.bias_axis import Axis, make_axis
from analysis.figures.style import Style, styles
from analysis.points.pairing import least_points
from analysis.writing import replacing
from store.errors import InputError

WIDTHS_MM = {85: 70, 180: 95}
"""Widths of one and of two columns, and the heights drawn at them."""

_MM = 1 / 25.4
_TYPE: Any = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.fontsize": 8, "font.family": "sans-serif", "pdf.fonttype": 42, "svg.fonttype": "none",
    "svg.hashsalt": "lnl-sweep", "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "figure.dpi": 150, "text.usetex": False,
}  # fmt: skip
_MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "star": "*", "x": "X",
    "hexagon": "h", "cross": "P", "pentagon": "p",
}  # fmt: skip
_DASHES: dict[str, Any] = {
    "solid": "-", "dash": (0, (5, 2)), "dot": (0, (1, 1.5)), "dashdot": (0, (5, 1.5, 1, 1.5)), "longdash": (0, (8, 2)),
    "longdashdot": (0, (8, 2, 1.5, 2)),
}  # fmt: skip


def write_curve(
    curve: pd.DataFrame, rule: str, stem: Path, metric: str, axis_title: str | None = None, note: str = ""
) -> list[Path]:
    """Write the curve of one rule as PDF and SVG in every width.

    Args:
        curve: What ``analysis.accuracy_vs_bias`` returned.
        rule: The selection rule.
        stem: Path without the ending; width and ending are added.
        metric: Title of the y axis.
        axis_title: Title of the x axis; default: the parameter's name. Several data sets lie over the bias strength.
        note: What a reader must know about data or network, above the axes.

    Returns:
        The files.

    Raises:
        InputError: No point of that rule.
    """
    rows = curve[(curve["rule"] == rule) & (curve["n_seeds"] > 0)]
    if rows.empty:
        raise InputError(f"a figure needs at least one confirm trial, but rule '{rule}' has none: finish the sweep")
    several = rows["dataset"].nunique() > 1 or rows["bias_axis"].nunique() > 1
    place = make_axis(rows, "bias_strength" if several else "bias_value", None if several else axis_title)
    files = []
    with mpl.rc_context(_TYPE):
        for width, height in WIDTHS_MM.items():
            figure = _draw(rows, place, metric, note, (width, height))
            for kind in ("pdf", "svg"):
                target = stem.with_name(f"{stem.name}_{width}mm.{kind}")
                # Dates are left out: the same rows give the same file.
                dates = {"CreationDate": None} if kind == "pdf" else {"Date": None}
                with replacing(target) as temporary:
                    figure.savefig(temporary, format=kind, metadata=dates)
                files.append(target)
    return files


def _draw(rows: pd.DataFrame, place: Axis, metric: str, note: str, size: tuple[int, int]) -> Figure:
    figure = Figure(figsize=(size[0] * _MM, size[1] * _MM), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    look = styles(rows["label"])
    layers = list(rows.groupby(["sweep", "dataset", "network", "facet"], sort=False).groups)
    for key, line in rows.groupby(["sweep", "dataset", "network", "facet", "label"], sort=False):
        more = [str(line[name].iloc[0]) for name in ("facet", "dataset", "network", "sweep")
                if rows[name].nunique() > 1 and line[name].iloc[0]]  # fmt: skip
        style = look[str(key[-1])]
        _line(axes, line.sort_values(["bias_strength", "bias_value"]), place, style, layers.index(key[:-1]) > 0,
              ", ".join([str(key[-1]), *more]))  # fmt: skip
    if place.log:
        axes.set_xscale("log")
    axes.set_xticks(list(place.ticks), [f"{tick:g}" for tick in place.ticks])
    axes.minorticks_off()
    low, high = place.range()
    axes.set_xlim(*((10**low, 10**high) if place.log else (low, high)))
    seen = [value for values in rows["values"] for value in values] + list(rows["low"].dropna())
    axes.set_ylim(max(-0.02, min(seen) - 0.05), 1.02)
    axes.set_xlabel(f"{place.title} (stronger bias →)")
    axes.set_ylabel(metric)
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if note:
        axes.set_title(note, loc="left", style="italic", wrap=True)
    figure.legend(loc="outside lower center", ncols=2 if size[0] < 120 else 4, frameon=False, handlelength=3.2)
    return figure


def _line(axes: Any, line: pd.DataFrame, place: Axis, style: Style, hollow: bool, name: str) -> None:
    x, mean = line[place.column].to_numpy(dtype=float), line["mean"].to_numpy(dtype=float)
    marker = _MARKERS.get(style.symbol, "o")
    face = "white" if hollow else style.color
    alone = len(line) < least_points(str(line["facet"].iloc[0])) and len(line) < 3
    banded = line[line["band"] != "none"]
    ends = banded["low"].to_numpy(dtype=float), banded["high"].to_numpy(dtype=float)
    where = banded[place.column].to_numpy(dtype=float)
    if not alone and len(banded) > 1:
        axes.fill_between(where, *ends, color=style.color, alpha=0.15, linewidth=0)
    else:
        middle = banded["mean"].to_numpy(dtype=float)
        axes.errorbar(where, middle, np.abs(np.stack(ends) - middle), fmt="none", color=style.color, linewidth=0.8)
    dots = [(v, value) for v, values in zip(x, line["values"], strict=True) for value in values]
    axes.plot(*zip(*dots, strict=True), linestyle="none", marker=marker, markersize=1.8, color=style.color, alpha=0.6)
    axes.plot(x, mean, linestyle="none" if alone else _DASHES.get(style.dash, "-"), linewidth=1.2, color=style.color,
              marker=marker, markersize=4, markerfacecolor=face, label=name)  # fmt: skip

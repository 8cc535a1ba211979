"""The curve for print: PDF and SVG at the width of one and of two columns, 8 pt type.

It needs no browser, and keeps no state in pyplot.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.figures.bias_axis import Axis
from analysis.figures.curve import CurveFigure, DrawnLine, curve_figure
from analysis.figures.natural import Mark
from analysis.figures.small_multiples import Multiples, multiples
from analysis.points.measures import many
from analysis.writing import replacing

WIDTHS_MM = {85: 70, 180: 95}
"""Widths of one and of two columns, and the heights drawn at them."""

_MM = 1 / 25.4
_PANEL_MM, _AROUND_MM, _LEGEND_MM = 23, 30, 9
_TICK = 0.035
# Type 42 embeds TrueType fonts, which publishers ask for; text in SVG stays text; a fixed salt gives the same file for
# the same rows.
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
    """Write the curve of one rule as PDF and SVG in every width, of many methods as small multiples.

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
    several_axes = rows["dataset"].nunique() > 1 or rows["bias_axis"].nunique() > 1
    x: Literal["bias_value", "bias_strength"] = "bias_strength" if several_axes else "bias_value"
    options: dict[str, Any] = {"rule": rule, "x": x, "metric": metric, "title": "", "note": note}
    options["axis_title"] = None if several_axes else axis_title
    panels = multiples(curve, **options) if many(curve) else None
    shown = None if panels else curve_figure(curve, **options)
    files = []
    with mpl.rc_context(_TYPE):
        for width, height in WIDTHS_MM.items():
            figure = draw_panels(panels, width) if panels else draw(shown, (width, height)) if shown else Figure()
            for kind in ("pdf", "svg"):
                target = stem.with_name(f"{stem.name}_{width}mm.{kind}")
                # Dates are left out: the same rows give the same file.
                dates = {"CreationDate": None} if kind == "pdf" else {"Date": None}
                with replacing(target) as temporary:
                    figure.savefig(temporary, format=kind, metadata=dates)
                files.append(target)
    return files


def draw(shown: CurveFigure, size: tuple[int, int]) -> Figure:
    """Draw a curve of a size in millimetres.

    Args:
        shown: The curve.
        size: Width and height in millimetres.

    Returns:
        The matplotlib figure.
    """
    figure = Figure(figsize=(size[0] * _MM, size[1] * _MM), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for line in shown.lines:
        _line(axes, line)
    for mark in shown.natural:
        _mark_natural(axes, shown.axis, mark)
    x_axis = shown.axis
    if x_axis.log:
        axes.set_xscale("log")
    labels = x_axis.labels(1.7 / (size[0] - 18))
    axes.set_xticks(list(x_axis.ticks), labels)
    axes.minorticks_off()
    low, high = x_axis.range()
    axes.set_xlim(*((10**low, 10**high) if x_axis.log else (low, high)))
    axes.set_ylim(*shown.y_range)
    axes.set_xlabel(f"{x_axis.title} (stronger bias →)")
    axes.set_ylabel(shown.y_title)
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if shown.note:
        # The axes begin to the right of their labels.
        axes.set_title(_note(shown.note, size[0] - 16), loc="left", style="italic")
    _legend(figure, 2 if size[0] < 120 else 4)
    return figure


def draw_panels(content: Multiples, width: int) -> Figure:
    """Draw small multiples at a width in millimetres, as high as their rows need.

    Args:
        content: The panels.
        width: Width in millimetres.

    Returns:
        The matplotlib figure.
    """
    columns = min(2 if width < 120 else 4, len(content.panels))
    rows = math.ceil(len(content.panels) / columns)
    height = rows * _PANEL_MM + _AROUND_MM + 3.5 * len(_note(content.shown.note, width).splitlines())
    figure = Figure(figsize=(width * _MM, height * _MM), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    spaced, x_axis = content.shown.axis.column == "bias_value", content.shown.axis
    named: set[str] = set()
    for i, axes in enumerate(grid.flat):
        if i >= len(content.panels):
            axes.set_visible(False)
            continue
        panel = content.panels[i]
        for line in panel.beside:
            _muted(axes, line, label=None if line.name in named else line.name)
            named.add(line.name)
        for line in panel.lines:
            _line(axes, line, small=True)
        for place in panel.absent:
            axes.text(place, 0.02, "n/a", transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=6)
        for level in content.shown.levels:
            axes.axhline(level, color="#808080", linewidth=0.5, linestyle=":")
        axes.set_title(panel.label, loc="left", fontweight="bold", pad=2)
        if spaced:
            axes.set_xticks(list(content.places), [f"{tick:g}" for tick in x_axis.ticks], rotation=90)
            axes.set_xlim(content.places[0] - 0.4, content.places[-1] + 0.4)
        axes.set_ylim(*content.shown.y_range)
        axes.grid(color="#dddddd", linewidth=0.4)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7, labelbottom=i + columns >= len(content.panels))
    words = f"{content.title}, stronger bias to the right"
    figure.supylabel(content.shown.y_title, fontsize=8)
    note = "; ".join(part for part in (content.shown.note, f"panels: {content.order}") if part)
    figure.suptitle(_note(note, width), fontsize=8, style="italic", x=0.01, ha="left")
    # As the legend's title it keeps its own lines: a label of the figure would lie under the legend.
    _legend(figure, 2, "\n".join(textwrap.wrap(words, _letters(width))))
    return figure


def _letters(width: int) -> int:
    """Letters of a line of 8 pt type at a width in millimetres."""
    return int(width / 1.55)


def _note(note: str, width: int) -> str:
    return "\n".join(textwrap.wrap(note, _letters(width)))


def _legend(figure: Figure, columns: int, title: str = "") -> None:
    """Put the legend below, in as many columns as fit, and make room for it: more lines make the figure higher."""
    width, height = figure.get_size_inches()
    entries = sum(len(axes.get_legend_handles_labels()[1]) for axes in figure.axes)
    options: dict[str, Any] = {"loc": "outside lower center", "frameon": False, "handlelength": 3.2}
    if title:
        options |= {"title": title, "title_fontsize": 8, "alignment": "center"}
    for number in range(columns, 0, -1):
        figure.set_size_inches(width, height + entries / number * _LEGEND_MM * _MM)
        legend = figure.legend(ncols=number, **options)
        figure.canvas.draw()
        box = legend.get_window_extent()
        if box.width <= figure.bbox.width or number == 1:
            break
        legend.remove()
    # Two lines are in the height as it is.
    figure.set_size_inches(width, height + max(0.0, box.height / figure.dpi - _LEGEND_MM * _MM))


def _muted(axes: Any, line: DrawnLine, label: str | None) -> None:
    color, dash = ("#808080", "--") if line.method == "ceiling" else ("#D55E00", "-")
    x, mean = (np.insert(values, list(line.breaks), np.nan) for values in (line.x, line.mean))
    axes.plot(x, mean, linestyle="none" if line.marks_only else dash, marker="." if line.marks_only else None,
              linewidth=0.9, color=color, alpha=0.65, label=label)  # fmt: skip


def _mark_natural(axes: Any, x_axis: Axis, mark: Mark) -> None:
    """Mark the data as they are by a band, a tick on the axis and a word beside it."""
    ends = [10**end if x_axis.log else end for end in x_axis.range()]
    if mark.low is not None and mark.high is not None:
        axes.axvspan(max(mark.low, min(ends)), min(mark.high, max(ends)), color="#808080", alpha=0.1, linewidth=0)
    axes.axvline(mark.value, ymax=_TICK, color="#606060", linewidth=1.6)
    place = axes.get_xaxis_transform()
    at, (weak, strong) = (math.log10(mark.value) if x_axis.log else mark.value), x_axis.range()
    right = (at - weak) / (strong - weak) > 0.5
    axes.text(mark.value, _TICK, mark.name, transform=place, ha="right" if right else "left", va="bottom",
              fontsize=7, color="#606060")  # fmt: skip


def _line(axes: Any, line: DrawnLine, small: bool = False) -> None:
    color, marker = line.style.color, _MARKERS.get(line.style.symbol, "o")
    for run in line.runs() if line.band else ():
        x, low, high = (values[run][line.banded[run]] for values in (line.x, line.low, line.high))
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    if line.bars:
        x, mean, low, high = (values[line.banded] for values in (line.x, line.mean, line.low, line.high))
        axes.errorbar(x, mean, np.abs(np.stack([low, high]) - mean), fmt="none", color=color, linewidth=0.8)
    dots = [(v, value) for v, values in zip(line.x, line.values, strict=True) for value in values]
    axes.plot(*zip(*dots, strict=True), linestyle="none", marker=marker, markersize=1.8, color=color, alpha=0.6)
    x, mean = (np.insert(values, list(line.breaks), np.nan) for values in (line.x, line.mean))
    axes.plot(x, mean, linestyle="none" if line.marks_only else _DASHES.get(line.style.dash, "-"),
              linewidth=1.2, color=color, marker=marker, markersize=2.5 if small else 4,
              markerfacecolor="white" if line.layer else color, label=None if small else line.name)  # fmt: skip

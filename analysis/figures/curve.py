"""The figure of accuracy against bias as numbers, texts and styles: computed once, drawn by plotly and for print."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.figures.bias_axis import Axis, make_axis
from analysis.figures.natural import Mark, natural_marks
from analysis.figures.notes import note_of
from analysis.figures.published import Source, published_marks
from analysis.figures.style import Style, styles
from analysis.not_applicable import NOT_APPLICABLE, absent_words
from analysis.numbers.captions import no_spread
from analysis.points.measures import shown
from analysis.points.pairing import least_points
from store.errors import InputError
from store.rules import rule_name

Array = NDArray[np.float64]

_OVERLAID = ["sweep", "dataset", "network", "facet"]


@dataclass(frozen=True, eq=False)
class DrawnLine:
    """One method's line.

    Attributes:
        name: Its name in the legend.
        style: Its colour, dash and marks.
        layer: 0; above it where lines of another facet, data set, network or sweep lie over the first ones.
        x: ``[N]``, places on the axis, weak bias first.
        mean: ``[N]``.
        low: ``[N]``, missing where there is no interval.
        high: ``[N]``.
        values: ``[N]``, the value of each seed.
        texts: ``[N]``, the description of each point, in lines.
        banded: ``[N]``, the points that have an interval.
        marks_only: Too few points to join.
        breaks: Points before which the line is interrupted, since the method is not applicable in between.
        label: Label of its method.
        method: Its method.
        dataset: Its data set.
        absent: Places at which the method is not applicable.
    """

    name: str
    style: Style
    layer: int
    x: Array
    mean: Array
    low: Array
    high: Array
    values: tuple[tuple[float, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    banded: NDArray[np.bool_]
    marks_only: bool
    breaks: tuple[int, ...] = ()
    label: str = ""
    method: str = ""
    dataset: str = ""
    absent: tuple[float, ...] = ()

    def runs(self) -> list[NDArray[np.int64]]:
        """Points that are joined, as their numbers: one run, or several where the line is interrupted."""
        return [run for run in np.split(np.arange(len(self.x)), self.breaks) if len(run)]

    @property
    def band(self) -> bool:
        """True where the intervals are drawn as one band."""
        return not self.marks_only and int(self.banded.sum()) > 1

    @property
    def bars(self) -> bool:
        """True where the intervals are drawn as bars."""
        return self.marks_only or int(self.banded.sum()) == 1


@dataclass(frozen=True, eq=False)
class CurveFigure:
    """Content of a curve's figure.

    Attributes:
        title: Its title.
        note: Note on data or network (synthetic, toy), "" without one.
        axis: The x axis.
        y_title: Title of the y axis.
        y_range: Ends of the y axis.
        lines: The methods' lines.
        published: Published numbers beside them.
        unbiased_at: Bias value without any bias, where the axis holds it.
        levels: Values marked by a line across, such as the accuracy of guessing.
        level_name: Name of these values.
        null: Ends of the grey band of null values.
        natural: Places of the data as they are.
    """

    title: str
    note: str
    axis: Axis
    y_title: str
    y_range: tuple[float, float]
    lines: tuple[DrawnLine, ...]
    published: tuple[Source, ...] = ()
    unbiased_at: float | None = None
    levels: tuple[float, ...] = ()
    level_name: str = "guessing"
    null: tuple[float, float] | None = None
    natural: tuple[Mark, ...] = ()


def curve_figure(
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
) -> CurveFigure:
    """Compute what ``analysis.plot_accuracy_vs_bias`` draws.

    The arguments are the same.

    Raises:
        InputError: The curve has no row of that rule.
    """
    curve = shown(curve, curve.attrs.get("column"))
    rule = rule or (str(curve["rule"].iloc[0]) if len(curve) else "")
    rows = curve[(curve["rule"] == rule) & (curve["n_seeds"] > 0)]
    if rows.empty:
        missing = f"rule '{rule}' has none" if rule else "there is none"
        raise InputError(f"a curve needs at least one confirm trial, but {missing}: finish the sweep")
    x_axis = make_axis(rows, x, axis_title)
    natural = tuple(mark for mark in natural_marks(rows, x) if mark.value > 0 or not x_axis.log)
    x_axis = replace(x_axis, beside=tuple(mark.value for mark in natural))
    look = styles(curve["label"])
    # A method keeps its colour wherever it appears: layers tell its lines apart by their marks.
    overlaid = list(rows.groupby(_OVERLAID, sort=False).groups)
    lines = tuple(
        _line(
            line.sort_values(["bias_strength", "bias_value"]),
            x_axis,
            look[str(key[-1])],
            overlaid.index(key[:-1]),
            _line_name(line, curve, names or {}),
            _absent_places(curve, rule, key, x_axis),
        )
        for key, line in rows.groupby([*_OVERLAID, "label"], sort=False)
    )
    marks = () if published is None else published_marks(published, rows, look, x_axis)
    datasets = rows["dataset"].unique()
    return CurveFigure(
        title=f"{' and '.join(datasets)}: {metric} against bias, chosen by {rule_name(rule)}"
        if title is None
        else title,
        note="; ".join(filter(None, (absent_words(curve[curve["rule"] == rule]), note or note_of(datasets)))),
        axis=x_axis,
        y_title=metric,
        y_range=_y_range(curve, [y for source in marks for method in source.methods for y in method.y.tolist()]),
        lines=lines,
        published=marks,
        unbiased_at=unbiased_at if unbiased_at is not None and x_axis.holds(unbiased_at) else None,
        levels=() if chance is None else (chance,),
        natural=natural,
    )


def _absent_places(curve: pd.DataFrame, rule: str, key: tuple[Any, ...], x_axis: Axis) -> Array:
    """Places on the axis at which the method of a line is not applicable."""
    if NOT_APPLICABLE not in curve:
        return np.zeros(0)
    rows = curve[(curve["rule"] == rule) & curve[NOT_APPLICABLE].notna()]
    for name, value in zip([*_OVERLAID, "label"], key, strict=True):
        rows = rows[rows[name] == value]
    return rows[x_axis.column].to_numpy(dtype=float)


def _line(line: pd.DataFrame, x_axis: Axis, style: Style, layer: int, name: str, absent: Array) -> DrawnLine:
    x, mean, low, high = (line[column].to_numpy(dtype=float) for column in (x_axis.column, "mean", "low", "high"))
    return DrawnLine(
        name=name,
        style=style,
        layer=layer,
        x=x,
        mean=mean,
        low=low,
        high=high,
        values=tuple(line["values"]),
        texts=tuple(_texts(row) for row in line.to_dict("records")),
        banded=(line["band"] != "none").to_numpy(dtype=bool),
        marks_only=len(line) < least_points(str(line["facet"].iloc[0])) and len(line) < 3,
        breaks=tuple(
            i + 1 for i, (a, b) in enumerate(itertools.pairwise(x)) if ((absent - a) * (absent - b) < 0).any()
        ),
        label=str(line["label"].iloc[0]),
        method=str(line["method"].iloc[0]) if "method" in line else "",
        dataset=str(line["dataset"].iloc[0]),
        absent=tuple(sorted(absent.tolist())),
    )


def _texts(row: dict[Any, Any]) -> tuple[str, ...]:
    """Describe a mean in lines: value, interval, seeds and hyperparameters."""
    interval = "no interval (one seed)"
    if no_spread(row):
        interval = "no interval (no spread among the seeds)"
    elif row["band"] != "none":
        interval = f"[{row['low']:.3f}, {row['high']:.3f}] 95 %, {row['band']}"
    seeds = f"{row['n_seeds']} of {row['n_planned']} seeds"
    collapsed = f", {row['n_collapsed']} collapsed" if row["n_collapsed"] else ""
    if not row["hyperparameters"]:
        return (f"at {row['bias_value']:g}: {row['mean']:.3f} {interval}", f"{seeds}{collapsed}")
    texts = [_readable(text) for text in row["hyperparameters"]]
    return (
        f"{row['bias_axis']} = {row['bias_value']:g} (strength {row['bias_strength']:.2f})",
        f"mean {row['mean']:.3f} {interval}",
        f"median {row['median']:.3f}, {seeds}{collapsed}",
        *texts[:1],
        *([f"and {len(texts) - 1} more configurations"] if len(texts) > 1 else []),
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


def _y_range(curve: pd.DataFrame, beside: Sequence[float]) -> tuple[float, float]:
    """Compute the range of the y axis, the same for every rule.

    Switching rules does not move the scale.
    """
    seen = [*beside, *(v for values in curve["values"] for v in values)]
    seen += [v for name in ("low", "high") for v in curve[name].dropna()]
    low, high = min(seen), max(seen)
    # Shares stay inside their range; other figures may be signed, or above 1, in units of any size.
    pad = max(0.05, 0.05 * (high - low))
    return (low - pad if low < 0 else max(-0.02, low - pad), high + pad if high > 1 else min(1.02, high + pad))

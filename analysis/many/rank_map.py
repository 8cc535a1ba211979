"""Map of the ranks: methods by bias values, each cell with a rank and its interval, computed first and then drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from analysis.figures.style import axis, layout, safe
from store.errors import InputError
from store.rules import rule_name

_CELL, _TOP, _BOTTOM = 36, 78, 64
_SCALE = [[0.0, "#eef1f4"], [0.5, "#8fb6da"], [0.85, "#2f79b5"], [1.0, "#08306b"]]
_NARROW_FROM = 6
"""Bias values from which on a phone has room for the rank alone."""


@dataclass(frozen=True, eq=False)
class RankMap:
    """Content of the map of ranks.

    Attributes:
        title: Its title.
        bias_axis: The bias parameter.
        values: The V bias values, weak to strong.
        names: Names of the M lines, the lowest mean rank first.
        place: ``[M, V]``, 0 = first, 1 = last of those ranked; missing where there is no rank.
        texts: Of each line and bias value: the rank with its star, its interval, and both in words; "" where there is
            none.
        absent: Of each line and bias value: why there is no rank; "" where there is one.
    """

    title: str
    bias_axis: str
    values: tuple[float, ...]
    names: tuple[str, ...]
    place: NDArray[np.float64]
    texts: tuple[tuple[tuple[str, str, str], ...], ...]
    absent: tuple[tuple[str, ...], ...]

    @property
    def mean_place(self) -> NDArray[np.float64]:
        """``[M]``, mean over the bias values at which a line has a rank, missing where it has none."""
        return np.array([np.nan if np.isnan(row).all() else float(np.nanmean(row)) for row in self.place])


def rank_map(ranks: pd.DataFrame, rule: str | None = None, title: str | None = None) -> RankMap:
    """Compute what ``analysis.plot_ranks`` draws.

    The arguments are the same. Rows may have ``line``, the name of each.

    Raises:
        InputError: No row of that rule, or rows of several data sets.

    Example:
        >>> import analysis
        >>> table = analysis.ranks(analysis.example(), rule="val_counterfactual")
        >>> shown = rank_map(table[table["facet"] == "gamma = 0"])
        >>> shown.names[:3], shown.texts[0][-1][:2]
        (('repaint', 'lnl', 'grl'), ('1*', '[1, 1]'))
    """
    rule = rule or (str(ranks["rule"].iloc[0]) if len(ranks) else "")
    rows = ranks[ranks["rule"] == rule]
    if rows["rank"].isna().all():
        raise InputError(f"a map of ranks needs ranks, but there are none under '{rule}': finish the sweep")
    if len(rows[["dataset", "bias_axis"]].drop_duplicates()) > 1:
        raise InputError(
            f"a map shows the ranks on one data set, but got {' and '.join(map(str, rows['dataset'].unique()))}: "
            "select the rows of one"
        )
    rows = rows.assign(line=rows["line"] if "line" in rows else _lines(rows))
    values = list(rows.sort_values("bias_strength", kind="stable")["bias_value"].unique())
    names = list(rows["line"].unique())
    place = np.full((len(names), len(values)), np.nan)
    texts = [[("", "", "")] * len(values) for _ in names]
    absent = [[""] * len(values) for _ in names]
    for row in rows.to_dict("records"):
        i, k = names.index(row["line"]), values.index(row["bias_value"])
        if math.isnan(row["rank"]):
            absent[i][k] = str(row["reason"])
            continue
        # At some values fewer methods are applicable: the last of them has the colour of the last.
        place[i, k] = (row["rank"] - 1) / max(row["n_methods"] - 1, 1)
        texts[i][k] = _texts(row)
    shown = RankMap(
        f"Ranks by bias, chosen by {rule_name(rule)}" if title is None else title,
        str(rows["bias_axis"].iloc[0]),
        tuple(values),
        tuple(names),
        place,
        tuple(map(tuple, texts)),
        tuple(map(tuple, absent)),
    )
    return _in_order(shown)


def _lines(rows: pd.DataFrame) -> list[str]:
    """Names of the lines: the label, and what tells those of one label apart."""
    more = [name for name in ("facet", "network", "sweep") if rows[name].nunique() > 1]
    return [", ".join([str(row["label"]), *(str(row[name]) for name in more)]) for row in rows.to_dict("records")]


def _texts(row: dict[Any, Any]) -> tuple[str, str, str]:
    star = "*" if row["may_be_best"] else ""
    low, high = int(row["rank_low"]), int(row["rank_high"])
    best = "may be the best" if row["may_be_best"] else "told apart from the best"
    words = f"rank {int(row['rank'])} of {row['n_methods']}, between {low} and {high} (95 %)"
    return f"{int(row['rank'])}{star}", f"[{low}, {high}]", f"{words}<br>mean {row['mean']:.3f}, {best}"


def _in_order(shown: RankMap) -> RankMap:
    means = shown.mean_place
    order = sorted(range(len(shown.names)), key=lambda i: (math.isnan(means[i]), means[i]))

    def sorted_(entries: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(entries[i] for i in order)

    names, texts, absent = sorted_(shown.names), sorted_(shown.texts), sorted_(shown.absent)
    return RankMap(shown.title, shown.bias_axis, shown.values, names, shown.place[order], texts, absent)


def plot_ranks(ranks: pd.DataFrame, rule: str | None = None, title: str | None = None) -> go.Figure:
    """Draw the rank of each method at each bias value, with its 95 % interval in the cell.

    Args:
        ranks: What ``analysis.ranks`` returned, of one data set.
        rule: Selection rule to draw; default: the first in the rows.
        title: Title; default: in words.

    Returns:
        The figure: a row for each method, the lowest mean rank on top, dark = first. A star marks methods that may be
        the best, as they cannot be told from it, "n/a" places at which a method is not applicable. Each bias value
        stands by itself.

    Raises:
        InputError: No rank under that rule, or rows of several data sets.

    Example:
        >>> import analysis
        >>> table = analysis.ranks(analysis.example(), rule="val_counterfactual")
        >>> figure = analysis.plot_ranks(table[table["facet"] == "gamma = 0"])
        >>> list(figure.data[0].y[:2]), figure.data[0].text[0][-1]
        (['repaint', 'lnl'], '<b>1*</b><br>[1, 1]')
    """
    return draw_ranks(rank_map(ranks, rule, title))


def draw_ranks(shown: RankMap) -> go.Figure:
    """Draw a map of ranks that is computed already.

    Args:
        shown: The map.

    Returns:
        The plotly figure; ``layout.meta["narrow"]`` holds what a phone shows otherwise.
    """
    columns = [f"{value:g}" for value in shown.values]
    bar = {"tickvals": [0, 0.5, 1], "ticktext": ["last", "middle", "first"], "thickness": 12, "outlinewidth": 0}
    alone = [[rank for rank, _, _ in line] for line in shown.texts]
    both = [[f"<b>{rank}</b><br>{interval}" if rank else "" for rank, interval, _ in line] for line in shown.texts]
    heat = go.Heatmap(
        # The first is to stand at the top of the scale.
        z=np.round(1 - shown.place, 3).astype(np.float32),
        x=columns,
        y=[safe(name) for name in shown.names],
        text=both,
        texttemplate="%{text}",
        hovertext=[[words for _, _, words in line] for line in shown.texts],
        hovertemplate=f"<b>%{{y}}</b> at {safe(shown.bias_axis)} = %{{x}}<br>%{{hovertext}}<extra></extra>",
        hoverongaps=False,
        colorscale=_SCALE,
        zmin=0,
        zmax=1,
        xgap=2,
        ygap=2,
        colorbar={**bar, "title": {"text": "rank"}},
    )
    figure = go.Figure(heat)
    height = _TOP + _BOTTOM + _CELL * len(shown.names)
    rank_alone = {"text": alone} if len(columns) >= _NARROW_FROM else {}
    below = {"orientation": "h", "x": 0.5, "y": 0, "yref": "container", "yanchor": "bottom", "len": 0.9}
    narrow = {"height": height, "data": [{**rank_alone, "colorbar": below}], "margin": {"b": _BOTTOM + 66}}
    figure.update_layout(
        **layout(shown.title, "[ ]: 95 % interval, each bias value by itself; *: may be the best"),
        xaxis=axis(f"{safe(shown.bias_axis)} (stronger bias →)", type="category", showgrid=False),
        yaxis=axis("", type="category", autorange="reversed", showgrid=False, dtick=1),
        showlegend=False,
        meta={"narrow": narrow},
    )
    figure.update_layout(height=height, margin={"t": _TOP, "b": _BOTTOM})
    for i, line in enumerate(shown.absent):
        for k, reason in enumerate(line):
            if reason:
                text = "n/a" if reason.startswith("not applicable") else "-"
                # Categories by their numbers: a name such as "1" would be taken for one.
                figure.add_annotation(
                    x=k, y=i, text=text, hovertext=safe(reason), showarrow=False, font={"size": 11}, name="absent"
                )
    return figure

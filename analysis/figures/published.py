"""Published numbers as hollow marks on a curve: of other networks, so never joined to one's own lines."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.bias_axis import Axis
from analysis.figures.style import Style, safe, trace_id
from analysis.numbers.published import at_gamma

_MARKS = ("-open", "-open-dot")


def add_published(
    figure: go.Figure, published: pd.DataFrame, curve: pd.DataFrame, look: Mapping[str, Style], place: Axis
) -> None:
    """Add the published numbers of the methods that the figure shows, where it holds their bias values and gamma.

    Args:
        figure: The curve.
        published: What ``analysis.published_numbers`` returned.
        curve: The rows that the figure shows.
        look: Style of each label.
        place: The figure's x axis.

    The first source is shown, others wait in the legend.
    """
    if place.column != "bias_value":
        return
    low, high = min(place.ticks), max(place.ticks)
    rows = published[published["bias_value"].between(low, high) & published["method"].isin(list(look))]
    gammas = curve["gamma"].unique()
    rows = rows[rows["gamma"].map(lambda number: any(at_gamma(number, gamma) for gamma in gammas)).astype(bool)]
    if place.log:
        rows = rows[rows["bias_value"] > 0]
    for layer, (source, of_source) in enumerate(rows.groupby("source", sort=False)):
        mark, shown = _MARKS[layer % len(_MARKS)], True if layer == 0 else "legendonly"
        common = {"legendgroup": f"published/{source}", "visible": shown, "mode": "markers", "meta": "published"}
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                name=safe(f"published: {source} (hollow, other networks)"),
                marker={"size": 9, "symbol": f"circle{mark}", "color": "#808080"},
                **common,
            )
        )
        for (method, name), numbers in of_source.groupby(["method", "name"], sort=False):
            style = look[str(method)]
            figure.add_trace(
                go.Scatter(
                    x=numbers["bias_value"],
                    y=numbers["accuracy"],
                    showlegend=False,
                    marker={
                        "size": 9,
                        "symbol": f"{style.symbol}{mark}",
                        "color": style.color,
                        "line": {"width": 1.5},
                        "opacity": 0.85,
                    },
                    hovertemplate=f"{safe(name)}, {safe(source)}: %{{y:.4g}}<extra>published, one run</extra>",
                    uid=trace_id(f"published/{source}/{method}/{name}"),
                    **common,
                )
            )

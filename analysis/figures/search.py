"""Figures of the search: map of lambda over bias, and value of a larger search, computed first and then drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.carried.pressures import pressures_of
from analysis.figures.learning import whole_numbers
from analysis.figures.natural import Mark, category_places, natural_marks
from analysis.figures.panels.draw import draw_panels, need_panels
from analysis.figures.panels.lines import DrawnCurve
from analysis.figures.style import axis, layout, safe, styles
from analysis.numbers.search import expected_validation, lambda_map
from analysis.numbers.tables import headline_rule
from store.columns import PRESSURES
from store.errors import InputError
from store.rules import rule_name

_ERROR = " ± %{customdata[2]:.3f} (standard error over %{customdata[3]} search seeds)"


@dataclass(frozen=True, eq=False)
class SearchMap:
    """Search trials of one method over (bias value, weight).

    Attributes:
        title: Its title.
        parameter: The weight, such as ``lambda_`` or ``mu``.
        bias_axis: The bias parameter.
        rows: Rows of ``analysis.lambda_map``, weak bias first.
        floor: Where a weight of 0 is drawn on the logarithmic axis.
        natural: Places of the data as they are.
    """

    title: str
    parameter: str
    bias_axis: str
    rows: pd.DataFrame
    floor: float
    natural: tuple[Mark, ...] = ()


def search_map(rows: pd.DataFrame, parameter: str, title: str | None = None) -> SearchMap:
    """Compute what a map shows.

    Args:
        rows: What ``analysis.lambda_map`` returned for one method; at least one with the parameter.
        parameter: The weight, such as ``lambda_`` or ``mu``.
        title: Title; default: in words.

    Returns:
        The map.

    Example:
        >>> line = {"label": "grl", "rule": "val_biased", "facet": "", "bias_axis": "rho", "bias_strength": 0.5}
        >>> shown = search_map(pd.DataFrame({**line, "mu": [0.0, 0.4]}), "mu")
        >>> shown.title, shown.floor
        ('grl: mu against bias, biased validation', 0.1)
    """
    rows = rows.dropna(subset=[parameter]).sort_values(["facet", "bias_strength"], kind="stable")
    first, weights = rows.iloc[0], rows.loc[rows[parameter] > 0, parameter]
    heading = f"{first['label']}: {parameter.rstrip('_')} against bias, {rule_name(first['rule'])}"
    return SearchMap(
        title=heading if title is None else title,
        parameter=parameter,
        bias_axis=str(first["bias_axis"]),
        rows=rows,
        # A logarithmic axis has no 0: it is drawn a little below the smallest weight.
        floor=float(weights.min()) / 4 if len(weights) else 1e-4,
        natural=natural_marks(rows, "bias_value"),
    )


def plot_lambda_map(
    trials: pd.DataFrame, label: str, parameter: str | None = None, rule: str | None = None, title: str | None = None
) -> go.Figure:
    """Draw the search trials of one method: validation value over (bias value, weight), the chosen ones ringed.

    Of several search seeds the mean is shown; the pointer shows its standard error.

    Args:
        trials: What ``analysis.load`` returned.
        label: The method.
        parameter: The weight of a debiasing term, such as ``lambda_``, ``mu`` or ``alpha``; default: the first that was
            searched.
        rule: Selection rule whose validation value is shown; default: the headline rule.
        title: Title; default: in words.

    Returns:
        The figure; a weight of 0 (the anchor, no debiasing) lies on the bottom line.

    Raises:
        InputError: No completed search trial with that parameter.

    Example:
        >>> import analysis
        >>> figure = analysis.plot_lambda_map(analysis.example(), "lnl")
        >>> figure.layout.title.text
        'lnl: lambda against bias, counterfactual validation'
    """
    rule = rule or headline_rule(trials)
    rows = lambda_map(trials, label, rule)
    parameter = parameter or searched_weight(trials, rows) or PRESSURES[0]
    if parameter not in rows or rows[parameter].isna().all():
        raise InputError(f"a map needs search trials with {parameter}, but {label} has none under {rule}: search first")
    return draw_map(search_map(rows, parameter, title))


def searched_weight(trials: pd.DataFrame, rows: pd.DataFrame) -> str | None:
    """Find the weight that a map of a method shows: the first that was searched, as one that was fixed makes no map.

    Args:
        trials: What ``analysis.load`` returned.
        rows: Rows of ``analysis.lambda_map`` of one method.

    Returns:
        Its name; None where no weight was searched.

    Example:
        >>> rows = pd.DataFrame({"sweep": "s", "label": "grl", "lambda_": None, "mu": [0.1, 0.4]})
        >>> searched_weight(pd.DataFrame(), rows)
        'mu'
    """
    lines = rows[["sweep", "label"]].drop_duplicates().itertuples(index=False)
    own = [name for sweep, label in lines for name in pressures_of(trials, str(sweep), str(label))]
    return next((name for name in (*own, *PRESSURES) if name in rows and rows[name].nunique() > 1), None)


def draw_map(shown: SearchMap) -> go.Figure:
    """Draw a map that is computed already.

    Args:
        shown: The map.

    Returns:
        The plotly figure.
    """
    rows, floor = shown.rows, shown.floor
    weights = rows[shown.parameter].to_numpy(dtype=float)
    several_seeds = bool((rows["n_search_seeds"] > 1).any())
    ring = [2.5 if chosen else 0.7 for chosen in rows["chosen"]]
    figure = go.Figure(
        go.Scatter(
            x=[f"{v:g}{f'<br>{safe(f)}' if f else ''}" for v, f in zip(rows["bias_value"], rows["facet"], strict=True)],
            y=np.where(weights > 0, weights, floor),
            mode="markers",
            marker={
                "size": 15,
                "color": rows["validation"],
                "colorscale": "Cividis",
                "colorbar": {"title": {"text": "validation"}, "thickness": 12, "outlinewidth": 0},
                "line": {"width": ring, "color": ["#D55E00" if width > 1 else "#808080" for width in ring]},
            },
            customdata=rows[[shown.parameter, "lr", *(["validation_se", "n_search_seeds"] if several_seeds else [])]],
            hovertemplate=f"{safe(shown.parameter)} %{{customdata[0]:.3g}}, lr %{{customdata[1]:.3g}}"
            f"<br>validation %{{marker.color:.3f}}{_ERROR if several_seeds else ''}<extra></extra>",
        )
    )
    top = max(float(weights.max()), floor)
    decades = range(math.floor(math.log10(floor)), math.ceil(math.log10(top)) + 1)
    steps = (1,) if len(decades) > 4 else (1, 2, 5)
    ticks = [t for k in decades for step in steps if floor <= (t := step * 10.0**k) <= top]
    anchored = bool((weights <= 0).any())
    figure.update_layout(
        **layout(shown.title),
        showlegend=False,
        xaxis=axis(f"{safe(shown.bias_axis)} (stronger bias →)", type="category"),
        yaxis=axis(
            shown.parameter.rstrip("_"),
            type="log",
            # Ticks close to the bottom line would be written over its 0.
            tickvals=[*([floor] if anchored else []), *(t for t in ticks if not anchored or t > floor * 2)],
            ticktext=[*(["0"] if anchored else []), *(f"{t:g}" for t in ticks if not anchored or t > floor * 2)],
        ),
    )
    columns = rows.drop_duplicates(["bias_value", "facet"])["bias_value"].tolist()
    for mark in shown.natural:
        # At the top, as the anchors lie on the bottom line, and between two columns, which are evenly spread.
        for place in category_places(columns, mark.value):
            line = {"width": 3, "color": "#808080"}
            at: dict[str, Any] = {"xref": "x", "yref": "paper"}
            figure.add_shape(type="line", x0=place, x1=place, y0=1, y1=0.965, line=line, **at)
            words = {"text": safe(mark.name), "hovertext": safe(mark.text), "showarrow": False, "font": {"size": 11}}
            figure.add_annotation(x=place, y=1, yanchor="bottom", **words, **at)
    return figure


@dataclass(frozen=True, eq=False)
class SearchBudget:
    """Expected best validation value of the first n search trials, a line per method."""

    title: str
    lines: tuple[DrawnCurve, ...]

    def table(self) -> pd.DataFrame:
        """The numbers: ``line, n, expected``."""
        parts = [pd.DataFrame({"line": line.name, "n": line.x, "expected": line.y}) for line in self.lines]
        return pd.concat(parts, ignore_index=True)


def search_budget(
    trials: pd.DataFrame, rule: str | None = None, bias_value: float | None = None, title: str | None = None
) -> SearchBudget:
    """Compute what ``analysis.plot_search_budget`` draws.

    The arguments are the same.

    Raises:
        InputError: No method has two completed search trials there.
    """
    rows = expected_validation(trials, rule)
    rows = rows.assign(name=rows["label"].where(rows["facet"] == "", rows["label"].astype(str) + ", " + rows["facet"]))
    if bias_value is None and len(rows):
        bias_value = float(rows.sort_values("bias_strength", kind="stable")["bias_value"].iloc[-1])
    # A ceiling of the whole axis was searched at one bias value and belongs to every one.
    whole = set(trials.loc[trials["whole_axis"], "label"])
    rows = rows[(rows["bias_value"] == bias_value) | rows["label"].isin(whole)]
    if rows.empty:
        raise InputError("the budget curve needs two or more completed search trials of a method: search more")
    look, methods = styles(trials["label"]), dict(zip(trials["label"], trials["method"], strict=True))
    return SearchBudget(
        f"Best of n trials at {rows['bias_axis'].iloc[0]} = {bias_value:g}" if title is None else title,
        tuple(
            DrawnCurve(
                str(name),
                look[str(label)],
                of_line["n"].to_numpy(),
                of_line["expected"].to_numpy(),
                str(label),
                str(methods[label]),
            )
            for (_, label, name), of_line in rows.groupby(["sweep", "label", "name"], sort=False)
        ),
    )


def plot_search_budget(
    trials: pd.DataFrame,
    rule: str | None = None,
    bias_value: float | None = None,
    title: str | None = None,
    order: Sequence[str] | None = None,
) -> go.Figure:
    """Draw the expected best validation value of the first n search trials (Dodge et al. 2019), a line per method.

    More than six methods have a panel each, beside plain training and the ceiling.

    Args:
        trials: What ``analysis.load`` returned.
        rule: Selection rule; default: the headline rule.
        bias_value: Where on the axis; default: the strongest bias.
        title: Title; default: in words.
        order: Labels in the order of the panels; default: by name.

    Returns:
        The figure.

    Raises:
        InputError: No method has two completed search trials there.

    Example:
        >>> import analysis
        >>> figure = analysis.plot_search_budget(analysis.example(), bias_value=0.9)
        >>> figure.layout.title.text
        'Best of n trials at rho = 0.9'
    """
    return draw_budget(search_budget(trials, rule, bias_value, title), order)


def draw_budget(shown: SearchBudget, order: Sequence[str] | None = None) -> go.Figure:
    """Draw the curves of a larger search that are computed already.

    Args:
        shown: The curves.
        order: Labels in the order of the panels of many methods; None = by name.

    Returns:
        The plotly figure.

    Example:
        >>> from analysis.figures.style import styles
        >>> line = DrawnCurve("lnl", styles(["lnl"])["lnl"], np.array([1, 2]), np.array([0.7, 0.75]))
        >>> draw_budget(SearchBudget("Best of n trials", (line,))).data[0].name
        'lnl'
    """
    if need_panels(shown.lines):
        return draw_panels(shown.title, shown.lines, ("search trials", "expected best validation"), order)
    figure = go.Figure()
    for line in shown.lines:
        figure.add_trace(
            go.Scatter(
                x=line.x,
                y=line.y,
                mode="lines",
                line={"color": line.style.color, "dash": line.style.dash, "width": 2.2},
                name=safe(line.name),
                hovertemplate=f"{safe(line.name)}, %{{x}} trials: %{{y:.3f}}<extra></extra>",
            )
        )
    figure.update_layout(
        **layout(shown.title) | {"height": 380},
        xaxis=axis("search trials", **whole_numbers(shown.lines)),
        yaxis=axis("expected best validation"),
    )
    return figure

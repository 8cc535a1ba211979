"""Figures of the search and of training: lambda x bias map, learning curves, what a larger search would give."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.style import axis, layout, safe, styles
from analysis.many_sweeps import told_apart
from analysis.numbers.search import chosen_by, expected_validation, with_values
from analysis.numbers.tables import headline_rule
from analysis.points.points import facets
from store.errors import InputError
from store.rules import rule_name

_ERROR = " ± %{customdata[2]:.3f} (standard error over %{customdata[3]} search seeds)"


def plot_lambda_map(
    trials: pd.DataFrame, label: str, parameter: str = "lambda_", rule: str | None = None, title: str | None = None
) -> go.Figure:
    """Search trials of one method: validation value over (bias value, weight), the chosen ones ringed.

    Of several search seeds the mean is shown; the pointer shows its standard error.

    Args:
        trials: What ``analysis.load`` returned.
        label: The method.
        parameter: ``lambda_`` or ``mu``.
        rule: Selection rule whose validation value is shown; default: the headline rule.
        title: Title; default: in words.

    Returns:
        The figure; a weight of 0 (the anchor, no debiasing) lies on the bottom line.

    Raises:
        InputError: No completed search trial with that parameter.
    """
    rule = rule or headline_rule(trials)
    rows = with_values(trials.assign(facet=facets(trials)), rule)
    rows = rows[rows["label"] == label].dropna(subset=[parameter]).sort_values(["facet", "bias_strength"])
    if rows.empty:
        raise InputError(f"a map needs search trials with {parameter}, but {label} has none under {rule}: search first")
    weights = rows[parameter].to_numpy(dtype=float)
    floor = float(weights[weights > 0].min()) / 4 if (weights > 0).any() else 1e-4
    several = bool((rows["n_search_seeds"] > 1).any())
    ring = [2.5 if chosen else 0.7 for chosen in chosen_by(trials, rows, rule)]
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
            customdata=rows[[parameter, "lr", *(["validation_se", "n_search_seeds"] if several else [])]],
            hovertemplate=f"{safe(parameter)} %{{customdata[0]:.3g}}, lr %{{customdata[1]:.3g}}"
            f"<br>validation %{{marker.color:.3f}}{_ERROR if several else ''}<extra></extra>",
        )
    )
    heading = f"{label}: {parameter.rstrip('_')} against bias, {rule_name(rule)}" if title is None else title
    figure.update_layout(**layout(heading), showlegend=False)
    top = max(float(weights.max()), floor)
    decades = range(math.floor(math.log10(floor)), math.ceil(math.log10(top)) + 1)
    steps = (1,) if len(decades) > 4 else (1, 2, 5)
    ticks = [t for k in decades for step in steps if floor <= (t := step * 10.0**k) <= top]
    anchored = bool((weights <= 0).any())
    figure.update_layout(
        xaxis=axis(f"{safe(rows['bias_axis'].iloc[0])} (stronger bias →)", type="category"),
        yaxis=axis(
            parameter.rstrip("_"),
            type="log",
            tickvals=[*([floor] if anchored else []), *(t for t in ticks if not anchored or t > floor * 2)],
            ticktext=[*(["0"] if anchored else []), *(f"{t:g}" for t in ticks if not anchored or t > floor * 2)],
        ),
    )
    return figure


def plot_learning_curves(
    trials: pd.DataFrame,
    history: pd.DataFrame,
    rule: str | None = None,
    bias_value: float | None = None,
    title: str | None = None,
) -> go.Figure:
    """Test accuracy by epoch of the confirm trials, a thin line per seed. To look at: it never chooses anything.

    Args:
        trials: What ``analysis.load`` returned.
        history: What ``analysis.load_history`` returned.
        rule: Selection rule; default: the headline rule.
        bias_value: Where on the axis; default: the strongest bias.
        title: Title; default: in words.

    Returns:
        The figure.

    Raises:
        InputError: No epoch of such a confirm trial.
    """
    rule = rule or headline_rule(trials)
    trials, history = told_apart(trials, history)
    rows = trials.assign(name=_line_names(trials))
    rows = rows[(rows["phase"] == "confirm") & rows["rules"].map(lambda rules: rule in rules)]
    rows = rows.sort_values("bias_strength")
    if bias_value is None and len(rows):
        bias_value = float(rows["bias_value"].iloc[-1])
    rows = rows[(rows["bias_value"] == bias_value) | rows["whole_axis"]]
    epochs = history.merge(rows[["trial_id", "label", "name"]], on="trial_id").dropna(subset=["test_accuracy"])
    if epochs.empty:
        raise InputError(f"learning curves need confirm trials with a history, but {rule} has none: finish the sweep")
    look, named = styles(trials["label"]), set[str]()
    figure = go.Figure()
    for (label, name, _), line in epochs.sort_values("epoch").groupby(["label", "name", "trial_id"], sort=False):
        style = look[str(label)]
        figure.add_trace(
            go.Scatter(
                x=line["epoch"],
                y=line["test_accuracy"],
                mode="lines+markers" if len(line) == 1 else "lines",
                line={"color": style.color, "dash": style.dash, "width": 1.3},
                marker={"symbol": style.symbol, "color": style.color},
                opacity=0.8,
                name=safe(name),
                legendgroup=str(name),
                showlegend=name not in named,
                hovertemplate=f"{safe(name)}, epoch %{{x}}: %{{y:.3f}}<extra></extra>",
            )
        )
        named.add(str(name))
    axis_name = str(rows["bias_axis"].iloc[0])
    figure.update_layout(**layout(f"Learning curves at {axis_name} = {bias_value:g}" if title is None else title))
    steps = {"dtick": 1} if epochs["epoch"].max() <= 12 else {}
    figure.update_layout(xaxis=axis("epoch", **steps), yaxis=axis("test accuracy", tickformat=".2f"), height=380)
    return figure


def plot_search_budget(
    trials: pd.DataFrame, rule: str | None = None, bias_value: float | None = None, title: str | None = None
) -> go.Figure:
    """Expected best validation value of the first n search trials (Dodge et al. 2019), a line per method.

    Args:
        trials: What ``analysis.load`` returned.
        rule: Selection rule; default: the headline rule.
        bias_value: Where on the axis; default: the strongest bias.
        title: Title; default: in words.

    Returns:
        The figure.

    Raises:
        InputError: No method has two completed search trials there.
    """
    rows = expected_validation(trials, rule)
    rows = rows.assign(name=rows["label"].where(rows["facet"] == "", rows["label"].astype(str) + ", " + rows["facet"]))
    if bias_value is None and len(rows):
        bias_value = float(rows.sort_values("bias_strength", kind="stable")["bias_value"].iloc[-1])
    whole = set(trials.loc[trials["whole_axis"], "label"])
    rows = rows[(rows["bias_value"] == bias_value) | rows["label"].isin(whole)]
    look = styles(trials["label"])
    figure = go.Figure()
    for (_, label, name), line in rows.groupby(["sweep", "label", "name"], sort=False):
        style = look[str(label)]
        figure.add_trace(
            go.Scatter(
                x=line["n"],
                y=line["expected"],
                mode="lines",
                line={"color": style.color, "dash": style.dash, "width": 2.2},
                name=safe(name),
                hovertemplate=f"{safe(name)}, %{{x}} trials: %{{y:.3f}}<extra></extra>",
            )
        )
    if not figure.data:
        raise InputError("the budget curve needs two or more completed search trials of a method: search more")
    axis_name = str(rows["bias_axis"].iloc[0])
    figure.update_layout(**layout(f"Best of n trials at {axis_name} = {bias_value:g}" if title is None else title))
    steps = {"dtick": 1} if max(len(trace.x) for trace in figure.data) <= 12 else {}
    figure.update_layout(xaxis=axis("search trials", **steps), yaxis=axis("expected best validation"), height=380)
    return figure


def _line_names(trials: pd.DataFrame) -> pd.Series:
    """Label, and the facet where there is one: trials of different cells are never compared."""
    facet = facets(trials)
    return trials["label"].where(facet == "", trials["label"].astype(str) + ", " + facet)

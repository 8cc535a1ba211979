"""Learning curves: test accuracy by epoch, a thin line per seed, computed first and then drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.panels.draw import draw_panels, need_panels
from analysis.figures.panels.lines import DrawnCurve
from analysis.figures.style import axis, layout, safe, styles
from analysis.many_sweeps import told_apart
from analysis.numbers.tables import headline_rule
from analysis.points.points import facets
from store.errors import InputError


@dataclass(frozen=True, eq=False)
class LearningCurves:
    """Test accuracy by epoch, a line per trial.

    Lines of one name are seeds of the same cell.
    """

    title: str
    lines: tuple[DrawnCurve, ...]

    def by_epoch(self) -> pd.DataFrame:
        """Summarise the seeds of each name at each epoch: ``line, epoch, mean, lowest, highest, n_seeds``."""
        parts = [pd.DataFrame({"line": line.name, "epoch": line.x, "y": line.y}) for line in self.lines]
        grouped = pd.concat(parts).groupby(["line", "epoch"], sort=False)["y"]
        return grouped.agg(mean="mean", lowest="min", highest="max", n_seeds="size").reset_index()

    def ends(self) -> dict[str, tuple[float, float]]:
        """Compute the accuracy after the first and after the last epoch of each name, means over its seeds."""
        by_name: dict[str, list[tuple[float, float]]] = {}
        for line in self.lines:
            by_name.setdefault(line.name, []).append((float(line.y[0]), float(line.y[-1])))
        return {
            name: (sum(a for a, _ in both) / len(both), sum(b for _, b in both) / len(both))
            for name, both in by_name.items()
        }


def learning_curves(
    trials: pd.DataFrame,
    history: pd.DataFrame,
    rule: str | None = None,
    bias_value: float | None = None,
    title: str | None = None,
) -> LearningCurves:
    """Compute what ``analysis.plot_learning_curves`` draws.

    The arguments are the same.

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
    # A ceiling of the whole axis was trained at one bias value and belongs to every one.
    rows = rows[(rows["bias_value"] == bias_value) | rows["whole_axis"]]
    epochs = history.merge(rows[["trial_id", "label", "method", "name"]], on="trial_id").dropna(
        subset=["test_accuracy"]
    )
    if epochs.empty:
        raise InputError(f"learning curves need confirm trials with a history, but {rule} has none: finish the sweep")
    look = styles(trials["label"])
    lines = epochs.sort_values("epoch").groupby(["label", "method", "name", "trial_id"], sort=False)
    return LearningCurves(
        f"Learning curves at {rows['bias_axis'].iloc[0]} = {bias_value:g}" if title is None else title,
        tuple(
            DrawnCurve(
                str(name),
                look[str(label)],
                of_trial["epoch"].to_numpy(),
                of_trial["test_accuracy"].to_numpy(),
                str(label),
                str(method),
            )
            for (label, method, name, _), of_trial in lines
        ),
    )


def plot_learning_curves(
    trials: pd.DataFrame,
    history: pd.DataFrame,
    rule: str | None = None,
    bias_value: float | None = None,
    title: str | None = None,
    order: Sequence[str] | None = None,
) -> go.Figure:
    """Draw test accuracy by epoch of the confirm trials, a thin line per seed.

    More than six methods have a panel each, beside plain training and the ceiling. The figure is to look at: it never
    chooses anything.

    Args:
        trials: What ``analysis.load`` returned.
        history: What ``analysis.load_history`` returned.
        rule: Selection rule; default: the headline rule.
        bias_value: Where on the axis; default: the strongest bias.
        title: Title; default: in words.
        order: Labels in the order of the panels; default: by name.

    Returns:
        The figure.

    Raises:
        InputError: No epoch of such a confirm trial.

    Example:
        >>> import analysis
        >>> history = analysis.load_history(analysis.example_folder())
        >>> figure = analysis.plot_learning_curves(analysis.example(), history, bias_value=0.9)
        >>> figure.layout.title.text, figure.layout.yaxis.title.text
        ('Learning curves at rho = 0.9', 'test accuracy')
    """
    return draw_learning(learning_curves(trials, history, rule, bias_value, title), order)


def draw_learning(shown: LearningCurves, order: Sequence[str] | None = None) -> go.Figure:
    """Draw learning curves that are computed already.

    Args:
        shown: The curves.
        order: Labels in the order of the panels of many methods; None = by name.

    Returns:
        The plotly figure.

    Example:
        >>> from analysis.figures.style import styles
        >>> import numpy as np
        >>> line = DrawnCurve("erm", styles(["erm"])["erm"], np.array([1, 2]), np.array([0.6, 0.8]))
        >>> draw_learning(LearningCurves("Learning curves", (line,))).data[0].y.tolist()
        [0.6, 0.8]
    """
    if need_panels(shown.lines):
        note = "a line per seed, of plain training and the ceiling the mean"
        return draw_panels(shown.title, shown.lines, ("epoch", "test accuracy"), order, note)
    named = set[str]()
    figure = go.Figure()
    for line in shown.lines:
        figure.add_trace(
            go.Scatter(
                x=line.x,
                y=line.y,
                # A line of a single point would not be seen.
                mode="lines+markers" if len(line.x) == 1 else "lines",
                line={"color": line.style.color, "dash": line.style.dash, "width": 1.3},
                marker={"symbol": line.style.symbol, "color": line.style.color},
                opacity=0.8,
                name=safe(line.name),
                legendgroup=line.name,
                showlegend=line.name not in named,
                hovertemplate=f"{safe(line.name)}, epoch %{{x}}: %{{y:.3f}}<extra></extra>",
            )
        )
        named.add(line.name)
    steps = whole_numbers(shown.lines)
    figure.update_layout(
        **layout(shown.title) | {"height": 380},
        xaxis=axis("epoch", **steps),
        yaxis=axis("test accuracy", tickformat=".2f"),
    )
    return figure


def whole_numbers(lines: Sequence[DrawnCurve]) -> dict[str, int]:
    """Set a tick at every whole number where there is room for them.

    Args:
        lines: The lines.

    Returns:
        Options of a plotly axis; empty beyond 12 epochs or trials.

    Example:
        >>> from analysis.figures.style import styles
        >>> import numpy as np
        >>> whole_numbers([DrawnCurve("erm", styles(["erm"])["erm"], np.arange(8), np.ones(8))])
        {'dtick': 1}
    """
    return {"dtick": 1} if max(line.x.max() for line in lines) <= 12 else {}


def _line_names(trials: pd.DataFrame) -> pd.Series:
    """Name the line of each trial: its label, and its facet where there is one.

    Trials of different cells are never compared.
    """
    facet = facets(trials)
    return trials["label"].where(facet == "", trials["label"].astype(str) + ", " + facet)

"""The report's figures as PNG files, drawn by Chrome through kaleido."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from pathlib import Path

import plotly.graph_objects as go
import plotly.io

from analysis.figures.confusion import plot_confusion
from analysis.figures.learning import plot_learning_curves
from analysis.figures.measures import own_figures, plot_measure
from analysis.figures.plotly_curve import plot_accuracy_vs_bias
from analysis.figures.search import plot_lambda_map, plot_search_budget
from analysis.figures.small_multiples import plot_small_multiples
from analysis.findings import Findings
from analysis.many.rank_map import plot_ranks
from analysis.points.measures import many
from analysis.writing import out_folder
from store.errors import InputError
from store.rules import rule_name

_WIDTH, _SCALE = 1000, 2
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_MISSING = (
    "PNG files need kaleido and a Chrome or Chromium, but {what}: install them "
    "(pip install 'lnl-sweep[png]', apt-get install chromium), or use --paper, which needs no browser"
)


def write_png(findings: Findings, out: str | os.PathLike[str]) -> list[Path]:
    """Write every figure of the report as a PNG file, on a white background.

    Args:
        findings: What ``analysis.findings.gather`` returned.
        out: The folder to write into.

    Returns:
        The files.

    Raises:
        InputError: No kaleido or no Chrome, or ``out`` is a file.
    """
    folder = out_folder(out, "PNG files")
    _need_browser()
    folder.mkdir(parents=True, exist_ok=True)
    figures = report_figures(findings)
    heights = [int(figure.layout.height or 460) for figure in figures.values()]
    files = [folder / f"{name}.png" for name in figures]
    for figure in figures.values():
        figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", title_x=0.02)
    try:
        plotly.io.write_images(
            list(figures.values()), [str(f) for f in files], width=_WIDTH, height=heights, scale=_SCALE
        )
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"the browser could not draw the figures ({reason}): try another Chrome") from error
    absent = [file.name for file in files if not file.exists()]
    if absent:
        # Kaleido only logs what went wrong with a single figure.
        raise InputError(f"the browser did not draw {', '.join(absent)}: try again, or another Chrome (BROWSER_PATH)")
    return files


def report_figures(findings: Findings) -> dict[str, go.Figure]:
    """Draw the report's figures, by file name: of every rule the curve, of the headline rule all others.

    Args:
        findings: What ``analysis.findings.gather`` returned.

    Returns:
        Figures by file name without its ending; those that have nothing to show are left out.
    """
    note = "; ".join(dict.fromkeys(sweep.note for sweep in findings.sweeps if sweep.note))
    several_datasets = findings.curve["dataset"].nunique() > 1
    figures: dict[str, go.Figure] = {}

    def add(name: str, draw: object, *arguments: object, **options: object) -> None:
        try:
            figures[re.sub(r"[^A-Za-z0-9._-]+", "_", name)] = draw(*arguments, **options)  # type: ignore[operator]
        # A figure without anything to show is left out, as in the report.
        except InputError:
            return

    common = {"note": note, "names": findings.names(), "x": "bias_strength" if several_datasets else "bias_value"}
    plot_curve = plot_small_multiples if many(findings.curve) else plot_accuracy_vs_bias
    for rule in findings.rules:
        add(f"curve-{rule}", plot_curve, findings.curve, rule=rule, metric=findings.metric, **common)
    rule, panels = findings.headline, findings.panel_order
    for column, (curve, measure, null) in own_figures(findings.measures).items():
        title = f"{', '.join(curve['dataset'].unique())}: {measure.name} against bias, chosen by {rule_name(rule)}"
        add(f"measure-{column}", plot_measure, curve, measure, null, panels, rule=rule, title=title, **common)
    headline = findings.ranks[findings.ranks["rule"] == rule]
    for (dataset, _), ranks in findings.with_lines(headline).groupby(["dataset", "bias_axis"], sort=False):
        add(f"ranks{f'-{dataset}' if headline['dataset'].nunique() > 1 else ''}", plot_ranks, ranks, rule)
    for sweep in findings.sweeps:
        mark = f"-{sweep.name}" if len(findings.sweeps) > 1 else ""
        trials = findings.trials[findings.trials["sweep"] == sweep.name]
        confusion = findings.confusion[findings.confusion["sweep"] == sweep.name]
        for label in trials["label"].unique():
            title = f"{label}: predicted against true class, chosen by {rule_name(rule)}"
            add(f"confusion-{label}{mark}", plot_confusion, confusion, label, rule, sweep.classes, title=title)
            add(f"lambda_map-{label}{mark}", plot_lambda_map, trials, label)
        order = findings.order_of(sweep.name)
        add(f"learning{mark}", plot_learning_curves, trials, findings.history, order=order)
        add(f"budget{mark}", plot_search_budget, trials, order=order)
    return figures


def _need_browser() -> None:
    if importlib.util.find_spec("kaleido") is None:
        raise InputError(_MISSING.format(what="kaleido is not installed"))
    named = os.environ.get("BROWSER_PATH")
    if not (named and Path(named).exists()) and not any(shutil.which(name) for name in _BROWSERS):
        raise InputError(
            _MISSING.format(what=f"there is none at BROWSER_PATH={named}" if named else "no browser was found")
        )

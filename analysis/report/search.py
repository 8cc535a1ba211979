"""The report's sections on the search and on training, each from the findings to HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.figures.learning import draw_learning, learning_curves
from analysis.figures.search import draw_budget, draw_map, search_budget, search_map, searched_weight
from analysis.findings import Findings
from analysis.numbers.search import lambda_map
from analysis.numbers.tables import headline_rule
from analysis.report.html import markup as m
from analysis.report.html.number_table import fit, numbers
from analysis.report.html.switches import View, per, plot
from analysis.report.likes import like_words
from store.errors import InputError
from store.rules import rule_name


def hyperparameter_section(findings: Findings) -> Markup:
    """List the hyperparameters that each rule chose in each cell."""
    rows = findings.selected
    if rows.empty:
        return Markup("")
    known = ["sweep", "rule", "label", "facet", "method", "cell", "repeat", "bias_value", "bias_strength", "validation"]
    known += ["validation_se", "n_search_seeds"]
    names = [
        str(c)
        for c in rows
        if c not in [*known, "candidates", "anchor", "trial_id", "caption"] and rows[c].notna().any()
    ]
    # A column of one value says less than a word in the caption, and makes the table wide.
    fixed = [name for name in names if len(rows) > 1 and rows[name].notna().all() and rows[name].nunique() == 1]
    names = [name for name in names if name not in fixed]
    same = ", ".join(f"{name} {m.cell_text(m.short(rows[name].iloc[0]))}" for name in fixed)
    parts = {}
    for rule in findings.rules:
        chosen = rows[rows["rule"] == rule].sort_values(["sweep", "label", "facet", "bias_strength"])
        anchors = [f"{findings.line_name(r)} at {r['bias_value']:g}" for r in chosen.to_dict("records") if r["anchor"]]
        words_ = [f"The same everywhere: {same}." if same else ""]
        words_.append(f"No debiasing was preferred (all its weights are 0): {', '.join(anchors)}." if anchors else "")
        words_.append(seeds_words(chosen))
        words_ += [like_words(sweep) for sweep in findings.sweeps]
        tables = []
        for on, bias_axis, group in findings.by_data(chosen):
            lines = [
                [
                    findings.line_name(r),
                    f"{r['bias_value']:g}",
                    with_error(r),
                    r["candidates"],
                    *(m.short(r[name]) for name in names),
                ]
                for r in group.to_dict("records")
            ]
            headers = ["method", bias_axis, "validation", "candidates", *(n.rstrip("_") for n in names)]
            caption = " ".join(word for word in (f"Chosen by {rule_name(rule)}{on}.", *words_) if word)
            tables.append(m.table(headers, lines, caption))
        parts[rule] = m.together(tables)
    return m.section("hyperparameters", "Selected hyperparameters", per("rule", parts))


def search_section(findings: Findings) -> Markup:
    """Draw maps of the search over (bias, weight), and the expected value of a larger search.

    Each sweep has its own.
    """
    parts = []
    for number, sweep in enumerate(findings.sweeps):
        trials = findings.trials[findings.trials["sweep"] == sweep.name]
        pieces = [*_maps(findings, trials, number), _budget(findings, trials, number)]
        if len(findings.sweeps) > 1 and any(pieces):
            pieces.insert(0, m.paragraph(f"{sweep.name}:"))
        parts += pieces
    return m.section("search", "Search", *parts)


def _maps(findings: Findings, trials: pd.DataFrame, number: int) -> list[Markup]:
    rule = headline_rule(trials)
    fits = fit(lambda_map(findings.trials, rule=rule))
    every = lambda_map(trials, rule=rule)
    pieces = []
    for label in trials["label"].unique():
        shown = every[every["label"] == label]
        parameter = searched_weight(trials, shown)
        if parameter is None:
            continue
        symbol = parameter.rstrip("_")
        title = f"{label}: {symbol} against bias, {rule_name(rule)}"
        caption = (
            f"{label}: validation value of every search trial over bias and {symbol}, by {rule_name(rule)}; the chosen "
            f"one is ringed, {symbol} = 0 is no debiasing. Validation images only."
        )
        caption = f"{caption} {seeds_words(shown)}".rstrip()
        identifier = re.sub(r"\W+", "-", f"figure-map-{number}-{label}-{parameter}")
        summary = f"{caption} {map_words(shown, parameter)}"
        view = View({}, draw_map(search_map(shown, parameter, title)), summary)
        pieces.append(plot(identifier, title, [view], m.paragraph(caption)))
        name = findings.sweeps[number].name
        rows_shown = findings.with_lines(shown)
        pieces.append(numbers(rows_shown, f"Search trials of {label}", "lambda_map", name, str(label), fits=fits))
    return pieces


def with_error(row: Mapping[Any, Any]) -> str:
    """Write a validation value, with its standard error where it is a mean over search seeds.

    Example:
        >>> with_error({"validation": 0.912, "validation_se": 0.004})
        '0.912 ± 0.004'
        >>> with_error({"validation": 0.912, "validation_se": float("nan")})
        '0.912'
    """
    error = row["validation_se"]
    return f"{row['validation']:.3f}" + ("" if error != error else f" ± {error:.3f}")


def seeds_words(rows: pd.DataFrame) -> str:
    """Write the meaning of ± where candidates were trained with several search seeds.

    Returns:
        The sentence; "" where each was trained with one.

    Example:
        >>> seeds_words(pd.DataFrame({"n_search_seeds": [3, 3]}))
        'Validation values are means over 3 search seeds ± their standard error.'
    """
    most = int(rows["n_search_seeds"].max()) if len(rows) else 1
    return f"Validation values are means over {most} search seeds ± their standard error." if most > 1 else ""


def map_words(rows: pd.DataFrame, parameter: str) -> str:
    """Describe the chosen weight at each bias value, weak to strong.

    Example:
        >>> row = {"chosen": [True], "bias_strength": 0.45, "bias_value": 0.9, "mu": 1.0, "validation": 0.91}
        >>> map_words(pd.DataFrame({**row, "validation_se": float("nan")}), "mu")
        'Chosen, weak to strong bias: 1 at 0.9 (validation 0.910).'
    """
    chosen = rows[rows["chosen"]].sort_values("bias_strength")
    words = [
        f"{r[parameter]:.3g} at {r['bias_value']:g} (validation {with_error(r)})" for r in chosen.to_dict("records")
    ]
    return f"Chosen, weak to strong bias: {', '.join(words)}." if words else ""


def _budget(findings: Findings, trials: pd.DataFrame, number: int) -> Markup:
    rule, name = headline_rule(trials), findings.sweeps[number].name
    try:
        shown = search_budget(trials, rule)
    except InputError:
        return Markup("")
    caption = (
        f"Expected best validation value ({rule_name(rule)}) of the first n search trials at the strongest bias (Dodge "
        "et al. 2019), anchors (plain training) left out: does a method win only with a large search?"
    )
    last = "; ".join(
        f"{line.name}: {line.y[0]:.3f} after 1, {line.y[-1]:.3f} after {len(line.y)}" for line in shown.lines
    )
    view = View({}, draw_budget(shown, findings.order_of(name)), f"{caption} {last}.")
    table = numbers(shown.table(), "Expected best value", "expected_validation", name)
    return plot(f"figure-budget-{number}", "What a larger search gives", [view], m.paragraph(caption)) + table


def learning_section(findings: Findings) -> Markup:
    """Draw the learning curves of the confirm trials at the strongest bias, of each sweep its own."""
    caption = m.paragraph(
        "Unbiased test accuracy by epoch at the strongest bias, a line per seed. To look at, never to choose: "
        "the reported epoch is fixed beforehand or chosen on validation."
    )
    parts = []
    for number, sweep in enumerate(findings.sweeps):
        trials = findings.trials[findings.trials["sweep"] == sweep.name]
        views, tables = [], {}
        for rule in findings.rules:
            try:
                shown = learning_curves(trials, findings.history, rule)
            except InputError:
                continue
            ends = "; ".join(
                f"{name}: {first:.2f} after the first epoch, {last:.2f} after the last"
                for name, (first, last) in shown.ends().items()
            )
            summary = (
                f"Test accuracy by epoch at the strongest bias, chosen by {rule_name(rule)}. Means over seeds: {ends}."
            )
            views.append(View({"rule": rule}, draw_learning(shown, findings.order_of(sweep.name)), summary))
            what = f"Test accuracy by epoch, chosen by {rule_name(rule)}"
            tables[rule] = numbers(shown.by_epoch(), what, "history", sweep.name, rule)
        if views:
            name = f"Learning curves of {sweep.name}" if len(findings.sweeps) > 1 else "Learning curves"
            parts.append(plot(f"figure-learning-{number}", name, views, caption))
            parts.append(per("rule", tables))
    return m.section("learning", "Learning curves", *parts)

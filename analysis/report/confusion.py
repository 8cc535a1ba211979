"""The report's section on the classes that are taken for others, as bias grows."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from analysis.figures.confusion import plot_confusion
from analysis.findings import Findings
from analysis.numbers.captions import kinds_of
from analysis.numbers.confusion import worst_mistakes
from analysis.points.points import CEILING
from analysis.report.html import markup as m
from analysis.report.html.number_table import fit, numbers
from analysis.report.html.switches import View, buttons, per, plot
from analysis.sweep_folder import Sweep
from store.rules import rule_name


def diagnosis_section(findings: Findings) -> Markup:
    """Draw heat maps of true against predicted class at every bias value, with the most frequent mistake of each."""
    parts: list[Markup] = []
    for number, sweep in enumerate(findings.sweeps):
        rows = findings.confusion[findings.confusion["sweep"] == sweep.name]
        # The first one is shown at first: a method, rather than the ceiling.
        labels = sorted(dict.fromkeys(rows["label"]), key=lambda label: label == CEILING)
        if rows.empty:
            continue
        several_sweeps = len(findings.sweeps) > 1
        switch = f"method-{number}"
        views = []
        tables: dict[str, dict[str, Markup]] = {}
        for rule in (r for r in findings.rules if (rows["rule"] == r).any()):
            for label in labels:
                of_label = rows[(rows["rule"] == rule) & (rows["label"] == label)]
                if of_label.empty:
                    continue
                title = f"{label}: predicted against true class, chosen by {rule_name(rule)}"
                figure = plot_confusion(of_label, label, rule, sweep.classes, title=title)
                worst = worst_mistakes(of_label, sweep.classes)
                summary = f"{title}. Most frequent mistake, weak to strong bias: " + "; ".join(
                    f"at {r['bias_value']:g} {r['share']:.0%} of {r['true']} called {r['predicted']}"
                    for r in worst.to_dict("records")
                )
                views.append(View({"rule": rule, switch: label}, figure, f"{summary}."))
                tables.setdefault(rule, {})[label] = _numbers(findings, sweep, of_label, title)
        caption = m.paragraph(
            "Shares of the images of each true class (rows add up to 1) on unbiased test images, means over seeds, "
            "given the selected hyperparameters. A bias pulls its own classes into each other as it grows."
        )
        parts += [
            m.heading(sweep.title) if several_sweeps else Markup(""),
            buttons(switch, "Method", {label: label for label in labels}),
            plot(f"figure-confusion-{number}", "Predicted against true class at every bias value", views, caption),
            per("rule", {rule: per(switch, shown) for rule, shown in tables.items()}),
            _table(findings, number),
        ]
    return m.section("diagnosis", "Who is misdiagnosed", *parts)


def _numbers(findings: Findings, sweep: Sweep, rows: pd.DataFrame, title: str) -> Markup:
    """All cells of one method's matrices, with the names of the classes."""
    names = dict(enumerate(sweep.classes))
    named = {side: rows[side].map(lambda c: names.get(int(c), str(c))) for side in ("true", "predicted")}
    fits, label, rule = fit(findings.confusion), str(rows["label"].iloc[0]), str(rows["rule"].iloc[0])
    return numbers(findings.with_lines(rows.assign(**named)), title, "confusion", sweep.name, label, rule, fits=fits)


def _table(findings: Findings, number: int) -> Markup:
    sweep = findings.sweeps[number]
    parts = {}
    for rule in findings.rules:
        rows = findings.confusion[(findings.confusion["sweep"] == sweep.name) & (findings.confusion["rule"] == rule)]
        if rows.empty:
            continue
        worst = worst_mistakes(rows, sweep.classes)
        lines = [
            [
                findings.line_name(r),
                f"{r['bias_value']:g}",
                r["true"],
                r["predicted"],
                f"{r['share']:.3f}" + ("" if r["band"] == "none" else f" [{r['low']:.3f}, {r['high']:.3f}]"),
                int(r["n_images"]),
            ]
            for r in worst.to_dict("records")
        ]
        headers = ["method", str(rows["bias_axis"].iloc[0]), "true class", "called", "share of that class", "images"]
        parts[rule] = m.table(
            headers,
            lines,
            f"The most frequent mistake, chosen by {rule_name(rule)}; 95 % intervals (Wilson) over "
            f"{' or '.join(kinds_of(rows)) or 'nothing: one seed'}",
        )
    return per("rule", parts)

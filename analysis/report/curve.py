"""The report's curves: accuracy against bias with its sample images, and the other test figures beside it."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
from markupsafe import Markup

from analysis.figures.curve import curve_figure
from analysis.figures.measures import null_words, own_figures, plot_measure, with_null
from analysis.figures.plotly_curve import plot_accuracy_vs_bias
from analysis.figures.small_multiples import draw_multiples, multiples, panels_of
from analysis.findings import Findings
from analysis.numbers.published import published_or_none
from analysis.points.measures import Measure, many, shown
from analysis.report import words
from analysis.report.html import markup as m
from analysis.report.html.number_table import fit, numbers
from analysis.report.html.switches import View, buttons, per, plot
from analysis.report.results import measures_table
from analysis.report.words import upper_first
from store.errors import InputError
from store.rules import rule_name

X = Literal["bias_value", "bias_strength"]
PRIVATE = (
    "no images are shown here, since they are your own: with share_images: true under dataset in the sweep file they "
    "stand in samples/, in this report and in what lnl-sweep pack writes."
)
"""In place of the images of a data set that does not let them be shown."""
_AXES: tuple[X, ...] = ("bias_value", "bias_strength")


def rule_buttons(findings: Findings) -> Markup:
    """Make the buttons that switch every curve and table to another rule.

    Returns:
        The HTML; none where there is one rule only.
    """
    names = {rule: f"{rule_name(rule)}{' (headline)' if i == 0 else ''}" for i, rule in enumerate(findings.rules)}
    return buttons("rule", "Chosen by", names)


def x_axes(findings: Findings) -> dict[str, str]:
    """List the x axes that fit: the bias value in its own units only where all data sets share one.

    Returns:
        Titles by axis.
    """
    bias_axis = str(findings.curve["bias_axis"].iloc[0])
    long = str(findings.sweeps[0].axis(bias_axis).get("long_name") or bias_axis)
    if findings.curve["dataset"].nunique() > 1 or findings.curve["bias_axis"].nunique() > 1:
        return {"bias_strength": "bias strength"}
    # A single strength would lay all points on one place.
    if findings.curve["bias_strength"].nunique() < 2:
        return {"bias_value": long}
    return {"bias_value": long, "bias_strength": "bias strength"}


def curve_section(findings: Findings) -> Markup:
    """Make the section of the curve, with its buttons, caption and sample images."""
    if not findings.rules:
        text = "No confirm trial has finished yet: there is no curve. Search trials never see test data."
        return m.section("curve", "Accuracy against bias", m.paragraph(text))
    views, captions = [], {}
    for rule in findings.rules:
        captions[rule] = m.paragraph(words.curve_caption(findings, rule))
        summary = words.curve_summary(findings.curve, findings.metric, rule)
        views += _views(findings, findings.curve, rule, f"{findings.metric} (unbiased test)", summary)
    notes = dict.fromkeys(sweep.note for sweep in findings.sweeps if sweep.note)
    remarks = dict.fromkeys(str(sweep.info["remark"]) for sweep in findings.sweeps if sweep.info.get("remark"))
    title = f"{words.upper_first(findings.metric)} against bias"
    return m.section(
        "curve",
        title,
        m.together(m.paragraph(f"Note: {note}.", "note") for note in notes),
        rule_buttons(findings),
        buttons("x", "Axis", x_axes(findings)),
        plot("figure-curve", title, views, per("rule", captions)) if views else Markup(""),
        m.together(m.remark(remark) for remark in remarks),
        m.bullets(words.coincidences(findings)),
        strip(findings),
    )


def measures_section(findings: Findings) -> Markup:
    """Make the section of every other test figure against bias, one at a time, with the limits of each.

    All of them follow as a table.
    """
    views, captions, names, tables = [], {}, {}, {}
    fits = fit(*findings.measures.values())
    for column, (every, measure, null) in own_figures(findings.measures).items():
        curve = shown(every, column)
        if not (curve["n_seeds"] > 0).any():
            continue
        by_rule, by_rule_numbers = {}, {}
        for rule in findings.rules:
            summary = f"{measure.says} {words.curve_summary(curve, measure.name, rule)}"
            added = _views(findings, curve, rule, "", summary, (measure, null))
            if added:
                views += added
                more = null_words(null, rule) or _named_words(curve, rule)
                by_rule[rule] = m.paragraph(
                    " ".join(filter(None, (measure.says, more, words.curve_caption(findings, rule, curve))))
                )
                rows = findings.with_lines(with_null(curve, null)[curve["rule"] == rule].assign(column=column))
                what = f"{words.upper_first(measure.name)}, chosen by {rule_name(rule)}"
                by_rule_numbers[rule] = numbers(
                    rows, what, "measures", findings.sweeps[0].name, column, rule, fits=fits
                )
        if by_rule:
            tables[column] = per("rule", by_rule_numbers)
            captions[column], names[column] = per("rule", by_rule), measure.name
    if not views:
        return Markup("")
    return m.section(
        "more",
        "Other test figures",
        buttons("measure", "Show", names),
        plot("figure-measures", "Other test figures against bias", views, per("measure", captions)),
        per("measure", tables),
        measures_table(findings),
    )


def _named_words(curve: pd.DataFrame, rule: str) -> str:
    """Count the points of a worst class or group that are named by the seed they are measured on.

    Returns:
        A sentence; "" where there is none.
    """
    rows = curve[(curve["rule"] == rule) & (curve["n_seeds"] > 0)]
    alone = int((rows["named_by"] == "itself").sum())
    return f"At {alone} of {len(rows)} points it is named by itself, which is biased low." if alone else ""


def strip(findings: Findings) -> Markup:
    """Show the same images at every bias strength, weak to strong, under the axis.

    Of a data set whose images are private it says how they are shown.
    """
    named = len(findings.sweeps) > 1
    pieces = []
    for sweep in findings.sweeps:
        # Of a folder without its sheet nothing is known, whose images they are included.
        if sweep.config and not sweep.sheet.share_images:
            pieces.append(m.paragraph(f"{sweep.name}: {PRIVATE}" if named else upper_first(PRIVATE), "quiet"))
        elif sweep.strips:
            title = f"{sweep.name}: the same images" if named else "The same images"
            pieces.append(m.part("strip", title, sweep.alt, sweep.strips))
    return m.together(pieces)


def _views(
    findings: Findings,
    curve: pd.DataFrame,
    rule: str,
    y_title: str,
    summary: str,
    other: tuple[Measure, pd.DataFrame | None] | None = None,
) -> list[View]:
    """Make one view per x axis.

    The other test figures keep to the first axis, so that the file stays small.
    """
    measure, null = other or (None, None)
    first = findings.sweeps[0]
    name = str(curve["bias_axis"].iloc[0])
    one = curve["dataset"].nunique() == 1
    titles = " and ".join(dict.fromkeys(sweep.title for sweep in findings.sweeps))
    headline = measure is None
    chance = 1 / len(first.classes) if headline and one and len(first.classes) > 1 else None
    published = published_or_none(str(curve["dataset"].iloc[0]))
    views = []
    axes = x_axes(findings)
    shown: list[X] = [x for x in _AXES if x in axes]
    for x in shown if headline else shown[:1]:
        try:
            options: dict[str, Any] = {
                "rule": rule,
                "x": x,
                "axis_title": axes[x] if x == "bias_value" else None,
                "unbiased_at": first.axis(name).get("unbiased_at"),
                "title": f"{titles}: {measure.name if measure else findings.metric} against bias, "
                f"chosen by {rule_name(rule)}",
                "note": "; ".join(dict.fromkeys(sweep.note for sweep in findings.sweeps if sweep.note)),
                "names": findings.names(),
            }
            if measure is not None:
                figure = plot_measure(curve, measure, null, findings.panel_order, **options)
            else:
                options |= {
                    "metric": y_title,
                    # Guessing has a known level for accuracy alone.
                    "chance": chance if findings.metric == "accuracy" else None,
                    # Only where some stand beside points of one's own, which they are to be compared with.
                    "published": published if len(findings.beside) else None,
                }
                if many(curve) and rule == findings.headline:
                    figure = draw_multiples(multiples(curve, **options))
                elif many(curve):
                    # Another rule moves no panel.
                    words_ = "in the order of the headline rule"
                    figure = draw_multiples(panels_of(curve_figure(curve, **options), findings.panel_order, words_))
                else:
                    figure = plot_accuracy_vs_bias(curve, **options)
        except InputError:
            continue
        when = {"rule": rule, "x": x} if headline else {"rule": rule, "measure": str(measure and measure.column)}
        views.append(View(when, figure, summary))
    return views

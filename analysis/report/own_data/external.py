"""The report's section on external test sets: the kept models on images from elsewhere, beside the sweep's own."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.figures.curve import curve_figure
from analysis.figures.measures import draw_one_or_panels
from analysis.findings import Findings
from analysis.numbers.captions import table_caption
from analysis.numbers.tables import cell_text
from analysis.points.measures import METRICS, many, shown
from analysis.report import words
from analysis.report.html import markup as m
from analysis.report.html.number_table import fit, numbers
from analysis.report.html.switches import View, buttons, per, plot
from store.errors import InputError
from store.rules import rule_name
from store.sheet.external import PREFIX, ExternalSet


def external_section(findings: Findings) -> Markup:
    """Draw each external test set along the axis, with the figures on the sweep's own test images beside them.

    Args:
        findings: The report's content.

    Returns:
        The HTML; none without predictions on an external test set.
    """
    variants = list(dict.fromkeys(column.rpartition("/")[0] for column in findings.external))
    parts = [_one(findings, number, variant) for number, variant in enumerate(variants)]
    return m.section("external", "External test set" + ("s" if len(variants) > 1 else ""), *parts)


def _one(findings: Findings, number: int, variant: str) -> Markup:
    name = variant.removeprefix(PREFIX)
    known = {sweep.name: next((e for e in sweep.externals if e.name == name), None) for sweep in findings.sweeps}
    intro = [
        m.paragraph((f"{sweep}: " if len(findings.sweeps) > 1 else "") + set_words(sheet))
        for sweep, sheet in known.items()
        if sheet is not None
    ]
    switch = f"external-{number}"
    views, captions, tables, names = [], {}, {}, {}
    curves = {metric: findings.external[f"{variant}/{metric}"] for metric in METRICS}
    fits = fit(*curves.values())
    for metric, curve in curves.items():
        by_rule, by_rule_tables = {}, {}
        for rule in findings.rules:
            rows = curve[curve["rule"] == rule]
            if not (rows["n_seeds"] > 0).any():
                continue
            views += _views(findings, curve, rule, {"rule": rule, switch: metric}, f"{METRICS[metric]} on {name}")
            by_rule[rule] = m.paragraph(words.curve_caption(findings, rule, curve))
            tables_ = [_beside(findings, group, metric, rule, name + on) for on, _, group in findings.by_data(rows)]
            table = m.together(tables_)
            what = f"{words.upper_first(METRICS[metric])} on {name}, chosen by {rule_name(rule)}"
            more = findings.with_lines(rows.assign(column=f"{variant}/{metric}"))
            by_rule_tables[rule] = table + numbers(more, what, "external", name, metric, rule, fits=fits)
        if by_rule:
            captions[metric], tables[metric] = per("rule", by_rule), per("rule", by_rule_tables)
            names[metric] = METRICS[metric]
    if not views:
        return Markup("")
    title = f"{name}: accuracy against bias on an external test set"
    return m.together(
        [
            m.heading(name),
            *intro,
            m.paragraph(_coverage(findings, curves["accuracy"])),
            buttons(switch, "Show", names),
            plot(f"figure-{switch}", title, views, per(switch, captions)),
            per(switch, tables),
        ]
    )


def set_words(sheet: ExternalSet) -> str:
    """Write the sentence on the images of an external test set.

    Args:
        sheet: The test set.

    Returns:
        The sentence.

    Example:
        >>> set_words(ExternalSet("other", "other.csv", "ab", {"a": 3, "b": 4}, {}, "2 lines of other.csv left out"))
        'other.csv: 7 images (a 3, b 4); each counts as a patient of its own. 2 lines of other.csv left out.'
    """
    counts = ", ".join(f"{name} {count}" for name, count in sheet.images.items())
    total = sum(sheet.images.values())
    of_classes = ", ".join(f"{name} {count}" for name, count in sheet.patients.items())
    patients = f"patients: {of_classes}" if of_classes else "each counts as a patient of its own"
    note = f" {words.upper_first(sheet.note)}." if sheet.note else ""
    return f"{sheet.file}: {total} images ({counts}); {patients}.{note}"


def _coverage(findings: Findings, curve: pd.DataFrame) -> str:
    """Count the seeds that have not predicted the set."""
    own = findings.curve.set_index(_KEY)["n_seeds"]
    seeds = curve.set_index(_KEY)["n_seeds"]
    short = int((own - seeds.reindex(own.index).fillna(0)).clip(lower=0).sum())
    if not short:
        return "Models were trained and chosen without any of these images. Beside each figure stands the sweep's own."
    return (
        f"At {short} of {int(own.sum())} seeds along the curves no model has predicted these images, as it was not "
        "kept or was trained later: run lnl-sweep predict again. Beside each figure stands the sweep's own."
    )


_KEY = ["sweep", "dataset", "network", "rule", "facet", "label", "bias_axis", "bias_value"]


def _views(findings: Findings, curve: pd.DataFrame, rule: str, when: dict[str, str], metric: str) -> list[View]:
    several = curve["dataset"].nunique() > 1 or curve["bias_axis"].nunique() > 1
    axis = str(curve["bias_axis"].iloc[0])
    title = str(findings.sweeps[0].axis(axis).get("long_name") or axis)
    try:
        figure = curve_figure(
            curve,
            rule=rule,
            x="bias_strength" if several else "bias_value",
            axis_title=None if several else title,
            metric=metric,
            title=f"{metric} against bias, chosen by {rule_name(rule)}",
            names=findings.names(),
        )
    except InputError:
        return []
    drawn = draw_one_or_panels(figure, many(curve), findings.panel_order)
    return [View(when, drawn, words.curve_summary(shown(curve, curve.attrs.get("column")), metric, rule))]


def _beside(findings: Findings, rows: pd.DataFrame, metric: str, rule: str, name: str) -> Markup:
    """Figures on the external test set, each with that on the sweep's own test images."""
    column = f"test_{metric}"
    own = findings.curve if column == findings.column else findings.measures.get(column)
    inside = {} if own is None else {_place(row): row for row in own[own["rule"] == rule].to_dict("records")}
    values = rows.drop_duplicates("bias_value").sort_values("bias_strength")["bias_value"].tolist()
    lines: dict[str, dict[float, str]] = {}
    for row in rows.to_dict("records"):
        beside = inside.get(_place(row))
        internal = f" (own {beside['mean']:.3f})" if beside is not None and beside["n_seeds"] else ""
        lines.setdefault(findings.line_name(row), {})[row["bias_value"]] = cell_text(row) + internal
    axis = str(rows["bias_axis"].iloc[0])
    body = [[line, *(cells.get(value, "") for value in values)] for line, cells in lines.items()]
    caption = table_caption(rows, f"{METRICS[metric]} on {name}", rule)
    where = "Own: the mean on the sweep's own unbiased test images."
    return m.table(["method", *(f"{axis} {value:g}" for value in values)], body, f"{caption} {where}")


def _place(row: dict[Any, Any]) -> tuple[object, ...]:
    return tuple(row[name] for name in _KEY)

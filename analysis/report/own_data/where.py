"""The report's section on the place of the data as they are: what the bias costs there, and what is won back."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.findings import Findings
from analysis.numbers.at_bias import reaches
from analysis.points.points import CEILING, ERM
from analysis.report.html import markup as m
from analysis.report.html.number_table import numbers
from analysis.report.html.switches import per
from analysis.report.words import upper_first
from store.rules import rule_name
from store.sheet.natural import NaturalBias


def where_section(findings: Findings) -> Markup:
    """Say where on the axis the data lie as they are, what plain training loses there and what is won back.

    Args:
        findings: The report's content.

    Returns:
        The HTML; none where no data set knows its own bias.
    """
    placed = [(sweep, sweep.sheet.natural) for sweep in findings.sweeps if sweep.sheet.natural is not None]
    if not placed or not findings.rules:
        return Markup("")
    parts = {}
    for rule in findings.rules:
        pieces = []
        for sweep, natural in placed:
            rows = findings.here[(findings.here["rule"] == rule) & (findings.here["sweep"] == sweep.name)]
            mark = f"{sweep.name}: " if len(findings.sweeps) > 1 else ""
            pieces.append(m.paragraph(mark + place_words(natural, rows)))
            pieces += [m.paragraph(mark + sentence) for sentence in loss_words(findings, rows)]
        rows = findings.here[findings.here["rule"] == rule]
        what = f"At the bias of the data as they are, chosen by {rule_name(rule)}"
        pieces.append(numbers(findings.with_lines(rows), what, "at_natural_bias", findings.sweeps[0].name, rule))
        parts[rule] = m.together(pieces)
    return m.section("where", "Where your data are", per("rule", parts))


def place_words(natural: NaturalBias, rows: pd.DataFrame) -> str:
    """Write the sentence on the place of the data as they are.

    Args:
        natural: Bias of its data.
        rows: Rows of ``analysis.at_bias`` of one rule.

    Returns:
        The sentence.
    """
    axis = str(rows["bias_axis"].iloc[0]) if len(rows) else next(iter(natural.bias))
    places = []
    for name, value in sorted(natural.bias.items(), key=lambda entry: entry[0] != axis):
        ends = natural.interval.get(name)
        places.append(f"{name} = {value:.3g}" + (f" [{ends[0]:.3g}, {ends[1]:.3g}]" if ends else ""))
    words = f"As they are, the data have {' and '.join(places)}"
    if natural.strength is not None:
        strength = natural.strength_interval
        words += f", a bias strength of {natural.strength:.2f}"
        words += f" [{strength[0]:.2f}, {strength[1]:.2f}]" if strength else ""
    if natural.interval or natural.strength_interval:
        words += f" (95 % over {natural.unit})"
    return f"{words}. Every figure over the bias has a tick there."


def loss_words(findings: Findings, rows: pd.DataFrame) -> list[str]:
    """Write what plain training loses at a place and what each method wins back there, a sentence for each facet.

    Args:
        findings: The report's content.
        rows: Rows of ``analysis.at_bias`` of one rule and sweep.

    Returns:
        The sentences; one that says why where nothing can be said.
    """
    sentences = []
    for facet in dict.fromkeys(rows["facet"]):
        records = rows[rows["facet"] == facet].to_dict("records")
        lead = f"With {facet}, " if facet else ""
        erm = next((row for row in records if row["method"] == ERM), None)
        if erm is None:
            words = "the sweep has no plain training (erm), so that the cost of the bias there is not known"
        elif not reaches(erm):
            words = f"the cost of the bias there is not known: {erm['reason']}"
        else:
            won = [_won(row) for row in records if row["method"] not in (ERM, CEILING)]
            words = "; ".join([_lost(erm, findings.metric), *won]) + _basis(erm)
        sentences.append(f"{upper_first(lead + words)}.")
    return sentences


def _lost(erm: dict[Any, Any], metric: str) -> str:
    """Write the loss of plain training."""
    against = f"the {CEILING}" if erm["reference"] == CEILING else erm["reference"]
    # Plain training at the weakest bias, where no ceiling has finished.
    if " at " in against:
        against += ", the weakest bias measured"
    words = f"there plain training ({erm['label']}) reaches {erm['mean']:.3f}{_range(erm, 'low', 'high')} and "
    lost = f"{_plain(erm['lost'])}{_range(erm, 'lost_low', 'lost_high')} of {metric} against {against}"
    if erm["lost_low"] <= 0:
        return f"{words}its loss, {lost}, cannot be told from none"
    return f"{words}loses {lost}"


def _won(row: dict[Any, Any]) -> str:
    """Write the gain of a method against plain training."""
    if math.isnan(row["gained"]):
        return f"of {row['label']} it is not known ({row['reason']})"
    unknown = ", which cannot be told from none" if row["gained_low"] <= 0 <= row["gained_high"] else ""
    if row["gained"] < 0:
        less = row | {"low": -row["gained_high"], "high": -row["gained_low"]}
        return f"{row['label']} loses {_plain(-row['gained'])}{_range(less, 'low', 'high')} more{unknown}"
    share = f", a share of {row['share_text']}" if row["share_text"] not in ("", "-") else ""
    return f"{row['label']} wins back {_plain(row['gained'])}{_range(row, 'gained_low', 'gained_high')}{share}{unknown}"


def _basis(erm: dict[Any, Any]) -> str:
    """Name the values interpolated between, and the kind of interval."""
    parts = []
    if erm["below"] != erm["above"]:
        parts.append(f"interpolated linearly between {erm['bias_axis']} {erm['below']:g} and {erm['above']:g}")
    parts.append("one seed, no interval" if erm["band"] == "none" else f"95 % over {erm['band']}")
    return f" ({'; '.join(parts)})"


def _plain(value: float) -> str:
    # Adding 0.0 turns -0.0 into 0.0.
    return f"{round(value, 3) + 0.0:.3f}"


def _range(row: dict[Any, Any], low: str, high: str) -> str:
    return "" if math.isnan(row[low]) else f" [{_plain(row[low])}, {_plain(row[high])}]"

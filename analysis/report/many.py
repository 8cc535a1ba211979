"""The report's sections for many methods: their ranks along the axis, and their differences to plain training."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.findings import Findings
from analysis.many.rank_map import RankMap, draw_ranks, rank_map
from analysis.many.ranks import best_words
from analysis.numbers.captions import kinds_of, span, unit_of
from analysis.report import words
from analysis.report.html import markup as m
from analysis.report.html.number_table import fit, numbers
from analysis.report.html.switches import View, per, plot
from store.errors import InputError
from store.rules import rule_name

_LEVEL = 0.05


def ranks_section(findings: Findings) -> Markup:
    """List the ranks of all methods at each bias value, and say which of them may be the best.

    Args:
        findings: The report's content.

    Returns:
        The HTML; none of few methods.
    """
    parts, fits = {}, fit(findings.ranks)
    views: dict[object, list[View]] = {}
    for rule in findings.rules:
        rows = findings.with_lines(findings.ranks[findings.ranks["rule"] == rule])
        if rows.empty:
            continue
        tables = []
        for place, group in rows.groupby(["dataset", "bias_axis"], sort=False):
            shown = _map(findings, rule, group)
            if shown is not None:
                views.setdefault(place, []).append(View({"rule": rule}, draw_ranks(shown), _summary(shown)))
            tables.append(_ranks_table(findings, group, shown))
        what = f"Ranks, chosen by {rule_name(rule)}"
        closed = numbers(rows, what, "ranks", findings.sweeps[0].name, rule, fits=fits)
        parts[rule] = best_words(rows), m.details(f"The ranks as a table, chosen by {rule_name(rule)}", *tables), closed
    if not parts:
        return Markup("")
    said = per("rule", {rule: m.bullets(sentences) for rule, (sentences, _, _) in parts.items()})
    plots = [
        plot(f"figure-ranks-{number}", "Ranks along the axis", list(of_place), Markup(""))
        for number, of_place in enumerate(views.values())
    ]
    below = per("rule", {rule: m.together([table, closed]) for rule, (_, table, closed) in parts.items()})
    return m.section("ranks", "Which method is best, and how sure that is", said, *plots, below)


def _map(findings: Findings, rule: str, rows: pd.DataFrame) -> RankMap | None:
    where = f"{rows['dataset'].iloc[0]}: " if findings.ranks["dataset"].nunique() > 1 else ""
    try:
        return rank_map(rows, rule, f"{where}Ranks by mean {findings.metric}, chosen by {rule_name(rule)}")
    # Nothing has finished under this rule yet.
    except InputError:
        return None


def _summary(shown: RankMap) -> str:
    means = [f"{name} {mean:.2f}" for name, mean in zip(shown.names, shown.mean_place, strict=True) if mean == mean]
    return f"{shown.title}. Mean place over the bias values, 0 = first and 1 = last: {', '.join(means)}."


def _ranks_table(findings: Findings, rows: pd.DataFrame, shown: RankMap | None) -> Markup:
    values = list(rows.sort_values("bias_strength")["bias_value"].unique())
    axis, kinds = str(rows["bias_axis"].iloc[0]), kinds_of(rows)
    lines: dict[str, dict[float, str]] = {}
    for row in rows.to_dict("records"):
        lines.setdefault(str(row["line"]), {})[row["bias_value"]] = _rank(row)
    names = lines if shown is None else shown.names
    body = [[name, *(lines[name].get(value, "") for value in values)] for name in names]
    ranked = rows[rows["rank"].notna()]
    unit = unit_of(kinds)
    caption = (
        f"Rank by mean {findings.metric} at each bias value (1 = best, the ceiling left out) with its 95 % interval "
        f"over {' or '.join(kinds) or 'one seed'}, paired on {span(ranked['n_seeds']) if len(ranked) else 0} {unit}: "
        "methods are compared in pairs, and an interval leaves out the ranks that Holm's test of a method against all "
        "others excludes. *: cannot be told from the best. Each bias value stands by itself; methods in the order of "
        "their mean rank."
    )
    return m.table(["method", *(f"{axis} {value:g}" for value in values)], body, caption)


def _rank(row: dict[Any, Any]) -> str:
    if math.isnan(row["rank"]):
        return "not applicable" if str(row["reason"]).startswith("not applicable") else ""
    star = "*" if row["may_be_best"] else ""
    return f"{int(row['rank'])}{star} [{int(row['rank_low'])}, {int(row['rank_high'])}]"


def against_erm_section(findings: Findings) -> Markup:
    """Compare every method with plain training, with p values adjusted for the number of methods and of tests.

    Args:
        findings: The report's content.

    Returns:
        The HTML; none of few methods.
    """
    parts, fits = {}, fit(findings.against_erm)
    for rule in findings.rules:
        rows = findings.against_erm[findings.against_erm["rule"] == rule]
        if rows.empty:
            continue
        pieces = []
        for _, group in rows.groupby(["sweep", "dataset", "bias_axis", "facet"], sort=False):
            pieces += [m.paragraph(multiplicity_words(group)), _differences(findings, group)]
        what = f"Each method minus erm, chosen by {rule_name(rule)}"
        closed = numbers(findings.with_lines(rows), what, "against_erm", findings.sweeps[0].name, rule, fits=fits)
        parts[rule] = m.together([*pieces, closed])
    return m.section("against-erm", "Each method against plain training", per("rule", parts)) if parts else Markup("")


def multiplicity_words(rows: pd.DataFrame) -> str:
    """Write how many differences to plain training remain after adjustment for their number.

    Args:
        rows: Rows of ``analysis.against_erm`` of one rule and facet.

    Returns:
        The sentences.

    Example:
        >>> row = {"p": 0.01, "p_holm": 0.02, "p_holm_table": 0.04, "declared": False, "reason": ""}
        >>> multiplicity_words(pd.DataFrame([row, {**row, "p": 0.04, "p_holm": 0.06, "p_holm_table": 0.2}]))[:62]
        '2 tests are made here. Without any true difference about 0.1 o'
    """
    tested = rows[(rows["reason"] == "") & ~rows["declared"].astype(bool)]
    n = len(tested)
    counts = [int((tested[name] < _LEVEL).sum()) for name in ("p", "p_holm", "p_holm_table")]
    declared = int(rows["declared"].astype(bool).sum())
    only = " The comparison declared beforehand is not among them: it alone stands unadjusted." if declared else ""
    return (
        f"{n} tests are made here. Without any true difference about {n * _LEVEL:.2g} of them would have p < .05. "
        f"{counts[0]} have; {counts[1]} remain after Holm's adjustment over the methods at each bias value, "
        f"{counts[2]} after that over all {n}. Intervals are not adjusted: each holds with 95 % by itself.{only}"
    )


def _differences(findings: Findings, rows: pd.DataFrame) -> Markup:
    """A line for each method: its difference at one bias value, and where along the axis one remains."""
    at = _place(findings, rows)
    axis = str(rows["bias_axis"].iloc[0])
    body = []
    for _, line in rows.groupby(["label", "network"], sort=False):
        first = line.iloc[0].to_dict()
        there = line[line["bias_value"] == at].to_dict("records")
        cells = _cells(there[0]) if there else ["", "", "", ""]
        body.append([findings.line_name(first), *cells, _remaining(line)])
    titles = [f"minus erm at {axis} {at:g}", "p", "p (Holm, methods)", "p (Holm, table)", "differs at (Holm, table)"]
    return m.table(["method", *titles], body, f"Differences at {axis} = {at:g}, and where along the axis one remains.")


def _place(findings: Findings, rows: pd.DataFrame) -> float:
    """The bias value of the declared comparison where it names one, else the strongest."""
    strongest = float(rows["bias_value"].to_numpy()[rows["bias_strength"].to_numpy(dtype=float).argmax()])
    for sweep in findings.sweeps:
        at = sweep.primary.at if sweep.primary is not None and sweep.name == rows["sweep"].iloc[0] else None
        if isinstance(at, (int, float)) and at in set(rows["bias_value"]):
            return float(at)
    return strongest


def _cells(row: dict[Any, Any]) -> list[m.Cell]:
    if math.isnan(row["difference"]):
        return ["not applicable" if str(row["reason"]).startswith("not applicable") else row["reason"], "", "", ""]
    number = f"{row['difference']:+.3f}"
    if math.isnan(row["low"]):
        return [f"{number} (no spread)", "", "", ""]
    adjusted = ["declared", "declared"] if row["declared"] else [_p(row["p_holm"]), _p(row["p_holm_table"])]
    return [f"{number} [{row['low']:+.3f}, {row['high']:+.3f}]", _p(row["p"]), *adjusted]


def _p(p: float) -> str:
    return "" if math.isnan(p) else words.p_text(p)


def _remaining(line: pd.DataFrame) -> str:
    """The bias values at which a difference remains after adjustment over the table, in words."""
    found = line[line["p_holm_table"] < _LEVEL].sort_values("bias_strength")
    pieces = []
    for word, rows in (("higher", found[found["difference"] > 0]), ("lower", found[found["difference"] < 0])):
        if len(rows):
            pieces.append(f"{word} at {', '.join(f'{value:g}' for value in rows['bias_value'])}")
    return "; ".join(pieces) or "nowhere"

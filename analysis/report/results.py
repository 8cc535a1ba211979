"""The report's tables of results: numbers of the curve, shares won back, cost of the selection rule."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.findings import Findings
from analysis.many.rule_costs import rule_cost_rows
from analysis.numbers.captions import table_caption, tested, unit_of
from analysis.numbers.comparisons import AREA
from analysis.numbers.tables import place_title, table_csv, table_of, test_figures, with_place, with_published
from analysis.points.measures import WITHOUT_BIAS, measure_of
from analysis.points.points import CEILING
from analysis.report import words
from analysis.report.html import markup as m
from analysis.report.html.number_table import MOST_ROWS
from analysis.report.html.switches import per
from analysis.statistics.intervals import Interval
from store.rules import ORACLE, rule_name


def table_section(findings: Findings) -> Markup:
    """Make the table of the curve, one for each data set, and its numbers to download."""
    parts = {}
    for rule in findings.rules:
        rows = findings.curve[findings.curve["rule"] == rule]
        pieces = []
        for (dataset, _), group in rows.groupby(["dataset", "bias_axis"], sort=False):
            here = findings.here[(findings.here["rule"] == rule) & (findings.here["dataset"] == dataset)]
            laid_out = with_place(table_of(group), group, here)
            frame = with_published(laid_out, findings.beside[findings.beside["dataset"] == dataset], rule)
            body = [
                [str(name), *(str(cell) for cell in row)]
                for name, row in zip(frame.index, frame.to_numpy(), strict=True)
            ]
            where = f" on {dataset}" if rows["dataset"].nunique() > 1 else ""
            caption = table_caption(group, f"{findings.metric}{where}", rule)
            columns = ["method", *(place_title(str(frame.columns.name), str(value)) for value in frame.columns)]
            pieces.append(m.table(columns, body, caption))
        file = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{findings.sweeps[0].name}-{rule}.csv")
        pieces.append(m.download(file, table_csv(rows), "Download this table (CSV)"))
        parts[rule] = m.together(pieces)
    sources = findings.beside.drop_duplicates("source")
    notes = [f"{r['source']}: {r['note']}" for r in sources.to_dict("records")]
    beside = (
        m.paragraph(
            "Published numbers, and whether they lie inside our interval (a comparison of settings, no test of a "
            f"reproduction). {'; '.join(notes)}.",
            "caption",
        )
        if notes
        else Markup("")
    )
    return m.section("table", "Table", per("rule", parts), beside) if parts else Markup("")


def won_back_section(findings: Findings) -> Markup:
    """List the share of the gap between plain training and the ceiling that each method wins back.

    Areas and breaking points stand beside it.
    """
    parts = {}
    for rule in findings.rules:
        won = findings.won_back[findings.won_back["rule"] == rule]
        tables = [_won_back(findings, group) for _, group in won.groupby(["dataset", "bias_axis"], sort=False)]
        parts[rule] = m.together([*tables, _areas(findings, rule)])
    return m.section("won-back", "What is won back", per("rule", parts)) if parts else Markup("")


def _won_back(findings: Findings, won: pd.DataFrame) -> Markup:
    """The shares won back on one data set."""
    axis = str(won["bias_axis"].iloc[0])
    values = list(won.sort_values("bias_strength")["bias_value"].unique())
    lines: dict[str, dict[float, str]] = {}
    for r in won.to_dict("records"):
        lines.setdefault(findings.line_name(r), {})[r["bias_value"]] = r["text"]
    same = (findings.curve["rule"] == won["rule"].iloc[0]) & (findings.curve["dataset"] == won["dataset"].iloc[0])
    for r in findings.curve[same & findings.curve["not_applicable"].notna()].to_dict("records"):
        lines.setdefault(findings.line_name(r), {})[r["bias_value"]] = "not applicable"
    rows = [[name, *(cells.get(value, "") for value in values)] for name, cells in lines.items()]
    bands, seeds = " or ".join(sorted(set(won["band"]))), sorted(set(won["n_seeds"]))
    unit = unit_of(sorted(set(won["band"])))
    where = f" on {won['dataset'].iloc[0]}" if findings.curve["dataset"].nunique() > 1 else ""
    caption = (
        f"Won back{where}: (method - erm) / (ceiling - erm) with its 95 % interval (Fieller) over {bands}, paired on "
        f'{" to ".join(str(n) for n in seeds[:: max(1, len(seeds) - 1)])} {unit}. "-": the gap between erm and the '
        "ceiling is itself not significant, so that no share of it can be given. Given "
        f"the selected hyperparameters and these {tested(won)}."
    )
    return m.table(["method", *(f"{axis} {value:g}" for value in values)], rows, caption)


def _areas(findings: Findings, rule: str) -> Markup:
    places = ["sweep", "dataset", "network", "rule", "label", "facet"]
    rows = findings.areas[findings.areas["rule"] == rule]
    columns = [*places, "text", "low", "high", "not_better_from"]
    broken = findings.breaking[columns].rename(columns={"low": "from", "high": "to"})
    merged = rows.merge(broken, on=places, how="left")
    caption = (
        "Normalised area under each curve (a mean over the axis), its paired difference to erm with the p value "
        "adjusted by Holm (descriptive), where the curve falls .05 below the ceiling (95 % interval by the crossed "
        "bootstrap, weaker bias first), and the weakest bias at which the method is not better than erm any more"
    )
    if (rows["left_out"] != "").any():
        caption += (
            ". Where a method is not applicable at a bias value, its area, its breaking point and its difference to "
            "erm are those of the other values alone, for both methods"
        )
    late = words.added_of(findings, rule)
    caption += f". {late}" if late else ""
    headers = ["method", "area", "minus erm", "p (Holm)", "breaks at", "not better from"]
    tables = []
    for on, _, group in findings.by_data(merged):
        lines = [
            [
                findings.line_name(r),
                r["reason"] if pd.isna(r["area"]) else f"{r['area']:.3f} {_ends(r['low'], r['high'])}{_without(r)}",
                ("" if pd.isna(r["area"]) else r["reason"])
                if pd.isna(r["difference"])
                else f"{r['difference']:+.3f} {_ends(r['difference_low'], r['difference_high'])}",
                "declared" if r["declared"] else "" if pd.isna(r["p_holm"]) else words.p_text(r["p_holm"]),
                _breaking(r),
                "" if pd.isna(r["not_better_from"]) else r["not_better_from"],
            ]
            for r in group.to_dict("records")
        ]
        tables.append(m.table(headers, lines, caption.replace("under each curve", f"under each curve{on}", 1)))
    return m.together(tables)


def rule_cost_section(findings: Findings) -> Markup:
    """List what each selection rule costs: each method's area under it minus that under the headline rule."""
    costs = rule_cost_rows(findings.points, findings.headline)
    costs = costs[costs["at"] == AREA]
    if costs.empty:
        return Markup("")
    tables = []
    for on, _, group in findings.by_data(costs):
        rows: list[list[m.Cell]] = []
        for row in group.to_dict("records"):
            number = words.signed(Interval(row["difference"], row["low"], row["high"]))
            # Rules that chose the same configurations share their trials: no seed differs.
            text = row["reason"] or ("0 (the same configurations)" if row["same"] else number)
            rows.append([findings.line_name(row), rule_name(row["rule"]), text, row["n_seeds"]])
        headers = ["method", "rule", f"minus {rule_name(findings.headline)}{on}", "seeds"]
        tables.append(m.table(headers, rows))
    words_ = (
        f"Mean over the axis under another rule minus that under {rule_name(findings.headline)}, paired by seed. "
        + (
            "The gap to the oracle is the price of having no unbiased validation data."
            if ORACLE in findings.rules
            else ""
        )
    )
    return m.section("rule-cost", "What the selection rule costs", m.paragraph(words_), *tables)


def measures_table(findings: Findings) -> Markup:
    """List all test figures as a table, means over seeds."""
    parts = {}
    for rule in findings.rules:
        frame = _as_in_the_figures(test_figures(findings.trials, rule), findings, rule)
        columns = [
            str(c) for c in frame if c not in ("sweep", "label", "facet", "bias_axis", "bias_value", "bias_strength")
        ]
        headers = [measure_of(c).name for c in columns]
        if columns:
            caption = f"Means over seeds, chosen by {rule_name(rule)}{_named(findings, rule)}"
            others = [measure_of(c).name for c in columns if not measure_of(c).clean]
            if others and CEILING in set(frame["label"]):
                caption += (
                    f"; the ceiling is one on the clean test variant alone, under {', '.join(others)} read it as "
                    f"{WITHOUT_BIAS}"
                )
            tables = []
            for on, axis, group in findings.by_data(frame):
                lines = [
                    [findings.line_name(r), f"{r['bias_value']:g}", *(m.short(r[c]) for c in columns)]
                    for r in group.to_dict("records")
                ]
                tables.append(m.table(["method", axis, *headers], lines, caption.replace("seeds", f"seeds{on}", 1)))
            parts[rule] = m.together(tables)
            # A long table is exported by ``lnl-sweep report --csv``: here it would make the page large.
            if len(frame) <= MOST_ROWS:
                file = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{findings.sweeps[0].name}-{rule}-test-figures.csv")
                csv = frame.to_csv(index=False, lineterminator="\n", float_format="%.6g")
                parts[rule] += m.download(file, csv, "Download this table (CSV)")
    return per("rule", parts)


def _as_in_the_figures(frame: pd.DataFrame, findings: Findings, rule: str) -> pd.DataFrame:
    """Give the table the worst classes and groups that the figures have, named by other seeds."""
    key = ["sweep", "label", "facet", "bias_axis", "bias_value"]
    for column, curve in findings.measures.items():
        if column in frame and measure_of(column).named:
            rows = curve[(curve["rule"] == rule) & (curve["n_seeds"] > 0)].drop_duplicates(key).set_index(key)["mean"]
            shown = frame[key].join(rows, on=key)["mean"]
            frame = frame.assign(**{column: shown.fillna(frame[column])})
    return frame


def _named(findings: Findings, rule: str) -> str:
    """By whom the worst classes and groups of the table are named, in words."""
    curves = [curve for column, curve in findings.measures.items() if measure_of(column).named]
    by = {str(name) for curve in curves for name in curve.loc[curve["rule"] == rule, "named_by"].dropna()}
    if not by:
        return ""
    sentence = "worst classes and groups are named by other seeds than they are measured on"
    alone = " (points of one seed or without predictions: by themselves, which is biased low)"
    if by == {"itself"}:
        return "; worst classes and groups are named by the seeds they are measured on, which is biased low"
    return f"; {sentence}{alone if 'itself' in by else ''}"


def _breaking(row: dict[Any, Any]) -> str:
    if pd.isna(row["text"]):
        return ""
    return f"{row['text']} [{row['from']}, {row['to']}]" if row["from"] else str(row["text"])


def _without(row: dict[Any, Any]) -> str:
    """Say which bias values an area leaves out, so that it is not read as one of the whole axis."""
    return f" without {row['bias_axis']} {row['left_out']} (not applicable)" if row["left_out"] else ""


def _ends(low: float, high: float) -> str:
    return "" if pd.isna(low) else f"[{low:.3f}, {high:.3f}]"

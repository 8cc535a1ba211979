"""The report's section on its own design: the differences it could have found, also with more seeds or patients."""

from __future__ import annotations

import math

import pandas as pd
from markupsafe import Markup

from analysis.findings import Findings
from analysis.numbers.comparisons import Comparison
from analysis.planning.components import PATIENTS, SEEDS, components_at, components_rows, least_differences
from analysis.points.pairing import counterpart
from analysis.points.points import CEILING, ERM, by_label
from analysis.report.html import markup as m


def planning_section(findings: Findings) -> Markup:
    """List the variance components of each paired difference to erm, and the least differences of one of them."""
    points = [p for p in findings.points if p.line.rule == findings.headline]
    rows, _ = components_rows(points, pair=_declared(findings))
    if rows.empty:
        return Markup("")
    unit, repeated = str(rows["tested"].iloc[0]), str(rows["unit"].iloc[0])
    others = list(dict.fromkeys(rows["reference"]))
    parts = ["sd_splits", "sd_seeds"] if rows["sd_splits"].notna().any() else ["sd_seeds"]
    over = " and ".join(name.removeprefix("sd_") for name in parts)
    to = f" to {others[0]}" if len(others) == 1 else ""
    caption = (
        f"Paired difference{to}: standard deviations over {over}, over test {unit} within classes and of their "
        f"interaction (of one of the {repeated} on one of the {unit}), and the least true difference that this design "
        "finds in 8 cases of 10 (d_min); to the right what twice of either would find."
    )
    tables = []
    for on, axis, group in findings.by_data(rows):
        lines = [
            [
                findings.line_name(r) + (f" - {r['reference']}" if len(others) > 1 else ""),
                f"{r['bias_value']:g}",
                *(_number(r[name]) for name in (*parts, "sd_patients", "sd_interaction")),
                *(_number(r[name]) for name in ("d_min", "d_min_seeds", "d_min_patients")),
                "-" if math.isnan(r["d_min"]) else r["buy"] or "neither helps",
            ]
            for r in group.to_dict("records")
        ]
        headers = [
            "method", axis, *(name.replace("_", " ") for name in parts), f"sd {unit}", "sd both", "d_min",
            f"with twice the {repeated}", f"with twice the {unit}", "to buy",
        ]  # fmt: skip
        tables.append(m.table(headers, lines, caption.replace("Paired difference", f"Paired difference{on}", 1)))
    return m.section("design", "What this design can show", *tables, _table(findings, rows))


def _table(findings: Findings, rows: pd.DataFrame) -> Markup:
    """Least differences over seeds and patients for the declared comparison, else the first method, at full bias."""
    declared = _declared(findings)
    wanted, reference = declared or (str(rows["label"].iloc[0]), ERM)
    curves = by_label(findings.points)
    points = [
        p
        for p in findings.points
        if p.line.rule == findings.headline and p.line.label == wanted and p.line.method != CEILING
    ]
    compared = _comparison(findings)
    facet = compared.facet if compared else None
    # The facet of the declared comparison first, and there the strongest bias.
    for point in sorted(points, key=lambda p: (facet is not None and p.line.facet != facet, -p.bias_strength)):
        other = counterpart(curves, point, reference)
        parts = components_at(point, other) if other is not None and other is not point else None
        if parts is not None and len(least_differences(parts)):
            k, p = parts.n_seeds, parts.n_patients
            table = least_differences(parts, (*SEEDS, k), (*PATIENTS, p) if p else ())
            unit, repeated = point.scores.unit if point.scores else "patients", point.unit
            lines = [[str(n), *(_number(v) for v in row)] for n, row in zip(table.index, table.to_numpy(), strict=True)]
            beside = f", {point.line.facet}" if point.line.facet else ""
            headers = [repeated, *(f"{n} {unit}" if n else "these test images" for n in table.columns)]
            caption = (
                f"d_min of {wanted} - {reference} at {point.line.bias_axis} = {point.bias_value:g}{beside} for other "
                f"designs, from the components of this one ({k} {repeated}" + (f", {p} {unit})." if p else ").")
            )
            if p:
                caption += (
                    f" With few {repeated} it can rise a little to the right: the less of the variance is of the "
                    f"{unit}, the more the few degrees of freedom of the {repeated} count."
                )
            return m.table(headers, lines, caption)
    return Markup("")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _declared(findings: Findings) -> tuple[str, str] | None:
    """Labels of the first declared comparison that can be made."""
    comparison = _comparison(findings)
    return None if comparison is None else (comparison.method, comparison.reference)


def _comparison(findings: Findings) -> Comparison | None:
    comparisons = [sweep.primary.comparison for sweep in findings.sweeps if sweep.primary is not None]
    return next((comparison for comparison in comparisons if not comparison.reason), None)

"""The report's section on cost: trials, epochs, hours and money of each method."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from analysis.findings import Findings
from analysis.numbers.tables import cost
from analysis.report.html import markup as m
from analysis.sweep_folder import Sweep

_COUNTS = ("trials", "completed", "pruned", "failed", "epochs")


def cost_section(findings: Findings) -> Markup:
    """List the trials, epochs and hours of each method, with the sweep's cost divided over the methods.

    The cost is divided only where every device hour has one price.

    Args:
        findings: The report's content.

    Returns:
        The HTML.
    """
    table = cost(findings.trials)
    prices = _prices(findings, table)
    several_sweeps = len(findings.sweeps) > 1
    rows = [
        [
            f"{r['label']} ({r['sweep']})" if several_sweeps else r["label"],
            r["phase"],
            *(int(r[name]) for name in _COUNTS),
            f"{r['hours']:.3g}",
            *([prices.get(i, "")] if prices else []),
        ]
        for i, r in enumerate(table.to_dict("records"))
    ]
    headers = ["method", "phase", *_COUNTS, "hours of training", *(["cost"] if prices else [])]
    caption = str(table.attrs["caption"])
    if prices:
        caption += " The cost of the sweep is divided over its methods by device hours."
    totals = [line for sweep in findings.sweeps for line in _totals(sweep)]
    return m.section("cost", "Cost", m.table(headers, rows, caption), m.bullets(totals))


def _totals(sweep: Sweep) -> list[str]:
    seconds, money = sweep.status.get("seconds"), sweep.status.get("cost")
    lines = []
    if isinstance(seconds, (int, float)):
        lines.append(f"{sweep.name}: {seconds / 60:.1f} minutes of wall time in its last run")
    if isinstance(money, (int, float)):
        words = sweep.status.get("cost_in_words") or f"{money:.2f} (currency not recorded)"
        lines.append(f"{sweep.name}: training cost {words}; starting, waiting and storage are not in it")
    return lines


def _prices(findings: Findings, table: pd.DataFrame) -> dict[int, str]:
    """Compute each row's part of its sweep's cost as text.

    Only sweeps whose device hours all have one price have parts.
    """
    prices: dict[int, str] = {}
    for sweep in findings.sweeps:
        money = sweep.status.get("cost")
        # The status of an older version names its currency in words alone, which stand under the table.
        known = sweep.status.get("currency") or sweep.status.get("cost_in_words")
        currency = sweep.status.get("currency") or ""
        of_sweep = table[table["sweep"] == sweep.name]
        hours = of_sweep["device_hours"].sum()
        if not isinstance(money, (int, float)) or not known or not hours > 0 or not _one_price(findings, sweep):
            continue
        for i, part in zip(of_sweep.index, of_sweep["device_hours"] * money / hours, strict=True):
            prices[int(i)] = f"{currency}{part:.2f}" if part >= 1 else f"{currency}{part:.2g}"
    return prices


def _one_price(findings: Findings, sweep: Sweep) -> bool:
    """Tell if an hour cost the same in every trial: one device, one number of threads, no trial left out."""
    rows = findings.trials[findings.trials["sweep"] == sweep.name]
    on_gpu = (pd.to_numeric(rows["gpu_share"], errors="coerce").fillna(0.0) > 0).unique()
    kinds = rows["device_name"].nunique(dropna=False)
    # The hour of a GPU costs the same whatever number of threads feeds it.
    threads = 1 if len(on_gpu) == 1 and on_gpu[0] else rows["threads"].nunique(dropna=False)
    return not findings.n_superseded and len(on_gpu) == 1 and kinds == 1 and threads == 1

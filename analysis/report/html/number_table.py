"""The numbers under a figure of the report: a table that opens on demand, and the same rows to download as CSV."""

from __future__ import annotations

import re

import pandas as pd
from markupsafe import Markup

from analysis.report.html import markup as m
from store.columns import BIAS, bias_parameters

MOST_ROWS = 200
"""Maximum number of rows of a table in the page, which is to be one small file."""
_MOST_TOGETHER = 1000
_LEFT_OUT = {"caption", "values", "seeds", "hyperparameters", "trial_id", "shared", "median", "worst_case"}
_IN_CSV_ONLY = {
    "sweep", "dataset", "network", "rule", "column", "variant", "bias_axis", "bias_strength", "label", "method",
    "facet", "n_failed", "n_added", "n_planned", "n_test", "n_collapsed",
    "n_patients", "band",
}  # fmt: skip


def fit(*tables: pd.DataFrame) -> bool:
    """Tell if the tables of a section, of which one is shown at a time, are together small enough for the page.

    Example:
        >>> fit(pd.DataFrame(index=range(600))), fit(pd.DataFrame(index=range(600)), pd.DataFrame(index=range(600)))
        (True, False)
    """
    return sum(len(table) for table in tables) <= _MOST_TOGETHER


def numbers(rows: pd.DataFrame, what: str, table: str, *names: str, fits: bool = True) -> Markup:
    """Make a table of the numbers that a figure shows, closed at first, with its rows as CSV.

    Args:
        rows: The numbers, columns as in the exported tables, and ``line``: what the row is called. Empty columns are
            left out.
        what: What the numbers are, in words.
        table: Name of the exported table (``lnl-sweep report --csv``) that holds them.
        *names: What tells its file from others, e.g. sweep and rule.
        fits: Whether the section's tables are together small enough (``fit``).

    Returns:
        The HTML; a sentence that names the exported file where they are not, or where there are more than ``MOST_ROWS``
        rows.

    Example:
        >>> rows = pd.DataFrame({"line": ["erm", "lnl"], "mean": [0.84, 0.91]})
        >>> numbers(rows, "Accuracy", "curve", "study").count("<tr>")
        3
        >>> "curve.csv" in numbers(rows, "Accuracy", "curve", "study", fits=False)  # a sentence in its place
        True
    """
    if rows.empty:
        return Markup("")
    # A value of one bias parameter says nothing beside one of another.
    places = [name for name in ("dataset", "bias_axis") if name in rows]
    if places and len(rows[places].drop_duplicates()) > 1:
        groups = {" ".join(map(str, key)): group for key, group in rows.groupby(places, sort=False)}
        return m.together(numbers(g, f"{what}, on {key}", table, *names, key, fits=fits) for key, g in groups.items())
    if not fits or len(rows) > MOST_ROWS:
        sentence = f"{what}: {f'{len(rows):,} rows' if fits else 'one of many tables'}, too many for this page"
        return m.paragraph(f"{sentence}; lnl-sweep report --csv OUT writes them ({table}.csv).", "caption")
    kept = rows[[str(name) for name in rows if name not in _LEFT_OUT and rows[name].notna().any()]]
    in_csv_only = _IN_CSV_ONLY | {f"{BIAS}{name}" for name in bias_parameters(kept.columns)}
    shown = ["line", *(str(name) for name in kept if name not in in_csv_only and name != "line")]
    cells = [[m.short(row[name]) for name in shown] for row in kept.to_dict("records")]
    titles = ["method", *(name.replace("_", " ").strip() for name in shown[1:])]
    file = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join((*names, table))) + ".csv"
    csv = kept.drop(columns="line") if "label" in kept else kept
    # Six digits are more than the data tell, and keep the page small.
    text = csv.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    return m.details(
        f"The numbers: {what}", m.table(titles, cells, f"{what}."), m.download(file, text, "Download this table (CSV)")
    )

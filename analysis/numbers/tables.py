"""Tables: the literature's table with intervals, the selected hyperparameters, other test figures, and the cost."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from analysis.carried.pressures import hyperparameters_in, pressures_of
from analysis.numbers.captions import cost_words, no_spread, selected_words
from analysis.points.measures import own_measures
from analysis.points.points import facets
from analysis.selection import picks, valued
from store.rules import RULES

DECIMALS = 3
_PLACE = "data as they are: "
_KEEP = ("sweep", "dataset", "network", "label", "facet")
_PICK = ("rule", "label", "method", "facet", "cell", "repeat", "bias_value", "bias_strength")
TEST_FIGURES = (
    "test_aligned_accuracy",
    "test_conflicting_accuracy",
    "test_worst_group_accuracy",
    "test_worst_class_accuracy",
    "flip_rate",
    "ece",
    "ece_null",
    "confidence_gap",
    "test_brier",
    "test_log_loss",
    "bias_probe_accuracy",
)


def with_published(table: pd.DataFrame, beside: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Add a row for each method with published numbers, each inside or outside one's own interval.

    Args:
        table: What ``table_of`` returned.
        beside: What ``analysis.numbers.published.beside_published`` returned.
        rule: The table's selection rule.

    Returns:
        The table with the rows below; the same where nothing was published.

    Example:
        >>> table = pd.DataFrame([["0.840 ± 0.020"]], ["erm"], ["0.9"])
        >>> about = {"rule": "val_biased", "source": "Peretz 2020", "name": "ResNet-18", "facet": "", "label": "erm"}
        >>> number = {"sweep": "study", "bias_value": 0.9, "published": 0.839, "verdict": "inside the interval"}
        >>> with_published(table, pd.DataFrame([{**about, **number}]), "val_biased")["0.9"].tolist()
        ['0.840 ± 0.020', '0.839 inside']
    """
    beside = beside[beside["rule"] == rule]
    if beside.empty:
        return table
    rows: dict[str, dict[str, str]] = {}
    # Two configurations of one method, or two sweeps, each with its own verdict, need a row each.
    of_one = beside.groupby(["source", "name", "facet"], dropna=False)
    differs = {name: of_one[name].transform("nunique") > 1 for name in ("label", "sweep")}
    for r in beside.assign(labels=differs["label"], sweeps=differs["sweep"]).to_dict("records"):
        about = [f"beside {r['label']}"] if r["labels"] else []
        about += [f"beside the sweep {r['sweep']}"] if r["sweeps"] else []
        about += [r["facet"]] if r["facet"] else []
        name = f"published {r['name']}, {r['source']}" + (f" ({', '.join(about)})" if about else "")
        # A word in a cell; "too wide" = the interval tells nothing.
        word = r["verdict"].removesuffix(" the interval").removeprefix("interval ").removesuffix(" to tell")
        rows.setdefault(name, {})[f"{r['bias_value']:g}"] = f"{r['published']:.{DECIMALS}f} {word}"
    columns = list(table.columns)
    more = pd.DataFrame([[cells.get(c, "") for c in columns] for cells in rows.values()], list(rows), columns)
    result: pd.DataFrame = pd.concat([table, more])
    result.index.name, result.columns.name = table.index.name, table.columns.name
    return result


def with_place(table: pd.DataFrame, curve: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """Add a column for the bias of the data as they are, where that is known.

    Args:
        table: What ``table_of`` returned of a curve.
        curve: The curve.
        here: Rows of ``analysis.at_bias`` of its lines, or of some.

    Returns:
        The table with the column ``data as they are: 0.83`` on the right, of interpolated means with their intervals.

    Example:
        >>> table = pd.DataFrame([["0.840 ± 0.020"]], ["erm"], ["0.9"])
        >>> place = {"label": "erm", "bias_value": 0.83, "n_seeds": 5, "band": "seeds only"}
        >>> here = pd.DataFrame([{**place, "mean": 0.86, "low": 0.84, "high": 0.88}])
        >>> with_place(table, pd.DataFrame({"label": ["erm"]}), here)["data as they are: 0.83"].tolist()
        ['0.860 ± 0.020']
    """
    shown = _telling(curve)
    cells: dict[str, dict[str, str]] = {}
    for row in here.to_dict("records"):
        name = _method_name(tuple(str(row[column]) for column in shown), shown)
        cells.setdefault(f"{_PLACE}{row['bias_value']:.3g}", {})[name] = cell_text(row)
    more = {title: [of_line.get(str(name), "") for name in table.index] for title, of_line in cells.items()}
    result: pd.DataFrame = table.assign(**more)
    result.index.name, result.columns.name = table.index.name, table.columns.name
    return result


def place_title(axis: str, column: str) -> str:
    """Title a column of the table in a page: the axis with its value, or the data as they are.

    Args:
        axis: Name of the axis.
        column: Name of the column.

    Returns:
        The title.

    Example:
        >>> place_title("rho", "0.9"), place_title("rho", "data as they are: 0.83")
        ('rho 0.9', 'data as they are: rho 0.83')
    """
    if not column.startswith(_PLACE):
        return f"{axis} {column}"
    return f"{_PLACE}{axis} {column.removeprefix(_PLACE)}"


def headline_rule(trials: pd.DataFrame) -> str:
    """Name the rule of the headline curve.

    It is the sweep's own, or the first that chose a confirm row where that one chose none.

    Args:
        trials: What ``analysis.load`` returned.

    Returns:
        The rule.

    Example:
        >>> rows = {"phase": "confirm", "headline_rule": "val_reweighted", "rules": [("val_biased",)]}
        >>> headline_rule(pd.DataFrame(rows))
        'val_biased'
    """
    chosen = {rule for rules in trials.loc[trials["phase"] == "confirm", "rules"] for rule in rules}
    ranked = [*trials["headline_rule"].unique(), *RULES]
    return str(next((rule for rule in ranked if rule in chosen), ranked[0]))


def table_of(curve: pd.DataFrame) -> pd.DataFrame:
    """Lay one rule's curve out as a table of text.

    Args:
        curve: Rows of ``accuracy_vs_bias`` of one rule.

    Returns:
        Methods down, bias values across.

    Example:
        >>> point = {"label": "erm", "bias_axis": "rho", "bias_value": 0.9, "bias_strength": 0.45, "mean": 0.84}
        >>> band = {"low": 0.82, "high": 0.86, "n_seeds": 5, "band": "seeds only"}
        >>> table_of(pd.DataFrame([{**point, **band}])).loc["erm", "0.9"]
        '0.840 ± 0.020'
    """
    shown = _telling(curve)
    values = curve.drop_duplicates("bias_value").sort_values("bias_strength")["bias_value"]
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for row in curve.to_dict("records"):
        cells = rows.setdefault(tuple(str(row[name]) for name in shown), {})
        cells[f"{row['bias_value']:g}"] = cell_text(row)
    names = [_method_name(key, shown) for key in rows]
    axis = str(curve["bias_axis"].iloc[0]) if len(curve) else "bias"
    columns = [f"{value:g}" for value in values]
    table = pd.DataFrame([[cells.get(c, "") for c in columns] for cells in rows.values()], index=names, columns=columns)
    table.index.name, table.columns.name = "method", axis
    return table


def cell_text(row: dict[Any, Any]) -> str:
    """Write one cell: mean with its interval, symmetric as ± and clipped as a range.

    Args:
        row: A row of ``accuracy_vs_bias``.

    Returns:
        The text; "" where no seed has finished, ``not applicable`` where the method cannot work, and ``(no spread)``
        in place of an interval where all seeds have the same value and nothing is known of patients.

    Example:
        >>> cell_text({"n_seeds": 5, "band": "seeds only", "mean": 0.93, "low": 0.91, "high": 0.95})
        '0.930 ± 0.020'
        >>> cell_text({"n_seeds": 5, "band": "seeds only", "mean": 0.98, "low": 0.95, "high": 1.0})
        '0.980 [0.950, 1.000]'
    """
    if not row["n_seeds"]:
        return "not applicable" if row.get("not_applicable") else ""
    if row["band"] == "none":
        return f"{row['mean']:.{DECIMALS}f} (1 seed)"
    up, down = row["high"] - row["mean"], row["mean"] - row["low"]
    if no_spread(row):
        return f"{row['mean']:.{DECIMALS}f} (no spread)"
    # Clipped intervals and Wilson's are not symmetric: one number cannot stand for both sides.
    if math.isclose(up, down, abs_tol=10**-DECIMALS / 2):
        return f"{row['mean']:.{DECIMALS}f} ± {up:.{DECIMALS}f}"
    return f"{row['mean']:.{DECIMALS}f} [{row['low']:.{DECIMALS}f}, {row['high']:.{DECIMALS}f}]"


def table_csv(curve: pd.DataFrame) -> str:
    """Write the numbers of ``table_of``, rounded as there, one line per method and bias value, as CSV text.

    Args:
        curve: Rows of ``accuracy_vs_bias`` of one rule.

    Returns:
        The text; ``plus_minus`` is empty where the interval is not symmetric.
    """
    names = [*_KEEP[:3], "rule", "label", "facet", "bias_axis", "bias_value", "bias_strength", "mean", "plus_minus"]
    rounded = curve.assign(plus_minus=(curve["high"] - curve["mean"]).where(curve["band"] != "none"))
    clipped = (curve["high"] - curve["mean"] - (curve["mean"] - curve["low"])).abs() > 10**-DECIMALS / 2
    rounded.loc[clipped, "plus_minus"] = math.nan
    for name in ("mean", "plus_minus", "low", "high", "bias_strength"):
        rounded[name] = rounded[name].map(lambda v: "" if pd.isna(v) else f"{v:.{DECIMALS}f}")
    more = ["low", "high", "band", "n_seeds", "n_planned", "n_collapsed", "n_test"]
    return rounded[[*names, *more]].to_csv(index=False, lineterminator="\n")


def selected_hyperparameters(trials: pd.DataFrame) -> pd.DataFrame:
    """List the configuration that each rule chose in each cell, from the search rows.

    Args:
        trials: What ``analysis.load`` returned.

    Returns:
        One row per (sweep, cell, repeat, rule): label, facet, bias value, validation value of the rule
        with ``validation_se``, its standard error over ``n_search_seeds`` search seeds (missing for one),
        ``candidates`` (completed search trials that the rule chose from), one column per hyperparameter, ``anchor``
        (True where all weights of the method's debiasing terms are 0, so that the rule preferred no debiasing) and
        ``caption``.

    Example:
        >>> import analysis
        >>> table = analysis.selected_hyperparameters(analysis.example())
        >>> row = table[(table["label"] == "lnl") & (table["cell"].str.contains("rho1-gamma0"))].iloc[0]
        >>> row["rule"], round(float(row["lambda_"]), 2), bool(row["anchor"])
        ('val_counterfactual', 11.03, False)
    """
    rows = []
    for sweep, group in trials.assign(facet=facets(trials)).groupby("sweep", sort=False):
        rules = [rule for rule in RULES if any(rule in chosen for chosen in group["rules"])]
        chosen = picks(group, rules) if rules else group.iloc[:0]
        candidates_by = {rule: valued(group, rule, rule) for rule in rules}
        counts = {
            rule: group[candidates.counts].groupby(["cell", "repeat"]).size()
            for rule, candidates in candidates_by.items()
        }
        places = dict(zip(group["trial_id"], range(len(group)), strict=True))
        for row in chosen.to_dict("records"):
            values = hyperparameters_in(row["hyperparameters"])
            by, position = candidates_by[row["rule"]], places[row["trial_id"]]
            names = pressures_of(trials, str(sweep), str(row["label"]))
            pressures = [values[name] for name in names if isinstance(values.get(name), (int, float))]
            rows.append(
                {
                    "sweep": sweep,
                    **{k: row[k] for k in _PICK},
                    "validation": float(by.value[position]),
                    "validation_se": float(by.error[position]),
                    "n_search_seeds": int(by.seeds[position]),
                    "candidates": int(counts[row["rule"]].get((row["cell"], row["repeat"]), 0)),
                    "anchor": bool(pressures) and not any(pressures),
                    "trial_id": row["trial_id"],
                    **values,
                }
            )
            rows[-1]["caption"] = selected_words(rows[-1])
    return pd.DataFrame(rows)


def test_figures(trials: pd.DataFrame, rule: str | None = None) -> pd.DataFrame:
    """Compute the means over seeds of the other test figures, such as worst group, flip rate and bias probe.

    The worst group and class are those that each trial named itself, which lies too low: ``accuracy_vs_bias`` with
    predictions has other seeds name them.

    Args:
        trials: What ``analysis.load`` returned.
        rule: Selection rule; default: the headline rule.

    Returns:
        One row per (label, facet, bias value); columns that are null everywhere are left out.

    Example:
        >>> import analysis
        >>> table = analysis.test_figures(analysis.example())
        >>> table.groupby("label")["flip_rate"].max().round(2).loc[["ceiling", "erm"]].to_dict()
        {'ceiling': 0.06, 'erm': 0.99}
    """
    name = rule or headline_rule(trials)
    rows = trials.assign(facet=facets(trials))
    rows = rows[(rows["phase"] == "confirm") & (rows["status"] == "completed")]
    rows = rows[rows["rules"].map(lambda rules: name in rules)]
    every = [*TEST_FIGURES, *(measure.column for measure in own_measures())]
    columns = [c for c in every if c in rows and rows[c].notna().any()]
    keys = ["sweep", "label", "facet", "bias_axis", "bias_value", "bias_strength"]
    means = rows.groupby(keys, dropna=False)[columns].mean().reset_index()
    return means.sort_values(["sweep", "label", "facet", "bias_strength"], ignore_index=True)


def cost(trials: pd.DataFrame, price_per_hour: float | None = None) -> pd.DataFrame:
    """Add up the trials, epochs and hours of training of each method, search and confirm apart.

    Args:
        trials: What ``analysis.load`` returned.
        price_per_hour: Price of one whole device (GPU, or machine without one) for an hour; default: no prices.

    Returns:
        One row per (sweep, label, phase): ``trials``, ``completed``, ``pruned``, ``failed``, ``epochs``, ``hours``,
        ``device_hours`` (hours times the share of a GPU each trial had; hours themselves on a CPU) and, with a price,
        ``price``: a lower bound, as starting and waiting cost too. ``attrs["caption"]`` says so in words.

    Example:
        >>> import analysis
        >>> table = analysis.cost(analysis.example(), price_per_hour=1.5)
        >>> table[table["label"] == "lnl"][["phase", "trials", "completed", "epochs"]].values.tolist()
        [['search', 175, 85, 950], ['confirm', 53, 53, 424]]
    """
    hours = pd.to_numeric(trials["train_seconds"], errors="coerce") / 3600
    share = pd.to_numeric(trials["gpu_share"], errors="coerce").fillna(0.0)
    counted = trials.assign(
        trials=1,
        hours=hours,
        device_hours=hours.where(share == 0, hours * share),
        **{status: (trials["status"] == status).astype(int) for status in ("completed", "pruned", "failed")},
    )
    keys = ["sweep", "label", "phase"]
    sums = ["trials", "completed", "pruned", "failed", "epochs", "hours", "device_hours"]
    table = counted.groupby(keys)[sums].sum().reset_index()
    if price_per_hour is not None:
        table["price"] = table["device_hours"] * price_per_hour
    table = table.sort_values(["sweep", "label", "phase"], ascending=[True, True, False], ignore_index=True)
    table.attrs["caption"] = cost_words(price_per_hour is not None)
    return table


def _telling(curve: pd.DataFrame) -> list[str]:
    """Columns that tell a curve's lines apart."""
    return [name for name in _KEEP if name == "label" or (name in curve and curve[name].nunique() > 1)]


def _method_name(key: tuple[str, ...], shown: list[str]) -> str:
    label = key[shown.index("label")]
    rest = [part for part, name in zip(key, shown, strict=True) if name != "label" and part]
    return f"{label} ({', '.join(rest)})" if rest else label

"""Captions of results: their selection rule, the units of their interval, and the test images they hold for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.not_applicable import absent_words
from store.rules import rule_name

Row = Mapping[Any, Any]


def table_caption(curve: pd.DataFrame, metric: str, rule: str) -> str:
    """Write the caption of a table of a curve.

    Args:
        curve: Rows of ``accuracy_vs_bias`` of one rule.
        metric: What is measured, in words.
        rule: The rule.

    Returns:
        The rule (an oracle is called one), the seeds, what the interval covers and for which test images it holds.

    Example:
        >>> rows = pd.DataFrame({"n_seeds": [5, 5], "n_planned": 5, "n_added": 0, "n_patients": 0, "n_test": 198})
        >>> table_caption(rows.assign(band="seeds only"), "accuracy", "val_biased").partition(", given")[0]
        'Accuracy, mean over 5 seeds with 95 % interval over seeds only'
    """
    rows = curve[curve["n_seeds"] > 0]
    if rows.empty:
        return f"No confirm trial chosen by {rule_name(rule)} has finished."
    kinds = kinds_of(rows)
    repeated = any(kind.startswith("repetitions") for kind in kinds)
    unit = "repetitions, each with a search of its own," if repeated else unit_of(kinds)
    if span(rows["n_seeds"]) == "1":
        words = f"{metric[:1].upper()}{metric[1:]} of one seed without an interval"
    else:
        words = f"{metric[:1].upper()}{metric[1:]}, mean over {span(rows['n_seeds'])} {unit} with 95 % interval over "
        words += " or ".join(kinds)
    words += f", given the hyperparameters chosen by {rule_name(rule)} and these {tested(rows)}; weak bias to the left."
    short = int((rows["n_seeds"] < rows["n_planned"]).sum())
    if short:
        words += f" At {short} of {len(rows)} points fewer seeds have finished than planned."
    if rows["n_added"].max():
        words += f" {rows['n_added'].max()} of the seeds were added after results had been seen."
    absent = absent_words(curve, reasons=True)
    return f"{words} {absent[:1].upper()}{absent[1:]}." if absent else words


def kinds_of(rows: pd.DataFrame) -> list[str]:
    """List the kinds of interval among the rows, sorted, those without one left out.

    Args:
        rows: Rows with ``band``.

    Returns:
        The kinds, such as ``seeds and patients``.

    Example:
        >>> kinds_of(pd.DataFrame({"band": ["seeds only", "none", "seeds only"]}))
        ['seeds only']
    """
    return sorted(set(rows["band"]) - {"none"})


def unit_of(kinds: Sequence[str]) -> str:
    """Name the unit that the values are of, by the kinds of their intervals: ``seeds``, ``splits`` or ``repetitions``.

    Args:
        kinds: Kinds of interval, as ``kinds_of`` lists them.

    Returns:
        The unit; ``seeds`` where there is no interval.

    Example:
        >>> unit_of(["splits and patients"]), unit_of([])
        ('splits', 'seeds')
    """
    return next((unit for unit in ("repetitions", "splits") for kind in kinds if kind.startswith(unit)), "seeds")


def collapsed_words(n_collapsed: int, n_values: int, unit: str) -> str:
    """Describe the collapsed runs of a point: of its seeds, or in its splits or repetitions, of several runs each.

    Args:
        n_collapsed: Collapsed runs.
        n_values: Seeds, splits or repetitions of the point.
        unit: Name of these.

    Returns:
        The words.

    Example:
        >>> collapsed_words(1, 5, "seeds"), collapsed_words(2, 3, "splits")
        ('1 of 5 seeds', '2 runs in 3 splits')
    """
    if unit == "seeds":
        return f"{n_collapsed} of {n_values} seeds"
    return f"{n_collapsed} run{'' if n_collapsed == 1 else 's'} in {n_values} {unit}"


def redraws(unit: str, one_split: bool = False, painted: bool = True) -> str:
    """Write the sentence on the random draws that differ from one value of the unit to the next.

    An interval over the unit counts all of that together.

    Args:
        unit: ``seed``, ``split`` or ``repetition``.
        one_split: All seeds train and validate on the same patients.
        painted: The bias is painted on the images; else a training set is drawn from those that carry it.

    Returns:
        The sentence; "" for repetitions.

    Example:
        >>> redraws("seed", one_split=True).partition(";")[0]
        'A seed redraws the painted images, the initial weights and the order of the images at once'
    """
    # A repetition draws everything anew, its search included, as the caption says already.
    if unit == "repetition":
        return ""
    images = "painted images" if painted else "training images"
    if unit == "split":
        return (
            f"Each split of training and validation patients was trained with several seeds ({images}, initial "
            "weights, order of the images); their mean is the value of the split, and the interval counts both."
        )
    if one_split:
        return (
            f"A seed redraws the {images}, the initial weights and the order of the images at once; the split "
            "into training and validation is the same for all."
        )
    return (
        f"A seed redraws the split into training and validation, the {images}, the initial weights and the order "
        "of the images at once."
    )


def no_spread(row: Row) -> bool:
    """Tell if an interval has no width, since all seeds have the same value and nothing is known of patients.

    Such an interval is not to be believed: it says nothing of other seeds.

    Args:
        row: A row with ``low``, ``high``, ``n_seeds`` and ``band``.

    Returns:
        The answer.

    Example:
        >>> no_spread({"low": 1.0, "high": 1.0, "n_seeds": 3, "band": "seeds only"})
        True
    """
    return bool(row["n_seeds"] > 1 and row["band"] != "none" and row["high"] - row["low"] < 1e-9)


def tested(rows: pd.DataFrame) -> str:
    """Name the test units that the intervals hold for: ``35 test patients``, ``216 test images``.

    Args:
        rows: Rows with ``band``, ``n_patients`` and ``n_test``.

    Returns:
        The words.

    Example:
        >>> tested(pd.DataFrame({"band": ["seeds and patients"] * 2, "n_patients": [35, 35], "n_test": [280, 280]}))
        '35 test patients'
    """
    kinds, counted = kinds_of(rows), rows.loc[rows["n_patients"] > 0, "n_patients"]
    if len(counted) and len(kinds) == 1:
        return f"{span(counted)} test {kinds[0].split(' and ')[-1]}"
    return f"{span(rows['n_test'])} test images"


def span(counts: pd.Series) -> str:
    """Write the range of some counts, ``4 to 5``, or the one count.

    Args:
        counts: One or more counts.

    Returns:
        The words.

    Example:
        >>> span(pd.Series([4, 5, 5])), span(pd.Series([5, 5]))
        ('4 to 5', '5')
    """
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"


def won_back_words(row: Row) -> str:
    """Write the caption of one row of ``won_back``.

    Args:
        row: The row, without ``caption``.

    Returns:
        The caption.
    """
    if row["text"] == "-":
        words = "the gap between erm and the ceiling is itself not significant, so that no share of it can be given,"
    else:
        words = f"wins back {row['text']} of the gap between erm and the ceiling (Fieller),"
    return f"{_position(row)}: {words} {_basis(row, 'paired on')}"


def area_words(row: Row, reference: str) -> str:
    """Write the caption of one row of ``areas``.

    Args:
        row: The row.
        reference: Label that the line is compared with.

    Returns:
        The caption.

    Example:
        >>> row = {"label": "lnl", "facet": "", "rule": "val_biased", "area": float("nan")}
        >>> area_words({**row, "reason": "too few bias values"}, "erm")
        'lnl, chosen by biased validation: no area, too few bias values'
    """
    if row["area"] != row["area"]:
        return f"{_line(row)}: no area, {row['reason']}"
    words = f"mean over the axis{_left_out(row)} {row['area']:.3f}{_ends(row, 'low', 'high')},"
    if row["difference"] == row["difference"]:
        ends = _ends(row, "difference_low", "difference_high")
        words += (
            f" {row['difference']:+.3f}{ends} against {reference} paired on {row['n_pairs']} {unit_of([row['band']])},"
        )
    elif row["reason"]:
        words += f" no difference to {reference} ({row['reason']}),"
    return f"{_line(row)}: {words} {_basis(row)}"


def _left_out(row: Row) -> str:
    if not row.get("left_out"):
        return ""
    return f" without {row['bias_axis']} = {row['left_out']}, where the method is not applicable,"


def breaking_words(row: Row) -> str:
    """Write the caption of one row of ``breaking_points``.

    Args:
        row: The row, without ``caption``.

    Returns:
        The caption.
    """
    if row["censored"]:
        words = f"crosses {row['threshold']} outside the values measured ({row['bias_axis']} {row['text']})"
    else:
        words = f"falls below {row['threshold']} at {row['bias_axis']} = {row['text']}"
    if row["low"]:
        words += f" [{row['low']}, {row['high']}] (percentiles of the crossed bootstrap)"
    return f"{_line(row)}: {words}{_left_out(row)}, {_basis(row)}"


def confusion_words(row: Row) -> str:
    """Write the caption of one row of ``confusion_by_strength``.

    Args:
        row: The row, without ``caption``.

    Returns:
        The caption.
    """
    interval = "no interval" if row["band"] == "none" else f"95 % over {row['band']}"
    return (
        f"{_position(row)}: {row['share']:.3f}{_ends(row, 'low', 'high')} of class {row['true']} called "
        f"{row['predicted']}, {interval}, {row['n_seeds']} of {row['n_planned']} seeds finished, given the selected "
        f"hyperparameters and these {row['n_images']} test images of that class ({row['variant']})"
    )


def selected_words(row: Row) -> str:
    """Write the caption of one row of ``selected_hyperparameters``.

    Args:
        row: The row, without ``caption``.

    Returns:
        The caption.

    Example:
        >>> row = {"label": "lnl", "bias_value": 0.9, "rule": "val_biased", "validation": 0.912, "candidates": 12}
        >>> selected_words({**row, "anchor": False}).partition(" (")[0]
        'lnl at bias 0.9: chosen by biased validation with 0.912 among 12 completed search trials of one seed'
    """
    name = f"{row['label']} at bias {row['bias_value']:g}"
    anchor = "; it preferred no debiasing" if row["anchor"] else ""
    return (
        f"{name}: chosen by {rule_name(row['rule'])} with {row['validation']:.3f} among {row['candidates']} completed "
        f"search trials of {_seeds(row.get('n_search_seeds', 1))} (no interval, no test image){anchor}"
    )


def map_words(rows: pd.DataFrame, rule: str) -> list[str]:
    """Write the captions of the rows of ``lambda_map``.

    Args:
        rows: The rows, without ``caption``.
        rule: The selection rule.

    Returns:
        A caption for each row.

    Example:
        >>> row = {"label": "lnl", "bias_axis": "rho", "bias_value": 0.9, "chosen": [True]}
        >>> seeds = {"n_search_seeds": 3, "validation_se": 0.012}
        >>> map_words(pd.DataFrame({**row, **seeds}), "val_biased")[0].partition(" (")[0]
        'lnl at rho = 0.9: mean of 3 search seeds, standard error 0.012'
    """
    captions = []
    for row in rows.to_dict("records"):
        averaged = row["n_search_seeds"] > 1
        seeds = f"mean of {row['n_search_seeds']} search seeds, standard error {row['validation_se']:.3f}"
        words = seeds if averaged else "one search trial of one seed"
        position = f"{row['label']} at {row['bias_axis']} = {row['bias_value']:g}"
        chose = ", which chose it" if row["chosen"] else ""
        captions.append(f"{position}: {words} (no interval, no test image), valued by {rule_name(rule)}{chose}")
    return captions


def budget_words(row: Row, trials: int, anchored: bool = False, seeds: int = 1) -> str:
    """Write the caption of the rows of ``expected_validation`` of one line at one bias value.

    Args:
        row: The line.
        trials: Its search trials.
        anchored: True where the anchor was among the search's trials; it is not among these.
        seeds: Search seeds of each.

    Returns:
        The caption.

    Example:
        >>> line = {"label": "lnl", "bias_axis": "rho", "bias_value": 0.9, "rule": "val_biased"}
        >>> budget_words(line, trials=12).partition(" (")[0]
        'lnl at rho = 0.9: expected best value of biased validation in n of 12 search trials of one seed'
    """
    name = f"{row['label']} at {row['bias_axis']} = {row['bias_value']:g}"
    left_out = "; the anchor, plain training, is left out" if anchored else ""
    return (
        f"{name}: expected best value of {rule_name(row['rule'])} in n of {trials} search trials of {_seeds(seeds)} "
        f"(no interval, no test image){left_out}"
    )


def _seeds(number: int) -> str:
    return "one seed" if number == 1 else f"{number} seeds each, their mean"


def cost_words(priced: bool) -> str:
    """Write the caption of a table of ``cost``.

    Args:
        priced: True where the table has prices.

    Returns:
        The caption.

    Example:
        >>> cost_words(priced=True).split("; ")[1]
        'device hours count the share of the device that a trial had'
    """
    return (
        "Trials, epochs and hours of training and validation, waiting excluded, of each method and phase, for all "
        "selection rules together; device hours count the share of the device that a trial had"
        f"{'; prices are lower bounds, as starting and waiting cost too' if priced else ''}."
    )


def _line(row: Row) -> str:
    facet = f" ({row['facet']})" if row["facet"] else ""
    return f"{row['label']}{facet}, chosen by {rule_name(row['rule'])}"


def _position(row: Row) -> str:
    facet = f" ({row['facet']})" if row["facet"] else ""
    where = f"{row['bias_axis']} = {row['bias_value']:g}"
    return f"{row['label']}{facet} at {where}, chosen by {rule_name(row['rule'])}"


def _ends(row: Row, low: str, high: str) -> str:
    # NaN differs from itself: without an interval there are no ends.
    return "" if row[low] != row[low] else f" [{row[low]:.3f}, {row[high]:.3f}]"


def _basis(row: Row, lead: str = "over") -> str:
    """Describe the interval, the seeds, and the conditions that both hold under."""
    interval = "no interval" if row["band"] == "none" else f"95 % over {row['band']}"
    repeated = row["band"].startswith("repetitions")
    unit = unit_of([row["band"]])
    given = "each with a search of its own, given" if repeated else "given the selected hyperparameters and"
    tested_ = row["band"].split(" and ")[-1] if row["n_patients"] else "images"
    late = f"{row['n_added']} of these were added after results had been seen, " if row["n_added"] else ""
    return (
        f"{interval}, {lead} {row['n_seeds']} of {row['n_planned']} {unit} planned, {late}{given} these "
        f"{row['n_patients'] or row['n_test']} test {tested_}"
    )

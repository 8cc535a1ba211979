"""The atlas's table: for each method where it breaks, what it wins back at stated bias values, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from analysis.natural import like
from analysis.numbers.breaking import MARGIN, breaking_rows
from analysis.numbers.captions import span
from analysis.numbers.tables import headline_rule
from analysis.points.pairing import LINE, Curve
from analysis.points.points import CEILING, ERM, Point, by_label
from analysis.results import Results
from store.errors import InputError
from store.rules import rule_name

NOT_WITHIN = "not within the axis"
_TRAININGS = ("trainings_search", "trainings_confirm", "trainings", "seconds")


def breaks_at(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    rule: str | None = None,
    margin: float = MARGIN,
    reference: Literal["ceiling", "own"] = "ceiling",
) -> pd.DataFrame:
    """Find the weakest bias at which each method has lost more accuracy than a margin.

    The crossing is interpolated linearly between two bias values measured, with an interval by the paired bootstrap
    over seeds and patients (``analysis.breaking_points``, which also takes a fixed threshold).

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned; without them there is no interval.
        rule: Selection rule to keep; default: all.
        margin: Loss that does not count yet, in (0, 1).
        reference: ``ceiling`` at the same bias value, or the method's ``own`` accuracy at the weakest bias measured.

    Returns:
        One row per line with a point at every bias value at which it is applicable: ``value`` (missing where it does
        not break within the axis), ``text`` ("0.93", "not within the axis", or "at 0.5 already", the weakest measured),
        ``low`` and ``high`` (text; "> 1" and "< 0" lie outside the axis), ``threshold`` (text),
        ``left_out``, the bias values at which it is not applicable,
        ``n_seeds`` of ``n_planned``, ``n_added``, ``n_patients``, ``n_test``, ``band``.

    Raises:
        InputError: A margin outside (0, 1), another reference, or as ``accuracy_vs_bias``.

    Example:
        >>> import analysis
        >>> table = analysis.breaks_at(analysis.example(), rule="val_counterfactual", margin=0.1)
        >>> table.set_index("label")["text"].loc[["erm", "lnl", "repaint"]].to_dict()
        {'erm': '0.854', 'lnl': '0.887', 'repaint': 'not within the axis'}
    """
    return like(_breaks(Results(trials, predictions).of(rule), margin, reference), trials)


def _breaks(points: Sequence[Point], margin: float, reference: Literal["ceiling", "own"]) -> pd.DataFrame:
    if not 0 < margin < 1:
        raise InputError(f"margin must be a loss of accuracy between 0 and 1, but got {margin:g}: give .05, say")
    if reference not in ("ceiling", "own"):
        raise InputError(f"reference must be ceiling or own, but got {reference!r}")
    rows = breaking_rows(points, margin=margin, reference=reference)
    # An end of the interval keeps the form "> 1": the axis may end there, the method's loss need not.
    rows["text"] = [_in_words(text, c) for text, c in zip(rows["text"], rows["censored"], strict=True)]
    return rows.drop(columns=["not_better_from", "caption"])


def _in_words(text: str, censored: str) -> str:
    """Write a crossing: "0.93", "not within the axis", or "at 0.5 already"."""
    if censored == "beyond":
        return NOT_WITHIN
    return f"at {text[2:]} already" if censored == "before" else text


def atlas_table(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    values: Sequence[float] = (),
    rule: str | None = None,
    margin: float = MARGIN,
) -> pd.DataFrame:
    """Lay out where each method breaks, what it wins back at stated bias values, and what it costs in trainings.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned; without them intervals are over seeds alone.
        values: Bias values; between two that were measured each seed is interpolated (``analysis.at_bias``). Default:
            those measured.
        rule: Selection rule; default: the headline rule.
        margin: Loss against the ceiling that counts as broken; without a ceiling, against a method's own accuracy at
            the weakest bias.

    Returns:
        One row per method and facet, the ceiling left out: ``breaks_at`` (text) with ``breaks_value`` (missing where it
        does not break within the axis), for each value ``won_back_0.9`` (text: the share with its interval, "-" where
        plain training has lost nothing that is significant, "not applicable" or why there is none) with
        ``won_back_0.9_share``, ``_low`` and ``_high``, and ``trainings_search``, ``trainings_confirm``, ``trainings``
        and ``seconds`` of all facets and bias values together (search trials that were stopped early included).
        ``attrs["caption"]`` says in words what the numbers are.

    Raises:
        InputError: A margin outside (0, 1), a rule that chose nothing, or as ``accuracy_vs_bias``.

    Example:
        >>> import analysis
        >>> table = analysis.atlas_table(analysis.example(), values=[0.9, 1.0])
        >>> row = table[(table["label"] == "lnl") & (table["facet"] == "gamma = 0")].iloc[0]
        >>> row["won_back_1"], int(row["trainings"])
        ('0.61 [0.49, 0.72]', 228)
    """
    rule = rule or headline_rule(trials)
    results = Results(trials, predictions)
    points = results.of(rule)
    if not points:
        raise InputError(f"the atlas's table needs confirm trials, but {rule_name(rule)} has chosen none: name another")
    reference: Literal["ceiling", "own"] = "ceiling" if any(p.line.method == CEILING for p in points) else "own"
    breaks = _breaks(points, margin, reference)
    broken = _by_line(breaks)
    strengths = {point.bias_value: point.bias_strength for point in points}
    places = list(values) or sorted(strengths, key=lambda value: strengths[value])
    back = {place: _by_line(results.at_bias(place, rule)) for place in places}
    spent = _cost(trials)
    rows = []
    for curve in by_label(points).values():
        line = next(iter(curve.values())).line
        if line.method == CEILING:
            continue
        key = tuple(getattr(line, name) for name in LINE)
        row: dict[str, Any] = {**dict(zip(LINE, key, strict=True)), **_broken(broken, key, curve)}
        for place, table in back.items():
            row |= {f"won_back_{place:g}{end}": cell for end, cell in _won(table[key], curve, place).items()}
        rows.append({**row, **dict(zip(_TRAININGS, spent.get((line.sweep, line.label), (0, 0, 0, 0.0)), strict=True))})
    frame = like(pd.DataFrame(rows), trials)
    seeds = pd.Series([len(p.seeds) for p in points if p.seeds])
    over = next((str(band) for band in breaks["band"] if band != "none"), "seeds")
    frame.attrs["caption"] = _caption(rule, margin, reference, seeds, over)
    return frame


def _by_line(frame: pd.DataFrame) -> dict[tuple[str, ...], dict[Any, Any]]:
    """Rows by the columns that name a line."""
    return {tuple(str(row[name]) for name in LINE): row for row in frame.to_dict("records")}


def _broken(broken: Mapping[tuple[str, ...], dict[Any, Any]], key: tuple[str, ...], curve: Curve) -> dict[str, Any]:
    if key not in broken:
        few = "not measured at enough bias values" if len(curve) < 3 else "a bias value is not finished"
        absent = all(point.not_applicable for point in curve.values())
        return {"breaks_at": "not applicable" if absent else few, "breaks_value": math.nan}
    row = broken[key]
    interval = f" [{row['low']}, {row['high']}]" if row["low"] else ""
    without = f" (not applicable at {row['left_out']})" if row["left_out"] else ""
    return {"breaks_at": f"{row['text']}{interval}{without}", "breaks_value": row["value"]}


def _won(row: Mapping[Any, Any], curve: Curve, place: float) -> dict[str, Any]:
    """Write the share won back at a place, and why there is none where there is none."""
    method = next(iter(curve.values())).line.method
    there = curve.get(place)
    text = str(row["share_text"] or "")
    if (there is not None and there.not_applicable) or str(row["reason"]).startswith("not applicable"):
        text = "not applicable"
    elif method == ERM and math.isfinite(row["mean"]):
        text = "0 by definition"
    elif "lies outside" in str(row["reason"]):
        text = "outside the axis"
    elif not text:
        text = str(row["reason"]) or "one seed"
    return {"": text, "_share": row["share"], "_low": row["share_low"], "_high": row["share_high"]}


def _cost(trials: pd.DataFrame) -> dict[tuple[str, str], tuple[int, int, int, float]]:
    """Trainings in search, in confirm and together, and their seconds, by sweep and label."""
    seconds = pd.to_numeric(trials["train_seconds"], errors="coerce")
    spent = {}
    for (sweep, label), rows in trials.assign(train_seconds=seconds).groupby(["sweep", "label"], sort=False):
        search, confirm = (int((rows["phase"] == phase).sum()) for phase in ("search", "confirm"))
        spent[str(sweep), str(label)] = (search, confirm, search + confirm, float(rows["train_seconds"].sum()))
    return spent


def _caption(rule: str, margin: float, reference: str, seeds: pd.Series, over: str) -> str:
    below = (
        "the ceiling at the same bias" if reference == "ceiling" else "the method's own accuracy at the weakest bias"
    )
    return (
        f"Breaks at: first bias at which the method lies more than {margin:g} below {below}, interpolated between the "
        f"values measured, 95 % interval by the paired bootstrap over {over}. Won back: (method - erm) / "
        '(ceiling - erm), 95 % interval (Fieller), paired; "-": plain training has lost nothing significant there. '
        "Intervals are not adjusted for their number. Trainings: all search and confirm trials of the method. "
        f"Hyperparameters chosen by {rule_name(rule)}, {span(seeds)} seeds."
    )

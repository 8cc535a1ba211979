"""Ranks of the methods at each bias value with their uncertainty, and the methods that may be the best there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.natural import like
from analysis.points.measures import measure_of
from analysis.points.pairing import BASIS, LINE, basis_of, common_seeds, line_names, paired_samples
from analysis.points.points import CEILING, Point
from analysis.results import Results
from analysis.statistics.bootstrap import Weights, draw_weights
from analysis.statistics.pairwise import Pairs, open_ranks, paired_differences, share_of_firsts
from analysis.statistics.variance import Sample
from store.errors import InputError

COLUMNS = (
    *LINE,
    *("bias_value", "bias_strength", "mean", "rank", "n_methods", "rank_low", "rank_high", "may_be_best"),
    *("share_first", "reason"),
    *BASIS,
    "caption",
)
"""Columns of ``analysis.ranks``."""
DRAWS = 1000


def ranks(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    column: str | None = None,
    rule: str | None = None,
) -> pd.DataFrame:
    """Rank the methods at each bias value, with an interval of each rank and the set of those that may be the best.

    Methods are compared in pairs, by seed and patient, with the variance that bands have
    (``analysis.statistics.variance``). A rank's interval leaves out the ranks that Holm's test of a method's
    differences to all others excludes (Mogstad, Romano, Shaikh & Wilhelm 2024). Percentiles of bootstrapped ranks are
    not used: with eight equal methods they contained all of a method's ranks in .38 to .43 of simulated cases at a
    nominal .95, these intervals in .96 to .98.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned; without them ranks are over seeds alone.
        column: Test column; default: the sweep's metric.
        rule: Selection rule to keep; default: all.

    Returns:
        One row per line (the ceiling left out, plain training not) and bias value: ``mean``, ``rank`` of ``n_methods``
        (1 = best), ``rank_low`` and ``rank_high`` (95 %, at each bias value by itself), ``may_be_best`` (not told apart
        from the best: a confidence set of the best), ``share_first`` (share of the draws of the paired bootstrap over
        seeds and patients in which it is the first, which is no probability that it is the best), ``reason`` why there
        is no rank, ``n_seeds`` of ``n_planned``, ``n_added``, ``n_patients``, ``n_test``, ``band``, ``caption``.

    Raises:
        InputError: A column that the trials do not have, one of which neither high nor low is better, or sweeps of
            different metrics.

    Example:
        >>> import analysis
        >>> table = analysis.ranks(analysis.example(), rule="val_counterfactual")
        >>> there = table[(table["bias_value"] == 1) & (table["facet"] == "gamma = 0")].set_index("label")
        >>> there.loc[["repaint", "lnl", "erm"], ["rank", "rank_low", "rank_high"]].astype(int).values.tolist()
        [[1, 1, 1], [2, 2, 2], [5, 3, 6]]
    """
    results = Results(trials, predictions, column)
    return like(rank_rows(results.of(rule), results.column), trials)


def rank_rows(points: Sequence[Point], column: str) -> pd.DataFrame:
    """Compute the rows of ``analysis.ranks``.

    Args:
        points: The points.
        column: Their test column.

    Returns:
        The rows.

    Raises:
        InputError: A column of which neither high nor low is better.
    """
    better = measure_of(column).better
    if better not in ("higher", "lower"):
        raise InputError(
            f"ranks need a column of which high or low is better, but of {column} it is the value {better}"
        )
    places: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        if point.line.method != CEILING:
            places.setdefault((*point.line.like("")[:-1], point.bias_value), []).append(point)
    drawn: dict[tuple[object, ...], Weights] = {}
    rows = [row for there in places.values() for row in _rows(there, 1.0 if better == "higher" else -1.0, drawn)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(points: Sequence[Point], sign: float, drawn: dict[tuple[object, ...], Weights]) -> list[dict[str, Any]]:
    """Rank the points of one bias value."""
    ranked = [point for point in points if point.seeds]
    numbers = {id(point): number for number, point in enumerate(ranked)}
    rows = []
    pairs = pairs_of(ranked, sign)
    low, high = open_ranks(pairs)
    # Of the seeds that a method lacks its mean knows nothing: its rank is that of its own mean all the same.
    means = np.array([point.values.mean() for point in ranked])
    firsts = _firsts(ranked, sign, drawn)
    for point in points:
        row: dict[str, Any] = {
            **line_names(point),
            "bias_value": point.bias_value,
            "bias_strength": point.bias_strength,
            **dict.fromkeys(("mean", "rank", "rank_low", "rank_high", "share_first"), math.nan),
            "n_methods": len(ranked),
            "may_be_best": False,
            "reason": "",
        }
        if not point.seeds:
            row["reason"] = f"not applicable: {point.not_applicable}" if point.not_applicable else "no finished seed"
            row |= basis_of(point, None)
        else:
            i = numbers[id(point)]
            row |= {"mean": float(means[i]), "rank": 1 + int((sign * means > sign * means[i]).sum())}
            row |= {"rank_low": int(low[i]), "rank_high": int(high[i]), "share_first": float(firsts[i])}
            row["may_be_best"] = bool(low[i] == 1)
            row |= basis_of(point, point.sample(point.seeds))
            if len(point.seeds) < 2:
                row["reason"] = "one seed: its rank is open"
        rows.append({**row, "caption": _caption(row)})
    return rows


def pairs_of(points: Sequence[Point], sign: float = 1.0) -> Pairs:
    """Compare all points in pairs, each pair over the seeds and patients that both have.

    Args:
        points: M points of one place, each with a seed.
        sign: -1 where low is better.

    Returns:
        The differences and their p values, ``[M, M]``.

    Example:
        >>> from analysis.points.points import Line
        >>> line = Line("sweep", "digits", "small_cnn", "val_biased", "erm", "erm", "rho", "")
        >>> of = lambda *run: Point(line, 1.0, 1.0, (1, 2, 3), np.array(run), None, 3, 0, 0, 200, ())
        >>> pairs_of([of(0.9, 0.92, 0.91), of(0.5, 0.53, 0.52)]).difference[0].round(3).tolist()
        [0.0, 0.393]
    """
    m = len(points)
    difference, p = np.zeros((m, m)), np.full((m, m), np.nan)
    alike: dict[tuple[tuple[int, ...], tuple[str, ...] | None], list[tuple[int, int]]] = {}
    for i in range(m):
        for j in range(i):
            seeds = tuple(common_seeds(points[i], points[j]))
            patients = [point.scores.patients if point.scores else None for point in (points[i], points[j])]
            known = patients[0] if patients[0] == patients[1] else None
            alike.setdefault((seeds, known), []).append((i, j))
    # Almost always there is one kind of pair, whose differences are computed at once.
    for (seeds, known), couples in alike.items():
        members = sorted({i for couple in couples for i in couple})
        if not seeds:
            continue
        samples = _samples([points[i] for i in members], seeds, known is not None, sign)
        pairs, places = paired_differences(samples), {i: place for place, i in enumerate(members)}
        for i, j in couples:
            a, b = places[i], places[j]
            difference[i, j], difference[j, i] = pairs.difference[a, b], pairs.difference[b, a]
            p[i, j] = p[j, i] = pairs.p[a, b]
    return Pairs(difference, p)


def _samples(points: Sequence[Point], seeds: Sequence[int], known: bool, sign: float) -> list[Sample]:
    samples = paired_samples(points, seeds)
    if sign < 0:
        samples = [Sample(-s.values, None if s.left_out is None else -s.left_out, s.strata) for s in samples]
    return samples if known else [Sample(s.values) for s in samples]


def _firsts(points: Sequence[Point], sign: float, drawn: dict[tuple[object, ...], Weights]) -> np.ndarray[Any, Any]:
    """Shares of draws in which each point is the first, over the seeds that all points have."""
    seeds = common_seeds(*points) if points else []
    if len(seeds) < 2:
        return np.full(len(points), np.nan)
    samples = _samples(points, seeds, True, sign)
    strata = samples[0].strata
    strata = np.zeros(1, dtype=np.int64) if strata is None else strata
    # The same seeds and patients stand at every bias value: their draws are made once.
    key = (len(seeds), strata.tobytes())
    if key not in drawn:
        # A fixed generator: the same rows give the same shares.
        drawn[key] = draw_weights(len(seeds), strata, DRAWS, np.random.default_rng(0))
    return share_of_firsts(samples, drawn[key])


def _caption(row: Mapping[str, Any]) -> str:
    where = f"{row['label']} at {row['bias_axis']} = {row['bias_value']:g}"
    if math.isnan(row["rank"]):
        return f"{where}: no rank ({row['reason']})"
    best = "may be the best" if row["may_be_best"] else "is told apart from the best"
    if row["band"] == "none":
        return f"{where}: rank {row['rank']} of {row['n_methods']} by one seed, which leaves every rank open"
    return (
        f"{where}: rank {row['rank']} of {row['n_methods']}, between {row['rank_low']} and {row['rank_high']} (95 %, "
        f"over {row['band']}, each bias value by itself); it {best}"
    )


def best_words(rows: pd.DataFrame) -> list[str]:
    """Write which methods may be the best at each bias value, in sentences.

    Args:
        rows: Rows of ``analysis.ranks`` of one rule.

    Returns:
        A sentence for each bias value, weak to strong. A method is called the best only where it can be told apart
        from every other one.

    Example:
        >>> there = {"dataset": "d", "facet": "", "bias_axis": "rho", "bias_value": 0.9, "bias_strength": 0.5}
        >>> first = {**there, "label": "a", "mean": 0.9, "rank": 1, "may_be_best": True}
        >>> best_words(pd.DataFrame([first, {**first, "label": "b", "mean": 0.8, "rank": 2}]))
        ['rho = 0.9: no single best. a is highest (0.900), and b cannot be told from the best.']
    """
    sentences = []
    known = rows[rows["rank"].notna()].sort_values(["facet", "bias_strength", "rank"])
    for (_, facet, _), there in known.groupby(["dataset", "facet", "bias_strength"], sort=False):
        first = there.iloc[0]
        where = f"{first['bias_axis']} = {first['bias_value']:g}{f', {facet}' if facet else ''}"
        open_ = [str(label) for label in there.loc[there["may_be_best"], "label"] if label != first["label"]]
        if len(there) == 1:
            sentences.append(f"{where}: {first['label']} alone was measured.")
        elif not open_:
            sentences.append(
                f"{where}: {first['label']} is the best ({first['mean']:.3f}), told apart from every other one."
            )
        else:
            every = len(open_) == len(there) - 1 > 1
            others = f"none of the other {len(open_)} can" if every else f"{_listed(open_)} cannot"
            sentences.append(
                f"{where}: no single best. {first['label']} is highest ({first['mean']:.3f}), and {others} be told "
                "from the best."
            )
    return sentences


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]

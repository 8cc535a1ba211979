"""Results of the search: every candidate over (bias value, weight), and the expected value of n search trials."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.candidates import search_number
from analysis.carried.pressures import weights_of, without_debiasing
from analysis.numbers.captions import budget_words, map_words
from analysis.numbers.tables import headline_rule
from analysis.points.points import facets
from analysis.selection import picks, valued
from analysis.statistics.intervals import expected_maximum
from store.columns import PRESSURES

_LINE = ["sweep", "dataset", "network", "method", "label", "facet", "bias_axis", "bias_value", "bias_strength"]
_VALUES = ("validation", "validation_se", "n_search_seeds")


def lambda_map(trials: pd.DataFrame, label: str | None = None, rule: str | None = None) -> pd.DataFrame:
    """Map validation values over lambda x bias value, from the rule's candidates (``analysis.selection``).

    No test image is used.

    Args:
        trials: What ``analysis.load`` returned.
        label: The method; default: all that have a weight.
        rule: Selection rule whose validation value is shown; default: the headline rule.

    Returns:
        One row per candidate, weak bias first: ``label``, ``facet``, ``bias_value``, ``bias_strength``,
        ``lambda_``, ``mu`` and every other weight of a debiasing term, ``lr``, ``rule``, ``validation`` (what the rule
        maximises; of several search seeds the mean), ``validation_se`` (its standard error over the seeds; missing for
        one), ``n_search_seeds``, ``chosen`` (by that rule), ``trial_id`` and ``caption``. Weights that are all 0 are
        the anchor: no debiasing.

    Example:
        >>> import analysis
        >>> table = analysis.lambda_map(analysis.example(), "lnl", "val_counterfactual")
        >>> chosen = table[table["chosen"] & (table["bias_value"] == 1) & (table["facet"] == "gamma = 0")]
        >>> chosen[["lambda_", "mu", "validation"]].round(2).values.tolist()
        [[11.03, 2.6, 0.67]]
    """
    rule = rule or headline_rule(trials)
    rows = _candidates(trials, rule)
    # A method without a weight has no place on the map.
    if label is not None:
        rows = rows[rows["label"] == label]
    weights = weights_of(rows)
    further = [str(name) for name in weights if name not in rows]
    rows = rows.assign(**{name: weights[name] for name in further})
    rows = rows[rows[[*PRESSURES, *further]].notna().any(axis=1)]
    rows = rows.assign(rule=rule, chosen=chosen_by(trials, rows, rule))
    rows = rows.sort_values(["sweep", "label", "facet", "bias_strength", "trial_id"], ignore_index=True)
    rows = rows.assign(caption=map_words(rows, rule))
    return rows[[*_LINE, *PRESSURES, *further, "lr", "rule", *_VALUES, "chosen", "trial_id", "caption"]]


def chosen_by(trials: pd.DataFrame, rows: pd.DataFrame, rule: str) -> pd.Series:
    """Tell for each of some search rows if a rule chose it.

    Each sweep is judged on its own, as two may share identifiers.

    Args:
        trials: All rows of the sweeps: a candidate may have several.
        rows: The rows that are asked for.
        rule: The rule.

    Returns:
        ``[N]``, True for the rows chosen.

    Example:
        >>> row = {"sweep": "study", "phase": "search", "status": "completed", "search_rule": None, "cell": "c"}
        >>> two = {"repeat": 0, "search_number": [0, 1], "seed_number": 0, "trial_id": ["t0", "t1"]}
        >>> texts = ['{"mu": 0.1}', '{"mu": 1.0}']
        >>> trials = pd.DataFrame({**row, **two, "val_biased": [0.8, 0.9], "hyperparameters": texts})
        >>> chosen_by(trials, trials, "val_biased").tolist()
        [False, True]
    """
    chosen = pd.Series(False, index=rows.index)
    for sweep, group in rows.groupby("sweep", sort=False):
        of_cells = trials[(trials["sweep"] == sweep) & trials["cell"].isin(group["cell"].unique())]
        chosen[group.index] = group["trial_id"].isin(picks(of_cells, [rule])["trial_id"])
    return chosen


def expected_validation(trials: pd.DataFrame, rule: str | None = None) -> pd.DataFrame:
    """Compute the expected best validation value of the first n search trials (Dodge et al. 2019, arXiv 1909.03004).

    Args:
        trials: What ``analysis.load`` returned.
        rule: Selection rule whose validation value is shown; default: the headline rule.

    Returns:
        One row per (method, place, n): ``rule``, ``n``, ``expected`` and ``caption``; only where two or more search
        trials completed. Folds and repeats are searched one by one: the first of them stands for all. The anchor is
        left out: it is plain training at fixed values, no draw from the ranges that are searched.

    Example:
        >>> import analysis
        >>> table = analysis.expected_validation(analysis.example())
        >>> erm = table[(table["label"] == "erm") & (table["bias_value"] == 0.9)]
        >>> erm["n"].head(3).tolist(), bool(erm["expected"].is_monotonic_increasing)
        ([1, 2, 3], True)
    """
    rule = rule or headline_rule(trials)
    rows = _candidates(trials, rule)
    anchors = _is_anchor(rows)
    anchored = set(rows.loc[anchors, "cell"])
    rows = rows[~anchors]
    frames = []
    for key, group in rows.groupby(_LINE, dropna=False, sort=False):
        first = group[(group["cell"] == group["cell"].iloc[0]) & (group["repeat"] == group["repeat"].min())]
        if len(first) < 2:
            continue
        expected = expected_maximum(first["validation"])
        line: dict[str, Any] = dict(zip(_LINE, key, strict=True))
        seeds = int(first["n_search_seeds"].max())
        words = budget_words({**line, "rule": rule}, len(expected), first["cell"].iloc[0] in anchored, seeds)
        line |= {"rule": rule, "caption": words}
        frames.append(pd.DataFrame({**line, "n": range(1, len(expected) + 1), "expected": expected}))
    columns = [*_LINE, "rule", "n", "expected", "caption"]
    table = pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
    return table.sort_values(["sweep", "label", "facet", "bias_strength", "n"], kind="stable", ignore_index=True)


def _is_anchor(rows: pd.DataFrame) -> pd.Series:
    """Tell for each search row if it is the anchor: trial 0, without debiasing, of a cell that searches a weight."""
    none = without_debiasing(rows)
    # Where a sweep file fixes all weights at 0 there is no anchor: trial 0 is a draw like the others.
    searched = (~none).groupby([rows["sweep"], rows["cell"]], dropna=False).transform("any")
    anchors: pd.Series = none & searched & (search_number(rows) == 0)
    return anchors


def _candidates(trials: pd.DataFrame, rule: str) -> pd.DataFrame:
    rows = trials.assign(facet=facets(trials))
    return with_values(rows, rule)


def with_values(trials: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Select a rule's candidates, a row each, with ``validation``, ``validation_se`` and ``n_search_seeds``.

    Args:
        trials: Trial rows.
        rule: The selection rule.

    Returns:
        The rows of the candidates that have a value.

    Example:
        >>> rows = {"phase": "search", "status": ["completed", "pruned"], "search_rule": None, "seed_number": 0}
        >>> with_values(pd.DataFrame({**rows, "val_biased": [0.9, 0.5]}), "val_biased")["validation"].tolist()
        [0.9]
    """
    candidates = valued(trials, rule)
    rows = trials.assign(validation=candidates.value, validation_se=candidates.error, n_search_seeds=candidates.seeds)
    return rows[candidates.counts].dropna(subset=["validation"])

"""Candidates of a search: one trial each, or the mean over several search seeds with its standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from store.rules import Ended, mean, values_of

Floats = NDArray[np.float64]
SEARCH_SEEDS = "search_seeds"
"""Column that ``load`` adds: search seeds planned for each candidate of the row's cell."""


@dataclass(frozen=True)
class Candidates:
    """Values of a rule's candidates.

    A candidate of several seeds stands in the row of its first seed.

    Attributes:
        counts: ``[N]``, True for the row of a candidate.
        value: ``[N]``, mean of what the rule maximises over the seeds that completed; missing in other rows.
        error: ``[N]``, its standard error, sd / sqrt(seeds); missing where one seed completed.
        seeds: ``[N]``, seeds that completed.
    """

    counts: NDArray[np.bool_]
    value: Floats
    error: Floats
    seeds: NDArray[np.int64]


def search_number(trials: pd.DataFrame) -> NDArray[np.int64]:
    """Read the number of each search trial's candidate.

    Args:
        trials: Trial rows, N of them, with ``search_number``.

    Returns:
        ``[N]``, int64; -1 where there is none.

    Example:
        >>> search_number(pd.DataFrame({"search_number": [0, 3, None]})).tolist()
        [0, 3, -1]
    """
    numbers = pd.to_numeric(trials["search_number"]).astype(float).fillna(-1)
    return np.asarray(numbers).astype(np.int64)


def seed_number(trials: pd.DataFrame) -> NDArray[np.int64]:
    """Read the index of each trial's seed.

    Args:
        trials: Trial rows, N of them, with ``seed_number``.

    Returns:
        ``[N]``, int64; 0 where it is not known.

    Example:
        >>> seed_number(pd.DataFrame({"seed_number": [1, None]})).tolist()
        [1, 0]
    """
    numbers = pd.to_numeric(trials["seed_number"]).astype(float).fillna(0)
    return np.asarray(numbers).astype(np.int64)


def several_seeds(trials: pd.DataFrame) -> bool:
    """True where some candidate of the search was trained with several seeds.

    Args:
        trials: Trial rows with ``phase`` and ``seed_number``.

    Returns:
        The answer.

    Example:
        >>> several_seeds(pd.DataFrame({"phase": ["search"] * 2, "seed_number": [0, 1]}))
        True
    """
    if SEARCH_SEEDS in trials and not (trials[SEARCH_SEEDS] > 1).any():
        return False
    return bool((seed_number(trials)[(trials["phase"] == "search").to_numpy(dtype=bool)] > 0).any())


def averaged(trials: pd.DataFrame, completed: NDArray[np.bool_], value: Floats) -> Candidates:
    """Make candidates from the values of their trials (``store.rules.values_of``).

    Args:
        trials: Trial rows.
        completed: ``[N]``, the completed search trials of the rule.
        value: ``[N]``, what the rule maximises; missing where the trial has none.

    Returns:
        The candidates, a row for each trial.

    Example:
        >>> trials = pd.DataFrame({"phase": "search", "cell": "c", "search_number": [0, 0], "seed_number": [0, 1]})
        >>> candidates = averaged(trials, np.array([True, True]), np.array([0.7, 0.9]))  # two seeds of one candidate
        >>> candidates.counts.tolist(), candidates.value.round(2).tolist(), candidates.seeds.tolist()
        ([True, False], [0.8, nan], [2, 0])
    """
    if not several_seeds(trials):
        return Candidates(completed, value, np.full(len(trials), math.nan), completed.astype(np.int64))
    search = np.flatnonzero((trials["phase"] == "search").to_numpy(dtype=bool))
    keys = [name for name in ("sweep", "cell", "repeat", "search_rule", "search_number") if name in trials]
    searched = trials.iloc[search]
    group = searched.groupby(keys, dropna=False, sort=False).ngroup().to_numpy()
    seed = seed_number(searched)
    # Rows that ``load`` did not return lack the number planned: the largest index of the cell stands for it.
    planned = pd.Series(seed).groupby(searched["cell"].to_numpy()).transform("max").to_numpy() + 1
    if SEARCH_SEEDS in searched:
        planned = searched[SEARCH_SEEDS].to_numpy(dtype=np.int64)
    counts = np.zeros(len(trials), dtype=bool)
    centre, error = np.full(len(trials), math.nan), np.full(len(trials), math.nan)
    seeds = np.zeros(len(trials), dtype=np.int64)
    order = np.argsort(group, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        trials_of = [Ended(int(seed[i]), bool(completed[search[i]]), float(value[search[i]])) for i in places]
        values = values_of(trials_of, int(planned[places].max()))
        for row in (search[i] for i in places if values and seed[i] == 0):
            counts[row], seeds[row] = True, len(values)
            centre[row], error[row] = mean(values), standard_error(values)
    return Candidates(counts, centre, error, seeds)


def standard_error(values: Sequence[float]) -> float:
    """Compute the standard error of a mean, standard deviation / sqrt(number).

    Args:
        values: One value for each seed.

    Returns:
        The standard error; NaN of fewer than two values.

    Example:
        >>> round(standard_error([0.7, 0.8, 0.9]), 4)
        0.0577
    """
    if len(values) < 2:
        return math.nan
    # statistics.stdev computes with fractions, which takes a hundred times as long.
    centre = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1) / len(values))

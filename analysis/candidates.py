"""Candidates of a search: one trial each, or the mean over several search seeds with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SEARCH_SEEDS = "search_seeds"
"""Column that ``load`` adds: search seeds planned for each candidate of the row's cell."""
_SEED = r"-\d+\.s(\d+)$"
_NUMBER = r"(\d+)(?:\.s\d+)?$"


@dataclass(frozen=True)
class Candidates:
    """Values of a rule's candidates; a candidate of several seeds stands in the row of its first seed.

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


def search_number(trial_id: pd.Series) -> pd.Series:
    """The number of a search trial's candidate, in which its identifier ends; -1 where there is none."""
    return trial_id.str.extract(_NUMBER, expand=False).fillna("-1").astype("int64")


def seed_index(trial_id: pd.Series) -> pd.Series:
    """The index of a search trial's seed; 0 where its identifier names none."""
    if not trial_id.str.contains(".s", regex=False).any():
        return pd.Series(0, index=trial_id.index, dtype="int64")
    return trial_id.str.extract(_SEED, expand=False).fillna("0").astype("int64")


def several_seeds(trials: pd.DataFrame) -> bool:
    """Tell if some search trial is one of several of its candidate."""
    if SEARCH_SEEDS in trials and not (trials[SEARCH_SEEDS] > 1).any():
        return False
    return bool((seed_index(trials.loc[trials["phase"] == "search", "trial_id"]) > 0).any())


def averaged(trials: pd.DataFrame, own: pd.Series | None, completed: NDArray[np.bool_], value: Floats) -> Candidates:
    """Candidates from the values of their trials.

    A candidate counts once all its planned seeds have ended, if its first one completed.

    Args:
        trials: Trial rows.
        own: The rule whose own search each row belongs to, or None.
        completed: ``[N]``, the completed search trials of the rule.
        value: ``[N]``, what the rule maximises.
    """
    if not several_seeds(trials):
        return Candidates(completed, value, np.full(len(trials), math.nan), completed.astype(np.int64))
    search = (trials["phase"] == "search").to_numpy(dtype=bool)
    index = seed_index(trials["trial_id"]).to_numpy()
    keys = trials[["cell", "repeat"]].assign(number=search_number(trials["trial_id"]), own="" if own is None else own)
    if "sweep" in trials:
        keys = keys.assign(sweep=trials["sweep"])
    group = keys[search].groupby(list(keys), dropna=False, sort=False).ngroup().to_numpy()
    known = pd.DataFrame(
        {"group": group, "value": np.where(completed, value, math.nan)[search], "ended": 1, "first": index[search] == 0}
    )
    cells = pd.Series(index, index=trials.index)[search].groupby(trials.loc[search, "cell"]).transform("max") + 1
    planned = trials.loc[search, SEARCH_SEEDS] if SEARCH_SEEDS in trials else cells
    of_group = known.groupby("group")
    ended = of_group["ended"].transform("sum").to_numpy() >= planned.to_numpy(dtype=float)
    counts, mean, error = (
        np.zeros(len(trials), dtype=bool),
        np.full(len(trials), math.nan),
        np.full(len(trials), math.nan),
    )
    seeds = np.zeros(len(trials), dtype=np.int64)
    counts[search] = completed[search] & known["first"].to_numpy() & ended
    mean[search] = of_group["value"].transform("mean")
    error[search] = of_group["value"].transform("sem")
    seeds[search] = of_group["value"].transform("count")
    nothing = ~counts
    mean[nothing], error[nothing], seeds[nothing] = math.nan, math.nan, 0
    return Candidates(counts, mean, error, seeds)

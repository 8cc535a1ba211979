"""The configuration that each selection rule chose, derived from the search rows and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.candidates import SEARCH_SEEDS, Candidates, averaged, search_number, seed_number
from analysis.likes import chosen_text, followers
from store.rules import RULES, STANDARD_ERRORS, best
from store.rules import objective as objective_of_row
from store.rules import rule_name as rule_name  # under this name notebooks import it
from store.sheet.sheet import Like


def objective(trials: pd.DataFrame, rule: str) -> pd.Series:
    """Compute the value that a rule maximises, one a row (``store.rules.objective``).

    Args:
        trials: Trial rows.
        rule: A selection rule.

    Returns:
        The values; missing where the rule's column is null.

    Example:
        >>> trials = pd.DataFrame({"val_reweighted": [0.8, 0.7], "val_reweighted_se": [0.05, 0.02]})
        >>> objective(trials, "val_reweighted").round(2).tolist()  # less one standard error
        [0.75, 0.68]
        >>> objective(trials, "val_biased").tolist()  # no such column
        [nan, nan]
    """
    if rule not in trials:
        return pd.Series(np.nan, index=trials.index, dtype=float)
    value = pd.to_numeric(trials[rule], errors="coerce").astype(float)
    error = STANDARD_ERRORS.get(rule, "")
    if error not in trials:
        return value
    errors = pd.to_numeric(trials[error], errors="coerce").astype(float)
    pairs = zip(value.tolist(), errors.tolist(), strict=True)
    return pd.Series([objective_of_row(rule, {rule: v, error: e}) for v, e in pairs], index=trials.index, dtype=float)


def candidates_of(trials: pd.DataFrame, rule: str) -> NDArray[np.bool_]:
    """Find the rows that a rule chooses from: completed search trials, of its own search where it has one.

    Args:
        trials: Trial rows.
        rule: A selection rule.

    Returns:
        ``[N]``, True for its candidates; for one of several search seeds in the row of its first seed.

    Example:
        >>> rows = {"phase": "search", "status": ["completed", "pruned"], "search_rule": None, "seed_number": 0}
        >>> candidates_of(pd.DataFrame({**rows, "val_biased": 0.9}), "val_biased").tolist()
        [True, False]
    """
    return valued(trials, rule).counts


def valued(trials: pd.DataFrame, rule: str, column: str | None = None) -> Candidates:
    """Find the candidates of a rule with their values.

    Args:
        trials: Trial rows.
        rule: A selection rule.
        column: Column to average in place of what the rule maximises.

    Returns:
        The candidates, a row for each trial.

    Example:
        >>> rows = {"phase": "search", "status": ["completed", "pruned"], "search_rule": None, "seed_number": 0}
        >>> candidates = valued(pd.DataFrame({**rows, "val_biased": [0.9, 0.5]}), "val_biased")
        >>> candidates.value[candidates.counts].tolist()
        [0.9]
    """
    value = objective(trials, rule) if column is None else pd.to_numeric(trials[column], errors="coerce")
    return averaged(trials, _counting(trials, rule), value.to_numpy(dtype=float, na_value=np.nan))


def picks(trials: pd.DataFrame, rules: Sequence[str] = RULES) -> pd.DataFrame:
    """Pick the configuration that each rule chose in each cell and repeat.

    Only completed search trials with a value of the rule count, of its own search where it has one
    (``search.per_rule``). The highest value wins, of several search seeds their mean; ties go to the lower number.

    Args:
        trials: Trial rows of one sweep.
        rules: The rules.

    Returns:
        One row per (cell, repeat, rule): the chosen search row's columns, ``rule``, ``rank_value`` (what the rule
        maximised) and ``configuration`` (canonical JSON of the hyperparameters).

    Example:
        >>> row = {"phase": "search", "status": "completed", "search_rule": None, "cell": "c", "repeat": 0}
        >>> two = {"search_number": [0, 1], "seed_number": 0, "hyperparameters": ['{"mu": 0.1}', '{"mu": 1.0}']}
        >>> trials = pd.DataFrame({**row, **two, "val_biased": [0.8, 0.9]})
        >>> picks(trials, ["val_biased"])[["configuration", "rank_value"]].values.tolist()
        [['{"mu": 1.0}', 0.9]]
    """
    group = _places(trials)
    chosen = [
        trials.iloc[rows].assign(rule=rule, rank_value=value) for rule, rows, value in _chosen(trials, rules, group)
    ]
    picked = pd.concat(chosen, ignore_index=True)
    configurations = _canonical(picked["hyperparameters"].tolist())
    return picked.assign(configuration=pd.Series(configurations, index=picked.index, dtype=object))


def _chosen(
    trials: pd.DataFrame, rules: Sequence[str], group: NDArray[np.int64], beyond: NDArray[np.bool_] | None = None
) -> list[tuple[str, NDArray[np.int64], NDArray[np.float64]]]:
    """Positions and values of the rows each rule chose in each group, the highest first."""
    numbers = search_number(trials)
    chosen = []
    for rule in rules:
        counts = _counting(trials, rule)
        if beyond is not None:
            counts = counts & ~beyond
        averages = averaged(trials, counts, objective(trials, rule).to_numpy(dtype=float))
        candidates = np.flatnonzero(averages.counts)
        candidates = candidates[np.argsort(group[candidates], kind="stable")]
        firsts = []
        for rows in np.split(candidates, np.flatnonzero(np.diff(group[candidates])) + 1):
            position = best(numbers[rows].tolist(), averages.value[rows].tolist())
            firsts += [] if position is None else [rows[position]]
        rows = np.array(firsts, dtype=np.int64)
        # The last key counts first: the highest value, and of equal ones the lower number.
        rows = rows[np.lexsort((numbers[rows], -averages.value[rows]))]
        chosen.append((rule, rows, averages.value[rows]))
    return chosen


def _counting(trials: pd.DataFrame, rule: str) -> NDArray[np.bool_]:
    done = ((trials["phase"] == "search") & (trials["status"] == "completed")).to_numpy(dtype=bool)
    search_rule = trials["search_rule"]
    return done & (search_rule.isna() | (search_rule == rule)).to_numpy(dtype=bool)


def _places(trials: pd.DataFrame) -> NDArray[np.int64]:
    """Number the (cell, repeat) of each row."""
    return np.asarray(trials.groupby(["cell", "repeat"], dropna=False, sort=False).ngroup(), dtype=np.int64)


def _beyond(trials: pd.DataFrame, planned: Mapping[str, int]) -> NDArray[np.bool_]:
    """Mark the search trials that the sweep no longer counts.

    It was resumed with fewer of them.
    """
    search = (trials["phase"] == "search").to_numpy(dtype=bool)
    limit = trials["cell"].map(planned).to_numpy(dtype=float)
    beyond = np.zeros(len(trials), dtype=bool)
    # Where the plan is unknown every trial counts.
    beyond[search] = search_number(trials)[search] >= limit[search]
    if SEARCH_SEEDS in trials:
        beyond[search] |= seed_number(trials)[search] >= trials.loc[search, SEARCH_SEEDS].to_numpy(dtype=float)
    return beyond


def mark(
    trials: pd.DataFrame,
    rules: Sequence[str] = RULES,
    planned: Mapping[str, int] | None = None,
    likes: Mapping[str, Like] | None = None,
) -> pd.DataFrame:
    """Add ``rules`` (tuple of the rules that chose the row's configuration) and ``superseded``.

    Args:
        trials: Trial rows of one sweep.
        rules: The rules of the sweep, the headline rule first.
        planned: Search trials of each cell, by its identifier; None = all count.
        likes: Cells without a search of their own, by identifier: a rule chose there what it chose in their source.

    Returns:
        The rows with the two columns; superseded are a confirm row whose configuration no rule chooses (any more) and a
        search row whose number is not planned (any more), which no rule chooses from.

    Example:
        >>> row = {"status": "completed", "search_rule": None, "cell": "c", "repeat": 0, "seed_number": 0}
        >>> trials = pd.DataFrame({**row, "phase": ["search", "search", "confirm"], "search_number": [0, 1, None]})
        >>> texts = ['{"mu": 0.1}', '{"mu": 1.0}', '{"mu": 0.1}']  # the confirm row is of the one that is not chosen
        >>> rows = mark(trials.assign(val_biased=[0.8, 0.9, None], hyperparameters=texts), ["val_biased"])
        >>> rows[["rules", "superseded"]].values.tolist()
        [[(), False], [('val_biased',), False], [(), True]]
    """
    group = _places(trials)
    beyond = _beyond(trials, planned or {})
    cell_numbers = _places(trials[["cell", "repeat"]].fillna({"repeat": 0})) if trials["repeat"].isna().any() else group
    text, known = trials["hyperparameters"], dict[object, str]()
    choosers: dict[tuple[int, str], tuple[str, ...]] = {}
    texts: set[object] = set()
    following = followers(likes or {}, trials, cell_numbers.tolist())
    for rule, rows, _ in _chosen(trials, rules, group, beyond):
        picked = text.iloc[rows].tolist()
        texts.update(picked)
        keys = list(zip(cell_numbers[rows].tolist(), _canonical(picked, known), strict=True))
        for row, chosen in zip(rows.tolist() if following else (), picked, strict=False):
            cell, repeat = trials["cell"].iloc[row], trials["repeat"].iloc[row]
            controls = following.get((cell, 0 if pd.isna(repeat) else int(repeat)), ())
            keys += [(number, chosen_text(like, str(chosen))) for number, like in controls]
        for key in keys:
            earlier = choosers.get(key, ())
            choosers[key] = earlier if rule in earlier else (*earlier, rule)
    confirm = (trials["phase"] == "confirm").to_numpy(dtype=bool)
    # Parsing the JSON of every search row is most of the time of loading: only those whose text was chosen matter.
    compared = np.flatnonzero(confirm | (text.isin(texts).to_numpy(dtype=bool) & ~beyond))
    rules_of = np.empty(len(trials), dtype=object)
    # An empty tuple in each place: assigned to a slice, it would be taken for an empty array.
    rules_of.fill(())
    any_rule = np.zeros(len(trials), dtype=bool)
    row_keys = zip(cell_numbers[compared].tolist(), _canonical(text.iloc[compared].tolist(), known), strict=True)
    for row, key in zip(compared.tolist(), row_keys, strict=True):
        if key in choosers:
            rules_of[row], any_rule[row] = choosers[key], True
    return trials.assign(rules=pd.Series(rules_of, index=trials.index), superseded=(confirm & ~any_rule) | beyond)


def _canonical(texts: Sequence[object], known: dict[object, str] | None = None) -> list[str]:
    """Hyperparameters as JSON with sorted keys: equal configurations have equal text."""
    known = {} if known is None else known
    for text in texts:
        if text not in known:
            known[text] = _sorted_json(text)
    return [known[text] for text in texts]


def _sorted_json(text: object) -> str:
    try:
        return json.dumps(json.loads(str(text)), sort_keys=True)
    except ValueError:
        return str(text)

"""Which configuration each selection rule chose, derived from the search rows and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

RULES: tuple[str, ...] = ("val_counterfactual", "val_reweighted", "val_biased", "val_unbiased")
ORACLE = "val_unbiased"

_OWN_RULE = r"-r\d+\.(val_[a-z]+)-\d+$"
"""What the identifier of a search trial says of the rule whose own search it belongs to."""

_RULE_NAMES = {
    "val_counterfactual": "counterfactual validation",
    "val_reweighted": "re-weighted validation",
    "val_biased": "biased validation",
    ORACLE: "oracle",
}


def rule_name(rule: str) -> str:
    """Name of a selection rule in figures; the one that needs unbiased validation data is called oracle."""
    return _RULE_NAMES.get(rule, rule)


def objective(trials: pd.DataFrame, rule: str) -> pd.Series:
    """What a rule maximises, one value a row.

    ``val_reweighted`` counts its estimate minus one standard error: with few images in a rare group the highest
    estimate is mostly the luckiest.

    Args:
        trials: Trial rows.
        rule: A selection rule.

    Returns:
        The values; missing where the rule's column is null.
    """
    if rule not in trials:
        return pd.Series(np.nan, index=trials.index, dtype=float)
    value = pd.to_numeric(trials[rule], errors="coerce").astype(float)
    if rule == "val_reweighted" and "val_reweighted_se" in trials:
        value = value - pd.to_numeric(trials["val_reweighted_se"], errors="coerce").astype(float).fillna(0.0)
    return value


def search_number(trial_id: pd.Series) -> pd.Series:
    """The number that a search trial's identifier ends in; -1 where there is none."""
    return trial_id.str.extract(r"(\d+)$", expand=False).fillna("-1").astype("int64")


def picks(trials: pd.DataFrame, rules: Sequence[str] = RULES) -> pd.DataFrame:
    """The configuration each rule chose in each cell and repeat.

    Only completed search trials with a value of the rule count, of its own search where it has one
    (``search.per_rule``); the highest value wins, ties go to the lower search number.

    Args:
        trials: Trial rows of one sweep.
        rules: The rules.

    Returns:
        One row per (cell, repeat, rule): the chosen search row's columns, ``rule``, ``rank_value`` (what the rule
        maximised) and ``configuration`` (canonical JSON of the hyperparameters).
    """
    candidates = ((trials["phase"] == "search") & (trials["status"] == "completed")).to_numpy(dtype=bool)
    own = _own_rules(trials["trial_id"])
    group = trials.groupby(["cell", "repeat"], dropna=False, sort=False).ngroup().to_numpy()
    chosen = []
    for rule in rules:
        counts = candidates if own is None else candidates & (own.isna() | (own == rule)).to_numpy(dtype=bool)
        value = np.where(counts, objective(trials, rule).to_numpy(dtype=float), np.nan)
        # The highest of each cell first: only ties need their numbers read.
        best = np.full(group.max(initial=-1) + 1, -np.inf)
        np.fmax.at(best, group, value)
        highest = value == best[group]
        ranked: pd.DataFrame = trials[highest]
        ranked = ranked.assign(rule=rule, rank_value=value[highest], _number=search_number(ranked["trial_id"]))
        ranked = ranked.sort_values(["rank_value", "_number"], ascending=[False, True], kind="stable")
        chosen.append(ranked.drop_duplicates(["cell", "repeat"], keep="first"))
    found = pd.concat(chosen, ignore_index=True).drop(columns="_number")
    return found.assign(configuration=_canonical(found))


def _own_rules(trial_id: pd.Series) -> pd.Series | None:
    if trial_id.str.contains(".val_", regex=False).any():
        return trial_id.str.extract(_OWN_RULE, expand=False)
    return None


def mark(trials: pd.DataFrame, rules: Sequence[str] = RULES) -> pd.DataFrame:
    """Add ``rules`` (tuple of the rules that chose the row's configuration) and ``superseded``.

    Args:
        trials: Trial rows of one sweep.
        rules: The rules of the sweep, the headline rule first.

    Returns:
        The rows with the two columns; a confirm row whose configuration no rule chooses (any more) is superseded.
    """
    # Of a hundred columns these decide.
    needed = ("cell", "repeat", "phase", "status", "trial_id", "hyperparameters", "val_reweighted_se", *rules)
    chosen = picks(trials[[name for name in needed if name in trials]], rules)
    choosers: dict[tuple[str, int, str], tuple[str, ...]] = {}
    for cell, repeat, configuration, rule in zip(
        chosen["cell"], _repeat(chosen), chosen["configuration"], chosen["rule"], strict=True
    ):
        known = choosers.get((cell, repeat, configuration), ())
        choosers[cell, repeat, configuration] = known if rule in known else (*known, rule)
    confirm = (trials["phase"] == "confirm").to_numpy()
    # Parsing the JSON of every search row is most of the time of loading: only those whose text was chosen matter.
    compared = confirm | trials["hyperparameters"].isin(chosen["hyperparameters"]).to_numpy(dtype=bool)
    those = trials.loc[compared, ["cell", "repeat", "hyperparameters"]]
    found: list[tuple[str, ...]] = [()] * len(trials)
    keys = zip(those["cell"], _repeat(those), _canonical(those), strict=True)
    for i, key in zip(np.flatnonzero(compared), keys, strict=True):
        found[i] = choosers.get(key, ())
    none = np.fromiter((not rules_of for rules_of in found), dtype=bool, count=len(found))
    rules_of_rows = np.fromiter(found, dtype=object, count=len(found))
    return trials.assign(rules=pd.Series(rules_of_rows, index=trials.index), superseded=confirm & none)


def _repeat(trials: pd.DataFrame) -> list[int]:
    return [int(repeat) for repeat in trials["repeat"].fillna(0)]


def _canonical(trials: pd.DataFrame) -> pd.Series:
    """Hyperparameters as JSON with sorted keys: equal configurations have equal text."""
    text = trials["hyperparameters"].astype(object)
    return text.map({value: _sorted_json(value) for value in text.unique()}).astype(object)


def _sorted_json(text: object) -> str:
    try:
        return json.dumps(json.loads(str(text)), sort_keys=True)
    except ValueError:
        return str(text)

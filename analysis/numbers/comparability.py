"""Properties that several sweeps share: only over the same test images, split, network and rule do curves compare."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

_UNKNOWN = "not recorded"
PROPERTIES = ("test images", "split", "data", "network", "metric", "headline rule", "confirm seeds")


def shared_properties(
    trials: pd.DataFrame, splits: Mapping[str, pd.DataFrame], predictions: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Compare several sweeps property by property.

    Args:
        trials: What ``analysis.load`` returned of several folders.
        splits: What ``analysis.load_splits`` returned of each, by the sweep's name.
        predictions: Predictions of all, with the trials' identifiers: name the test images where splits are missing.

    Returns:
        One row per property of ``PROPERTIES``, one column per sweep in words (equal words = shared), and ``shared by``:
        "all", the groups that share it ("a and b; c and d"), or "none".

    Example:
        >>> import analysis
        >>> once = analysis.example().assign(sweep="one")
        >>> both = pd.concat([once, once.assign(sweep="other", network="resnet18")])
        >>> analysis.shared_properties(both, {})["shared by"].loc[["data", "network"]].to_dict()
        {'data': 'all', 'network': 'none'}
    """
    columns: dict[str, list[str]] = {}
    sets: dict[tuple[str, int], str] = {}
    for sweep, rows in trials.groupby("sweep", sort=False):
        split = splits.get(str(sweep), pd.DataFrame())
        columns[str(sweep)] = [
            _test_images(rows, split, predictions, sets),
            _split(split, sets),
            _words(rows["data_checksum"].str.slice(0, 12)),
            _words(rows["network"]),
            _words(rows["metric"]),
            _words(rows["headline_rule"]),
            _seeds(rows, sets),
        ]
    table = pd.DataFrame(columns, index=list(PROPERTIES))
    table.insert(len(columns), "shared by", [_groups(row) for _, row in table.iterrows()])
    return table


def _test_images(
    rows: pd.DataFrame, split: pd.DataFrame, predictions: pd.DataFrame | None, sets: dict[tuple[str, int], str]
) -> str:
    if len(split):
        images = split.loc[split["split"] == "test", "image"].drop_duplicates()
    elif predictions is not None and len(predictions):
        tested = predictions[predictions["trial_id"].isin(set(rows["trial_id"]))]
        images = tested["image"].drop_duplicates()
    else:
        images = pd.Series(dtype=object)
    return _named(images, "images", sets) if len(images) else _UNKNOWN


def _split(split: pd.DataFrame, sets: dict[tuple[str, int], str]) -> str:
    if split.empty:
        return _UNKNOWN
    keys = split["fold"].fillna(-1).astype(int).astype(str) + "/" + split["image"] + "/" + split["split"]
    return _named(keys.drop_duplicates(), "assignments", sets)


def _seeds(rows: pd.DataFrame, sets: dict[tuple[str, int], str]) -> str:
    seeds = rows.loc[rows["phase"] == "confirm", "seed"].dropna().drop_duplicates()
    return _named(seeds.astype("int64").astype(str), "seeds", sets) if len(seeds) else _UNKNOWN


def _named(values: pd.Series, noun: str, sets: dict[tuple[str, int], str]) -> str:
    """Size of a set and a letter: the same letter for the same set."""
    # A sum does not depend on the order of the rows, which differs between sweeps.
    digest = int(pd.util.hash_pandas_object(values.astype(str), index=False).sum())
    letters = [letter for (kind, _), letter in sets.items() if kind == noun]
    letter = sets.setdefault((noun, digest), chr(ord("A") + len(letters) % 26))
    return f"{len(values):,} {noun} (set {letter})"


def _words(values: pd.Series) -> str:
    return ", ".join(sorted({str(value) for value in values.dropna()})) or _UNKNOWN


def _groups(row: pd.Series) -> str:
    by_value: dict[str, list[str]] = {}
    for sweep, value in row.items():
        if value != _UNKNOWN:
            by_value.setdefault(str(value), []).append(str(sweep))
    groups = [names for names in by_value.values() if len(names) > 1]
    if not groups:
        return "none"
    return "all" if len(groups[0]) == len(row) else "; ".join(" and ".join(names) for names in groups)

"""Predictions of several test variants combined: groups of (class, bias) for the worst one, pairs for the flips.

Each data set declares of which variants its groups and pairs are made, and rows do not say so: they are found as the
ones that give every trial its stored ``test_worst_group_accuracy`` and ``flip_rate``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from store.sheet.external import PREFIX

WORST_GROUP, FLIPS = "worst group", "flips"
"""Kinds of several variants together: they stand in ``variant``, and name the column that is added.

That column holds the group of an image, and its prediction in the other variant.
"""
# Enough trials to tell the ways apart: each way is tried on all their predictions.
_MOST_TRIALS = 40
# Two means of the same images differ by rounding alone.
_EXACT = 1e-9


def laid_together(kind: str, predictions: pd.DataFrame, stored: pd.Series) -> pd.DataFrame | None:
    """Select the predictions that a worst group, or the flips, can be counted from.

    Args:
        kind: ``WORST_GROUP`` or ``FLIPS``.
        predictions: Those of one sweep, all variants.
        stored: The trials' own figures, by trial identifier.

    Returns:
        The rows of the variants in question with ``variant`` = the kind and a column of that name; None where no
        variants give the stored figures, as where the pair holds one that is not stored.

    Example:
        >>> same = {"trial_id": "t", "variant": "independent", "label": 0, "attribute": [0, 0, 1, 1]}
        >>> predictions = pd.DataFrame({**same, "predicted": [0, 0, 0, 1]})  # right: all of attribute 0, half of 1
        >>> rows = laid_together(WORST_GROUP, predictions, pd.Series({"t": 0.5}))
        >>> rows[WORST_GROUP].tolist()
        [0, 0, 1, 1]
    """
    # An external test set has groups and pairs of its own, of which no trial's figure is.
    predictions = predictions[~predictions["variant"].astype(str).str.startswith(PREFIX)]
    known = stored.dropna()
    known = known[~known.index.duplicated()]
    known = known[known.index.isin(predictions["trial_id"].unique())].iloc[:_MOST_TRIALS]
    if known.empty:
        return None
    few = predictions[predictions["trial_id"].isin(known.index)]
    return _grouped(predictions, few, known) if kind == WORST_GROUP else _paired(predictions, few, known)


def _grouped(predictions: pd.DataFrame, few: pd.DataFrame, stored: pd.Series) -> pd.DataFrame | None:
    variants = sorted(few["variant"].unique())
    for by, chosen in _ways(variants):
        rows = few[few["variant"].isin(chosen)]
        right = (rows["predicted"] == rows["label"]).groupby([rows["trial_id"], rows["label"], rows[by]]).mean()
        if _agree(right.groupby("trial_id").min(), stored):
            rows = predictions[predictions["variant"].isin(chosen)]
            codes, names = pd.factorize(rows[by], sort=True)
            group = rows["label"].to_numpy(dtype=np.int64) * len(names) + codes
            # Weights make the bias independent of the class, and are the same for all images of such a group.
            rows = rows.assign(variant=WORST_GROUP, weight=np.nan)
            rows[WORST_GROUP] = group
            return rows
    return None


def _ways(variants: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """List the ways to make groups, those of this package's data sets first.

    Of several ways that agree with the stored figures the first one counts.
    """
    first = [("attribute", ("independent",)), ("variant", ("aligned", "conflicting"))]
    subsets = [s for n in range(1, len(variants) + 1) for s in itertools.combinations(variants, n)]
    every = [(by, subset) for subset in subsets for by in ("attribute", "variant")]
    return [way for way in dict.fromkeys([*first, *every]) if set(way[1]) <= set(variants)]


def _paired(predictions: pd.DataFrame, few: pd.DataFrame, stored: pd.Series) -> pd.DataFrame | None:
    variants = sorted(few["variant"].unique())
    pairs = list(itertools.combinations(variants, 2))
    for pair in sorted(pairs, key=lambda pair: pair != ("aligned", "conflicting")):
        rows = _beside(few, pair)
        flips = (rows["predicted"] != rows[FLIPS]).groupby(rows["trial_id"]).mean()
        if len(rows) and _agree(flips, stored):
            return _beside(predictions, pair)
    return None


def _beside(predictions: pd.DataFrame, pair: tuple[str, str]) -> pd.DataFrame:
    one, other = (predictions[predictions["variant"] == variant] for variant in pair)
    beside = other[["trial_id", "image", "predicted"]].rename(columns={"predicted": FLIPS})
    return one.assign(variant=FLIPS).merge(beside, on=["trial_id", "image"], validate="one_to_one")


def _agree(counted: pd.Series, stored: pd.Series) -> bool:
    gap = counted.reindex(stored.index).to_numpy(dtype=float) - stored.to_numpy(dtype=float)
    return bool((np.abs(gap) < _EXACT).all())

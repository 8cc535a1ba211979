"""Who is misdiagnosed: confusion of the classes at every bias strength, from the predictions of the confirm trials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.captions import confusion_words
from analysis.errors import InputError
from analysis.replicates import facets
from analysis.selection import RULES
from analysis.several import told_apart
from analysis.statistics import t_quantile

_LINE = ["sweep", "dataset", "network", "rule", "method", "label", "facet", "bias_axis", "bias_value", "bias_strength"]
_COLUMNS = [
    *_LINE, "variant", "true", "predicted", "share", "low", "high", "band", "n_seeds", "n_planned", "n_images",
    "caption",
]  # fmt: skip


def confusion_by_strength(
    trials: pd.DataFrame, predictions: pd.DataFrame, rule: str | None = None, variant: str = "unbiased"
) -> pd.DataFrame:
    """Which class is taken for which, at every bias value: shares of each true class, means over seeds.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned.
        rule: Selection rule to keep; default: all.
        variant: Test variant: ``unbiased``, ``aligned``, ``independent`` or ``conflicting``.

    Returns:
        One row per (line, bias value, true class, predicted class), weak bias first: ``share`` of the true class's
        images, ``low`` and ``high`` (Student's t over seeds, clipped to [0, 1]; missing for one seed), ``band``
        ("seeds only" or "none"), ``n_seeds`` of ``n_planned``, ``n_images`` (test images of the true class, folds
        pooled), ``caption``. Classes are numbers, in the order of the data set's class names.

    Raises:
        InputError: No prediction of that variant.
    """
    trials, predictions = told_apart(trials, predictions)
    shown = predictions[predictions["variant"] == variant]
    if shown.empty:
        raise InputError(f"a confusion matrix needs predictions, but there are none of '{variant}': finish the sweep")
    counts, index = _counts(shown)
    rows = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed") & ~trials["superseded"]]
    rows = rows.assign(facet=facets(trials).reindex(rows.index), rule=rows["rules"]).explode("rule")
    rows = rows[rows["trial_id"].isin(index.keys()) & rows["rule"].notna()]
    if rule is not None:
        rows = rows[rows["rule"] == rule]
    # Of several sweeps one may have more classes than another.
    classes: dict[object, int] = {
        sweep: _n_classes(counts[[index[t] for t in own["trial_id"]]])
        for sweep, own in rows.groupby("sweep", sort=False)
    }
    found = []
    for key, group in rows.groupby(_LINE, dropna=False, sort=False):
        cells = group["cell"].nunique()
        by_seed = [own for _, own in group.groupby("seed") if own["cell"].nunique() == cells]
        if by_seed:
            # Folds are parts of one test set: their counts are added before shares are taken.
            pooled = np.stack([counts[[index[t] for t in own["trial_id"]]].sum(axis=0) for own in by_seed])
            n, planned = classes[key[0]], group["seeds_planned"].max()
            shares = _rows(dict(zip(_LINE, key, strict=True)), pooled[:, :n, :n], variant)
            found.append(shares.assign(n_planned=len(by_seed) if planned != planned else int(planned)))
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=_COLUMNS)
    ranks = {known: i for i, known in enumerate(RULES)}
    table = table.assign(rank=table["rule"].map(lambda name: ranks.get(str(name), len(ranks))))
    table["caption"] = [confusion_words(row) for row in table.to_dict("records")]
    order = ["sweep", "rank", "facet", "label", "bias_strength", "bias_value"]
    return table.sort_values(order, kind="stable", ignore_index=True)[_COLUMNS]


def worst_mistakes(confusion: pd.DataFrame, classes: Sequence[str] = ()) -> pd.DataFrame:
    """The most frequent mistake of each line at each bias value, with the classes' names.

    Args:
        confusion: What ``confusion_by_strength`` returned.
        classes: Names of the classes; default: their numbers.

    Returns:
        The rows of those mistakes with ``true`` and ``predicted`` as text.
    """
    wrong = confusion[confusion["true"] != confusion["predicted"]]
    worst = wrong.sort_values("share", ascending=False, kind="stable").drop_duplicates(_LINE).sort_index()
    names = dict(enumerate(classes))
    return worst.assign(
        **{side: worst[side].map(lambda c: str(names.get(int(c), int(c)))) for side in ("true", "predicted")}
    )


def _counts(predictions: pd.DataFrame) -> tuple[NDArray[np.float64], dict[str, int]]:
    """Images by trial, true and predicted class, ``[T, C, C]``, and each trial's place."""
    codes, ids = pd.factorize(predictions["trial_id"])
    true = predictions["label"].to_numpy(dtype=np.int64)
    said = predictions["predicted"].to_numpy(dtype=np.int64)
    n = int(max(true.max(), said.max())) + 1
    cell = (codes.astype(np.int64) * n + true) * n + said
    counts = np.bincount(cell, minlength=len(ids) * n * n).reshape(len(ids), n, n)
    return counts.astype(float), {str(t): i for i, t in enumerate(ids)}


def _n_classes(counts: NDArray[np.float64]) -> int:
    """Classes that stand among the true or the predicted ones of some trial, ``[T, C, C]``."""
    used = counts.sum(axis=0)
    return int(np.flatnonzero(used.any(axis=0) | used.any(axis=1)).max()) + 1


def _rows(line: dict[str, object], counts: NDArray[np.float64], variant: str) -> pd.DataFrame:
    """Rows of one point from counts ``[K, C, C]``; a class without test images has none."""
    seeds, n, _ = counts.shape
    totals = counts.sum(axis=2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = counts / totals
    mean = shares.mean(axis=0)
    half = np.full_like(mean, np.nan)
    if seeds > 1:
        half = t_quantile(seeds - 1) * shares.std(axis=0, ddof=1) / np.sqrt(seeds)
    true, said = np.divmod(np.arange(n * n), n)
    table = pd.DataFrame(
        {
            **line,
            "variant": variant,
            "true": true,
            "predicted": said,
            "share": mean.ravel(),
            "low": np.clip(mean - half, 0, 1).ravel(),
            "high": np.clip(mean + half, 0, 1).ravel(),
            "band": "seeds only" if seeds > 1 else "none",
            "n_seeds": seeds,
            "n_images": np.repeat(totals.mean(axis=0).ravel(), n).astype(int),
        }
    )
    return table[table["share"].notna()]

"""Figures of each trial on external test sets, as columns that curves are made of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.many_sweeps import told_apart
from analysis.points.measures import METRICS
from analysis.points.scores import auroc_left_out


def external_columns(variants: list[str]) -> list[str]:
    """List the columns of external test sets: ``external:NAME/METRIC``.

    Args:
        variants: Variants of their predictions.

    Example:
        >>> external_columns(["external:other"])[0]
        'external:other/accuracy'
    """
    return [f"{variant}/{metric}" for variant in variants for metric in METRICS]


def with_external(trials: pd.DataFrame, external: pd.DataFrame) -> pd.DataFrame:
    """Add the figures of each trial on each external test set.

    Args:
        trials: What ``analysis.load`` returned.
        external: What ``analysis.load_predictions(DIR, "external")`` returned.

    Returns:
        The trials with ``external:NAME/METRIC`` for ``accuracy``, ``balanced_accuracy`` and ``auroc``; missing where a
        trial has not predicted the set.

    Example:
        >>> rows = {"trial_id": "t", "variant": "external:other", "label": [0, 0, 0, 1], "predicted": [0, 0, 1, 1]}
        >>> predictions = pd.DataFrame({**rows, "p_a": [0.9, 0.8, 0.3, 0.1], "p_b": [0.1, 0.2, 0.7, 0.9]})
        >>> row = with_external(pd.DataFrame({"trial_id": ["t"]}), predictions).iloc[0]
        >>> [round(float(row[name]), 3) for name in external_columns(["external:other"])]
        [0.75, 0.833, 1.0]
    """
    if external.empty:
        return trials
    named, rows = told_apart(trials, external)
    right = rows["predicted"] == rows["label"]
    recalls = right.groupby([rows["variant"], rows["trial_id"], rows["label"]]).mean()
    figures = {
        "accuracy": right.groupby([rows["variant"], rows["trial_id"]]).mean(),
        "balanced_accuracy": recalls.groupby(["variant", "trial_id"]).mean(),
        "auroc": _aurocs(rows),
    }
    added = {
        f"{variant}/{metric}": named["trial_id"].map(figures[metric].xs(variant, level="variant")).astype(float)
        for variant in sorted(rows["variant"].unique())
        for metric in METRICS
    }
    return trials.assign(**{name: column.to_numpy() for name, column in added.items()})


def _aurocs(rows: pd.DataFrame) -> pd.Series:
    """Macro one-vs-rest area under the ROC curve of each trial on each set."""
    columns = [name for name in rows if str(name).startswith("p_") and rows[name].notna().any()]
    values = {}
    for key, group in rows.groupby(["variant", "trial_id"], sort=False):
        probability, label = group[columns].to_numpy(dtype=float), group["label"].to_numpy()
        of_classes = [
            auroc_left_out(probability[:, c], label == c, np.arange(len(label)), None)[0]
            for c in range(len(columns))
            if 0 < (label == c).sum() < len(label)
        ]
        values[key] = float(np.mean(of_classes)) if of_classes else np.nan
    index = pd.MultiIndex.from_tuples(list(values), names=["variant", "trial_id"])
    return pd.Series(list(values.values()), index=index, dtype=float)

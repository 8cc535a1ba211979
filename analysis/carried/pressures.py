"""Hyperparameters that weight the debiasing terms of a method, carried beside the rows of a frame."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from store.columns import PRESSURES

CARRIED_PRESSURES = "pressures"
"""Key of ``DataFrame.attrs``: name of a sweep -> label -> names of its method's weights, as ``sweep.yaml`` says them.

Plain texts, since pandas copies ``attrs`` and writes them as JSON.
"""


def with_pressures(frame: pd.DataFrame, of_sweeps: Mapping[str, Mapping[str, Sequence[str]]]) -> pd.DataFrame:
    """Note beside a frame's rows which hyperparameters weight the debiasing terms of each method.

    Args:
        frame: Rows with ``sweep``.
        of_sweeps: Names by label, by sweep.

    Returns:
        The same frame.

    Example:
        >>> frame = with_pressures(pd.DataFrame({"sweep": ["s"]}), {"s": {"end": ("alpha", "beta")}})
        >>> pressures_of(frame, "s", "end")
        ('alpha', 'beta')
    """
    entries = {
        sweep: {label: list(names) for label, names in labels.items()} for sweep, labels in of_sweeps.items() if labels
    }
    if entries:
        frame.attrs[CARRIED_PRESSURES] = entries
    return frame


def pressures_of(frame: pd.DataFrame, sweep: str, label: str) -> tuple[str, ...]:
    """Look up the weights of a method.

    Args:
        frame: What ``analysis.load`` returned, or a selection of its rows.
        sweep: Name of the sweep.
        label: The method's label.

    Returns:
        Names of hyperparameters; ``lambda_`` and ``mu`` where no sheet says them.

    Example:
        >>> pressures_of(pd.DataFrame({"sweep": ["s"]}), "s", "own")
        ('lambda_', 'mu')
    """
    names = frame.attrs.get(CARRIED_PRESSURES, {}).get(sweep, {}).get(label)
    return PRESSURES if names is None else tuple(names)


def further_pressures(frame: pd.DataFrame) -> tuple[str, ...]:
    """List the weights that have no column of their own, of any method of a frame.

    Args:
        frame: Rows with ``sweep`` and ``label``.

    Returns:
        Names, none twice.

    Example:
        >>> frame = pd.DataFrame({"sweep": ["s"], "label": ["end"]})
        >>> further_pressures(with_pressures(frame, {"s": {"end": ("alpha", "beta"), "grl": ("mu",)}}))
        ('alpha', 'beta')
    """
    lines = frame[["sweep", "label"]].drop_duplicates().itertuples(index=False)
    every = [name for sweep, label in lines for name in pressures_of(frame, str(sweep), str(label))]
    return tuple(dict.fromkeys(name for name in every if name not in PRESSURES))


def weights_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Read the weights of each row's debiasing terms.

    Args:
        frame: Trial rows.

    Returns:
        ``lambda_``, ``mu`` and every further weight of a method among the rows, missing where it is none of the row's
        method.

    Example:
        >>> rows = {"sweep": "s", "label": ["end", "grl"], "lambda_": None, "mu": [None, 0.4]}
        >>> frame = pd.DataFrame({**rows, "hyperparameters": ['{"alpha": 0.0, "lr": 0.1}', '{"mu": 0.4}']})
        >>> weights_of(with_pressures(frame, {"s": {"end": ("alpha",)}})).values.tolist()
        [[nan, nan, 0.0], [nan, 0.4, nan]]
    """
    further = further_pressures(frame)
    columns = {name: pd.to_numeric(frame[name]).astype(float) for name in PRESSURES if name in frame}
    weights = pd.DataFrame({**columns, **dict.fromkeys(further, math.nan)}, index=frame.index)
    for (sweep, label), rows in frame.groupby(["sweep", "label"], dropna=False, sort=False):
        own = pressures_of(frame, str(sweep), str(label))
        weights.loc[rows.index, [name for name in weights if name not in own]] = math.nan
        # Only these have no column: reading JSON takes its time.
        if set(own) & set(further):
            values = [hyperparameters_in(text) for text in rows["hyperparameters"]]
            for name in set(own) & set(further):
                weights.loc[rows.index, name] = [_number(value.get(name)) for value in values]
    return weights


def without_debiasing(frame: pd.DataFrame) -> pd.Series:
    """Tell for each row if all weights of its method's debiasing terms are 0: it is plain training.

    Args:
        frame: Trial rows.

    Returns:
        ``[N]``, False of a method without weights.

    Example:
        >>> rows = {"sweep": "s", "label": ["lnl", "lnl", "erm"], "lambda_": [0.0, 0.0, None], "mu": [0.0, 0.4, None]}
        >>> without_debiasing(pd.DataFrame(rows)).tolist()
        [True, False, False]
    """
    weights = weights_of(frame)
    none: pd.Series = weights.notna().any(axis=1) & (weights.fillna(0.0) == 0.0).all(axis=1)
    return none


def hyperparameters_in(text: object) -> dict[str, Any]:
    """Read the column ``hyperparameters`` of a row.

    Args:
        text: Its value, a JSON object as text.

    Returns:
        The values by name; none where it is something else, as rows of another program may have it.

    Example:
        >>> hyperparameters_in('{"lr": 0.1}'), hyperparameters_in(None)
        ({'lr': 0.1}, {})
    """
    try:
        values = json.loads(str(text))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan

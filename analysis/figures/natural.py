"""Marks of the data as they are on a bias axis: a tick with a word, and a faint band over its interval."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.natural import natural_in

WORDS = "data as they are"


@dataclass(frozen=True)
class Mark:
    """Place of a data set as it is.

    Attributes:
        value: Place on the axis.
        low: Lower end of its 95 % interval; None where there is none.
        high: Upper end.
        name: Its name, in few words.
        text: Value and interval in words.
    """

    value: float
    low: float | None
    high: float | None
    name: str
    text: str


def natural_marks(rows: pd.DataFrame, x: str) -> tuple[Mark, ...]:
    """Collect the marks of a figure's sweeps.

    Args:
        rows: Rows of a curve that carry the bias of their data (``analysis.natural``), with ``sweep`` and
            ``bias_axis``.
        x: ``bias_value`` or ``bias_strength``.

    Returns:
        A mark for each place that a sheet says, several sweeps at the same place having one.

    Example:
        >>> from analysis.natural import with_natural
        >>> from store.sheet.natural import NaturalBias
        >>> curve = with_natural(pd.DataFrame({"sweep": ["s"], "bias_axis": "rho"}), {"s": NaturalBias({"rho": 0.83})})
        >>> natural_marks(curve, "bias_value")[0].text
        'data as they are: rho = 0.83'
    """
    marks: dict[tuple[float, float | None, float | None], tuple[str, str, list[str]]] = {}
    for sweep, natural in natural_in(rows).items():
        axis = str(rows.loc[rows["sweep"].astype(str) == sweep, "bias_axis"].iloc[0])
        strength = x == "bias_strength"
        value = natural.strength if strength else natural.bias.get(axis)
        ends = natural.strength_interval if strength else natural.interval.get(axis)
        if value is not None:
            known = marks.setdefault((value, *(ends or (None, None))), (axis, natural.unit, []))
            known[2].append(sweep)
    several = len(marks) > 1
    return tuple(
        _mark(value, low, high, "bias strength" if x == "bias_strength" else axis, unit, sweeps if several else [])
        for (value, low, high), (axis, unit, sweeps) in marks.items()
    )


def category_places(values: list[float], value: float) -> list[float]:
    """Find a bias value between the places of an axis that has a place for each value measured, evenly spread.

    Args:
        values: The values in the order of their places; a value may stand in several facets.
        value: The value to find.

    Returns:
        Its places between neighbouring ones that enclose it, counted from 0; none outside the values.

    Example:
        >>> category_places([0.5, 0.9, 1.0], 0.8), category_places([0.5, 0.9, 1.0], 0.9)
        ([0.75], [1.0])
    """
    exact = [float(i) for i, known in enumerate(values) if known == value]
    if exact:
        return exact
    pairs = enumerate(itertools.pairwise(values))
    within = [(i, (value - a) / (b - a)) for i, (a, b) in pairs if min(a, b) < value < max(a, b)]
    # Rounded, so that the same place is written the same way on every machine.
    return [float(np.round(i + share, 6)) for i, share in within]


def _mark(value: float, low: float | None, high: float | None, axis: str, unit: str, sweeps: list[str]) -> Mark:
    name = f"{WORDS} ({', '.join(sweeps)})" if sweeps else WORDS
    interval = "" if low is None or high is None else f" [{low:.3g}, {high:.3g}], 95 % over {unit}"
    return Mark(value, low, high, name, f"{name}: {axis} = {value:.3g}{interval}")

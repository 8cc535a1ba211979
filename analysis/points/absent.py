"""Places at which a method is not applicable, as points without seeds: tables name them, and no line crosses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.not_applicable import NOT_APPLICABLE
from analysis.points.points import Point


def absent_points(trials: pd.DataFrame, points: Sequence[Point]) -> list[Point]:
    """Make a point without seeds for each place at which a method is not applicable.

    Args:
        trials: What ``analysis.load`` returned.
        points: The points of its rows.

    Returns:
        The points, of every rule and line that the method has points of.

    Example:
        >>> absent_points(pd.DataFrame({"sweep": ["s"]}), [])
        []
    """
    entries: Mapping[str, Any] = trials.attrs.get(NOT_APPLICABLE) or {}
    made: dict[tuple[object, ...], Point] = {}
    for like in points if entries else ():
        for entry in entries.get(like.line.sweep, ()):
            facet = _facet_of(points, like, entry["bias"]) if entry["label"] == like.line.label else None
            if facet is not None:
                absent = _absent(like, facet, entry)
                made.setdefault((absent.line, absent.bias_value), absent)
    return list(made.values())


def _facet_of(points: Sequence[Point], like: Point, off_axis: Mapping[str, float]) -> str | None:
    """Facet of the lines at these values off the axis, as the rows of any method name it.

    None where there are none.
    """
    there = (p for p in points if p.line.like("")[:5] == like.line.like("")[:5] and dict(p.bias) == dict(off_axis))
    return next((point.line.facet for point in there), None)


def _absent(like: Point, facet: str, entry: Mapping[str, Any]) -> Point:
    return replace(
        like,
        line=replace(like.line, facet=facet),
        bias_value=float(entry["value"]),
        bias_strength=float(entry["strength"]),
        seeds=(),
        values=np.zeros(0),
        scores=None,
        n_planned=0,
        n_failed=0,
        n_collapsed=0,
        n_added=0,
        n_short=0,
        hyperparameters=(),
        bias=dict(entry["bias"]),
        inside=(),
        not_applicable=str(entry["reason"]),
    )

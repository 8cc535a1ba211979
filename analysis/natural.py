"""The bias of the data as they are, carried beside the rows of a frame: a figure marks it without being told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.carried.images import IMAGES
from analysis.carried.pressures import CARRIED_PRESSURES
from analysis.not_applicable import NOT_APPLICABLE
from store.sheet.natural import NaturalBias, natural_of

NATURAL = "natural"
"""Key of ``DataFrame.attrs``: name of a sweep -> the bias of its data as they are, as ``sweep.yaml`` holds it.

Plain numbers and texts, since pandas copies ``attrs`` and writes them as JSON.
"""


CARRIED = (NATURAL, NOT_APPLICABLE, CARRIED_PRESSURES, IMAGES)
"""Keys that a frame hands on to those computed from it."""


def with_natural(frame: pd.DataFrame, of_sweeps: Mapping[str, NaturalBias | None]) -> pd.DataFrame:
    """Note the bias of the data as they are beside a frame's rows.

    Args:
        frame: Rows with ``sweep``.
        of_sweeps: The bias by sweep; None where it is not known.

    Returns:
        The same frame.

    Example:
        >>> frame = with_natural(pd.DataFrame({"sweep": ["s"]}), {"s": NaturalBias({"rho": 0.83})})
        >>> natural_in(frame[frame["sweep"] == "s"])["s"].bias
        {'rho': 0.83}
    """
    entries = {sweep: natural.content() for sweep, natural in of_sweeps.items() if natural is not None}
    if entries:
        frame.attrs[NATURAL] = entries
    return frame


def natural_in(frame: pd.DataFrame) -> dict[str, NaturalBias]:
    """Read the bias of the data as they are, of the sweeps that a frame has rows of.

    Args:
        frame: What ``analysis.load``, ``accuracy_vs_bias`` or a table made of them returned, or a selection of its
            rows.

    Returns:
        The bias by sweep; empty where no sheet says it.

    Example:
        >>> natural_in(pd.DataFrame({"sweep": ["s"]}))
        {}
    """
    entries: Mapping[str, Any] = frame.attrs.get(NATURAL) or {}
    if not entries or "sweep" not in frame:
        return {}
    present = set(frame["sweep"].astype(str))
    known = {sweep: natural_of({NATURAL: entry}) for sweep, entry in entries.items() if sweep in present}
    return {sweep: natural for sweep, natural in known.items() if natural is not None}


def like(frame: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    """Hand on to a frame what its source carries: the bias and the making of the data, absent places and weights.

    Args:
        frame: The new rows.
        source: The rows that they were computed from.

    Returns:
        The new frame.

    Example:
        >>> source = with_natural(pd.DataFrame({"sweep": ["s"]}), {"s": NaturalBias({"rho": 0.83})})
        >>> list(natural_in(like(pd.DataFrame({"sweep": ["s"], "mean": [0.9]}), source)))
        ['s']
    """
    for key in CARRIED:
        if key in source.attrs:
            frame.attrs[key] = source.attrs[key]
    return frame

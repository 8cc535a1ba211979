"""The x axis of a curve: stronger bias to the right, the values measured as ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

_LOG_FROM = 4.0


@dataclass(frozen=True)
class Axis:
    """The x axis of a curve.

    Attributes:
        column: ``bias_value`` or ``bias_strength``.
        title: Title.
        stronger: Which direction is the stronger bias; it is drawn to the right.
        log: True where the axis is logarithmic.
        ticks: The values measured, weak to strong.
        strengths: Bias strength at each tick.
        beside: Further places that must be in view.
    """

    column: str
    title: str
    stronger: str
    log: bool
    ticks: tuple[float, ...]
    strengths: tuple[float, ...]
    beside: tuple[float, ...] = ()

    def range(self) -> list[float]:
        """Ends of the axis in plotly's coordinates, weak bias first, with room for the outermost dots."""
        ends = [math.log10(v) if self.log else v for v in (self.ticks[0], self.ticks[-1])]
        further = [math.log10(v) if self.log else v for v in self.beside if v > 0 or not self.log]
        if further:
            weaker, stronger = (min, max) if self.stronger == "larger" else (max, min)
            ends = [weaker(ends[0], *further), stronger(ends[1], *further)]
        # A single value spans nothing: it gets a fixed room.
        pad = 0.06 * (ends[1] - ends[0]) or 0.05
        return [ends[0] - pad, ends[1] + pad]

    def labels(self, letter: float) -> list[str]:
        """Write the ticks, those left out whose label would lie over that of a stronger bias.

        Args:
            letter: Width of a letter as a share of the axis.

        Returns:
            A text for each tick; "" for one without a label.
        """
        ends = self.range()
        places = [math.log10(v) if self.log else v for v in self.ticks]
        texts = [f"{v:g}" for v in self.ticks]
        last: int | None = None
        for i in reversed(range(len(texts))):
            if last is not None:
                apart = abs(places[last] - places[i]) / abs(ends[1] - ends[0])
                if apart < letter * (len(texts[i]) + len(texts[last])) / 2:
                    texts[i] = ""
                    continue
            last = i
        return texts

    def holds(self, value: float) -> bool:
        """Tell if a bias value lies on the axis.

        None lies on an axis of bias strengths.
        """
        if self.column != "bias_value" or (self.log and value <= 0):
            return False
        low, high = sorted(self.range())
        return low <= (math.log10(value) if self.log else value) <= high

    def shifted(self, value: float, share: float) -> float:
        """Move a value by a share of the axis, so that the dots of two methods do not cover each other."""
        low, high = self.range()
        move = share * (high - low)
        return float(value * 10**move) if self.log else float(value + move)


def make_axis(rows: pd.DataFrame, x: str, title: str | None) -> Axis:
    """Build the x axis, with stronger bias to the right.

    It is logarithmic where positive values span a factor of four.

    Args:
        rows: Rows of a curve.
        x: ``bias_value`` or ``bias_strength``.
        title: Title; None = the parameter's name.

    Returns:
        The axis.

    Example:
        >>> rows = {"bias_axis": "color_variance", "bias_value": [0.02, 0.05, 0.1], "bias_strength": [0.9, 0.6, 0.3]}
        >>> axis = make_axis(pd.DataFrame(rows), "bias_value", None)
        >>> axis.stronger, axis.log, [float(tick) for tick in axis.ticks]  # weak bias first
        ('smaller', True, [0.1, 0.05, 0.02])
    """
    places = rows.sort_values(["bias_strength", "bias_value"]).drop_duplicates(x)
    values, strengths = places[x].to_numpy(dtype=float), places["bias_strength"].to_numpy(dtype=float)
    if x == "bias_strength":
        name, larger = "bias strength I(b; y) / H(y)", True
    else:
        name = str(rows["bias_axis"].iloc[0])
        larger = bool(np.ptp(strengths) == 0 or np.corrcoef(values, strengths)[0, 1] > 0) if len(values) > 1 else True
    order = np.argsort(values if larger else -values, kind="stable")
    log = bool((values > 0).all() and values.max() / values.min() >= _LOG_FROM and x == "bias_value")
    return Axis(
        column=x,
        title=title or name,
        stronger="larger" if larger else "smaller",
        log=log,
        ticks=tuple(values[order]),
        strengths=tuple(strengths[order]),
    )

"""Published numbers that may stand beside a curve, as hollow marks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.figures.bias_axis import Axis
from analysis.figures.style import Style
from analysis.numbers.published import same_off_axis
from store.columns import BIAS, bias_parameters

_MARKS = ("-open", "-open-dot")


@dataclass(frozen=True, eq=False)
class PublishedMethod:
    """Numbers of one method of a publication: its label here and its name there, its style, the numbers."""

    method: str
    name: str
    style: Style
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Source:
    """One publication.

    Attributes:
        name: Its name.
        mark: Ending of its symbols.
        visible: It is shown at first; others wait in the legend.
        methods: Its methods.
    """

    name: str
    mark: str
    visible: bool
    methods: tuple[PublishedMethod, ...]


def published_marks(
    published: pd.DataFrame, curve: pd.DataFrame, look: Mapping[str, Style], place: Axis
) -> tuple[Source, ...]:
    """The published numbers of the methods that a figure shows, where it holds their bias value and other parameters.

    Args:
        published: What ``analysis.published_numbers`` returned.
        curve: The rows that the figure shows.
        look: Style of each label.
        place: The figure's x axis.

    Returns:
        The publications, the one to show first in front; none over the bias strength, which they do not state.
    """
    if place.column != "bias_value":
        return ()
    low, high = min(place.ticks), max(place.ticks)
    rows = published[published["bias_value"].between(low, high) & published["method"].isin(list(look))]
    shown = curve[[f"{BIAS}{name}" for name in bias_parameters(curve.columns)]].drop_duplicates().to_dict("records")
    fits = [any(same_off_axis(number, point) for point in shown or [{}]) for number in rows.to_dict("records")]
    rows = rows[np.array(fits, dtype=bool)]
    if place.log:
        rows = rows[rows["bias_value"] > 0]
    return tuple(
        Source(
            str(source),
            _MARKS[layer % len(_MARKS)],
            layer == 0,
            tuple(
                PublishedMethod(
                    str(method),
                    str(name),
                    look[str(method)],
                    own["bias_value"].to_numpy(dtype=float),
                    own["accuracy"].to_numpy(dtype=float),
                )
                for (method, name), own in of_source.groupby(["method", "name"], sort=False)
            ),
        )
        for layer, (source, of_source) in enumerate(rows.groupby("source", sort=False))
    )

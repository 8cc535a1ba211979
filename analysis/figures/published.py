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
    """Numbers of one method of a publication, with its label here, its name there and its style."""

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
    published: pd.DataFrame, curve: pd.DataFrame, look: Mapping[str, Style], x_axis: Axis
) -> tuple[Source, ...]:
    """Select the published numbers of a figure's methods, at bias parameters that the figure shows.

    Args:
        published: What ``analysis.published_numbers`` returned.
        curve: The rows that the figure shows.
        look: Style of each label.
        x_axis: The figure's x axis.

    Returns:
        The publications, the one to show first in front; none over the bias strength, which they do not state.
    """
    if x_axis.column != "bias_value":
        return ()
    low, high = min(x_axis.ticks), max(x_axis.ticks)
    rows = published[published["bias_value"].between(low, high) & published["method"].isin(list(look))]
    shown = curve[[f"{BIAS}{name}" for name in bias_parameters(curve.columns)]].drop_duplicates().to_dict("records")
    fits = [any(same_off_axis(number, point) for point in shown or [{}]) for number in rows.to_dict("records")]
    rows = rows[np.array(fits, dtype=bool)]
    # A logarithmic axis has no 0.
    if x_axis.log:
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
                    of_method["bias_value"].to_numpy(dtype=float),
                    of_method["accuracy"].to_numpy(dtype=float),
                )
                for (method, name), of_method in of_source.groupby(["method", "name"], sort=False)
            ),
        )
        for layer, (source, of_source) in enumerate(rows.groupby("source", sort=False))
    )

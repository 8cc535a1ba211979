"""Line of a figure over epochs or search trials."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures.style import Style


@dataclass(frozen=True, eq=False)
class DrawnCurve:
    """A line of a figure.

    Attributes:
        name: Its name in the legend.
        style: Its look.
        x: Where its points lie.
        y: Their heights.
        label: The method's label.
        method: The method.
    """

    name: str
    style: Style
    x: NDArray[Any]
    y: NDArray[np.float64]
    label: str = ""
    method: str = ""

    def moved(self, x: NDArray[Any], y: NDArray[np.float64]) -> DrawnCurve:
        """The line through other points."""
        return dataclasses.replace(self, x=x, y=y)

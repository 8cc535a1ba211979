"""Hyperparameters that are searched: ranges and choices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainable.errors import InputError


@dataclass(frozen=True)
class Range:
    """An interval to search.

    Attributes:
        low: Lower end, included.
        high: Upper end, included.
        log: Uniform in the logarithm.
        integer: Whole numbers only.
        least: In the space of a method, the smallest value that a sweep may ask for instead.
        most: The largest one.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    least: float = -math.inf
    most: float = math.inf

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise InputError(f"low <= high must hold, but got (low={self.low:g}, high={self.high:g})")
        if self.log and self.low <= 0:
            raise InputError(f"a log range must start above 0, but got low={self.low:g}")


@dataclass(frozen=True)
class Choices:
    """A finite set to search."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("a list of choices must not be empty")


Space = Mapping[str, Range | Choices]

LEARNING_RATE = Range(1e-4, 1e-1, log=True, least=1e-10)
"""Range of the learning rates.

A negative one would climb the loss.
"""
WEIGHT_DECAY = Range(1e-6, 1e-2, log=True, least=0.0, most=1.0)
PRESSURE = Range(1e-3, 10.0, log=True, least=0.0)
"""Range of lambda and mu: it brackets the inverted U of incomplete unlearning at the strongest bias.

A negative one would reward the bias.
"""

"""Window of an image's values: what becomes black and what white, the same for all images of a data set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.errors import InputError, unknown_name

USUAL = (0.5, 99.5)
"""Percentiles of a data set's values that become black and white where the sweep names none."""
_PIXELS = 16_384
"""Pixels of an image that its sample takes: a grid over all of it."""
_KEYS = ("percentiles", "low", "high")


@dataclass(frozen=True)
class Window:
    """Values that become black and white.

    Attributes:
        low: What becomes 0, in the units of the files.
        high: What becomes 255.
    """

    low: float
    high: float

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Scale values to [0, 255], without rounding.

        Args:
            pixels: Any shape and kind of number.

        Returns:
            float32, the same shape.

        Example:
            >>> Window(1000, 3000).apply(np.array([0, 1500, 9999], np.uint16)).tolist()
            [0.0, 63.75, 255.0]
        """
        scaled = (pixels.astype(np.float64) - self.low) * (255.0 / (self.high - self.low))
        return np.clip(scaled, 0, 255).astype(np.float32)


@dataclass(frozen=True)
class WindowRule:
    """Option ``window`` of a table.

    Attributes:
        fixed: The window, where it is given in values; else it is measured.
        percentiles: Percentiles of the data set's values.
        everywhere: True where it was given: it scales images of 8 bits too, which else stay as they are.
    """

    fixed: Window | None = None
    percentiles: tuple[float, float] = USUAL
    everywhere: bool = False

    @classmethod
    def of(cls, option: Any) -> WindowRule:
        """Read the option.

        Args:
            option: ``{percentiles: [low, high]}``, ``{low: ..., high: ...}``, or None.

        Raises:
            InputError: Anything else.

        Example:
            >>> WindowRule.of({"percentiles": [1, 99]}).percentiles
            (1.0, 99.0)
            >>> WindowRule.of({"low": -1000, "high": 400}).fixed
            Window(low=-1000.0, high=400.0)
        """
        if option is None:
            return cls()
        if not isinstance(option, Mapping) or not option:
            raise InputError(f"window must be {_EXAMPLES}, but is {option!r}")
        for key in option:
            if key not in _KEYS:
                raise unknown_name("key of window", str(key), _KEYS)
        if "percentiles" in option and len(option) == 1:
            low, high = _pair(option["percentiles"], option)
            if not 0 <= low < high <= 100:
                raise InputError(
                    f"percentiles of window must be two ascending numbers in [0, 100], but are {low, high}"
                )
            return cls(percentiles=(low, high), everywhere=True)
        low, high = _pair([option.get("low"), option.get("high")] if "percentiles" not in option else None, option)
        if not low < high:
            raise InputError(f"low of window must be smaller than high, but they are {low:g} and {high:g}")
        return cls(fixed=Window(low, high), everywhere=True)


USUAL_RULE = WindowRule()
"""Rule of a sweep that names no window."""
_EXAMPLES = "{percentiles: [0.5, 99.5]} or {low: 0, high: 4095}"


def _pair(value: Any, option: Mapping[Any, Any]) -> tuple[float, float]:
    numbers = value if isinstance(value, Sequence) and len(value) == 2 else ()
    fits = all(isinstance(one, (int, float)) and not isinstance(one, bool) and math.isfinite(one) for one in numbers)
    if not numbers or not fits:
        raise InputError(f"window must be {_EXAMPLES}, but is {dict(option)!r}")
    return float(numbers[0]), float(numbers[1])


def sample_of(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """A grid of at most about 16,000 values over an image, from which percentiles are measured.

    Example:
        >>> sample_of(np.zeros((1024, 1024))).size
        16384
    """
    step = max(1, math.isqrt(max(0, pixels.shape[0] * pixels.shape[1] - 1) // _PIXELS + 1))
    while math.ceil(pixels.shape[0] / step) * math.ceil(pixels.shape[1] / step) > 2 * _PIXELS:
        step += 1
    return pixels[::step, ::step].astype(np.float64).ravel()


def measured(rule: WindowRule, samples: Iterable[NDArray[np.float64]], name: str) -> Window:
    """Window from samples of images, each of which counts alike whatever its size.

    Args:
        rule: Which percentiles.
        samples: Values of each image.
        name: Name of the table, for messages.

    Raises:
        InputError: All values are the same.

    Example:
        >>> measured(WindowRule(percentiles=(0, 100)), [np.array([3.0, 5.0]), np.array([4.0])], "a.csv")
        Window(low=3.0, high=5.0)
    """
    given = list(samples)
    values = np.concatenate(given)
    weights = np.concatenate([np.full(len(one), 1 / len(one)) for one in given])
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / len(given)
    # The least value below which at least that share lies; sums of weights end a rounding error below 1.
    places = np.minimum(np.searchsorted(share, [p / 100 - 1e-9 for p in rule.percentiles]), len(values) - 1)
    low, high = (float(values[order[place]]) for place in places)
    if not low < high:
        raise InputError(
            f"the images of {name} must differ in their values, but the percentiles {rule.percentiles[0]:g} and "
            f"{rule.percentiles[1]:g} are both {low:g}: give window: {{low: ..., high: ...}}"
        )
    return Window(low, high)

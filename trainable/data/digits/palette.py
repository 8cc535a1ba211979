"""The mean colours of the coloured digits, and how much a colour drawn around them tells of the digit."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainable.randomness import derive

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "navy": (15, 15, 150),
    "lemon": (240, 240, 120),
    "maroon": (150, 15, 15),
    "ice": (130, 240, 240),
    "emerald": (15, 240, 110),
    "rose": (240, 15, 135),
    "olive": (130, 180, 15),
    "violet": (135, 15, 240),
    "pink": (240, 130, 240),
    "azure": (15, 140, 240),
}
"""Mean colour of the digits 0 to 9, in that order, as red, green, blue in [0, 255]."""

PALETTE: NDArray[np.float32] = (np.array(list(COLOURS.values())) / 255).astype(np.float32)
"""The mean colours as float32 ``[10, 3]`` in [0, 1]: the ten points of the colour cube that lie farthest apart
(smallest distance 0.58) among those that are neither dark nor grey, rounded."""


@functools.lru_cache(maxsize=256)
def bias_strength(variance: float, draws: int = 4096) -> float:
    """Strength of the bias of colours drawn around the mean colours, in [0, 1].

    It is I(x; y) / H(y) = 1 - E[H(y | x)] / log 10 of x ~ N(mean of y, variance I), y uniform over the ten digits.

    The expectation is a Monte Carlo mean with the same draws for every variance, so it falls smoothly with it.

    Args:
        variance: sigma^2 >= 0.
        draws: Draws of z for each class.

    Returns:
        A number in [0, 1]; exactly 1 at variance 0.

    Example:
        >>> bias_strength(0.0), round(bias_strength(0.05, draws=256), 1)
        (1.0, 0.7)
    """
    if variance == 0:
        return 1.0
    z = np.random.Generator(np.random.PCG64(derive("coloured_digits/strength"))).standard_normal((draws, 3))
    # Each draw with its mirror image: the mean of z is exactly 0.
    z = np.concatenate([z, -z])
    means = PALETTE.astype(np.float64)
    sigma = np.sqrt(variance)
    entropy = 0.0
    for mean in means:
        distance = (((mean + sigma * z)[:, None] - means) ** 2).sum(axis=2)
        # Relative to the nearest mean: at a small variance all weights would be 0 otherwise.
        logits = -(distance - distance.min(axis=1, keepdims=True)) / (2 * variance)
        weights = np.exp(logits)
        total = weights.sum(axis=1)
        entropy += float(np.mean(np.log(total) - (weights * logits).sum(axis=1) / total)) / len(means)
    return float(np.clip(1 - entropy / np.log(len(means)), 0, 1))

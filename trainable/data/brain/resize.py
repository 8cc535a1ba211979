"""Shrinking images by area: every new pixel is the mean of the part of the old image that it covers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CHUNK = 64


def area_resize(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize square images with antialiasing.

    The weights are whole numbers and their sums stay below 2^53, so the products are exact in float64 whatever the
    order of summation: the same pixels on every machine.

    Args:
        images: uint8 ``[N, S, S]``.
        size: New side, pixels.

    Returns:
        uint8 ``[N, size, size]``, rounded half up.

    Example:
        >>> area_resize(np.array([[[0, 100], [100, 200]]], np.uint8), 1).tolist()
        [[[100]]]
    """
    side = images.shape[1]
    if side == size:
        return np.asarray(images)
    # In steps of 1 / (side * size), old pixel i covers [i size, (i + 1) size) and new pixel j [j side, (j + 1) side).
    old, new = np.arange(side) * size, np.arange(size)[:, None] * side
    weights = np.clip(np.minimum(old + size, new + side) - np.maximum(old, new), 0, None).astype(np.float64)
    resized = np.empty((len(images), size, size), dtype=np.uint8)
    for start in range(0, len(images), _CHUNK):
        sums = weights @ images[start : start + _CHUNK].astype(np.float64) @ weights.T
        resized[start : start + _CHUNK] = (sums.astype(np.int64) + side**2 // 2) // side**2
    return resized

"""The painted annotations of the seed study (Peretz 2020), the bias of the tumour images.

A glioma may carry a red dashed line along its longest diameter with the length beside its middle, a pituitary tumour a
blue polygon with a length to the right of it. Both can be drawn on any outline, so the same code makes the training
bias, the counterfactual images and the test variants.

An annotation is kept as its coverage: how much of each pixel its ink takes, 0 to 255. All arithmetic from the rounded
outline on is in integers and the glyphs are our own, so the same outline gives the same pixels on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainable.data.brain.glyphs import text_bitmap

Lengths = Literal["physical", "seed"]


@dataclass(frozen=True)
class Ink:
    """One kind of annotation.

    Attributes:
        name: Its name, that of its bias head.
        owner: The class that carries it in training.
        axis: The bias parameter: the probability that a training image of the class carries it.
        colour: Red, green, blue, 0 to 255.
    """

    name: str
    owner: str
    axis: str
    colour: tuple[int, int, int]


INKS: tuple[Ink, ...] = (
    Ink("red", "glioma", "rho", (255, 95, 95)),
    Ink("blue", "pituitary", "gamma", (95, 120, 255)),
)
"""The annotations, in the order of the bias heads.

Pure blue vanishes on a dark image. With the grey of brain tissue in the other channels an annotation is mostly colour,
as in coloured digits, and little of an edge in grey.
"""

_SUB = 4
"""Sub-pixels to a pixel each way: coverage has 17 steps."""
_UNIT = 1 << 16
"""Steps of an outline coordinate over the side of the image: sizes differ in scale only, never in shape."""
_VERTICES = 14


def diameter(outline: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """Find the two points of an outline that lie farthest apart.

    Args:
        outline: float64 ``[P, 2]``, x and y in units of the image's side, P >= 1.

    Returns:
        The points, int64 ``[2, 2]``, and their distance, both in 1/65536 of the image's side. Of several farthest
        pairs the first.

    Example:
        >>> points, length = diameter(np.array([[0.25, 0.5], [0.5, 0.6], [0.75, 0.5]]))
        >>> points.tolist(), length
        ([[16384, 32768], [49152, 32768]], 32768)
    """
    points = _fixed(outline)
    gaps = points[:, None] - points[None]
    squared = (gaps**2).sum(axis=2)
    i, j = divmod(int(squared.argmax()), len(points))
    return points[[i, j]], math.isqrt(int(squared[i, j]))


def length_text(length: int, field_mm: float, ink: str, lengths: Lengths) -> str:
    """Write the length that stands beside an annotation.

    Args:
        length: In 1/65536 of the image's side.
        field_mm: Side of the image in millimetres.
        ink: ``red`` or ``blue``.
        lengths: ``physical``: centimetres. ``seed``: as the seed study wrote them, pixels of a 512 x 512 image / 20 in
            red and / 10 in blue.

    Returns:
        E.g. ``"0.23cm"``.

    Example:
        >>> length_text(6554, 250.88, "red", "physical"), length_text(6554, 250.88, "red", "seed")
        ('2.51cm', '2.56cm')
    """
    if lengths == "seed":
        hundredths = length * 512 * 100 // (_UNIT * (20 if ink == "red" else 10))
    else:
        micrometres = length * round(field_mm * 1000) // _UNIT
        hundredths = (micrometres + 50) // 100
    return f"{hundredths // 100}.{hundredths % 100:02d}cm"


def coverage(ink: str, outline: NDArray[np.float64], size: int, text: str) -> NDArray[np.uint8]:
    """Draw one annotation.

    Args:
        ink: ``red`` (dashed line) or ``blue`` (polygon).
        outline: float64 ``[P, 2]``, x and y in units of the image's side, P >= 1.
        size: Side of the image, pixels.
        text: The length to write.

    Returns:
        uint8 ``[size, size]``: 0 = the image shows, 255 = all ink.

    Example:
        >>> drawn = coverage("red", np.array([[0.25, 0.5], [0.75, 0.5]]), 64, "0.50cm")
        >>> drawn.shape, int(drawn.max())
        ((64, 64), 255)
    """
    drawn = np.zeros((size, size), dtype=np.uint8)
    bitmap = text_bitmap(text, size)
    if ink == "red":
        ends, _ = diameter(outline)
        _stroke(drawn, _dashes(ends, size), size)
        _write(drawn, bitmap, *_beside(ends, bitmap.shape, size))
    else:
        corners = _polygon(outline, size)
        _stroke(drawn, _sides(corners, size), size)
        _write(drawn, bitmap, *_right_of(corners, bitmap.shape, size))
    return drawn


def blend(images: NDArray[np.uint8], rows: NDArray[np.int64], covers: NDArray[np.uint8], ink: Ink) -> None:
    """Lay an annotation over some of the images, in place.

    Args:
        images: uint8 ``[N, 3, S, S]``.
        rows: int64 ``[M]``, which images.
        covers: uint8 ``[M, S, S]``, their coverage.
        ink: Whose colour is laid on.

    Example:
        >>> images = np.zeros((1, 3, 1, 1), np.uint8)
        >>> blend(images, np.array([0]), np.full((1, 1, 1), 255, np.uint8), INKS[0])
        >>> images.ravel().tolist()
        [255, 95, 95]
    """
    image, y, x = np.nonzero(covers)
    amount = covers[image, y, x].astype(np.uint16)
    for channel, value in enumerate(ink.colour):
        # 255 * 255 + 127 still fits into 16 bits.
        under = images[rows[image], channel, y, x].astype(np.uint16)
        images[rows[image], channel, y, x] = (under * (255 - amount) + value * amount + 127) // 255


def _fixed(outline: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(np.asarray(outline, dtype=np.float64) * _UNIT).astype(np.int64)


def _dashes(ends: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Points of the dashed line, 1/65536 of the side: an odd number of equal pieces, every second one drawn."""
    points = _between(ends[:1], ends[1:], size)
    length = len(points) * size // _steps(size)
    dash = max(2, size // 42)
    pieces = max(3, length // dash | 1)
    drawn: NDArray[np.int64] = points[np.arange(len(points)) * pieces // max(1, len(points)) % 2 == 0]
    return drawn


def _polygon(outline: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """At most 14 points of the outline, moved away from its middle by 1/50 of the side."""
    points = _fixed(outline)
    count = min(_VERTICES, len(points))
    points = points[np.arange(count) * len(points) // count]
    middle = points.sum(axis=0) // count
    rays = points - middle
    reach = np.array([max(1, math.isqrt(int(square))) for square in (rays**2).sum(axis=1)])[:, None]
    moved: NDArray[np.int64] = points + rays * (_UNIT // 50) // reach
    return np.clip(moved, 0, _UNIT - 1)


def _sides(corners: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return _between(corners, np.roll(corners, -1, axis=0), size)


def _steps(size: int) -> int:
    return 2 * _SUB * size


def _between(start: NDArray[np.int64], end: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Points on the segments from ``start`` to ``end`` (``[E, 2]``), no farther apart than half a sub-pixel."""
    counts = np.abs(end - start).max(axis=1) * _steps(size) // _UNIT + 1
    segment = np.repeat(np.arange(len(start)), counts)
    first = np.cumsum(counts) - counts
    step = np.arange(counts.sum()) - first[segment]
    n = counts[segment][:, None]
    points: NDArray[np.int64] = (start[segment] * (n - step[:, None]) + end[segment] * step[:, None]) // n
    return points


def _stroke(drawn: NDArray[np.uint8], points: NDArray[np.int64], size: int) -> None:
    """Move a square pen over the points and take the share of each pixel that it has touched."""
    width = max(_SUB, size * _SUB // 160)
    places = points * (size * _SUB) // _UNIT
    left, top = np.maximum(places.min(axis=0) // _SUB - 2, 0)
    right, bottom = np.minimum(places.max(axis=0) // _SUB + 3, size)
    canvas = np.zeros(((bottom - top + 8) * _SUB, (right - left + 8) * _SUB), dtype=np.bool_)
    x, y = (places - [left * _SUB, top * _SUB] - width // 2 + 4 * _SUB).T
    for dy in range(width):
        for dx in range(width):
            canvas[y + dy, x + dx] = True
    inner = canvas[4 * _SUB : -4 * _SUB, 4 * _SUB : -4 * _SUB]
    touched = inner.reshape(bottom - top, _SUB, right - left, _SUB).sum(axis=(1, 3), dtype=np.int64)
    part = drawn[top:bottom, left:right]
    np.maximum(part, (touched * 255 // _SUB**2).astype(np.uint8), out=part)


def _write(drawn: NDArray[np.uint8], bitmap: NDArray[np.bool_], left: int, top: int) -> None:
    """Put a text into the image, moved inwards where it would leave it and cut where it is larger than the image."""
    side = len(drawn)
    height, width = bitmap.shape
    left, top = max(0, min(left, side - width)), max(0, min(top, side - height))
    part = drawn[top : top + height, left : left + width]
    part[bitmap[: part.shape[0], : part.shape[1]]] = 255


def _beside(ends: NDArray[np.int64], text: tuple[int, ...], size: int) -> tuple[int, int]:
    """Left and top of a text whose middle lies beside that of the line, on its right or, under a flat line, below."""
    height, width = text
    (x0, y0), (x1, y1) = ends.tolist()
    across, down = y1 - y0, x0 - x1
    if across < 0 or (across == 0 and down < 0):
        across, down = -across, -down
    length = max(1, math.isqrt(across**2 + down**2))
    # Half of the text's extent across the line, and a gap, in 1/2 pixels.
    away = (abs(across) * width + abs(down) * height) // length + 2 * max(2, size // 64)
    x = (x0 + x1) * size // _UNIT + across * away // length
    y = (y0 + y1) * size // _UNIT + down * away // length
    return (x - width) // 2, (y - height) // 2


def _right_of(corners: NDArray[np.int64], text: tuple[int, ...], size: int) -> tuple[int, int]:
    """Left and top of a text to the right of a polygon or, where the image ends there, to its left."""
    height, width = text
    pixels = corners * size // _UNIT
    gap = max(2, size // 64) + 1
    left, right = int(pixels[:, 0].min()), int(pixels[:, 0].max())
    top = (int(pixels[:, 1].min()) + int(pixels[:, 1].max()) - height) // 2
    if right + gap - 1 + width > size and left - gap - width >= 0:
        return left - gap - width, top
    return min(right + gap, size - width), top

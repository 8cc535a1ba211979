"""The bitmap font of the painted lengths: digits, full stop, ``c`` and ``m``, in two sizes, drawn for this package.

A system font or that of a library changes between machines and versions, and with it every painted image.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from trainable.errors import unknown_name

_SMALL = {
    "0": "###|#.#|#.#|#.#|###",
    "1": ".#.|##.|.#.|.#.|###",
    "2": "###|..#|###|#..|###",
    "3": "###|..#|.##|..#|###",
    "4": "#.#|#.#|###|..#|..#",
    "5": "###|#..|###|..#|###",
    "6": "###|#..|###|#.#|###",
    "7": "###|..#|.#.|.#.|.#.",
    "8": "###|#.#|###|#.#|###",
    "9": "###|#.#|###|..#|###",
    ".": ".|.|.|.|#",
    "c": "...|...|###|#..|###",
    "m": ".....|.....|#####|#.#.#|#.#.#",
}

_LARGE = {
    "0": ".###.|#...#|#...#|#...#|#...#|#...#|.###.",
    "1": "..#..|.##..|..#..|..#..|..#..|..#..|.###.",
    "2": ".###.|#...#|....#|...#.|..#..|.#...|#####",
    "3": ".###.|#...#|....#|..##.|....#|#...#|.###.",
    "4": "...#.|..##.|.#.#.|#..#.|#####|...#.|...#.",
    "5": "#####|#....|####.|....#|....#|#...#|.###.",
    "6": ".###.|#....|#....|####.|#...#|#...#|.###.",
    "7": "#####|....#|...#.|...#.|..#..|..#..|..#..",
    "8": ".###.|#...#|#...#|.###.|#...#|#...#|.###.",
    "9": ".###.|#...#|#...#|.####|....#|....#|.###.",
    ".": "..|..|..|..|..|##|##",
    "c": "....|....|.###|#...|#...|#...|.###",
    "m": ".....|.....|##.#.|#.#.#|#.#.#|#.#.#|#.#.#",
}

LARGE_FROM = 192
"""Side of the image, pixels, from which the large glyphs are used: below, they would hide the tumour."""


@functools.lru_cache(maxsize=4096)
def text_bitmap(text: str, image_size: int) -> NDArray[np.bool_]:
    """Set a text in one line, one empty column between glyphs.

    Args:
        text: Made of ``0123456789.cm``.
        image_size: Side of the image it is meant for, pixels; chooses the size of the glyphs.

    Returns:
        bool ``[5, width]`` or, for large images, ``[7, width]``; True = ink. Read only.

    Raises:
        InputError: A character the font lacks.

    Example:
        >>> for row in text_bitmap("1cm", 64):
        ...     print("".join(".#"[int(ink)] for ink in row))
        .#...........
        ##...........
        .#..###.#####
        .#..#...#.#.#
        ###.###.#.#.#
    """
    font = _LARGE if image_size >= LARGE_FROM else _SMALL
    parts = []
    for character in text:
        if character not in font:
            raise unknown_name("character of the annotation font", character, font)
        glyph = np.array([[ink == "#" for ink in row] for row in font[character].split("|")])
        parts += [glyph, np.zeros((len(glyph), 1), dtype=np.bool_)]
    bitmap = np.concatenate(parts[:-1], axis=1)
    # It stays in the cache: drawn into, it would change every later text.
    bitmap.flags.writeable = False
    return bitmap

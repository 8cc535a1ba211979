"""Slices with their outlines, patients and folds: one form for real files and for the phantom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.arrays.folder import Arrays, cached_arrays, source_key
from trainable.data.brain import glyphs, paint
from trainable.data.brain.resize import area_resize

FIELD_MM = 0.49 * 512
"""Side of an image in millimetres: 512 pixels of 0.49 mm (Cheng et al., PLoS ONE 10:e0140381, 2015). The slices of
256 x 256 pixels are taken to show the same field."""


@dataclass(frozen=True)
class SliceStore:
    """Everything that is known of N slices before anything is painted.

    Attributes:
        grey: uint8 ``[N, S, S]``.
        masks: uint8 ``[N, S, ceil(S / 8)]``, the tumour's pixels, eight to a byte (``numpy.packbits``).
        outlines: float64 ``[P, 2]``, the outlines of all slices on end; x and y in units of the image's side.
        starts: int64 ``[N + 1]``: the outline of slice i is ``outlines[starts[i]:starts[i + 1]]``.
        labels: int64 ``[N]``, class.
        groups: int64 ``[N]``, number of the patient.
        folds: int64 ``[N]``, fold of the patient, counted from 0; -1 = in none.
        image_keys: str ``[N]``, keyed hash of the image.
        patient_keys: str ``[N]``, keyed hash of the patient.
        checksum: Hex digest over all of these.
        field_mm: Side of the images, millimetres.
    """

    grey: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    outlines: NDArray[np.float64]
    starts: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    folds: NDArray[np.int64]
    image_keys: NDArray[np.str_]
    patient_keys: NDArray[np.str_]
    checksum: str
    field_mm: float

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], checksum: str, field_mm: float) -> SliceStore:
        """Build from the arrays of a folder, by name."""
        return cls(**arrays, checksum=checksum, field_mm=field_mm)

    def __len__(self) -> int:
        return len(self.labels)

    def outline(self, i: int) -> NDArray[np.float64]:
        """Outline of one slice, float64 ``[P_i, 2]``."""
        return self.outlines[self.starts[i] : self.starts[i + 1]]

    def mask(self, i: int) -> NDArray[np.bool_]:
        """Tumour's pixels of one slice, bool ``[S, S]``."""
        bits = np.unpackbits(self.masks[i], axis=1, count=self.grey.shape[2])
        return bits.astype(np.bool_)


@dataclass(frozen=True)
class Layers:
    """Slices at one size, with both annotations of every slice ready to be laid on.

    Attributes:
        grey: uint8 ``[N, S, S]``.
        covers: Coverage of each annotation, uint8 ``[N, S, S]``, by its name.
        checksum: Hex digest over all of these.
    """

    grey: NDArray[np.uint8]
    covers: Mapping[str, NDArray[np.uint8]]
    checksum: str


def layers(store: SliceStore, name: str, size: int, lengths: paint.Lengths) -> Layers:
    """Resize the slices and draw their annotations, once for each size.

    Afterwards they are read from the cache.

    Args:
        store: The slices.
        name: Name of the data set, the beginning of the folder's name.
        size: Side of the images, pixels, at most that of the store.
        lengths: What the painted lengths say.

    Returns:
        The layers, memory-mapped.
    """
    key = source_key((store.checksum, size, lengths), paint.__name__, glyphs.__name__, __name__)
    arrays, checksum = cached_arrays(f"{name}-{size}-{key}", lambda: _draw(store, size, lengths))
    grey = arrays.get("grey", store.grey)
    return Layers(grey, {ink.name: arrays[ink.name] for ink in paint.INKS}, checksum)


def _draw(store: SliceStore, size: int, lengths: paint.Lengths) -> Arrays:
    arrays: Arrays = {ink.name: np.empty((len(store), size, size), dtype=np.uint8) for ink in paint.INKS}
    for i in range(len(store)):
        outline = store.outline(i)
        _, length = paint.diameter(outline)
        for ink in paint.INKS:
            text = paint.length_text(length, store.field_mm, ink.name, lengths)
            arrays[ink.name][i] = paint.coverage(ink.name, outline, size, text)
    if size != store.grey.shape[2]:
        arrays["grey"] = area_resize(store.grey, size)
    return arrays


def distinct(keys: Iterable[str]) -> list[str]:
    """Make keys distinct: a repeated one gets its number.

    Example:
        >>> distinct(["a", "b", "a"])
        ['a', 'b', 'a-2']
    """
    seen: Counter[str] = Counter()
    numbered = []
    for key in keys:
        seen[key] += 1
        numbered.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return numbered

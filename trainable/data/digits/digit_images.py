"""Digits that are painted: their classes, parts and keys, whatever the painter."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from trainable.data.base import Dataset, Split
from trainable.data.digits.palette import COLOURS
from trainable.data.digits.source import N_CLASSES, Digits, digits_of, split_digits
from trainable.errors import InputError, unknown_name

Subset = Literal["all", "development"]
_AT_ONCE = 4096
"""Images that are painted at once, which bounds the memory of what is computed in between."""


class DigitImages(Dataset):
    """Digits of ten classes, of those that ship or of a folder of idx files, before they are painted.

    Attributes:
        image_size: 14 or 28 pixels.
        subset: ``all``, or ``development``: without the test images of ``all``; of the others some act as test.
        digits: The digits as they are.
        painted: At most 16 bytes that tell the images from those of another data set with the same digits.
    """

    classes: tuple[str, ...] = tuple(str(digit) for digit in range(N_CLASSES))
    attributes: tuple[str, ...] = tuple(COLOURS)
    unbiased_is_independent = True
    share_images = True
    painted: ClassVar[bytes] = b""

    def __init__(self, image_size: int, subset: Subset, folder: str | None, painter: str) -> None:
        if image_size not in (14, 28):
            raise InputError(f"image_size of {self.name} must be 14 or 28, but got {image_size!r}")
        if subset not in ("all", "development"):
            raise unknown_name(f"subset of {self.name}", str(subset), ("all", "development"))
        self.image_size, self.subset = image_size, subset
        self.digits: Digits = digits_of(folder)
        self._labels = self.digits.labels
        if folder is not None:
            self.long_name += self.digits.named
            self.classes = self.digits.classes
            self.citation = f"{self.digits.citation}, {painter}"

    def image_keys(self) -> list[str]:
        """Hash of every digit's 28 x 28 pixels, 16 hex characters, ``[N]``.

        It is the same at every size and subset, and another in each data set: with another painter it is another image.
        """
        return list(self._keys)

    @functools.cached_property
    def _keys(self) -> list[str]:
        return self.digits.keys(self.painted)

    def labels(self) -> NDArray[np.int64]:
        """Digit of every image, int64 ``[N]``."""
        return self._labels.copy()

    def split(self, seed: int, fold: int | None = None) -> Split:
        """Split, stratified by digit, positions ascending.

        It is the same in every data set of digits.

        Args:
            seed: Decides train / val; the test images are the same for every seed.
            fold: Must be None.

        Returns:
            3,500 / 500 / 1,000 positions; 2,630 / 370 / 1,000 of the development subset. Of a folder, its test part
            and 7 : 1 of its training part; one in six images of that is for testing in the development subset.

        Raises:
            InputError: A fold is asked for.
        """
        if fold is not None:
            raise InputError(f"{self.name} has no folds, but fold {fold} was asked for: leave dataset.folds out")
        # One name for all: what was chosen on one of them has not seen the test images of another either.
        return split_digits("coloured_digits", self.digits, seed, self.subset == "development")


def chunks(n: int) -> Iterator[slice]:
    """Cut n images into those that are painted at once.

    Example:
        >>> list(chunks(5000))
        [slice(0, 4096, None), slice(4096, 8192, None)]
    """
    return (slice(start, start + _AT_ONCE) for start in range(0, n, _AT_ONCE))

"""A data set of noise in the shape of another one, on which networks are checked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.base import DATASETS, Dataset, register_dataset
from trainable.data.parts import Axis, ImageSet, Split, TrainingDraw
from trainable.networks.base import DataShape
from trainable.randomness import numpy_generator

SHAPED = "check_shape"
LEAST = 8
"""Smallest number of images of a part."""


class ShapedImages(Dataset):
    """Noise, with random bias labels, in parts that hold two images of each class and at least eight.

    Args:
        shape: Images, classes and bias labels that are imitated.
    """

    name = "noise"
    axes = (Axis("rho", "rho", 0.0, 1.0, "larger", 0.0),)
    rules = ("val_biased",)

    def __init__(self, shape: DataShape) -> None:
        self.classes, self.heads, self.image_size = shape.classes, shape.heads, shape.image_size
        self.attributes = tuple(str(value) for value in range(max(2, shape.heads.n_values)))
        self._size = max(LEAST, 2 * len(shape.classes))
        self._labels = np.arange(3 * self._size, dtype=np.int64) % len(shape.classes)

    @property
    def checksum(self) -> str:
        """Made from fixed draws."""
        return "noise"

    def labels(self) -> NDArray[np.int64]:
        """Every class in turn."""
        return self._labels

    def split(self, seed: int, fold: int | None = None) -> Split:
        """Three parts of one size."""
        index = np.arange(len(self._labels), dtype=np.int64)
        return Split(*np.split(index, 3))

    def train_images(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw
    ) -> ImageSet:
        """Noise, brighter for the later classes."""
        side, n = self.image_size, len(index)
        draws = numpy_generator(0, "noise")
        noise = draws.integers(0, 128, (n, 3, side, side))
        steps = self._labels[index] * 120 // len(self.classes)
        images = (noise + steps[:, None, None, None]).astype(np.uint8)
        grid = (side, side) if self.heads.spatial else ()
        values = max(1, self.heads.n_values)
        bias_labels = draws.integers(0, values, (n, len(self.heads.names), *grid)).astype(np.int64)
        attribute = draws.integers(0, len(self.attributes), n).astype(np.int64)
        attribute[: len(self.attributes)] = np.arange(min(n, len(self.attributes)))
        parts = (images, self._labels[index], bias_labels, attribute, index)
        return ImageSet(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))

    def variant_images(self, variant: str, bias: Mapping[str, float], index: NDArray[np.int64], role: str) -> ImageSet:
        """The same noise."""
        return self.train_images(bias, 0, index, "biased")

    def bias_strength(self, bias: Mapping[str, float]) -> float:
        """Rho itself, though nothing depends on it."""
        return float(bias["rho"])


@contextlib.contextmanager
def shaped(shape: DataShape) -> Iterator[None]:
    """Register noise of a shape within the block, as ``SHAPED``.

    Args:
        shape: The shape.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> with shaped(DataShape(3, 16, 16, ("a", "b"))):
        ...     load_dataset(SHAPED).image_size
        16
    """
    from trainable.data.base import _load

    DATASETS.import_all()
    register_dataset(SHAPED)(_factory(shape))
    _load.cache_clear()
    try:
        yield
    finally:
        DATASETS.entries.pop(SHAPED, None)
        _load.cache_clear()


def _factory(shape: DataShape):  # type: ignore[no-untyped-def]
    def noise() -> Dataset:
        return ShapedImages(shape)

    return noise

"""Parts of a data set: the axes of its bias, its bias labels, its split, and images as a trial sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from store.sheet.natural import NaturalBias
from trainable.data.stored import StoredImages

__all__ = [
    "IGNORED",
    "NO_BIAS_LABELS",
    "Axis",
    "BiasHeads",
    "ImageSet",
    "NaturalBias",
    "Split",
    "SplitName",
    "StoredImages",
    "TrainingDraw",
    "as_tensor_index",
    "heads_with_labels",
]

TrainingDraw = Literal["biased", "unbiased", "clean", "repainted"]
SplitName = Literal["train", "val", "test"]
IGNORED = -1
"""Bias label of a place that no loss counts (background, a masked head)."""


@dataclass(frozen=True)
class Axis:
    """One bias parameter: the x axis of the curve.

    Attributes:
        name: Column and YAML key, e.g. ``color_variance``.
        long_name: Axis title, with its unit or symbol.
        low: Smallest value allowed.
        high: Largest value allowed (``inf`` = no bound).
        stronger: Which direction is the stronger bias.
        unbiased_at: The value without any bias, or None where there is none on the axis.
        default: Value of a parameter that the sweep does not name, or None where it must be named.
    """

    name: str
    long_name: str
    low: float
    high: float
    stronger: Literal["smaller", "larger"]
    unbiased_at: float | None = None
    default: float | None = None


@dataclass(frozen=True)
class BiasHeads:
    """The bias labels: one head each, all with the same number of values.

    Attributes:
        names: Name of each head, e.g. ``("red", "green", "blue")``.
        n_values: Number of values of each bias label.
        spatial: True = a label for every pixel, False = one for the image.
    """

    names: tuple[str, ...]
    n_values: int
    spatial: bool


NO_BIAS_LABELS = BiasHeads((), 0, False)


@dataclass(frozen=True)
class Split:
    """Positions of the images of each part, int64.

    No group (patient) has images in two parts.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]

    def part(self, name: SplitName) -> NDArray[np.int64]:
        """Return the positions of one part by name."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


@dataclass(frozen=True)
class ImageSet:
    """Images as a trial sees them, annotations painted.

    Attributes:
        images: uint8, ``[N, 3, H, W]``; of large sets in files, ``StoredImages`` that are read batch by batch.
        labels: int64, ``[N]``, the class.
        bias: int64, ``[N, heads]`` or, where the heads are spatial, ``[N, heads, H, W]``; ``IGNORED`` = not counted.
        attribute: int64, ``[N]``, the bias attribute as one number (colour index, annotated or not): what the bias
            probe predicts, and with the class the group of worst-group accuracy.
        index: int64, ``[N]``, positions in the data set.
        weights: float32, ``[N]``, not negative, mean 1: what each image counts in an evaluation; None = each counts 1.
    """

    images: Tensor | StoredImages
    labels: Tensor
    bias: Tensor
    attribute: Tensor
    index: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self) -> Tensor:
        """All images in memory, uint8 ``[N, 3, H, W]``."""
        return self.images if isinstance(self.images, Tensor) else self.images[:]

    def blank(self) -> Tensor:
        """One black image of the same size, uint8 ``[1, 3, H, W]``."""
        return torch.zeros((1, *self.images.shape[1:]), dtype=torch.uint8)

    def batches(self, size: int) -> Iterator[Tensor]:
        """The images in their order, uint8 ``[size, 3, H, W]`` and a rest.

        Images that are stored come in smaller batches, since what a network makes of them takes memory too.
        """
        if isinstance(self.images, StoredImages):
            size = self.images.batch(size)
        for start in range(0, len(self), size):
            yield self.images[start : start + size]


def heads_with_labels(heads: BiasHeads, images: ImageSet) -> tuple[BiasHeads, ImageSet]:
    """Leave out the bias heads that no image has a label for.

    They would be run and learn nothing.

    Args:
        heads: The data set's heads.
        images: The training images.

    Returns:
        The heads with a label, and the images with their labels alone; the first head where none has one.

    Example:
        >>> heads, zeros = BiasHeads(("red", "blue"), 2, False), torch.zeros(2, dtype=torch.int64)
        >>> bias = torch.tensor([[0, IGNORED], [1, IGNORED]])
        >>> images = ImageSet(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), zeros, bias, zeros, zeros)
        >>> heads_with_labels(heads, images)[0].names
        ('red',)
    """
    if not heads.names:
        return heads, images
    used = [i for i in range(len(heads.names)) if bool((images.bias[:, i] != IGNORED).any())] or [0]
    if len(used) == len(heads.names):
        return heads, images
    names = tuple(heads.names[i] for i in used)
    return replace(heads, names=names), replace(images, bias=images.bias[:, used].contiguous())


def as_tensor_index(index: NDArray[np.int64]) -> Tensor:
    """Positions as an int64 tensor.

    Example:
        >>> as_tensor_index(np.array([2, 5]))
        tensor([2, 5])
    """
    return torch.from_numpy(np.ascontiguousarray(index, dtype=np.int64))

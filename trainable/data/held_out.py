"""Training images that are held out of a method's first stages, cut off by patient.

They come from the training part and never from the validation part: whoever trains on validation images is judged by
what it was trained on, and is trained on more images than the other methods of the sweep.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.parts import ImageSet, as_tensor_index
from trainable.data.patients import patient_classes
from trainable.data.stored import StoredImages
from trainable.errors import InputError
from trainable.randomness import numpy_generator

SHARE = 0.2
"""Share of the patients of each group that is held out."""


def divide(
    images: ImageSet, patients: NDArray[np.int64], seed: int, by_attribute: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide the training images by patient into those that every stage may use and those that are held out.

    Each patient has one uniform draw for each seed, the same at every bias value; of each class, or of each class and
    attribute, the fifth with the smallest draws is held out: at least one patient, and never all.

    Args:
        images: The training images.
        patients: int64 ``[N]``, patient of each of them.
        seed: The trial's seed, or that of its split.
        by_attribute: Stratify by the bias attribute too, for a method that may see it.

    Returns:
        Positions among the images, ascending: to train on, and held out.

    Raises:
        InputError: No class has two patients.

    Example:
        >>> import torch
        >>> zeros = torch.zeros(20, dtype=torch.int64)
        >>> images = ImageSet(torch.zeros(20, 3, 8, 8), torch.arange(20) % 2, zeros[:, None], zeros, torch.arange(20))
        >>> train, held = divide(images, np.arange(20), seed=0, by_attribute=False)
        >>> len(train), len(held)
        (16, 4)
    """
    labels, attribute = images.labels.numpy(), images.attribute.numpy()
    groups = labels * (int(attribute.max()) + 2) + attribute + 1 if by_attribute else labels
    known, group = patient_classes(groups, patients)
    draws = numpy_generator(seed, "held_out").random(int(known.max()) + 1)[known]
    chosen = []
    for value in np.unique(group):
        own = np.flatnonzero(group == value)
        if len(own) > 1:
            chosen.append(known[own[np.argsort(draws[own])[: max(1, math.floor(SHARE * len(own)))]]])
    if not chosen:
        raise InputError("held-out images need two patients of one class among the training images: add patients")
    held = np.isin(patients, np.concatenate(chosen))
    return np.flatnonzero(~held).astype(np.int64), np.flatnonzero(held).astype(np.int64)


def taken(images: ImageSet, index: NDArray[np.int64]) -> ImageSet:
    """Images at some positions of a set.

    Args:
        images: N images.
        index: int64 ``[M]``, positions in [0, N).

    Example:
        >>> import torch
        >>> zeros = torch.zeros(4, dtype=torch.int64)
        >>> images = ImageSet(torch.zeros(4, 3, 8, 8), torch.arange(4), zeros[:, None], zeros, zeros)
        >>> taken(images, np.array([2, 0])).labels
        tensor([2, 0])
    """
    at = as_tensor_index(index)
    return ImageSet(**{field.name: _at(getattr(images, field.name), at) for field in dataclasses.fields(images)})


def _at(value: Tensor | StoredImages | None, rows: Tensor) -> Any:
    if isinstance(value, StoredImages):
        return value.at(rows)
    return None if value is None else value[rows]

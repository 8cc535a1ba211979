"""Augmentations: random changes of a training batch, on the device, from a generator of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainable.errors import unknown_name

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""(float images ``[B, 3, H, W]``, CPU generator) -> images of the same shape."""

SHIFT = 1 / 16
"""Largest shift, as a share of the image's side."""


def flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images left to right.

    Args:
        x: float ``[B, 3, H, W]``.
        generator: CPU generator, so that CPU and GPU draw the same.

    Returns:
        float ``[B, 3, H, W]``.
    """
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(mirrored.to(x.device).view(-1, 1, 1, 1), x.flip(-1), x)


def shift(x: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by whole pixels, at most ``SHIFT`` of its side each way; the border is repeated.

    Args:
        x: float ``[B, 3, H, W]``.
        generator: CPU generator.

    Returns:
        float ``[B, 3, H, W]``.
    """
    for dimension in (2, 3):
        side = x.shape[dimension]
        most = max(1, round(SHIFT * side))
        by = torch.randint(-most, most + 1, (len(x), 1), generator=generator)
        source = (torch.arange(side) + by).clamp(0, side - 1).to(x.device)
        shape = [len(x), 1, 1, 1]
        shape[dimension] = side
        x = x.gather(dimension, source.view(shape).expand_as(x))
    return x


AUGMENTATIONS: dict[str, Augmentation] = {"flip": flip, "shift": shift}


def resolve(names: Sequence[str]) -> list[Augmentation]:
    """Look augmentations up by name.

    Raises:
        InputError: An unknown name; the nearest known one is given.
    """
    for name in names:
        if name not in AUGMENTATIONS:
            raise unknown_name("augmentation", name, AUGMENTATIONS)
    return [AUGMENTATIONS[name] for name in names]

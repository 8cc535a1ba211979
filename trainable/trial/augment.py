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

    Example:
        >>> x = torch.tensor([0.0, 1.0]).expand(100, 3, 1, 2)
        >>> flipped = flip(x, torch.Generator().manual_seed(0))
        >>> 25 < int(flipped[:, 0, 0, 0].sum()) < 75
        True
    """
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(mirrored.to(x.device).view(-1, 1, 1, 1), x.flip(-1), x)


def shift(x: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by whole pixels, at most ``SHIFT`` of its side each way.

    The border is repeated.

    Args:
        x: float ``[B, 3, H, W]``.
        generator: CPU generator.

    Returns:
        float ``[B, 3, H, W]``.

    Example:
        >>> x = torch.arange(16.0).view(1, 1, 1, 16)
        >>> moved = shift(x, torch.Generator().manual_seed(0))
        >>> float((moved - x).abs().max()) <= 1
        True
    """
    count, channels, height, width = x.shape
    rows, columns = (_source(count, side, generator) for side in (height, width))
    first = torch.arange(count).view(-1, 1) * height
    pixels = ((first + rows).unsqueeze(2) * width + columns.unsqueeze(1)).view(-1).to(x.device)
    # In channels-last order, that of the batches and of the fastest convolutions, a pixel is one row.
    moved = x.permute(0, 2, 3, 1).reshape(-1, channels).index_select(0, pixels)
    return moved.view(count, height, width, channels).permute(0, 3, 1, 2)


def _source(count: int, side: int, generator: torch.Generator) -> Tensor:
    most = max(1, round(SHIFT * side))
    by = torch.randint(-most, most + 1, (count, 1), generator=generator)
    return (torch.arange(side) + by).clamp_(0, side - 1)


AUGMENTATIONS: dict[str, Augmentation] = {"flip": flip, "shift": shift}


def resolve(names: Sequence[str]) -> list[Augmentation]:
    """Look augmentations up by name.

    Args:
        names: Names out of ``AUGMENTATIONS``.

    Returns:
        The functions, in that order.

    Raises:
        InputError: An unknown name; the nearest known one is given.

    Example:
        >>> [augmentation.__name__ for augmentation in resolve(["flip", "shift"])]
        ['flip', 'shift']
    """
    for name in names:
        if name not in AUGMENTATIONS:
            raise unknown_name("augmentation", name, AUGMENTATIONS)
    return [AUGMENTATIONS[name] for name in names]

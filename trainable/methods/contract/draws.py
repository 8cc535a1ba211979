"""Draws of training images: as many of each group, with repeats spread evenly."""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED = -1


def balanced(groups: Tensor, generator: torch.Generator, size: int | None = None) -> Tensor:
    """Draw positions so that every group that occurs is drawn equally often.

    Within a group each image is repeated equally often, up to one time. What does not divide falls to groups, and
    within them to images, by chance.

    Args:
        groups: int64 ``[n]``, group of every image; a negative one = never drawn.
        generator: CPU generator.
        size: Positions to draw; None = n.

    Returns:
        int64 ``[size]``, positions in a random order, on the CPU.

    Example:
        >>> groups = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
        >>> drawn = balanced(groups, torch.Generator().manual_seed(0))
        >>> groups[drawn].bincount(), drawn.bincount()[6:]
        (tensor([4, 4]), tensor([2, 2]))
    """
    codes = groups.cpu()
    size = len(codes) if size is None else size
    present = torch.unique(codes[codes >= 0])
    each, more = divmod(size, len(present))
    lucky = set(torch.randperm(len(present), generator=generator)[:more].tolist())
    parts = []
    for number, code in enumerate(present):
        images = (codes == code).nonzero().squeeze(1)
        rounds, rest = divmod(each + (number in lucky), len(images))
        parts += [images.repeat(rounds), images[torch.randperm(len(images), generator=generator)[:rest]]]
    drawn = torch.cat(parts)
    return drawn[torch.randperm(size, generator=generator)]


def group_counts(labels: Tensor, attribute: Tensor, n_classes: int, n_attributes: int) -> Tensor:
    """Count the images of each class and attribute.

    Args:
        labels: int64 ``[n]``.
        attribute: int64 ``[n]``; ``IGNORED`` = none, not counted.
        n_classes: Number of classes.
        n_attributes: Number of values of the attribute.

    Returns:
        int64 ``[n_classes, n_attributes]``, on the device of the labels.

    Example:
        >>> group_counts(torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0]), 2, 2)
        tensor([[0, 2],
                [1, 0]])
    """
    known = attribute != IGNORED
    groups = labels[known] * n_attributes + attribute[known]
    return torch.bincount(groups, minlength=n_classes * n_attributes).view(n_classes, n_attributes)

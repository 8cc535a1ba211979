"""Groups (class y, bias attribute b) of the training images: their numbers and their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainable.methods.base import Facts, MethodState, balanced
from trainable.methods.contract.draws import IGNORED


def codes_of(facts: Facts) -> Tensor:
    """Number the group of every training image, y * (values of b) + b.

    Args:
        facts: The trial, or its held-out images; the method needs bias labels.

    Returns:
        int64 ``[n]``, on the device; ``IGNORED`` where an image has no bias attribute.

    Example:
        >>> labels, attribute = torch.tensor([0, 1, 1]), torch.tensor([1, 0, -1])
        >>> codes_of(Facts(3, 2, 2, 1, 1, 0, labels.device, labels, attribute))
        tensor([ 1,  2, -1])
    """
    assert facts.attribute is not None
    codes = facts.labels * facts.n_attributes + facts.attribute
    return torch.where(facts.attribute == IGNORED, IGNORED, codes)


def weights_of(facts: Facts) -> Tensor:
    """Weigh every training image so that all groups that occur count the same: w = N / (G n_{y,b}).

    N images have a bias attribute, in G groups that are not empty, n_{y,b} of them in group (y, b). The mean of w over
    the N images is 1. An image without a bias attribute belongs to no group and has weight 0.

    Args:
        facts: The trial; the method needs the counts of the groups.

    Returns:
        float64 ``[n]``, on the device.

    Example:
        >>> labels, attribute = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1])
        >>> counts = torch.tensor([[2, 1], [0, 1]])
        >>> weights_of(Facts(4, 2, 2, 1, 1, 0, labels.device, labels, attribute, counts))
        tensor([0.6667, 0.6667, 1.3333, 1.3333], dtype=torch.float64)
    """
    assert facts.group_counts is not None
    counts = facts.group_counts.flatten()
    of_group = counts.sum().double() / ((counts > 0).sum() * counts.clamp(min=1))
    codes = codes_of(facts)
    return torch.where(codes == IGNORED, 0.0, of_group[codes.clamp(min=0)])


def members(codes: Tensor, groups: int, like: Tensor) -> Tensor:
    """Indicate the group of every image of a batch, without a shape that depends on the images.

    Args:
        codes: int64 ``[B]``, in [0, groups) or ``IGNORED``.
        groups: Number of groups.
        like: Gives the dtype.

    Returns:
        ``[B, groups]``, 1 where the image is in the group, else 0.

    Example:
        >>> members(torch.tensor([1, 0, -1]), 2, torch.zeros(1))
        tensor([[0., 1.],
                [1., 0.],
                [0., 0.]])
    """
    return (codes.unsqueeze(1) == torch.arange(groups, device=codes.device)).to(like.dtype)


class GroupsDrawnAlike(MethodState):
    """A method whose epochs hold as many images of each group that occurs.

    Attributes:
        codes: Group of every training image, int64 ``[n]``.
    """

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        self.codes = codes_of(facts)

    def order(self, epoch: int, generator: torch.Generator) -> Tensor:
        """Draw the images of an epoch, as many of each group.

        Args:
            epoch: Not used.
            generator: CPU generator of this epoch.

        Returns:
            Positions, int64 ``[n]``.
        """
        return balanced(self.codes, generator)

"""Plain training on grey images: the baseline that removes colour by hand (Kim et al. 2019, section 4.1)."""

from __future__ import annotations

from torch import Tensor

from trainable.methods.base import register_method
from trainable.methods.erm import erm

RED, GREEN, BLUE = 0.299, 0.587, 0.114
"""Weights of ITU-R BT.601 luma."""


def luminance(x: Tensor) -> Tensor:
    """Replace all three channels by the luma, which still tells a little of the colour: it is no ceiling.

    Args:
        x: float ``[B, 3, H, W]`` in [0, 1].

    Returns:
        float ``[B, 3, H, W]`` in [0, 1], three equal channels.

    Example:
        >>> import torch
        >>> luminance(torch.tensor([1.0, 1.0, 0.0]).view(1, 3, 1, 1)).flatten()
        tensor([0.8860, 0.8860, 0.8860])
    """
    luma = RED * x[:, 0:1] + GREEN * x[:, 1:2] + BLUE * x[:, 2:3]
    return luma.expand_as(x)


register_method(
    "grayscale",
    long_name="Grayscale input",
    reference="Kim et al. 2019, section 4.1",
    transform=luminance,
)(erm)

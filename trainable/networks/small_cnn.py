"""An ordinary small CNN, for images of about 64 pixels on a CPU."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from trainable.errors import InputError, unknown_name
from trainable.networks.base import Blueprint, DataShape, register_network
from trainable.networks.heads import PointwiseHead

_BLOCKS = 4
_GRID = 4


class _Centre(nn.Module):
    """Bring images in [0, 1], which are mostly dark, to about mean 0 and spread 1."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - 0.25).mul_(4)


class _Heads(nn.Module):
    """h: a copy of the network's rest for every bias label, each with its own weights."""

    def __init__(self, tails: list[nn.Module]) -> None:
        super().__init__()
        self.tails = nn.ModuleList(tails)

    def forward(self, z: Tensor, places: Tensor | None) -> Tensor:
        """Bias logits ``[B, heads, n_values]``."""
        return torch.stack([tail(z) for tail in self.tails], dim=1)


@register_network("small_cnn")
def small_cnn(
    data: DataShape,
    width: int = 12,
    norm: Literal["batch", "group"] = "batch",
    split_at: int = 2,
    head: Literal["tail", "pooled"] = "tail",
    stem: Literal["pool", "stride"] = "pool",
) -> Blueprint:
    """Four blocks of conv3x3, max-pool 2x2, norm and ReLU, a mean over a 4 x 4 grid, a linear layer.

    The blocks have width, width, 2 x width and 2 x width channels. f = the first ``split_at`` blocks, g = the rest.

    Args:
        data: Shape of the data; bias labels of the whole image.
        width: Channels of the first block, 4 to 256.
        norm: ``batch``, or ``group`` (one image's statistics alone: the same in training and in evaluation).
        split_at: Blocks in f, 1 to 3.
        head: h of each bias label: ``tail``, a fresh copy of g with as many outputs as the label has values (as in the
            seed study's ResNet-18); or ``pooled``, one hidden layer at each position and its maximum over positions.
        stem: How the first block halves the image: ``pool``, as the others, or ``stride``, by a step of 2 in its
            convolution, which saves a third of a step.

    Returns:
        What builds f, g and h.

    Raises:
        InputError: An option outside these values, or bias labels that belong to pixels.

    Example:
        >>> f, g = small_cnn(DataShape(3, 64, 64, ("benign", "malignant")), width=8).body()
        >>> f(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 8, 16, 16])
    """
    for option, value, low, high in (("width", width, 4, 256), ("split_at", split_at, 1, _BLOCKS - 1)):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(f"{option} of small_cnn must be a whole number in [{low}, {high}], but got {value!r}")
    for option, chosen, known in (
        ("norm", norm, ("batch", "group")),
        ("head", head, ("tail", "pooled")),
        ("stem", stem, ("pool", "stride")),
    ):
        if chosen not in known:
            raise unknown_name(f"{option} of small_cnn", str(chosen), known)
    channels = [data.channels, width, width, 2 * width, 2 * width]

    def block(i: int) -> list[nn.Module]:
        out = channels[i + 1]
        scale = nn.BatchNorm2d(out) if norm == "batch" else nn.GroupNorm(_groups(out), out)
        if i == 0 and stem == "stride":
            return [nn.Conv2d(channels[0], out, 3, stride=2, padding=1, bias=False), scale, nn.ReLU()]
        # Pooled first: norm and ReLU then see a quarter of the values, which saves a quarter of a step.
        return [nn.Conv2d(channels[i], out, 3, padding=1, bias=False), nn.MaxPool2d(2), scale, nn.ReLU()]

    def tail(outputs: int) -> nn.Sequential:
        blocks = [layer for i in range(split_at, _BLOCKS) for layer in block(i)]
        return nn.Sequential(
            *blocks, nn.AdaptiveAvgPool2d(_GRID), nn.Flatten(), nn.Linear(channels[-1] * _GRID**2, outputs)
        )

    def body() -> tuple[nn.Module, nn.Module]:
        f = nn.Sequential(_Centre(), *[layer for i in range(split_at) for layer in block(i)])
        return f, tail(len(data.classes))

    def bias_head() -> nn.Module:
        if data.heads.spatial:
            raise InputError(f"small_cnn has bias heads for whole images, but those of {data.name} belong to pixels")
        if head == "pooled":
            return PointwiseHead(channels[split_at], 4 * width, data.heads)
        return _Heads([tail(data.heads.n_values) for _ in data.heads.names])

    return Blueprint(body, bias_head)


def _groups(channels: int) -> int:
    return next(groups for groups in (4, 3, 2, 1) if channels % groups == 0)

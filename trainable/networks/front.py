"""Front of a network: images are resized, averaged to grey and normalised before its first layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainable.errors import InputError, unknown_name


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, in [0, 1] units: the network sees (x - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


NONE = Normalisation((0.0,) * 3, (1.0,) * 3)
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def normalisation(value: Any, channels: int, default: Normalisation) -> Normalisation:
    """Read the option ``normalise``.

    Args:
        value: ``none``, ``imagenet``, ``{mean: [...], std: [...]}`` with a number for each channel; None = the default.
        channels: Channels that the network sees, 1 or 3.
        default: Of three channels.

    Returns:
        A mean and a standard deviation for each channel; of three that are given for one, the average.

    Raises:
        InputError: Another value.

    Example:
        >>> normalisation("imagenet", 3, NONE).mean
        (0.485, 0.456, 0.406)
        >>> normalisation({"mean": [0.5], "std": [0.25]}, 1, NONE)
        Normalisation(mean=(0.5,), std=(0.25,))
    """
    if value is None:
        return _of_channels(default, channels)
    if isinstance(value, str):
        known = {"none": NONE, "imagenet": IMAGENET}
        if value not in known:
            raise unknown_name("value of network.normalise", value, known)
        return _of_channels(known[value], channels)
    if not isinstance(value, Mapping) or set(value) != {"mean", "std"}:
        raise InputError(
            f"network.normalise must be none, imagenet, or {{mean: [...], std: [...]}}, but got {value!r}: write one "
            "of these"
        )
    for name in ("mean", "std"):
        numbers = value[name]
        if not isinstance(numbers, list) or len(numbers) != channels or not all(map(_is_number, numbers)):
            raise InputError(
                f"network.normalise.{name} must be a list of {channels} finite numbers, one a channel, but got "
                f"{numbers!r}"
            )
    if min(value["std"]) <= 0:
        raise InputError(f"network.normalise.std must be above 0, but got {value['std']}")
    return Normalisation(tuple(map(float, value["mean"])), tuple(map(float, value["std"])))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _of_channels(colour: Normalisation, channels: int) -> Normalisation:
    if len(colour.mean) == channels:
        return colour
    return Normalisation((sum(colour.mean) / len(colour.mean),), (sum(colour.std) / len(colour.std),))


class Front(nn.Module):
    """Module that resizes images and normalises them.

    Its mean and standard deviation are saved with the weights.

    Args:
        size: Side of its output, pixels.
        normalised: What it subtracts and divides by, for each channel of its output: 3, or 1 = the mean of the colours.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int, normalised: Normalisation = NONE) -> None:
        super().__init__()
        self.size, self.channels = size, len(normalised.mean)
        self.register_buffer("mean", torch.tensor(normalised.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(normalised.std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W]`` in [0, 1] to ``[B, channels, size, size]``, bilinear."""
        if self.channels == 1:
            x = x.mean(dim=1, keepdim=True)
        if x.shape[-1] != self.size or x.shape[-2] != self.size:
            x = functional.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False)
        return (x - self.mean) / self.std

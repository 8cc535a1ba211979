"""Modes of networks (training, evaluation), and the images as they see them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

Transform = Callable[[Tensor], Tensor]
"""A method's change of float images ``[B, 3, H, W]``."""


@contextlib.contextmanager
def _in_mode(training: bool, parts: tuple[nn.Module, ...]) -> Iterator[None]:
    modes = [(module, module.training) for part in parts for module in part.modules()]
    try:
        for part in parts:
            part.train(training)
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluating(*parts: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Put networks into evaluation mode within the block.

    Afterwards every module is in the mode it had, frozen ones included.

    Example:
        >>> dropout = nn.Dropout()
        >>> with evaluating(dropout):
        ...     print(dropout.training)
        False
        >>> dropout.training
        True
    """
    return _in_mode(False, parts)


@contextlib.contextmanager
def with_batch_statistics(*parts: nn.Module) -> Iterator[None]:
    """Put networks into training mode within the block.

    Afterwards every mode and buffer (running averages) is what it was.

    Example:
        >>> norm = nn.BatchNorm1d(1).eval()
        >>> with with_batch_statistics(norm):
        ...     print(norm(torch.tensor([[1.0], [3.0]])).mean().item())
        0.0
        >>> norm.running_mean, norm.training
        (tensor([0.]), False)
    """
    buffers = [(buffer, buffer.clone()) for part in parts for buffer in part.buffers()]
    try:
        with _in_mode(True, parts):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def to_float(images: Tensor, transform: Transform | None = None, device: torch.device | str = "cpu") -> Tensor:
    """Convert images to what f sees, the same in training and in evaluation.

    Args:
        images: uint8 ``[B, 3, H, W]``.
        transform: The method's transform, applied last, or None.
        device: Where to compute.

    Returns:
        float32 ``[B, 3, H, W]`` in [0, 1] before the transform, stored channels last (a fifth faster on a CPU).

    Example:
        >>> to_float(torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)).flatten()
        tensor([0.0000, 0.2000, 1.0000])
    """
    x = images.to(device).float().div_(255).contiguous(memory_format=torch.channels_last)
    return x if transform is None else transform(x)

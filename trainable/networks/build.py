"""Networks of a trial built from a blueprint, and the bias labels brought to the grid of their features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainable.errors import InputError
from trainable.methods.base import Nets
from trainable.networks.base import DataShape, blueprint
from trainable.networks.modes import evaluating
from trainable.randomness import derive


def build_nets(network: str, options: Mapping[str, Any], shape: DataShape, seed: int, with_bias_head: bool) -> Nets:
    """Build f, g and h with fresh weights, in training mode, on the CPU.

    f and g are initialised under the role "init" and h under "init_head", so f and g are the same with and without h.

    Args:
        network: Registered name, or name of a torchvision classifier.
        options: Options of the network.
        shape: Shape of the data.
        seed: The trial's seed.
        with_bias_head: False = h is None.

    Returns:
        The networks. Convolution weights are stored channels last (a layout: the numbers are the same).

    Raises:
        InputError: Unknown network or option.

    Example:
        >>> nets = build_nets("small_cnn", {}, DataShape(3, 64, 64, ("benign", "malignant")), 0, with_bias_head=False)
        >>> nets.g(nets.f(torch.zeros(2, 3, 64, 64))).shape
        torch.Size([2, 2])
    """
    plan = blueprint(network, options, shape)
    with torch.random.fork_rng(devices=[]):
        # In a fork, since building must not move the random numbers of the process.
        torch.manual_seed(derive(seed, "init"))
        f, g = plan.body()
    h: nn.Module | None = None
    if with_bias_head:
        _check_trained(network, f)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "init_head"))
            h = plan.head()
    for part in (f, g, h):
        if part is not None:
            part.to(memory_format=torch.channels_last)
    return Nets(f, g, h)


def _check_trained(network: str, f: nn.Module) -> None:
    parameters = list(f.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        raise InputError(
            f"a bias head changes f alone, but network.freeze of {network} leaves nothing of f to train: freeze fewer "
            "layers, or choose methods without a bias head"
        )


def check_size(network: str, nets: Nets, shape: DataShape) -> None:
    """Refuse images that are too small for the layers of a network.

    Args:
        network: Its name, for the sentence.
        nets: f and g; their modes and buffers are left as they are.
        shape: Shape of the data.

    Raises:
        InputError: It cannot take images of this size, but larger ones.

    Example:
        >>> shape = DataShape(3, 14, 14, ("benign", "malignant"))
        >>> check_size("small_cnn", build_nets("small_cnn", {}, shape, 0, with_bias_head=False), shape)
        Traceback (most recent call last):
            ...
        store.errors.InputError: small_cnn cannot take images of 14 pixels, ...
    """
    side = shape.image_size
    if _takes(nets, shape.channels, side):
        return
    # A network that takes no size at all has another fault, which its first step tells.
    larger = next((more for more in _SIDES if more > side and _takes(nets, shape.channels, more)), None)
    if larger is not None:
        raise InputError(
            f"{network} cannot take images of {side} pixels, as those of {shape.name} are, but takes {larger}: choose "
            "another network, or a larger image_size"
        )


_SIDES = (16, 32, 48, 64, 80, 96, 128, 224)


def _takes(nets: Nets, channels: int, side: int) -> bool:
    try:
        with evaluating(nets.f), evaluating(nets.g), torch.inference_mode():
            nets.g(nets.f(torch.zeros(1, channels, side, side)))
    except RuntimeError:
        return False
    return True


def network_remarks(network: str, options: Mapping[str, Any], shape: DataShape) -> list[str]:
    """Sentences on a network that are no errors: weights that were not used, parts frozen at random weights.

    Args:
        network: Registered name, or name of a torchvision classifier.
        options: Options of the network.
        shape: Shape of the data.

    Raises:
        InputError: Unknown network or option, or weights that do not fit.

    Example:
        >>> network_remarks("resnet18", {"freeze": "f"}, DataShape(3, 64, 64, ("benign", "malignant")))
        ['network.freeze keeps random weights of resnet18, since it has no weights']
    """
    return blueprint(network, options, shape).remarks()


def feature_shape(f: nn.Module, image_size: int) -> tuple[int, ...]:
    """Compute the shape of f's output for one image, ``(C, H', W')`` for a convolutional f.

    Args:
        f: The features; its mode, buffers and gradients are left as they are.
        image_size: Side of the images, pixels.

    Example:
        >>> feature_shape(nn.Conv2d(3, 8, 3, stride=2), 64)
        (8, 31, 31)
    """
    device = next((parameter.device for parameter in f.parameters()), torch.device("cpu"))
    with evaluating(f), torch.inference_mode():
        return tuple(f(torch.zeros(1, 3, image_size, image_size, device=device)).shape[1:])


def downsample_bias(b: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring spatial bias labels to f's grid by nearest neighbour.

    It is done once a trial.

    Args:
        b: int64 ``[N, heads, H, W]``.
        size: ``(H', W')`` of f's output.

    Returns:
        int64 ``[N, heads, H', W']``: position i takes row floor(i H / H'); the tensor itself where the sizes agree.

    Example:
        >>> downsample_bias(torch.arange(16).view(1, 1, 4, 4), (2, 2)).tolist()
        [[[[0, 2], [8, 10]]]]
    """
    if tuple(b.shape[-2:]) == tuple(size):
        return b
    rows = torch.arange(size[0], device=b.device) * b.shape[-2] // size[0]
    columns = torch.arange(size[1], device=b.device) * b.shape[-1] // size[1]
    return b[..., rows[:, None], columns].contiguous()

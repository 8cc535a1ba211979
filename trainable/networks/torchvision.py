"""Any torchvision classifier as f, g and h: its graph is cut in two after a named layer.

The seed study (Peretz 2020) cuts an untrained ResNet-18 after ``layer2``: what comes before is f, the rest g, and each
bias head h a copy of the rest.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

import torch
import torchvision
from torch import nn

from trainable.errors import InputError
from trainable.networks.base import Blueprint, DataShape
from trainable.networks.whole import Model, Options, grey_model, lay_out_whole


@functools.cache
def classifiers() -> tuple[str, ...]:
    """Names of torchvision's classifiers, sorted.

    Example:
        >>> {"densenet121", "resnet18"} <= set(classifiers())
        True
    """
    return tuple(sorted(torchvision.models.list_models(module=torchvision.models)))


def lay_out(
    data: DataShape,
    network: str,
    split_at: str | None = None,
    weights: str | None = None,
    image_size: int | None = None,
    norm: Literal["batch", "group"] = "batch",
    channels: Literal[1, 3] = 3,
    normalise: Any = None,
    freeze: Any = None,
) -> Blueprint:
    """Lay a torchvision classifier out as f, g and h.

    Args:
        data: Shape of the data.
        network: Name of the classifier, e.g. ``resnet18``.
        split_at: The layer after which it is cut, e.g. ``layer2`` or ``features.denseblock2``; ``layer2`` by default
            for the ResNet family, to be named otherwise.
        weights: None (random), ``imagenet`` (torchvision's default weights, from torch hub's local folder: nothing is
            downloaded), or the path of a state dict (``.pt``, ``.pth`` or ``.safetensors``).
        image_size: Side in pixels to which f resizes its images (bilinear), None = as they come.
        norm: ``batch``, the network's own BatchNorm; or ``group``: GroupNorm of up to 32 groups in its place.
        channels: 3, or 1: it sees the mean of the colours, and its first convolution the sum of its weights over them.
        normalise: ``none``, ``imagenet`` or ``{mean: [...], std: [...]}``; None = ``imagenet`` with weights, and
            without them images in [0, 1].
        freeze: ``f``, or names of layers, that are not trained.

    Returns:
        f, g, and h: a fresh copy of the rest for every bias label, or, where bias labels belong to pixels, two
        convolutions on f's features.

    Raises:
        InputError: A layer where no cut is possible, weights that cannot be read or do not fit, or an image size that
            the network cannot work with.

    Example:
        >>> f, g = lay_out(DataShape(3, 64, 64, ("benign", "malignant")), "resnet18", split_at="layer2").body()
        >>> f(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 128, 8, 8])
    """
    model = Model(
        network,
        functools.partial(_model, network),
        default_split="layer2" if "resnet" in network or network.startswith("resnext") else None,
        weights_file=functools.partial(_weights_file, network),
        renamed=_present_name,
        trusted=True,
    )
    return lay_out_whole(data, model, Options(split_at, weights, image_size, norm, channels, normalise, freeze))


def _model(network: str, outputs: int, channels: int, side: int) -> nn.Module:
    options: dict[str, Any] = {"num_classes": outputs}
    if network.startswith("vit_"):
        options["image_size"] = side
    elif network.startswith("maxvit"):
        options["input_size"] = (side, side)
    elif network in ("googlenet", "inception_v3"):
        # Their auxiliary outputs exist in training mode only, where they would make the output a tuple.
        options |= {"aux_logits": False, "init_weights": True}
    try:
        model: nn.Module = torchvision.models.get_model(network, weights=None, **options)
    except (ValueError, RuntimeError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"network {network} cannot work with images of {side} pixels ({reason}): set network.image_size, e.g. 224"
        ) from error
    return grey_model(model) if channels == 1 else model


def imagenet_file(network: str) -> tuple[Path, str]:
    """File that holds torchvision's default weights of a classifier, and the address it can be had from.

    Args:
        network: Name of the classifier.

    Example:
        >>> file, address = imagenet_file("resnet18")
        >>> address.endswith(file.name)
        True
    """
    url = torchvision.models.get_model_weights(network).DEFAULT.url
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name, url


def _weights_file(network: str, weights: str) -> str | Path:
    if weights != "imagenet":
        return weights
    path, url = imagenet_file(network)
    if not path.is_file():
        raise InputError(
            f"weights: imagenet takes {path.name} from {path.parent} and downloads nothing, but it is not there: "
            f"put {url} there, or give weights: FILE"
        )
    return path


def _present_name(name: str) -> str:
    # Published DenseNet weights predate torchvision's names ("norm.1" instead of "norm1").
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)", r"\1", name)

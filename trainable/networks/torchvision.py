"""Any torchvision classifier as f, g and h: its graph is cut in two after a named layer.

The seed study (Peretz 2020) cuts an untrained ResNet-18 after ``layer2``: what comes before is f, the rest g, and each
bias head h a copy of the rest.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from store.local import expanded, is_file
from trainable.data.base import BiasHeads
from trainable.errors import InputError, unknown_name
from trainable.networks.base import Blueprint, DataShape
from trainable.networks.graph_cut import cut, layers
from trainable.networks.heads import ConvHead
from trainable.networks.modes import evaluating

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_Pieces = Callable[[int], tuple[nn.Module, nn.Module]]


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
) -> Blueprint:
    """Lay a torchvision classifier out as f, g and h.

    Args:
        data: Shape of the data.
        network: Name of the classifier, e.g. ``resnet18``.
        split_at: The layer after which it is cut, e.g. ``layer2`` or ``features.denseblock2``; ``layer2`` by default
            for the ResNet family, to be named otherwise.
        weights: None (random), ``imagenet`` (torchvision's default weights, from torch hub's local folder: nothing is
            downloaded), or the path of a state dict (``.pt``, ``.pth`` or ``.safetensors``). With weights f begins
            with ImageNet's normalisation; without, it sees images in [0, 1].
        image_size: Side in pixels to which f resizes its images (bilinear), None = as they come.
        norm: ``batch``, the network's own BatchNorm; or ``group``: GroupNorm of up to 32 groups in its place (Wu & He
            2018), which sees one image alone and is the same in training and in evaluation.

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
    side = data.image_size if image_size is None else image_size
    if isinstance(side, bool) or not isinstance(side, int) or side < 1:
        raise InputError(f"network.image_size must be a whole number of pixels above 0, but got {side!r}")
    for name, value in (("split_at", split_at), ("weights", weights)):
        if value is not None and not isinstance(value, str):
            raise InputError(f"network.{name} must be text, but got {value!r}: put it in quotes")
    if split_at is None:
        if "resnet" not in network and not network.startswith("resnext"):
            known = ", ".join(layers(_model(network, len(data.classes), side)))
            raise InputError(f"network {network} needs split_at, the layer after which it is cut: e.g. one of {known}")
        split_at = "layer2"
    if norm not in ("batch", "group"):
        raise unknown_name(f"norm of {network}", str(norm), ("batch", "group"))
    if norm == "group" and weights is not None:
        raise InputError(f"network.weights of {network} were trained with BatchNorm: leave out norm: group, or weights")
    state = None if weights is None else _read_weights(network, weights)

    def pieces(outputs: int) -> tuple[nn.Module, nn.Module]:
        model = _model(network, outputs, side)
        if state is not None:
            _load(model, state, network)
        if norm == "group":
            _use_group_norm(model)
        return cut(model, split_at)

    def body() -> tuple[nn.Module, nn.Module]:
        f, g = pieces(len(data.classes))
        if _channels_last(network, _check(f, g, network, side)):
            f, g = nn.Sequential(f, _Permute(0, 3, 1, 2)), nn.Sequential(_Permute(0, 2, 3, 1), g)
        return nn.Sequential(Front(side, normalised=state is not None), f), g

    def head() -> nn.Module:
        if not data.heads.spatial:
            return _tail_heads(pieces, data.heads, network, side)
        f, _ = body()
        with evaluating(f), torch.inference_mode():
            shape = f(torch.zeros(1, 3, data.image_size, data.image_size)).shape
        if len(shape) != 4:
            raise InputError(
                f"bias labels of pixels need features on a grid, but {network} at {split_at} has shape "
                f"{tuple(shape[1:])}: use bias_label: image, or cut at another layer"
            )
        return ConvHead(int(shape[1]), 32, data.heads)

    return Blueprint(body, head)


class Front(nn.Module):
    """Module that resizes images and normalises them.

    Its mean and standard deviation are saved with the weights.

    Args:
        size: Side of its output, pixels.
        normalised: (x - mean) / std with ImageNet's values for each channel; False = the images as they are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int, normalised: bool) -> None:
        super().__init__()
        self.size = size
        mean, std = (_IMAGENET_MEAN, _IMAGENET_STD) if normalised else ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W]`` in [0, 1] to ``[B, 3, size, size]``, bilinear."""
        if x.shape[-1] != self.size or x.shape[-2] != self.size:
            x = functional.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False)
        return (x - self.mean) / self.std


class _Permute(nn.Module):
    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.order)


class TailHeads(nn.Module):
    """h of the seed study: one copy of the network's rest for every bias label, each with its own weights."""

    def __init__(self, tails: list[nn.Module]) -> None:
        super().__init__()
        self.tails = nn.ModuleList(tails)

    def forward(self, z: Tensor, places: Tensor | None) -> Tensor:
        """Bias logits ``[B, heads, n_values]``.

        ``places`` is None, since the labels belong to images.
        """
        return torch.stack([tail(z) for tail in self.tails], dim=1)


def _use_group_norm(model: nn.Module) -> None:
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            groups = math.gcd(32, module.num_features)
            model.set_submodule(name, nn.GroupNorm(groups, module.num_features))


def _model(network: str, outputs: int, side: int) -> nn.Module:
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
        raise InputError(_size_message(network, side, error)) from error
    return model


def _size_message(network: str, side: int, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"network {network} cannot work with images of {side} pixels ({reason}): set network.image_size, e.g. 224"


def _check(f: nn.Module, g: nn.Module, network: str, side: int) -> tuple[int, ...]:
    # A size that the network cannot work with shows in a forward pass alone.
    with evaluating(f, g), torch.inference_mode():
        try:
            z = f(torch.zeros(1, 3, side, side))
            g(z)
        except (ValueError, RuntimeError, AssertionError) as error:
            raise InputError(_size_message(network, side, error)) from error
    return tuple(z.shape[1:])


def _channels_last(network: str, shape: tuple[int, ...]) -> bool:
    return network.startswith("swin") and len(shape) == 3


def _tail_heads(pieces: _Pieces, heads: BiasHeads, network: str, side: int) -> TailHeads:
    tails = []
    for _ in heads.names:
        f, tail = pieces(heads.n_values)
        if _channels_last(network, _check(f, tail, network, side)):
            tail = nn.Sequential(_Permute(0, 2, 3, 1), tail)
        tails.append(tail)
    return TailHeads(tails)


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


def _read_weights(network: str, weights: str) -> Mapping[str, Tensor]:
    path = expanded(weights)
    if weights == "imagenet":
        path, url = imagenet_file(network)
        if not path.is_file():
            raise InputError(
                f"weights: imagenet takes {path.name} from {path.parent} and downloads nothing, but it is not there: "
                f"put {url} there, or give weights: FILE"
            )
    if not is_file(path):
        raise InputError(f"network.weights must be null, imagenet or the path of a state dict, but got '{weights}'")
    try:
        if path.suffix == ".safetensors":
            import safetensors.torch

            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path} must be a state dict of {network}, but cannot be read: save one with torch.save"
        ) from error
    if not isinstance(state, Mapping):
        raise InputError(f"{path} must hold a state dict, but holds a {type(state).__name__}: save model.state_dict()")
    # Other entries than tensors (an epoch, say) are nobody's weights.
    return {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _load(model: nn.Module, state: Mapping[str, Tensor], network: str) -> None:
    """Load all weights but those of the last layer, whose outputs are other classes."""
    # Published DenseNet weights predate torchvision's names ("norm.1" instead of "norm1").
    state = {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)", r"\1", name): w for name, w in state.items()}
    expected = model.state_dict()
    last = [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    wrong = [
        name
        for name in expected
        if not name.startswith(f"{last}.")
        and not name.endswith("num_batches_tracked")
        and (name not in state or not _fits(state[name], expected[name]))
    ]
    if wrong:
        raise InputError(
            f"the weights do not fit network {network} ({len(wrong)} tensors missing or of another shape, the first "
            f"{wrong[0]}): give weights of this very network"
        )
    taken = {name: value for name, value in state.items() if name in expected and _fits(value, expected[name])}
    for name, value in taken.items():
        if not value.isfinite().all():
            raise InputError(f"the weights of network {network} must be finite, but {name} is not: give others")
    model.load_state_dict(taken, strict=False)


def _fits(value: Tensor, expected: Tensor) -> bool:
    # A complex tensor would lose its imaginary part without a word, and a sparse one cannot be copied.
    return value.shape == expected.shape and value.layout == expected.layout and not value.is_complex()

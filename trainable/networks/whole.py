"""Whole classifiers as f, g and h: checked, cut in two after a layer, frozen in part, begun with weights.

What torchvision, timm and a user's own module have in common.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainable.errors import InputError, unknown_name
from trainable.networks.base import Blueprint, DataShape
from trainable.networks.freeze import FEATURES, check_freeze, freeze
from trainable.networks.front import IMAGENET, NONE, Front, Normalisation, normalisation
from trainable.networks.graph_cut import cut, layers
from trainable.networks.heads import ConvHead
from trainable.networks.modes import evaluating, with_batch_statistics
from trainable.networks.weights import Fit, Wanted, fit, load_weights, read_weights, remarks
from trainable.texts import bounded, reason_of

_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Options:
    """Options that every whole classifier has.

    Attributes:
        split_at: The layer after which it is cut.
        weights: Path of a state dict; None = random.
        image_size: Side in pixels to which f resizes its images (bilinear); None = as they come.
        norm: ``batch``, the model's own BatchNorm, or ``group``: GroupNorm of up to 32 groups in its place (Wu & He
            2018), which sees one image alone and is the same in training and in evaluation.
        channels: Channels that the model sees: 3, or 1 = the mean of the colours.
        normalise: ``none``, ``imagenet`` or ``{mean: [...], std: [...]}``; None = the model's own where it begins with
            weights.
        freeze: ``f`` = everything before the cut, or names of layers: their parameters are not trained, and their
            BatchNorm keeps its averages.
    """

    split_at: str | None = None
    weights: str | None = None
    image_size: int | None = None
    norm: str = "batch"
    channels: int = 3
    normalise: Any = None
    freeze: Any = None


@dataclass(frozen=True)
class Model:
    """A kind of classifier before it is cut.

    Attributes:
        network: Its name, for messages.
        build: (outputs, channels, side in pixels) -> a module with fresh weights.
        default_split: The layer after which it is cut where none is named, or None.
        normalisation: What its weights were trained with.
        weights_file: Finds the file of the option ``weights``.
        renamed: Present name of a tensor that published weights have under an earlier one.
        trusted: True for torchvision's models, which were tried in both modes.
    """

    network: str
    build: Callable[[int, int, int], nn.Module]
    default_split: str | None = None
    normalisation: Normalisation = IMAGENET
    weights_file: Callable[[str], str | Path] = str
    renamed: Callable[[str], str] = str
    trusted: bool = False


def lay_out_whole(data: DataShape, model: Model, options: Options) -> Blueprint:
    """Lay a classifier out as f, g and h.

    Args:
        data: Shape of the data.
        model: The classifier.
        options: Its options.

    Returns:
        f, g, and h: a fresh copy of the rest for every bias label, or, where bias labels belong to pixels, two
        convolutions on f's features.

    Raises:
        InputError: An impossible option, a cut that is not possible, weights that cannot be read or do not fit.

    Example:
        >>> build = lambda outputs, channels, side: nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.Linear(8, outputs))
        >>> plan = lay_out_whole(DataShape(3, 4, 4, ("a", "b")), Model("tiny", build), Options(split_at="1"))
        >>> f, g = plan.body()
        >>> g(f(torch.zeros(5, 3, 4, 4))).shape
        torch.Size([5, 2])
    """
    whole = _Whole(data, model, options)
    return Blueprint(whole.body, whole.head, whole.remarks)


class _Whole:
    """One classifier with its options, which are checked when it is made."""

    def __init__(self, data: DataShape, model: Model, options: Options) -> None:
        self.data, self.model, self.options = data, model, options
        self.network = model.network
        self.side = _check_options(model.network, options, data)
        self.file = "" if options.weights is None else str(model.weights_file(options.weights))
        self.content = read_weights(self.network, self.file) if self.file else None
        default = model.normalisation if self.content is not None else NONE
        self.normalisation = normalisation(options.normalise, options.channels, default)

    def pieces(self, outputs: int, frozen: Any = None) -> tuple[nn.Module, nn.Module]:
        """f and g with so many outputs, without the front."""
        model = self._built(outputs)
        place = self._place_of_cut(model)
        last = self._check_whole(model, outputs)
        if self.content is not None:
            load_weights(model, self._wanted(model, last))
        if self.options.norm == "group":
            _use_group_norm(model)
        for name in frozen if isinstance(frozen, list) else ():
            freeze(model, name)
        f, g = cut(model, place) if isinstance(place, str) else place
        if frozen == FEATURES:
            freeze(f)
        shape = self._check_cut(model, f, g, outputs)
        if _channels_last(self.network, model, shape):
            return nn.Sequential(f, _Permute(0, 3, 1, 2)), nn.Sequential(_Permute(0, 2, 3, 1), g)
        return f, g

    def body(self) -> tuple[nn.Module, nn.Module]:
        """f with its front, and g."""
        f, g = self.pieces(len(self.data.classes), self.options.freeze)
        if not any(parameter.requires_grad for part in (f, g) for parameter in part.parameters()):
            raise InputError(f"network.freeze leaves {self.network} nothing to train: leave some layers out of it")
        return nn.Sequential(Front(self.side, self.normalisation), f), g

    def head(self) -> nn.Module:
        """h, which no option freezes."""
        heads = self.data.heads
        if not heads.spatial:
            return TailHeads([self.pieces(heads.n_values)[1] for _ in heads.names])
        f, _ = self.body()
        with evaluating(f), torch.inference_mode():
            shape = f(torch.zeros(1, 3, self.data.image_size, self.data.image_size)).shape
        if len(shape) != 4:
            raise InputError(
                f"bias labels of pixels need features on a grid, but those of {self.network} have the shape "
                f"{tuple(shape[1:])}: use bias_label: image, or cut at another layer"
            )
        return ConvHead(int(shape[1]), 32, heads)

    def remarks(self) -> list[str]:
        """Sentences on the weights that were taken and left over, and on parts frozen without any."""
        if self.content is None:
            frozen = self.options.freeze is not None
            return [f"network.freeze keeps random weights of {self.network}, since it has no weights"] if frozen else []
        with torch.random.fork_rng(devices=[]):
            model = self._built(len(self.data.classes))
            found: Fit = fit(model, self._wanted(model, self._check_whole(model, len(self.data.classes))))
        return remarks(found, self.file)

    def _built(self, outputs: int) -> nn.Module:
        return self.model.build(outputs, self.options.channels, self.side)

    def _wanted(self, model: nn.Module, last: str) -> Wanted:
        grey = _first_convolution(model) if self.options.channels == 1 else None
        assert self.content is not None
        return Wanted(self.file, self.network, self.content, last, grey and f"{grey}.weight", self.model.renamed)

    def _place_of_cut(self, model: nn.Module) -> str | tuple[nn.Module, nn.Module]:
        """The layer after which a model is cut, or the two parts that it names itself."""
        if self.options.split_at is not None:
            return self.options.split_at
        f, g = (getattr(model, name, None) for name in ("f", "g"))
        if isinstance(f, nn.Module) and isinstance(g, nn.Module):
            return f, g
        known = layers(model)
        if self.model.default_split in known:
            return str(self.model.default_split)
        f, g = (getattr(model, name, None) for name in ("features", "classifier"))
        if not known and isinstance(f, nn.Module) and isinstance(g, nn.Module):
            return f, g
        if known:
            raise InputError(
                f"network {self.network} needs split_at, the layer after which it is cut: e.g. one of "
                f"{', '.join(known)}"
            )
        raise InputError(
            f"network {self.network} cannot be cut in two, since torch.fx cannot follow its forward: give the model "
            "two attributes f and g (or features and classifier), modules for which model(x) is g(f(x))"
        )

    def _check_whole(self, model: nn.Module, outputs: int) -> str:
        """Refuse a model that does not make logits of such images.

        Return the name of its last layer.
        """
        by_order = [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
        if self.model.trusted:
            return str(by_order[-1])
        x = torch.zeros(2, self.options.channels, self.side, self.side)
        last: list[str] = []
        hooks = [
            module.register_forward_hook(functools.partial(_note_layer, last, name, outputs))
            for name, module in model.named_modules()
            if isinstance(module, (nn.Linear, nn.Conv2d))
        ]
        try:
            for mode in (evaluating, with_batch_statistics):
                # Not in inference mode: the parameters of a lazy layer are made here, and are trained later.
                with torch.random.fork_rng(devices=[]), mode(model), torch.no_grad():
                    self._check_output(_call(model, x, self), outputs)
        finally:
            for hook in hooks:
                hook.remove()
        return [*by_order[-1:], *last][-1] if by_order else ""

    def _check_output(self, y: Any, outputs: int) -> None:
        if y is None:
            return
        if not isinstance(y, Tensor):
            raise InputError(
                f"network {self.network} must return logits [B, {outputs}], but returns a {type(y).__name__}: return "
                "the logits alone, in training mode too"
            )
        if tuple(y.shape) != (2, outputs):
            raise InputError(
                f"network {self.network} must return logits [B, num_classes], here [2, {outputs}], but returns "
                f"{list(y.shape)}: let its last layer have num_classes outputs"
            )

    def _check_cut(self, model: nn.Module, f: nn.Module, g: nn.Module, outputs: int) -> tuple[int, ...]:
        """Refuse pieces that compute something else than the whole.

        Return the shape of one image's features.
        """
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(2, self.options.channels, self.side, self.side, generator=generator)
        with torch.random.fork_rng(devices=[]), evaluating(model, f, g), torch.inference_mode():
            whole = None if self.model.trusted else _call(model, x, self)
            try:
                z = f(x)
                y = g(z)
            except Exception as error:
                raise InputError(_failing(self, error)) from error
        if not isinstance(z, Tensor):
            raise InputError(
                f"the features of network {self.network} must be one tensor, but f returns a {type(z).__name__}: cut "
                "it elsewhere"
            )
        if whole is None:
            self._check_output(y, outputs)
        elif not (whole.shape == y.shape and torch.allclose(whole, y, _TOLERANCE, _TOLERANCE, equal_nan=True)):
            raise InputError(
                f"the two parts of network {self.network} compute something else than the whole in evaluation mode: "
                "let no forward depend on self.training (nn.Dropout instead of functional.dropout), and g(f(x)) be "
                "model(x)"
            )
        return tuple(z.shape[1:])


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


def _check_options(network: str, options: Options, data: DataShape) -> int:
    """Refuse impossible options.

    Return the side of the images that the model sees.
    """
    side = data.image_size if options.image_size is None else options.image_size
    if isinstance(side, bool) or not isinstance(side, int) or side < 1:
        raise InputError(f"network.image_size must be a whole number of pixels above 0, but got {side!r}")
    for name, value in (("split_at", options.split_at), ("weights", options.weights)):
        if value is not None and not isinstance(value, str):
            raise InputError(f"network.{name} must be text, but got {value!r}: put it in quotes")
    if options.norm not in ("batch", "group"):
        raise unknown_name(f"norm of {network}", str(options.norm), ("batch", "group"))
    if options.norm == "group" and options.weights is not None:
        raise InputError(f"network.weights of {network} were trained with BatchNorm: leave out norm: group, or weights")
    if isinstance(options.channels, bool) or options.channels not in (1, 3):
        raise InputError(
            f"network.channels must be 3, or 1 (the mean of the colours), but got {options.channels!r}: write one of "
            "these"
        )
    check_freeze(options.freeze)
    return side


def _note_layer(last: list[str], name: str, outputs: int, _: nn.Module, __: Any, y: Any) -> None:
    if isinstance(y, Tensor) and y.numel() == 2 * outputs:
        last.append(name)


def _call(model: nn.Module, x: Tensor, whole: _Whole) -> Any:
    """Output of a model.

    None where it has no forward of its own, but only f and g.
    """
    if getattr(type(model), "forward", None) is nn.Module.forward:
        return None
    try:
        return model(x)
    except Exception as error:
        raise InputError(_failing(whole, error)) from error


def _failing(whole: _Whole, error: Exception) -> str:
    reason = bounded(reason_of(error).partition(": ")[2] or type(error).__name__, 200)
    channels = f" and {whole.options.channels} channels" if not whole.model.trusted else ""
    other = "" if whole.model.trusted else f", or network.channels ({4 - whole.options.channels})"
    return (
        f"network {whole.network} cannot work with images of {whole.side} pixels{channels} ({reason}): set "
        f"network.image_size, e.g. 224{other}"
    )


def _use_group_norm(model: nn.Module) -> None:
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            groups = math.gcd(32, module.num_features)
            model.set_submodule(name, nn.GroupNorm(groups, module.num_features))


def _first_convolution(model: nn.Module) -> str | None:
    return next((name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)), None)


def _channels_last(network: str, model: nn.Module, shape: tuple[int, ...]) -> bool:
    """True where features lie as rows, columns, channels: they are brought to f's usual order."""
    named = network.startswith("swin") or str(getattr(model, "output_fmt", "")).endswith("NHWC")
    return named and len(shape) == 3


def grey_model(model: nn.Module) -> nn.Module:
    """Give a model that sees colours a first convolution that sees grey images.

    Args:
        model: The model, changed in place.

    Returns:
        The model.

    Example:
        >>> grey_model(nn.Sequential(nn.Conv2d(3, 8, 3)))[0]
        Conv2d(1, 8, kernel_size=(3, 3), stride=(1, 1))
    """
    name = _first_convolution(model)
    first = model.get_submodule(name) if name is not None else None
    if name is None or not isinstance(first, nn.Conv2d) or first.in_channels != 3:
        raise InputError("network.channels: 1 needs a first convolution of 3 channels, which this model lacks")
    model.set_submodule(
        name,
        nn.Conv2d(
            1,
            first.out_channels,
            first.kernel_size,  # type: ignore[arg-type]
            first.stride,  # type: ignore[arg-type]
            first.padding,  # type: ignore[arg-type]
            first.dilation,  # type: ignore[arg-type]
            bias=first.bias is not None,
        ),
    )
    return model

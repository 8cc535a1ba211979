"""Networks whose code lies elsewhere: any callable that makes a module, and the models of timm."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Mapping
from typing import Any, Literal

from torch import nn

from store.errors import nearest
from trainable.errors import InputError, unknown_name
from trainable.networks.base import TIMM, Blueprint, DataShape, register_network
from trainable.networks.front import NONE, Normalisation
from trainable.networks.whole import Model, Options, lay_out_whole
from trainable.plugins import load_object
from trainable.texts import bounded, reason_of


@register_network("module", code=("make",))
def module(
    data: DataShape,
    make: str,
    args: Mapping[str, Any] | None = None,
    split_at: str | None = None,
    weights: str | None = None,
    image_size: int | None = None,
    norm: Literal["batch", "group"] = "batch",
    channels: Literal[1, 3] = 3,
    normalise: Any = None,
    freeze: Any = None,
) -> Blueprint:
    """Any callable ``(num_classes, **args) -> nn.Module`` as f, g and h.

    Args:
        data: Shape of the data.
        make: ``FILE.py:NAME`` of a plug-in, or ``PACKAGE.MODULE:NAME``.
        args: What it is called with besides the number of classes.
        split_at: Dotted name of the layer after which the module is cut. A module with attributes ``f`` and ``g`` for
            which ``model(x)`` is ``g(f(x))`` needs none, and one with ``features`` is cut after it by default.
        weights: Path of a state dict, None = random.
        image_size: Side in pixels to which f resizes its images (bilinear), None = as they come.
        norm: ``batch``, the module's own BatchNorm; or ``group``: GroupNorm of up to 32 groups in its place.
        channels: Channels that the module sees: 3, or 1 = the mean of the colours.
        normalise: ``none`` (the default: images in [0, 1]), ``imagenet`` or ``{mean: [...], std: [...]}``.
        freeze: ``f``, or names of layers, that are not trained.

    Returns:
        f, g, and h: a fresh copy of the rest for every bias label, or, where bias labels belong to pixels, two
        convolutions on f's features.

    Raises:
        InputError: There is no such callable, or it does not make a module that can be used.

    Example:
        >>> import torch
        >>> shape = DataShape(3, 32, 32, ("benign", "malignant"))
        >>> f, g = module(shape, "torchvision.models.squeezenet:squeezenet1_1", args={"dropout": 0.2}).body()
        Traceback (most recent call last):
            ...
        store.errors.InputError: torchvision.models.squeezenet:squeezenet1_1 must take the number of classes first ...
    """
    network = f"module ({bounded(str(make), 60)})"
    if args is not None and not (isinstance(args, Mapping) and all(isinstance(name, str) for name in args)):
        raise InputError(f"network.args must be a mapping of names to values, but got {args!r}")
    made_by = load_object(make)
    if not callable(made_by):
        raise InputError(f"{make} must be a class or a function, but is a {type(made_by).__name__}: name another")
    build = functools.partial(_made, made_by, make, dict(args or {}))
    model = Model(network, build, default_split="features", normalisation=NONE)
    return lay_out_whole(data, model, Options(split_at, weights, image_size, norm, channels, normalise, freeze))


def _made(made_by: Any, make: str, args: Mapping[str, Any], outputs: int, _channels: int, _side: int) -> nn.Module:
    try:
        signature = inspect.signature(made_by)
    except (TypeError, ValueError):
        signature = None
    if signature is not None:
        try:
            signature.bind(outputs, **args)
        except TypeError as error:
            raise InputError(
                f"{make} must take the number of classes first and network.args ({', '.join(args) or 'none'}) by name, "
                f"but {error}: its arguments are {signature}"
            ) from error
    try:
        made = made_by(outputs, **args)
    except InputError:
        raise
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        raise InputError(
            f"{make} cannot make its module ({bounded(reason_of(error), 200)}, {line.filename}:{line.lineno}): mend "
            "it, or change network.args"
        ) from error
    if not isinstance(made, nn.Module):
        raise InputError(f"{make} must return a torch.nn.Module, but returned a {type(made).__name__}: return one")
    return made


def lay_out_timm(
    data: DataShape,
    network: str,
    args: Mapping[str, Any] | None = None,
    split_at: str | None = None,
    weights: str | None = None,
    image_size: int | None = None,
    norm: Literal["batch", "group"] = "batch",
    channels: Literal[1, 3] = 3,
    normalise: Any = None,
    freeze: Any = None,
) -> Blueprint:
    """Lay a model of timm out as f, g and h.

    Nothing is ever downloaded.

    Args:
        data: Shape of the data.
        network: ``timm:`` and the name of the model, e.g. ``timm:resnet18.a1_in1k``.
        args: Further arguments of ``timm.create_model``.
        split_at: The layer after which it is cut; ``layer2`` by default where the model has one.
        weights: Path of the model's weights, None = random.
        image_size: Side in pixels to which f resizes its images (bilinear), None = as they come.
        norm: ``batch``, the network's own BatchNorm; or ``group``: GroupNorm of up to 32 groups in its place.
        channels: 3, or 1: it sees the mean of the colours, and its first convolution the sum of its weights over them.
        normalise: ``none``, ``imagenet`` or ``{mean: [...], std: [...]}``; None = the model's own with weights, and
            without them images in [0, 1].
        freeze: ``f``, or names of layers, that are not trained.

    Returns:
        f, g, and h, as of any other classifier.

    Raises:
        InputError: timm is not installed or has no such model, or an option is impossible.
    """
    name = network.removeprefix(TIMM)
    if args is not None and not isinstance(args, Mapping):
        raise InputError(f"network.args must be a mapping of names to values, but got {args!r}")
    for given in ("pretrained", "num_classes", "in_chans", "checkpoint_path", "features_only"):
        if given in (args or {}):
            raise InputError(f"network.args of {network} must not hold {given}: weights, channels and split_at say it")
    config = _timm_config(name)
    build = functools.partial(_timm_model, name, dict(args or {}), bool(config.fixed_input_size))
    model = Model(network, build, default_split="layer2", normalisation=Normalisation(config.mean, config.std))
    return lay_out_whole(data, model, Options(split_at, weights, image_size, norm, channels, normalise, freeze))


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise InputError(
            f"a network {TIMM}... needs the package timm ({reason_of(error)}): pip install timm, here and on every node"
        ) from error
    return timm


def _timm_config(name: str) -> Any:
    """timm's description of a model, which needs no weights."""
    timm = _timm()
    architecture, _, tag = name.partition(".")
    if architecture not in timm.list_models():
        near = nearest(architecture, timm.list_models(), cutoff=0.6)
        raise InputError(
            f"unknown model of timm '{bounded(architecture, 60)}': {f'did you mean {near}? ' if near else ''}"
            "timm.list_models() has all"
        )
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise unknown_name(f"tag of {architecture} in timm", tag, tags)
    return timm.get_pretrained_cfg(name, allow_unregistered=False) or timm.models.PretrainedCfg()


def _timm_model(
    name: str, args: Mapping[str, Any], of_one_size: bool, outputs: int, channels: int, side: int
) -> nn.Module:
    sized = {"img_size": side} if of_one_size and "img_size" not in args else {}
    try:
        made: nn.Module = _timm().create_model(
            name, pretrained=False, num_classes=outputs, in_chans=channels, **sized, **args
        )
    except Exception as error:
        raise InputError(
            f"timm cannot make {name} for images of {side} pixels ({bounded(reason_of(error), 200)}): set "
            "network.image_size, e.g. 224, or change network.args"
        ) from error
    return made

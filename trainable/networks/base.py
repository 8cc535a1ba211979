"""Networks, and their registry: features f, label head g, bias head h (Kim et al., CVPR 2019, section 3).

A new network is one new file beside this one that calls ``register_network``. Any torchvision classifier is a network
as well, by its name (``torchvision.py``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from store.errors import nearest
from trainable.data.base import NO_BIAS_LABELS, BiasHeads, Dataset
from trainable.errors import InputError, unknown_name
from trainable.registry import Registry


@dataclass(frozen=True)
class DataShape:
    """Shape of the data, as a network needs it.

    Attributes:
        channels: Channels of an image.
        height: Rows of an image, pixels.
        width: Columns.
        classes: Names of the classes, in label order.
        heads: The bias labels that h predicts.
        name: Name of the data set, for messages.
    """

    channels: int
    height: int
    width: int
    classes: tuple[str, ...]
    heads: BiasHeads = NO_BIAS_LABELS
    name: str = "these images"

    @classmethod
    def of(cls, dataset: Dataset, heads: BiasHeads | None = None) -> DataShape:
        """Describe a data set.

        Args:
            dataset: The data set.
            heads: The bias labels that h predicts; None = all that the data set has.
        """
        side = dataset.image_size
        return cls(3, side, side, dataset.classes, dataset.heads if heads is None else heads, dataset.name)

    @property
    def image_size(self) -> int:
        """Side of the images, which are square, in pixels."""
        return self.height


@dataclass(frozen=True)
class Blueprint:
    """Builders of one network for data of one shape.

    Attributes:
        body: Builds f and g: f maps float32 ``[B, 3, H, W]`` to features, g features to logits ``[B, classes]``.
        head: Builds h: ``h(features, places) -> logits``. With ``places``, bool ``[B, H', W']``, the positions of f's
            grid that count: ``[M, heads, n_values]``, M = number of True, in row-major order. With None (bias labels
            of the whole image): ``[B, heads, n_values]``.
        remarks: Sentences that ``lnl-sweep check`` shows, e.g. on weights that were not used.
    """

    body: Callable[[], tuple[nn.Module, nn.Module]]
    head: Callable[[], nn.Module]
    remarks: Callable[[], list[str]] = list


NetworkBuilder = Callable[..., Blueprint]
"""(shape of the data, **options) -> blueprint."""


@dataclass(frozen=True)
class _Registered:
    builder: NetworkBuilder
    note: str
    remark: str


TIMM = "timm:"
"""Beginning of the name of a network that timm makes."""
LATE = "trainable.networks.torchvision"
"""Module that is imported late: torchvision's models take a second, and the small networks do not need them."""
NETWORKS: Registry[_Registered] = Registry("network", "trainable.networks", late=(LATE,), files=("weights",))


def register_network(
    name: str, note: str = "", remark: str = "", files: Iterable[str] = (), code: Iterable[str] = ()
) -> Callable[[NetworkBuilder], NetworkBuilder]:
    """Register a function that lays a network out.

    Args:
        name: The name in ``network: {name: ...}``.
        note: What the title of figures made with this network must say, or "".
        remark: One sentence that stands below them, with at most one link in Markdown, or "".
        files: Options that are paths, besides ``weights``. They are given relative to the sweep file's folder, are
            absolute in every worker, must exist before a sweep starts, and may change at a resume while their content
            is the same.
        code: Options of the form ``file.py:name``, whose file becomes a plug-in of the sweep by itself.

    Returns:
        The decorator; it returns the builder unchanged.

    Raises:
        InputError: The name is taken by another builder, or it has no such option.

    Example:
        >>> from trainable.networks.heads import PointwiseHead
        >>> @register_network("one_layer")
        ... def one_layer(data: DataShape, width: int = 8) -> Blueprint:
        ...     def body():
        ...         f = nn.Conv2d(data.channels, width, 5, stride=2)
        ...         g = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, len(data.classes)))
        ...         return f, g
        ...     return Blueprint(body, lambda: PointwiseHead(width, 16, data.heads))
        >>> "one_layer" in list_networks()
        True
    """

    return NETWORKS.register(name, lambda builder: _Registered(builder, note, remark), files, code)


def list_networks() -> list[str]:
    """Names of the registered networks, sorted.

    The names of torchvision's classifiers are not listed, and can be used too.

    Example:
        >>> {"pixel_front", "small_cnn"} <= set(list_networks())
        True
    """
    return NETWORKS.names()


SMALL = 96
"""Largest side in pixels of images for which the small network is meant."""
SMALLEST = 16
"""Smallest side that it can take."""


def default_network(dataset: Dataset) -> str:
    """Name of the network for a data set where none is given.

    Args:
        dataset: The data set.

    Returns:
        The data set's own default; else ``small_cnn`` up to 96 pixels, and ``resnet18`` above. Where that is
        ``small_cnn`` and the images have fewer than 16 pixels, which it halves four times, it is ``pixel_front``.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> default_network(load_dataset("coloured_digits")), default_network(load_dataset("brain_phantom"))
        ('pixel_front', 'small_cnn')
    """
    name = dataset.default_network or ("small_cnn" if dataset.image_size <= SMALL else "resnet18")
    return "pixel_front" if name == "small_cnn" and dataset.image_size < SMALLEST else name


def network_note(name: str) -> str:
    """Note for the title of figures made with this network, or "".

    Args:
        name: A registered name or that of a torchvision classifier.

    Example:
        >>> network_note("pixel_front")
        'toy network: its first stage sees colour only'
    """
    network = NETWORKS.find(name)
    return network.note if network else ""


def network_remark(name: str) -> str:
    """The sentence that stands below figures made with this network, or "".

    Args:
        name: A registered name or that of a torchvision classifier.

    Example:
        >>> network_remark("small_cnn")
        ''
    """
    network = NETWORKS.find(name)
    return network.remark if network else ""


def network_module(name: str) -> str:
    """Name of the module that lays a network out.

    Args:
        name: A registered name or that of a torchvision classifier.

    Example:
        >>> network_module("small_cnn"), network_module("resnet18")
        ('trainable.networks.small_cnn', 'trainable.networks.torchvision')
    """
    network = NETWORKS.find(name)
    if network:
        return network.builder.__module__
    return "trainable.networks.module" if name.startswith(TIMM) else LATE


def blueprint(network: str, options: Mapping[str, Any], shape: DataShape) -> Blueprint:
    """Lay a network out for data of a shape.

    Args:
        network: Registered name, or name of a torchvision classifier.
        options: Options of the network.
        shape: Shape of the data.

    Returns:
        What builds f, g and h.

    Raises:
        InputError: Unknown network or option.

    Example:
        >>> plan = blueprint("small_cnn", {"width": 8}, DataShape(3, 64, 64, ("benign", "malignant")))
        >>> f, g = plan.body()
        >>> g[-1]
        Linear(in_features=256, out_features=2, bias=True)
    """
    registered = NETWORKS.find(network)
    if registered is not None:
        _check_options(network, registered.builder, options)
        return registered.builder(shape, **options)
    if network.startswith(TIMM):
        from trainable.networks import module

        _check_options(network, module.lay_out_timm, options, skip=2)
        made: Blueprint = module.lay_out_timm(shape, network, **options)
        return made
    from trainable.networks import torchvision

    if network not in torchvision.classifiers():
        near = nearest(network, [*NETWORKS.entries, *torchvision.classifiers()], cutoff=0.6)
        hint = f"did you mean '{near}'? " if near else ""
        raise InputError(
            f"unknown network '{network}': {hint}known: {', '.join(list_networks())}, torchvision's classifiers "
            f"(resnet18, densenet121 ...) and, where timm is installed, {TIMM}NAME"
        )
    _check_options(network, torchvision.lay_out, options, skip=2)
    plan: Blueprint = torchvision.lay_out(shape, network, **options)
    return plan


def _check_options(network: str, builder: Callable[..., Any], options: Mapping[str, Any], skip: int = 1) -> None:
    parameters = list(inspect.signature(builder).parameters.values())
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for parameter in parameters[skip:]:
        if parameter.default is parameter.empty and parameter.kind in named and parameter.name not in options:
            raise InputError(f"network {network} needs the option {parameter.name}: give network.{parameter.name}")
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters[skip:]]
    for name in options:
        if name not in known:
            # Options stand beside the network's own key.
            raise (
                unknown_name(f"option of network {network}", name, [*known, "name"])
                if known or nearest(name, ["name"])
                else InputError(f"network {network} has no options, but got '{name}': leave it out")
            )

"""The registry of networks: features f, label head g, bias head h (Kim et al., CVPR 2019, section 3).

A new network is one new file beside this one that calls ``register_network``. Any torchvision classifier is a network
as well, by its name (``torchvision.py``).
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from store.errors import nearest
from trainable.data.base import Dataset
from trainable.errors import InputError, unknown_name
from trainable.registry import import_registered


@dataclass(frozen=True)
class Blueprint:
    """How to build one network for one data set.

    Attributes:
        body: Builds f and g: f maps float32 ``[B, 3, H, W]`` to features, g features to logits ``[B, classes]``.
        head: Builds h: ``h(features, places) -> logits``. With ``places``, bool ``[B, H', W']``, the positions of f's
            grid that count: ``[M, heads, n_values]``, M = number of True, in row-major order. With None (bias labels
            of the whole image): ``[B, heads, n_values]``.
    """

    body: Callable[[], tuple[nn.Module, nn.Module]]
    head: Callable[[], nn.Module]


NetworkBuilder = Callable[..., Blueprint]
"""(dataset, **options) -> blueprint."""


@dataclass(frozen=True)
class _Registered:
    builder: NetworkBuilder
    note: str
    remark: str


_NETWORKS: dict[str, _Registered] = {}


def register_network(name: str, note: str = "", remark: str = "") -> Callable[[NetworkBuilder], NetworkBuilder]:
    """Register a function that lays a network out.

    Args:
        name: The name in ``network: {name: ...}``.
        note: What the title of figures made with this network must say, or "".
        remark: One sentence that stands below them, with at most one link in Markdown, or "".

    Returns:
        The decorator; it returns the builder unchanged.

    Raises:
        InputError: The name is taken by another builder.
    """

    def decorate(builder: NetworkBuilder) -> NetworkBuilder:
        known = _NETWORKS.get(name)
        if known is not None and known.builder.__module__ != builder.__module__:
            raise InputError(f"network '{name}' is registered twice: choose another name")
        _NETWORKS[name] = _Registered(builder, note, remark)
        return builder

    return decorate


def list_networks() -> list[str]:
    """Names of the registered networks, sorted; torchvision's classifiers can be named besides."""
    return sorted(_NETWORKS)


def network_note(name: str) -> str:
    """What the title of figures made with this network must say, or "".

    Args:
        name: A registered name or that of a torchvision classifier.
    """
    return _NETWORKS[name].note if name in _NETWORKS else ""


def network_remark(name: str) -> str:
    """The sentence that stands below figures made with this network, or "".

    Args:
        name: A registered name or that of a torchvision classifier.
    """
    return _NETWORKS[name].remark if name in _NETWORKS else ""


def network_module(name: str) -> str:
    """Name of the module that lays a network out.

    Args:
        name: A registered name or that of a torchvision classifier.
    """
    return _NETWORKS[name].builder.__module__ if name in _NETWORKS else _LATE


def blueprint(network: str, options: Mapping[str, Any], dataset: Dataset) -> Blueprint:
    """Lay a network out for a data set.

    Args:
        network: Registered name, or name of a torchvision classifier.
        options: Options of the network.
        dataset: The data set: its classes, bias heads and image size.

    Returns:
        What builds f, g and h.

    Raises:
        InputError: Unknown network or option.
    """
    if network in _NETWORKS:
        builder = _NETWORKS[network].builder
        _check_options(network, builder, options)
        return builder(dataset, **options)
    # Imported here: torchvision's models take a second to import, and the small networks do not need them.
    from trainable.networks import torchvision

    if network not in torchvision.classifiers():
        near = nearest(network, [*_NETWORKS, *torchvision.classifiers()], cutoff=0.6)
        hint = f"did you mean '{near}'? " if near else ""
        raise InputError(
            f"unknown network '{network}': {hint}known: {', '.join(list_networks())} and torchvision's classifiers "
            f"(resnet18, densenet121 ...)"
        )
    _check_options(network, torchvision.lay_out, options, skip=2)
    plan: Blueprint = torchvision.lay_out(dataset, network, **options)
    return plan


def _check_options(network: str, builder: Callable[..., Any], options: Mapping[str, Any], skip: int = 1) -> None:
    parameters = list(inspect.signature(builder).parameters.values())
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


_LATE = "trainable.networks.torchvision"


def _import_all() -> None:
    # They register themselves, and need what is defined above. Torchvision's models take a second to import.
    for module in pkgutil.iter_modules([str(Path(__file__).parent)], "trainable.networks."):
        if module.name not in (__name__, _LATE):
            import_registered(module.name)


_import_all()

"""The networks: features f, label head g, bias head h (Kim et al., CVPR 2019, section 3). The registry.

A new network is one new file ``networks_<name>.py`` beside this one that calls ``register_network``. Any torchvision
classifier is a network as well, by its name (``networks_torchvision.py``).
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from store.errors import nearest
from trainable.data.base import BiasHeads, Dataset
from trainable.errors import InputError, unknown_name
from trainable.methods.base import Nets
from trainable.randomness import derive
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

Transform = Callable[[Tensor], Tensor]
"""A method's change of float images ``[B, 3, H, W]``."""


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
    return _NETWORKS[name].builder.__module__ if name in _NETWORKS else f"trainable.{_LATE}"


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
    from trainable import networks_torchvision

    if network not in networks_torchvision.classifiers():
        near = nearest(network, [*_NETWORKS, *networks_torchvision.classifiers()], cutoff=0.6)
        hint = f"did you mean '{near}'? " if near else ""
        raise InputError(
            f"unknown network '{network}': {hint}known: {', '.join(list_networks())} and torchvision's classifiers "
            f"(resnet18, densenet121 ...)"
        )
    _check_options(network, networks_torchvision.lay_out, options, skip=2)
    plan: Blueprint = networks_torchvision.lay_out(dataset, network, **options)
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


def build_nets(
    network: str,
    options: Mapping[str, Any],
    dataset: Dataset,
    seed: int,
    with_bias_head: bool,
    heads: BiasHeads | None = None,
) -> Nets:
    """Build f, g and h with fresh weights, in training mode, on the CPU.

    f and g are initialised under the role "init" and h under "init_head", so f and g are the same with and without h.

    Args:
        network: Registered name, or name of a torchvision classifier.
        options: Options of the network.
        dataset: The data set: its classes, bias heads and image size.
        seed: The trial's seed.
        with_bias_head: False = h is None.
        heads: The bias labels that h predicts; None = all that the data set has.

    Returns:
        The networks. Convolution weights are stored channels last (a layout: the numbers are the same).

    Raises:
        InputError: Unknown network or option.
    """
    plan = blueprint(network, options, dataset if heads is None else _narrowed(dataset, heads))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "init"))
        f, g = plan.body()
    h: nn.Module | None = None
    if with_bias_head:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "init_head"))
            h = plan.head()
    for part in (f, g, h):
        if part is not None:
            part.to(memory_format=torch.channels_last)
    return Nets(f, g, h)


def _narrowed(dataset: Dataset, heads: BiasHeads) -> Dataset:
    copied = copy.copy(dataset)
    object.__setattr__(copied, "heads", heads)
    return copied


def feature_shape(f: nn.Module, image_size: int) -> tuple[int, ...]:
    """Shape of f's output for one image, without the batch dimension: ``(C, H', W')`` for a convolutional f.

    Args:
        f: The features; its mode, buffers and gradients are left as they are.
        image_size: Side of the images, pixels.
    """
    device = next((parameter.device for parameter in f.parameters()), torch.device("cpu"))
    with evaluating(f), torch.inference_mode():
        return tuple(f(torch.zeros(1, 3, image_size, image_size, device=device)).shape[1:])


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
    """Evaluation mode within the block; afterwards every module is in the mode it had, frozen ones included."""
    return _in_mode(False, parts)


@contextlib.contextmanager
def with_batch_statistics(*parts: nn.Module) -> Iterator[None]:
    """Training mode within the block; afterwards every mode and buffer (running averages) is what it was."""
    buffers = [(buffer, buffer.clone()) for part in parts for buffer in part.buffers()]
    try:
        with _in_mode(True, parts):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def to_float(images: Tensor, transform: Transform | None = None, device: torch.device | str = "cpu") -> Tensor:
    """What f sees: the same in training and in evaluation.

    Args:
        images: uint8 ``[B, 3, H, W]``.
        transform: The method's transform, applied last, or None.
        device: Where to compute.

    Returns:
        float32 ``[B, 3, H, W]`` in [0, 1] before the transform, stored channels last (a fifth faster on a CPU).
    """
    x = images.to(device).float().div_(255).contiguous(memory_format=torch.channels_last)
    return x if transform is None else transform(x)


def downsample_bias(b: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring spatial bias labels to f's grid by nearest neighbour; done once a trial.

    Args:
        b: int64 ``[N, heads, H, W]``.
        size: ``(H', W')`` of f's output.

    Returns:
        int64 ``[N, heads, H', W']``: position i takes row floor(i H / H'); the tensor itself where the sizes agree.
    """
    if tuple(b.shape[-2:]) == tuple(size):
        return b
    rows = torch.arange(size[0], device=b.device) * b.shape[-2] // size[0]
    columns = torch.arange(size[1], device=b.device) * b.shape[-1] // size[1]
    return b[..., rows[:, None], columns].contiguous()


_LATE = "networks_torchvision"


def _import_all() -> None:
    # They register themselves, and need what is defined above. Torchvision's models take a second to import.
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("networks_") and module.name != _LATE:
            import_registered(f"trainable.{module.name}")


_import_all()

"""Frozen parts of a network: their parameters are not trained, and their BatchNorm keeps its averages."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainable.errors import InputError, unknown_name

FEATURES = "f"
"""Value of ``network.freeze`` that means all of f."""


def check_freeze(value: Any) -> None:
    """Refuse another value of ``network.freeze`` than ``f`` or a list of names.

    Raises:
        InputError: It is neither.

    Example:
        >>> check_freeze("f")
        >>> check_freeze(["layer1", "conv1"])
        >>> check_freeze("layer1")
        Traceback (most recent call last):
            ...
        store.errors.InputError: network.freeze must be f (all before the cut) or a list of names of layers, but got ...
    """
    if value is None or value == FEATURES:
        return
    if not isinstance(value, list) or not value or not all(isinstance(name, str) and name for name in value):
        raise InputError(
            f"network.freeze must be f (all before the cut) or a list of names of layers, but got {value!r}: write "
            "e.g. [layer1]"
        )


def freeze(model: nn.Module, name: str = "") -> None:
    """Freeze a part of a model, or all of it.

    Its parameters get no gradient, and its BatchNorm stays in evaluation mode whatever mode the model is put into.

    Args:
        model: The model, changed in place.
        name: Dotted name of a layer or of a parameter; "" = everything.

    Raises:
        InputError: There is no such layer.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        >>> freeze(model)
        >>> model.train()[1].training, model[0].weight.requires_grad
        (False, False)
    """
    parts, parameters = dict(model.named_modules()), dict(model.named_parameters())
    if name in parameters:
        parameters[name].requires_grad_(False)
        return
    if name not in parts:
        near = [known for known in parts if known.count(".") <= 1 and known]
        raise unknown_name("layer in network.freeze", name, near)
    for parameter in parts[name].parameters():
        parameter.requires_grad_(False)
    for module in parts[name].modules():
        if isinstance(module, _BatchNorm) and not getattr(module, "held", False):
            module.__class__ = _held(type(module))  # type: ignore[assignment, arg-type]
            module.eval()


@functools.cache
def _held(kind: type[nn.Module]) -> type[nn.Module]:
    """The same kind of module, which stays in evaluation mode: a trial puts f and g into training mode each epoch."""

    def train(self: nn.Module, mode: bool = True) -> nn.Module:
        return kind.train(self, False)

    return type(kind.__name__, (kind,), {"train": train, "held": True, "__module__": kind.__module__})

"""What a method is, and the registry. A new method is one new file here: a step function and its decorator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from trainable.data.base import TrainingDraw
from trainable.errors import InputError, unknown_name
from trainable.registry import import_all


@dataclass(frozen=True)
class Range:
    """An interval to search.

    Attributes:
        low: Lower end, included.
        high: Upper end, included.
        log: Uniform in the logarithm.
        integer: Whole numbers only.
        least: In the space of a method, the smallest value that a sweep may ask for instead.
        most: The largest one.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    least: float = -math.inf
    most: float = math.inf

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise InputError(f"low <= high must hold, but got (low={self.low:g}, high={self.high:g})")
        if self.log and self.low <= 0:
            raise InputError(f"a log range must start above 0, but got low={self.low:g}")


@dataclass(frozen=True)
class Choices:
    """A finite set to search."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("a list of choices must not be empty")


Space = Mapping[str, Range | Choices]

LEARNING_RATE = Range(1e-4, 1e-1, log=True, least=1e-10)
"""A negative rate would climb the loss."""
WEIGHT_DECAY = Range(1e-6, 1e-2, log=True, least=0.0, most=1.0)
PRESSURE = Range(1e-3, 10.0, log=True, least=0.0)
"""Range of lambda and mu: it brackets the inverted U of incomplete unlearning at the strongest bias.

A negative one would reward the bias.
"""


@dataclass(frozen=True)
class Nets:
    """The three networks of the paper: features f, label head g, bias head h (None for methods without one).

    ``batch_statistics`` is None where the networks are evaluated in evaluation mode; else the number of images a
    batch, in training mode (``Training.evaluation``).
    """

    f: nn.Module
    g: nn.Module
    h: nn.Module | None
    batch_statistics: int | None = None


@dataclass(frozen=True)
class Batch:
    """One step's data.

    Attributes:
        x: float32 ``[B, 3, H, W]`` in [0, 1].
        y: int64 ``[B]``.
        b: integer ``[B, heads]``, or ``[B, heads, H', W']`` at the resolution of f's output; ``IGNORED`` = not counted.
        class_weight: float32 ``[classes]`` or None.
        places: bool ``[B, H', W']``, positions where any head has a label; None = to be read off ``b``.
    """

    x: Tensor
    y: Tensor
    b: Tensor
    class_weight: Tensor | None = None
    places: Tensor | None = None


@dataclass(frozen=True)
class Losses:
    """What a step reports, detached scalars; None where the method has no such term.

    Attributes:
        logits: Label logits ``[B, classes]``, detached.
        label: L_c.
        mi: L_MI, the negative conditional entropy of h's prediction (nats).
        bias: L_B, h's cross-entropy, summed over heads.
        bias_correct: Correct bias predictions and the number of them, scalar tensors (no wait for the device).
        total: What f minimises, the weighted sum of the terms; None = L_c alone.
    """

    logits: Tensor
    label: Tensor
    mi: Tensor | None = None
    bias: Tensor | None = None
    bias_correct: tuple[Tensor, Tensor] | None = None
    total: Tensor | None = None


StepFunction = Callable[[Nets, Batch, Mapping[str, Any], float], Losses]
"""(nets, batch, hyperparameters, ramp in [0, 1]) -> losses. It leaves gradients in the parameters and steps nothing."""


@dataclass(frozen=True)
class Method:
    """A way of training.

    Attributes:
        name: Registered name.
        long_name: Name in figures.
        reference: Paper and equation.
        step: Computes the gradients of one step.
        space: What is searched.
        defaults: A value of every hyperparameter, those of ``space`` included.
        adversarial: True where the method has a bias head; trial 0 of its cells is the anchor.
        anchor: Hyperparameters under which the method is exactly ``erm``.
        needs_conflicting_samples: True where the method has nothing to work on without bias-conflicting images.
        training_draw: Which images it trains on (``repainted`` reads the hyperparameter ``repaint_share``).
        bias_labels: ``own``, or ``permuted`` over the training images (a control).
        transform: Applied to float images ``[B, 3, H, W]`` in training and in every evaluation, or None.
    """

    name: str
    long_name: str
    reference: str
    step: StepFunction
    space: Space
    defaults: Mapping[str, Any]
    adversarial: bool = False
    anchor: Mapping[str, Any] = field(default_factory=dict)
    needs_conflicting_samples: bool = False
    training_draw: TrainingDraw = "biased"
    bias_labels: Literal["own", "permuted"] = "own"
    transform: Callable[[Tensor], Tensor] | None = None


_METHODS: dict[str, Method] = {}
_COMMON_SPACE: dict[str, Range | Choices] = {"lr": LEARNING_RATE, "weight_decay": WEIGHT_DECAY}
_COMMON_DEFAULTS: dict[str, Any] = {"lr": 1e-3, "weight_decay": 5e-4, "pretrain_epochs": 0}


def register_method(
    name: str,
    *,
    long_name: str,
    reference: str,
    space: Space | None = None,
    defaults: Mapping[str, Any] | None = None,
    **traits: Any,
) -> Callable[[StepFunction], StepFunction]:
    """Register a step function as a method.

    ``lr`` and ``weight_decay`` are added to every space with the same range, so that no method is given an easier
    search than another.

    Args:
        name: Name in ``methods: [...]``.
        long_name: Name in figures.
        reference: Paper and equation.
        space: What the method searches besides the common hyperparameters.
        defaults: Its value of every further hyperparameter.
        **traits: The remaining attributes of ``Method``.

    Returns:
        The decorator; it returns the step function unchanged.

    Raises:
        InputError: The name is taken, or a searched hyperparameter has no default.
    """
    full_space = {**(space or {}), **_COMMON_SPACE}
    full_defaults = {**_COMMON_DEFAULTS, **(defaults or {})}

    def decorate(step: StepFunction) -> StepFunction:
        known = _METHODS.get(name)
        if known is not None and known.step.__module__ != step.__module__:
            raise InputError(f"method '{name}' is registered twice: choose another name")
        missing = [key for key in full_space if key not in full_defaults]
        if missing:
            raise InputError(f"method '{name}' must give a default of {', '.join(missing)}")
        _METHODS[name] = Method(name, long_name, reference, step, full_space, full_defaults, **traits)
        return step

    return decorate


def _import_all() -> None:
    import_all("trainable.methods")


def list_methods() -> list[str]:
    """Names of all registered methods, sorted."""
    _import_all()
    return sorted(_METHODS)


def get_method(name: str) -> Method:
    """Look a method up by name.

    Raises:
        InputError: No such method; the nearest known name is given.
    """
    if name not in _METHODS:
        _import_all()
    if name not in _METHODS:
        raise unknown_name("method", name, _METHODS)
    return _METHODS[name]

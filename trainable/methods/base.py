"""Methods, and their registry.

A new method is one new file beside this one: a step function, or a class with state, decorated with
``register_method``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from trainable.data.base import TrainingDraw
from trainable.errors import InputError, unknown_name
from trainable.registry import Registry


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
"""Range of the learning rates.

A negative one would climb the loss.
"""
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
        index: int64 ``[B]``, positions among the training images, in [0, n).
        attributes: int64 ``[n]``, the bias attribute of all training images as one number (``IGNORED`` = none); None
            where the method does not need bias labels.
        step: Number of the step, counted from the trial's beginning.
        epoch: Number of the epoch, from 0.
    """

    x: Tensor
    y: Tensor
    b: Tensor
    class_weight: Tensor | None = None
    places: Tensor | None = None
    index: Tensor | None = None
    attributes: Tensor | None = None
    step: int = 0
    epoch: int = 0

    @property
    def attribute(self) -> Tensor:
        """The bias attribute of the batch's images, int64 ``[B]``: taken where it is asked for, which few methods do.

        Raises:
            RuntimeError: The method has not declared that it needs bias labels.
        """
        if self.attributes is None or self.index is None:
            raise RuntimeError("a method must declare needs={'bias_labels'} to be given the bias attribute")
        return self.attributes.index_select(0, self.index)


@dataclass(frozen=True)
class Losses:
    """Detached scalars that a step reports.

    A term that the method does not have is None.

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
"""(nets, batch, hyperparameters, ramp in [0, 1]) -> losses.

It leaves gradients in the parameters and takes no step of an optimiser.
"""


Need = Literal["bias_labels", "group_counts", "conflicting_samples"]
NEEDS: tuple[Need, ...] = get_args(Need)


@dataclass(frozen=True)
class Facts:
    """Facts about a trial, for a method with state, known before the first step.

    Attributes:
        n: Number of training images.
        n_classes: Number of classes.
        n_attributes: Number of values of the bias attribute.
        epochs: Passes over the training images.
        steps_per_epoch: Steps in each.
        seed: The trial's seed.
        device: Where the networks and the tensors below live.
        labels: int64 ``[n]``.
        attribute: int64 ``[n]``; None where the method does not need bias labels.
        group_counts: int64 ``[n_classes, n_attributes]``, training images of each class and attribute; None where it
            does not need them.
    """

    n: int
    n_classes: int
    n_attributes: int
    epochs: int
    steps_per_epoch: int
    seed: int
    device: torch.device
    labels: Tensor
    attribute: Tensor | None = None
    group_counts: Tensor | None = None


class MethodState(ABC):
    """A method that keeps something from step to step: one object for each trial.

    Args:
        facts: The trial.
        hyper: Value of every hyperparameter.
    """

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        self.facts, self.hyper = facts, hyper

    @abstractmethod
    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        """Leave the gradients of one step in the parameters, as a ``StepFunction`` does."""

    def tensors(self) -> Mapping[str, Tensor]:
        """All that changes from step to step, by name: it stands in the trial's checkpoint, and is read back in place.

        A method that keeps anything else does other steps after an interruption than without one.
        """
        return {}


@dataclass(frozen=True)
class Method:
    """A way of training.

    Attributes:
        name: Registered name.
        long_name: Name in figures.
        reference: Paper and equation.
        step: Computes the gradients of one step: a function, or a class that keeps a state.
        space: What is searched.
        defaults: A value of every hyperparameter, those of ``space`` included.
        bias_head: True where the method trains a head h on the bias labels; trial 0 of its cells is the anchor.
        needs: What it cannot work without. ``bias_labels``: ``Batch.b`` and ``Batch.attribute``, which every method
            with a bias head needs; ``group_counts``: those of ``Facts``, and with them the labels;
            ``conflicting_samples``: a training image whose bias is that of another class.
        anchor: Hyperparameters under which the method is exactly ``erm``.
        training_draw: Which images it trains on (``repainted`` reads the hyperparameter ``repaint_share``).
        bias_labels: ``own``, or ``permuted`` over the training images (a control).
        transform: Applied to float images ``[B, 3, H, W]`` in training and in every evaluation, or None.
    """

    name: str
    long_name: str
    reference: str
    step: StepFunction | type[MethodState]
    space: Space
    defaults: Mapping[str, Any]
    bias_head: bool = False
    needs: frozenset[Need] = frozenset()
    anchor: Mapping[str, Any] = field(default_factory=dict)
    training_draw: TrainingDraw = "biased"
    bias_labels: Literal["own", "permuted"] = "own"
    transform: Callable[[Tensor], Tensor] | None = None

    @property
    def adversarial(self) -> bool:
        """The earlier name of ``bias_head``."""
        return self.bias_head

    def begin(self, facts: Facts, hyper: Mapping[str, Any]) -> tuple[StepFunction, MethodState | None]:
        """Begin a trial.

        Args:
            facts: The trial.
            hyper: Value of every hyperparameter.

        Returns:
            The step function of this trial, and its state, or None where the method has none.
        """
        if not isinstance(self.step, type):
            return self.step, None
        state = self.step(facts, hyper)
        return lambda nets, batch, hyper, ramp: state.step(nets, batch, ramp), state


METHODS: Registry[Method] = Registry("method", "trainable.methods")
Step = TypeVar("Step", bound=StepFunction | type[MethodState])
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
) -> Callable[[Step], Step]:
    """Register a step function, or a class with state, as a method.

    ``lr`` and ``weight_decay`` are added to every space with the same range, so that no method is given an easier
    search than another.

    Args:
        name: Name in ``methods: [...]``.
        long_name: Name in figures.
        reference: Paper and equation.
        space: What the method searches besides the common hyperparameters.
        defaults: Its value of every further hyperparameter.
        **traits: The remaining attributes of ``Method``; ``needs`` may be any collection. ``adversarial`` and
            ``needs_conflicting_samples`` are earlier names of ``bias_head`` and of a need.

    Returns:
        The decorator; it returns what it decorates unchanged.

    Raises:
        InputError: The name is taken, a searched hyperparameter has no default, or there is no such need.

    Example:
        >>> from torch.nn.functional import cross_entropy
        >>> @register_method("smooth", long_name="Smoothing", reference="Szegedy et al. 2016", defaults={"smooth": 0.1})
        ... def smooth(nets, batch, hyperparameters, ramp):
        ...     logits = nets.g(nets.f(batch.x))
        ...     loss = cross_entropy(logits, batch.y, label_smoothing=hyperparameters["smooth"])
        ...     loss.backward()
        ...     return Losses(logits.detach(), loss.detach())
        >>> get_method("smooth").defaults
        {'lr': 0.001, 'weight_decay': 0.0005, 'pretrain_epochs': 0, 'smooth': 0.1}
    """
    full_space = {**(space or {}), **_COMMON_SPACE}
    full_defaults = {**_COMMON_DEFAULTS, **(defaults or {})}

    def method_of(step: StepFunction | type[MethodState]) -> Method:
        missing = [key for key in full_space if key not in full_defaults]
        if missing:
            raise InputError(f"method '{name}' must give a default of {', '.join(missing)}")
        return Method(name, long_name, reference, step, full_space, full_defaults, **_normalised(name, traits))

    return METHODS.register(name, lambda step: method_of(step))


def _normalised(name: str, traits: Mapping[str, Any]) -> dict[str, Any]:
    """Traits under their present names, with the needs that follow from them."""
    given = dict(traits)
    needs = set(given.pop("needs", ()))
    for need in needs.difference(NEEDS):
        raise unknown_name(f"need of method '{name}'", str(need), NEEDS)
    if given.pop("needs_conflicting_samples", False):
        needs.add("conflicting_samples")
    bias_head = given.pop("adversarial", False) or given.pop("bias_head", False)
    if bias_head or "group_counts" in needs:
        needs.add("bias_labels")
    return {**given, "bias_head": bias_head, "needs": frozenset(needs)}


def list_methods() -> list[str]:
    """Names of all registered methods, sorted.

    Example:
        >>> {"erm", "grl", "lnl"} <= set(list_methods())
        True
    """
    return METHODS.names()


def get_method(name: str) -> Method:
    """Look a method up by name.

    Args:
        name: Registered name.

    Raises:
        InputError: No such method; the nearest known name is given.

    Example:
        >>> get_method("lnl").long_name
        'Learning Not to Learn'
    """
    return METHODS.get(name)

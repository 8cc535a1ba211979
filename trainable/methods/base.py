"""Methods, and their registry.

A new method is one new file beside this one, or a file of one's own (a plug-in): a step function, or a class with
state, decorated with ``register_method``. All that it needs can be imported from here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from torch import Tensor

from trainable.data.base import TrainingDraw
from trainable.errors import InputError, unknown_name
from trainable.methods.contract.draws import balanced
from trainable.methods.contract.space import LEARNING_RATE, PRESSURE, WEIGHT_DECAY, Choices, Range, Space
from trainable.methods.contract.stages import Stage, check_declared
from trainable.methods.contract.state import Facts, MethodState, Predict
from trainable.methods.contract.step import Batch, Losses, Nets, StepFunction
from trainable.registry import Registry
from trainable.spec import Draw

__all__ = [
    "LEARNING_RATE",
    "METHODS",
    "NEEDS",
    "PRESSURE",
    "WEIGHT_DECAY",
    "Batch",
    "Choices",
    "Draw",
    "Facts",
    "Losses",
    "Method",
    "MethodState",
    "Need",
    "Nets",
    "Predict",
    "Range",
    "Space",
    "Stage",
    "Step",
    "StepFunction",
    "balanced",
    "get_method",
    "list_methods",
    "needs_of",
    "register_method",
]

Need = Literal["bias_labels", "group_counts", "conflicting_samples", "all_groups"]
NEEDS: tuple[Need, ...] = get_args(Need)


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
            with a bias head needs; ``group_counts``: those of ``Facts``, and with them the labels: the bias must not be
            a function of the class, or weights of groups would be weights of classes;
            ``all_groups``: besides, a training image of each class with each value of the bias attribute;
            ``conflicting_samples``: a training image whose bias is that of another class.
        anchor: Hyperparameters under which the method is exactly ``erm``.
        training_draw: Which images it trains on (``repainted`` reads the hyperparameter ``repaint_share``).
        bias_labels: ``own``, or ``permuted`` over the training images (a control).
        transform: Applied to float images ``[B, 3, H, W]`` in training and in every evaluation, or None.
        options: Switches of the method with their values, the default first, which are searched only where a sweep file
            says so. A row names one only where the sweep file does, so that a new switch changes no row.
        stages: Stretches of a trial with a training of their own, in their order; none = one, the whole trial. Early
            stopping and the choice of the best epoch look at the last of them alone.
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
    options: Mapping[str, Choices] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()

    @property
    def known(self) -> dict[str, Any]:
        """A value of every hyperparameter that may be given: the defaults, and those of the options."""
        return {**self.defaults, **{name: choices.values[0] for name, choices in self.options.items()}}

    @property
    def adversarial(self) -> bool:
        """The earlier name of ``bias_head``."""
        return self.bias_head

    @property
    def samples(self) -> bool:
        """True where the method draws the images of an epoch itself (``MethodState.order``)."""
        return isinstance(self.step, type) and getattr(self.step, "order", None) is not MethodState.order

    def length(self, n: int, hyper: Mapping[str, Any]) -> int:
        """Images of an epoch of a stage that is trained on n images (``MethodState.length``)."""
        if not isinstance(self.step, type):
            return n
        kind: type[MethodState] = self.step
        return kind.length(n, hyper)

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
        InputError: The name is taken, the class has no ``step``, a searched hyperparameter has no default, an option
            has one, or there is no such need.

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
        twice = [key for key in traits.get("options", ()) if key in full_defaults]
        if twice:
            raise InputError(f"method '{name}' gives {', '.join(twice)} both as a default and as an option: remove one")
        missing = [key for key in full_space if key not in full_defaults]
        if missing:
            raise InputError(f"method '{name}' must give a default of {', '.join(missing)}")
        if isinstance(step, type) and inspect.isabstract(step):
            lacking = ", ".join(sorted(getattr(step, "__abstractmethods__", ())))
            raise InputError(f"the class of method '{name}' lacks {lacking}, which every method must have: write it")
        normalised = _normalised(name, traits)
        check_declared(name, normalised["stages"], full_defaults)
        return Method(name, long_name, reference, step, full_space, full_defaults, **normalised)

    return METHODS.register(name, lambda step: method_of(step))


def _normalised(name: str, traits: Mapping[str, Any]) -> dict[str, Any]:
    """Traits under their present names, with the needs that follow from them."""
    given = dict(traits)
    needs: set[Need] = set(given.pop("needs", ()))
    for need in needs.difference(NEEDS):
        raise unknown_name(f"need of method '{name}'", str(need), NEEDS)
    if given.pop("needs_conflicting_samples", False):
        needs.add("conflicting_samples")
    bias_head = given.pop("adversarial", False) or given.pop("bias_head", False)
    stages = tuple(given.pop("stages", ()))
    return {
        **given,
        "bias_head": bias_head,
        "needs": _with_implied({*needs, "bias_labels"} if bias_head else needs),
        "stages": stages,
    }


def _with_implied(needs: Collection[Need]) -> frozenset[Need]:
    implied: set[Need] = set(needs)
    if "all_groups" in implied:
        implied.add("group_counts")
    if "group_counts" in implied:
        implied.add("bias_labels")
    return frozenset(implied)


def needs_of(method: Method, draw: Draw = "natural") -> frozenset[Need]:
    """Needs of a method on images that are drawn in some way.

    Args:
        method: The method.
        draw: ``balanced`` draws from all groups, which therefore must not be empty.

    Example:
        >>> sorted(needs_of(get_method("erm"))), sorted(needs_of(get_method("erm"), "balanced"))
        ([], ['all_groups', 'bias_labels', 'group_counts'])
    """
    return method.needs if draw == "natural" else _with_implied({*method.needs, "all_groups"})


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

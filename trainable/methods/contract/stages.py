"""Stages of a method that trains more than once, such as JTT or DFR, and the epochs that each of them gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainable.errors import InputError

REST: Literal["rest"] = "rest"


@dataclass(frozen=True)
class Stage:
    """A stretch of a trial's epochs with a training of its own.

    Learning rate and ramp run from their beginning to their end within each stage. All stages together take the epochs
    that every other method of the sweep takes.

    Attributes:
        name: What ``Facts.stage`` calls it.
        epochs: A whole number, the name of the hyperparameter that holds it, or ``rest``: what the other stages leave.
            Exactly one stage of a method takes the rest.
        train: What is trained: ``all`` networks, or ``g`` alone: f and h then stay as they are, running averages of
            BatchNorm included, and f is in evaluation mode.
        on: Which images it is trained on: ``train``, or ``held_out``, a fifth of the patients among the training
            images, which no other stage is trained on. They are cut from the training part, not from the validation
            part: all methods are so trained on images of the same patients, and judged on the same ones.
        reset: What begins anew: ``nothing``; ``g``; or ``all`` of f, g and h, with fresh weights drawn for this
            stage. The optimisers begin anew with what is reset. Networks of ``MethodState.modules`` are the method's
            own to set back.

    Example:
        >>> Stage("identify", epochs="T").train
        'all'
    """

    name: str
    epochs: int | str = REST
    train: Literal["all", "g"] = "all"
    on: Literal["train", "held_out"] = "train"
    reset: Literal["nothing", "g", "all"] = "nothing"

    def __post_init__(self) -> None:
        for field, value, known in (
            ("train", self.train, ("all", "g")),
            ("on", self.on, ("train", "held_out")),
            ("reset", self.reset, ("nothing", "g", "all")),
        ):
            if value not in known:
                raise InputError(
                    f"the stage '{self.name}' must have one of {', '.join(known)} as {field}, but got {value!r}"
                )
        if isinstance(self.epochs, bool) or (isinstance(self.epochs, int) and self.epochs < 1):
            raise InputError(f"the stage '{self.name}' must take at least 1 epoch, but got {self.epochs!r}")


@dataclass(frozen=True)
class Span:
    """A stage within a trial.

    Attributes:
        stage: The stage.
        first: Its first epoch, counted from 0.
        epochs: Its number of epochs.
    """

    stage: Stage
    first: int
    epochs: int

    @property
    def end(self) -> int:
        """The first epoch after it."""
        return self.first + self.epochs


WHOLE = Stage("train")
"""The one stage of a method that declares none."""


def check_declared(method: str, stages: Sequence[Stage], defaults: Mapping[str, Any]) -> None:
    """Refuse stages that no trial could follow.

    Args:
        method: Name of the method, for the sentence.
        stages: Its stages.
        defaults: A value of every hyperparameter.

    Raises:
        InputError: A name stands twice, not exactly one stage takes the rest, or there is no such hyperparameter.

    Example:
        >>> check_declared("jtt", [Stage("identify", epochs="T"), Stage("train")], {"T": 5})
        >>> check_declared("jtt", [Stage("identify", epochs=2)], {})
        Traceback (most recent call last):
            ...
        store.errors.InputError: exactly one stage of method 'jtt' must take the rest of the epochs, but 0 do: ...
    """
    if not stages:
        return
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise InputError(f"the stages of method '{method}' must have different names, but got {', '.join(names)}")
    rest = sum(stage.epochs == REST for stage in stages)
    if rest != 1:
        raise InputError(
            f"exactly one stage of method '{method}' must take the rest of the epochs, but {rest} do: write "
            'epochs="rest" once'
        )
    for stage in stages:
        if isinstance(stage.epochs, str) and stage.epochs != REST and stage.epochs not in defaults:
            raise InputError(
                f"the epochs of stage '{stage.name}' of method '{method}' must be a number, a hyperparameter or "
                f"'rest', but got '{stage.epochs}', which has no default"
            )


def least_epochs(stages: Sequence[Stage], hyper: Mapping[str, Any] | None = None) -> int:
    """Fewest epochs of a trial in which each stage has one.

    Args:
        stages: Those of a method.
        hyper: Value of every hyperparameter; None = the epochs of each stage that one decides are 1.

    Example:
        >>> stages = (Stage("identify", epochs="T"), Stage("train"))
        >>> least_epochs(stages), least_epochs(stages, {"T": 5}), least_epochs(())
        (2, 6, 1)
    """
    least = 0
    for stage in stages:
        value: Any = stage.epochs
        if isinstance(value, str):
            value = 1 if value == REST or hyper is None else hyper[value]
        least += int(value)
    return least or 1


def spans(stages: Sequence[Stage], hyper: Mapping[str, Any], epochs: int) -> tuple[Span, ...]:
    """Lay the stages of a trial out.

    Args:
        stages: Those of the method; none = one stage, which is the whole trial.
        hyper: Value of every hyperparameter.
        epochs: Epochs of the trial.

    Returns:
        The stages in their order, which together take all epochs.

    Raises:
        InputError: A stage has no whole number of epochs, or none is left for another.

    Example:
        >>> jtt = (Stage("identify", epochs="T", reset="all"), Stage("train", reset="all"))
        >>> [(span.stage.name, span.first, span.epochs) for span in spans(jtt, {"T": 2}, epochs=6)]
        [('identify', 0, 2), ('train', 2, 4)]
    """
    stages = stages or (WHOLE,)
    taken: dict[str, int] = {}
    for stage in stages:
        if stage.epochs == REST:
            continue
        value = hyper[stage.epochs] if isinstance(stage.epochs, str) else stage.epochs
        if isinstance(value, bool) or value != int(value) or value < 1:
            raise InputError(
                f"the value of '{stage.epochs}', the epochs of stage '{stage.name}', must be a whole number of at "
                f"least 1, but got {value!r}"
            )
        taken[stage.name] = int(value)
    left = epochs - sum(taken.values())
    if left < 1:
        told = ", ".join(f"{name} takes {number}" for name, number in taken.items())
        raise InputError(
            f"a trial has {epochs} epoch{'s' * (epochs != 1)}, which leave none for each stage ({told}): raise "
            f"training.epochs to at least {epochs - left + 1}, or shorten a stage"
        )
    found: list[Span] = []
    for stage in stages:
        first = found[-1].end if found else 0
        found.append(Span(stage, first, taken.get(stage.name, left)))
    return tuple(found)

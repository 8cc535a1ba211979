"""Search space of a method: its own ranges and defaults, changed by the sweep file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from orchestrator.config.sweep_config import MethodConfig, SpaceEntry
from store.errors import InputError, unknown_name
from trainable.methods.base import Choices, Method, Range, Space
from trainable.methods.contract.stages import REST, least_epochs
from trainable.trial.refusals import check_hyperparameters, check_range


def space_of(entry: MethodConfig, method: Method, epochs: int) -> tuple[dict[str, Range | Choices], dict[str, Any]]:
    """Searched values of a method's hyperparameters, and the value of every other one.

    Args:
        entry: The method in the sweep file.
        method: The registered one.
        epochs: Epochs of a trial.

    Returns:
        (searched values, fixed values), by the name of the hyperparameter.

    Raises:
        InputError: An unknown hyperparameter, one that is both searched and fixed, or a value that cannot be trained
            with.

    Example:
        >>> from trainable.methods.base import get_method
        >>> space, fixed = space_of(MethodConfig(name="lnl", fixed={"mu": 1.0}), get_method("lnl"), epochs=20)
        >>> "lambda_" in space, fixed["mu"]
        (True, 1.0)
    """
    for name in [*entry.space, *entry.fixed]:
        if name not in method.known:
            raise unknown_name(f"hyperparameter of {method.name}", name, method.known)
    both = sorted(set(entry.space) & set(entry.fixed))
    if both:
        raise InputError(f"{entry.label or entry.name}: '{both[0]}' is both in space and in fixed: remove it from one")
    label = entry.label or entry.name
    given = {name: _searched(f"{label}: the value of '{name}'", value) for name, value in entry.space.items()}
    check_hyperparameters(method, entry.fixed, epochs, label)
    for name, searched in given.items():
        if isinstance(searched, Range):
            check_range(method, name, searched, epochs, label)
            continue
        for value in searched.values:
            check_hyperparameters(method, {name: value}, epochs, label)
    space = {**method.space, **given}
    space = {name: value for name, value in space.items() if name not in entry.fixed}
    fixed = {name: value for name, value in {**method.defaults, **entry.fixed}.items() if name not in space}
    _check_stages(method, space, fixed, epochs, label)
    return space, fixed


def _check_stages(method: Method, space: Space, fixed: Mapping[str, Any], epochs: int, label: str) -> None:
    """Refuse searched lengths of stages that together leave no epoch for the last: those trials would fail."""
    names = [stage.epochs for stage in method.stages if isinstance(stage.epochs, str) and stage.epochs != REST]
    searched = {name: space[name] for name in names if name in space}
    if not searched:
        # A fixed length, or the default.
        check_hyperparameters(method, {name: fixed[name] for name in names}, epochs, label)
        return
    longest = {name: entry.high if isinstance(entry, Range) else max(entry.values) for name, entry in searched.items()}
    needed = least_epochs(method.stages, {**fixed, **longest})
    if needed > epochs:
        name, most = max(longest.items(), key=lambda pair: pair[1])
        room = int(most) - (needed - epochs)
        shorter = "shorten another stage"
        if room >= 1:
            shorter = (
                f"search fewer: space: {{{name}: {{int: [1, {room}]}}}}"
                if room > 1
                else f"fix it: fixed: {{{name}: 1}}"
            )
        raise InputError(
            f"{label}: the search of '{name}' reaches {int(most)} epochs of a stage, and a trial has {epochs}, which "
            f"leave none for the last: raise training.epochs to at least {needed}, or {shorter}"
        )


def _searched(where: str, entry: SpaceEntry) -> Range | Choices:
    try:
        return _range(entry)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _range(entry: SpaceEntry) -> Range | Choices:
    if entry.choice is not None:
        return Choices(tuple(entry.choice))
    if entry.integer is not None:
        return Range(*entry.integer, integer=True)
    if entry.log is not None:
        return Range(*entry.log, log=True)
    assert entry.uniform is not None
    return Range(*entry.uniform)


def anchor_of(method: Method, space: Space, fixed: Mapping[str, Any]) -> dict[str, Any] | None:
    """All hyperparameters of the anchor, the trial that is plain training.

    None where the method has none within its space.

    Args:
        method: The registered method.
        space: Searched values of each hyperparameter.
        fixed: Value of every other hyperparameter.

    Example:
        >>> from trainable.methods.base import get_method
        >>> lnl = get_method("lnl")
        >>> anchor = anchor_of(lnl, lnl.space, {})
        >>> {name: anchor[name] for name in lnl.anchor}
        {'lambda_': 0.0, 'mu': 0.0}
    """
    if not any(name in space for name in method.anchor):
        return None
    if any(name in fixed and fixed[name] != value for name, value in method.anchor.items()):
        return None
    others = {name: default_in(entry, method.known[name]) for name, entry in space.items()}
    return {**fixed, **others, **method.anchor}


def default_in(entry: Range | Choices, default: Any) -> Any:
    """Default value where it lies in the searched set, or else the middle of the set.

    Example:
        >>> default_in(Range(0.1, 10.0, log=True), 2.0), default_in(Range(0.1, 10.0, log=True), 50.0)
        (2.0, 1.0)
    """
    inside = default in entry.values if isinstance(entry, Choices) else entry.low <= default <= entry.high
    return default if inside else middle_of(entry)


def middle_of(entry: Range | Choices) -> Any:
    """Middle of a searched set, on a logarithmic scale where it is searched on one.

    Example:
        >>> middle_of(Range(0.0, 1.0)), middle_of(Choices((16, 32, 64)))
        (0.5, 32)
    """
    if isinstance(entry, Choices):
        return entry.values[len(entry.values) // 2]
    middle = math.sqrt(entry.low * entry.high) if entry.log else (entry.low + entry.high) / 2
    return round(middle) if entry.integer else middle

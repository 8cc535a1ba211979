"""Methods with ``like: LABEL``, which train with what another method's search chose in the same cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.config.sweep_config import MethodConfig, SweepConfig
from store.errors import InputError, unknown_name
from store.sheet.sheet import Like
from trainable.methods.base import Choices, get_method
from trainable.trial.refusals import check_hyperparameters

if TYPE_CHECKING:
    from orchestrator.plan.cells import Cell


def check_likes(methods: Sequence[MethodConfig]) -> None:
    """Refuse a ``like`` that names no method with a search of its own.

    Raises:
        InputError: An unknown label, the method itself, one that has ``like`` too, or ranges beside ``like``.

    Example:
        >>> check_likes([MethodConfig(name="lnl"), MethodConfig(name="permuted_bias", like="lnl")])
        >>> check_likes([MethodConfig(name="lnl", like="lnl")])
        Traceback (most recent call last):
        store.errors.InputError: methods.lnl.like must name another method, but names lnl itself: remove it
    """
    entries = {entry.label or entry.name: entry for entry in methods}
    for label, entry in entries.items():
        if entry.like is None:
            continue
        if entry.like not in entries:
            raise unknown_name(f"label in methods.{label}.like", entry.like, entries)
        if entry.like == label:
            raise InputError(f"methods.{label}.like must name another method, but names {label} itself: remove it")
        if entries[entry.like].like is not None:
            raise InputError(
                f"methods.{label}.like must name a method with a search of its own, but {entry.like} has like: "
                f"{entries[entry.like].like} itself: name {entries[entry.like].like}"
            )
        if entry.space:
            raise InputError(
                f"methods.{label} searches nothing, since it has like: {entry.like}, but its space names "
                f"{', '.join(sorted(entry.space))}: remove space, or like"
            )


def with_sources(config: SweepConfig, cells: Sequence[Cell]) -> list[Cell]:
    """Tie the cells of methods with ``like`` to the cells whose search chooses for them.

    Returns:
        All cells, in the same order.

    Raises:
        InputError: There is no such cell, or what it may choose cannot be taken over.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> methods = ["lnl", {"name": "permuted_bias", "like": "lnl"}]
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": 0.02}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": methods}))
        >>> with_sources(plan.config, plan.cells)[1].like.label
        'lnl'
    """
    entries = {entry.label or entry.name: entry for entry in config.methods}
    cell_at = {(cell.label, cell.fold, *sorted(cell.bias.items())): cell for cell in cells}
    tied = []
    for cell in cells:
        entry = entries[cell.label]
        if entry.like is None:
            tied.append(cell)
            continue
        source = cell_at.get((entry.like, cell.fold, *sorted(cell.bias.items())))
        if source is None:
            where = ", ".join(f"{name} = {value:g}" for name, value in cell.bias.items())
            raise InputError(
                f"methods.{cell.label}.like: every cell of {cell.label} needs one of {entry.like} at the same bias "
                f"values, but {entry.like} has none at {where}: give both the same bias"
            )
        tied.append(replace(cell, like=_like_of(entry, cell, source, config.training.epochs)))
    return tied


def _like_of(entry: MethodConfig, cell: Cell, source: Cell, epochs: int) -> Like:
    method = get_method(entry.name)
    assert entry.like is not None
    known = [name for name in (*source.fixed, *source.space) if name in method.known and name not in entry.fixed]
    if not known:
        raise InputError(
            f"methods.{cell.label}.like: {method.name} takes nothing over from {entry.like}, since fixed names every "
            "hyperparameter that both have: remove like, or some of fixed"
        )
    for name in known:
        searched = source.space.get(name)
        values: Iterable[Any] = (source.fixed.get(name),)
        if searched is not None:
            values = searched.values if isinstance(searched, Choices) else (searched.low, searched.high)
        for value in values:
            check_hyperparameters(method, {name: value}, epochs, f"{cell.label} (like: {entry.like})")
    rest = {name: value for name, value in {**method.defaults, **entry.fixed}.items() if name not in known}
    return Like(entry.like, source.id, tuple(sorted(known)), rest)

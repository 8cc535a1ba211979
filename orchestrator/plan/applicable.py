"""Cells in which a method cannot work, since the images there lack what it needs: they have no trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.cells import Cell
from orchestrator.plan.identity import search_seed
from store.errors import InputError
from store.names import short
from trainable.data.base import Dataset
from trainable.methods.base import get_method, needs_of

if TYPE_CHECKING:
    from trainable.data.view import DataView

_OF_A_CELL = {"conflicting_samples", "group_counts", "all_groups"}
"""Needs that the images of one bias value may meet and those of another may not."""


def with_reasons(config: SweepConfig, dataset: Dataset, cells: Sequence[Cell]) -> list[Cell]:
    """Mark the cells in which a method is not applicable.

    The training images of the search's first seed decide. Another seed draws others: a trial of one that lacks what
    the method needs fails by itself, in a sentence. All folds of a bias value go together, since their predictions are
    pooled. Where a method takes its hyperparameters over (``like``), its source must be applicable too.

    Args:
        config: The resolved configuration.
        dataset: Its data set.
        cells: The grid.

    Returns:
        All cells in the same order; those that are not applicable have no trials.

    Raises:
        InputError: A method is applicable in no cell.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm", "lnl"]}))
        >>> {cell.not_applicable for cell in with_reasons(plan.config, plan.dataset, plan.cells)}
        {None}
    """
    reasons: dict[tuple[str, str], str] = {}
    for cell in cells:
        place = (cell.label, _place(cell.bias))
        if place not in reasons and (reason := _missing(config, dataset, cell)) is not None:
            reasons[place] = reason
    for cell in cells:
        if cell.like is not None and (reason := reasons.get((cell.like.label, _place(cell.bias)))) is not None:
            reasons.setdefault(
                (cell.label, _place(cell.bias)), f"{cell.like.label}, whose search chooses, is not applicable: {reason}"
            )
    marked = [_marked(cell, reasons.get((cell.label, _place(cell.bias)))) for cell in cells]
    for label in dict.fromkeys(cell.label for cell in marked):
        of_label = [cell.not_applicable for cell in marked if cell.label == label]
        if None not in of_label:
            raise InputError(
                f"method {label} is applicable in no cell of the sweep ({of_label[0]}): add a bias value where it is, "
                "or remove it"
            )
    return marked


def _marked(cell: Cell, reason: str | None) -> Cell:
    if reason is None:
        return replace(cell, not_applicable=None)
    return replace(cell, not_applicable=reason, trials=0, anchor=None, search_seeds=1)


def _place(bias: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {short(value)}" for name, value in bias.items())


def _missing(config: SweepConfig, dataset: Dataset, cell: Cell) -> str | None:
    """Reason for which a method cannot work in a cell, or None."""
    from trainable.data.view import DataView

    return missing_need(cell, DataView(dataset, cell.bias, search_seed(config.seed), cell.fold, "search"))


def missing_need(cell: Cell, view: DataView) -> str | None:
    """Reason for which the training images of one seed do not meet a method's needs.

    Args:
        cell: The cell.
        view: The data at its bias value, for that seed.

    Returns:
        The reason, without the remedy, which is that of a single trial; None where they meet them.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> from trainable.data.view import DataView
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": 0.1}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm"]}))
        >>> print(missing_need(plan.cells[0], DataView(plan.dataset, plan.cells[0].bias, 0, None, "search")))
        None
    """
    from trainable.trial.refusals import check_needs

    method = get_method(cell.method)
    if not needs_of(method, cell.draw) & _OF_A_CELL:
        return None
    try:
        check_needs(method, cell.draw, view.dataset, cell.bias, view.train(method.training_draw))
    except InputError as error:
        return str(error).rpartition(": ")[0]
    return None


def places_in_words(cells: Sequence[Cell]) -> list[str]:
    """A line for each cell that is not applicable.

    Args:
        cells: The grid.

    Example:
        >>> places_in_words([])
        []
    """
    return [f"{cell.id}: not applicable: {cell.not_applicable}" for cell in cells if cell.not_applicable is not None]

"""Bias values at which the two methods of the declared comparison can be compared."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.cells import Cell
from store.errors import InputError
from store.names import short
from trainable.data.base import Dataset
from trainable.methods.base import get_method


def check_primary(config: SweepConfig, cells: Sequence[Cell], dataset: Dataset) -> None:
    """Refuse a declared comparison that cannot be made, which would show only after all trials have run.

    Raises:
        InputError: The two methods have no bias value in common, or not the one that is named, or one of them is not
            applicable there.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
        >>> primary = {"compare": ["lnl", "erm"], "at": 0.1}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm", "lnl"], "primary": primary}))
        >>> check_primary(plan.config, plan.cells, plan.dataset)
    """
    primary = config.primary
    if primary is None or primary.at == "area":
        return
    _check_applicable(primary.at, cells, dataset, primary.compare)
    cells = [cell for cell in cells if cell.not_applicable is None]
    methods = {label: {cell.bias_value for cell in cells if cell.label == label} for label in primary.compare}
    values = comparable_values(cells, dataset, primary.compare)
    if not values:
        where = "; ".join(
            f"{label} at {', '.join(short(value) for value in sorted(at))}" for label, at in methods.items()
        )
        raise InputError(
            f"primary.compare must name two methods that have a bias value in common, but the sweep has {where}: give "
            "one of them a bias value of the other"
        )
    if primary.at != "strongest" and primary.at not in values:
        known = ", ".join(short(value) for value in values)
        first, second = primary.compare
        raise InputError(
            f"primary.at must be strongest, area, or a value of {cells[0].bias_axis} that both {first} and "
            f"{second} have ({known}), but got {primary.at}: name one of these, or add it to dataset.bias"
        )


def _check_applicable(at: float | str, cells: Sequence[Cell], dataset: Dataset, labels: Sequence[str]) -> None:
    """Refuse a place at which one of the methods is not applicable: a weaker bias is another question."""
    values = comparable_values(cells, dataset, labels)
    if not values or (at != "strongest" and at not in values):
        return
    there = {value: max(cell.bias_strength for cell in cells if cell.bias_value == value) for value in values}
    place = max(there, key=lambda value: there[value]) if at == "strongest" else at
    for cell in cells:
        if cell.label in labels and cell.bias_value == place and cell.not_applicable is not None:
            raise InputError(
                f"primary.at: {at} compares {' with '.join(labels)} at {cell.bias_axis} = {short(cell.bias_value)}, "
                f"but {cell.label} is not applicable there ({cell.not_applicable}): name another value, or area"
            )


def comparable_values(cells: Sequence[Cell], dataset: Dataset, labels: Sequence[str]) -> list[float]:
    """Bias values at which methods can be compared, with the other bias parameters at their defaults.

    A method that never sees the bias has one cell, which serves the whole axis. Where no cell lies at the defaults, any
    other values of those parameters count.

    Args:
        cells: The grid.
        dataset: Its data set.
        labels: The methods.

    Returns:
        Sorted bias values.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm", "lnl"]}))
        >>> comparable_values(plan.cells, plan.dataset, ["erm", "lnl"])
        [0.02, 0.1]
    """
    facet = {axis.name: axis.default for axis in dataset.axes if axis.name != cells[0].bias_axis}
    serves_all = {
        cell.label
        for cell in cells
        if get_method(cell.method).training_draw == "unbiased" and not dataset.variants_depend_on_bias
    }
    biased = [cell for cell in cells if cell.label not in serves_all]
    at_default = [cell for cell in biased if all(cell.bias[name] == value for name, value in facet.items())]
    values_of = {label: {cell.bias_value for cell in at_default or biased if cell.label == label} for label in labels}
    biased_values = [values for label, values in values_of.items() if label not in serves_all]
    grid = {cell.bias_value for cell in biased} or {cell.bias_value for cell in cells}
    return sorted(set.intersection(*biased_values) if biased_values else grid)

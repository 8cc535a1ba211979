"""Cells of the two methods of a declared comparison, as ``sweep.yaml`` lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.sheet.sheet import Sheet, SheetCell


@dataclass(frozen=True)
class Cell:
    """A cell of the grid.

    Attributes:
        id: Its name.
        label: The method.
        value: Its place on the x axis.
        strength: I(b; y) / H(y).
        shared: It serves the whole axis (a ceiling that does not depend on the bias).
    """

    id: str
    label: str
    value: float
    strength: float
    shared: bool


@dataclass(frozen=True)
class Grid:
    """Cells of two methods where the other bias parameters have their defaults.

    Attributes:
        cells: The cells; empty where the sheet lists none.
        axis: The bias parameter on the x axis; "" where the sheet lists no cells.
        facet: The facet of their points; None where no other parameter varies, or none of its values is the default.
    """

    cells: tuple[Cell, ...] = ()
    axis: str = ""
    facet: str | None = None


def grid_of_pair(config: Mapping[str, Any], labels: tuple[str, str]) -> Grid:
    """Find the places at which two methods of a sweep have cells.

    Args:
        config: Content of ``sweep.yaml``.
        labels: The methods.

    Returns:
        The cells of both, their axis and facet.

    Example:
        >>> grid_of_pair({}, ("lnl", "erm")).cells  # the sheet lists none
        ()
    """
    sheet = Sheet(config)
    listed = [
        cell
        for cell in sheet.cells
        if cell.bias_value is not None and cell.bias_strength is not None and cell.not_applicable is None
    ]
    ceilings = [cell for cell in listed if sheet.traits(cell.label, cell.method).ceiling]
    shared = ceilings if len({cell.bias_value for cell in ceilings}) == 1 else []
    biased = [cell for cell in listed if cell not in shared]
    defaults = _defaults(sheet, biased)
    chosen = [cell for cell in biased if all(cell.bias.get(name) == value for name, value in defaults.items())]
    cells = tuple(
        Cell(cell.id, cell.label, cell.bias_value, cell.bias_strength, cell in shared)
        for cell in [*shared, *(chosen or biased)]
        if cell.label in labels and cell.bias_value is not None and cell.bias_strength is not None
    )
    facet = ", ".join(f"{name} = {value:g}" for name, value in defaults.items()) if chosen else ""
    return Grid(cells, next((cell.bias_axis for cell in biased), ""), facet or None)


def _defaults(sheet: Sheet, cells: Sequence[SheetCell]) -> dict[str, float]:
    """Defaults of the bias parameters off the axis that vary: a sweep that does not name them has these."""
    defaults: dict[str, float] = {}
    for name in dict.fromkeys(name for cell in cells for name in cell.bias):
        values = {cell.bias.get(name) for cell in cells if cell.bias_axis != name} - {None}
        axis = sheet.axes.get(name)
        # An older version noted no default; where there is one it is the value without bias.
        known = [value for value in (axis.default, axis.unbiased_at) if value is not None] if axis else []
        if len(values) > 1 and known:
            defaults[name] = known[0]
    return defaults

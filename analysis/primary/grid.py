"""Cells of the two methods of a declared comparison, as ``sweep.yaml`` lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.loading import section
from analysis.points.points import BIAS_COLUMNS, CEILING


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
    """Places at which two methods of a sweep have cells.

    Args:
        config: Content of ``sweep.yaml``.
        labels: The methods.
    """
    listed = [cell for cell in config.get("cells") or () if isinstance(cell, Mapping) and _placed(cell)]
    alone = len({cell["bias_value"] for cell in listed if cell.get("method") == CEILING}) == 1
    shared = [cell for cell in listed if alone and cell.get("method") == CEILING]
    biased = [cell for cell in listed if cell not in shared]
    defaults = _defaults(config, biased)
    chosen = [cell for cell in biased if all(section(cell, "bias").get(k) == v for k, v in defaults.items())]
    cells = tuple(
        Cell(
            str(cell.get("cell")),
            str(cell["label"]),
            float(cell["bias_value"]),
            float(cell["bias_strength"]),
            cell in shared,
        )
        for cell in [*shared, *(chosen or biased)]
        if cell["label"] in labels
    )
    facet = ", ".join(f"{name} = {value:g}" for name, value in defaults.items()) if chosen else ""
    return Grid(cells, next((str(cell.get("bias_axis")) for cell in biased), ""), facet or None)


def _placed(cell: Mapping[str, Any]) -> bool:
    return "label" in cell and all(isinstance(cell.get(key), (int, float)) for key in ("bias_value", "bias_strength"))


def _defaults(config: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Defaults of the bias parameters off the axis that vary: a sweep that does not name them has these."""
    found: dict[str, float] = {}
    axes = [axis for axis in section(config, "dataset_info").get("axes") or () if isinstance(axis, Mapping)]
    for name in BIAS_COLUMNS:
        values = {section(cell, "bias").get(name) for cell in cells if cell.get("bias_axis") != name} - {None}
        # An older version noted no default; where there is one it is the value without bias.
        own = [axis.get(key) for axis in axes if axis.get("name") == name for key in ("default", "unbiased_at")]
        known = [float(value) for value in own if isinstance(value, (int, float))]
        if len(values) > 1 and known:
            found[name] = known[0]
    return found

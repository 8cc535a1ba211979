"""A sweep before it starts: its configuration resolved against its data set, and the grid."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.cells import Cell, build_cells, load_sweep_dataset, resolve
from orchestrator.config import SweepConfig
from trainable.data.base import Dataset


@dataclass(frozen=True)
class Plan:
    """A resolved sweep: nothing in it is left to be decided."""

    config: SweepConfig
    dataset: Dataset
    cells: list[Cell]


def make_plan(config: SweepConfig) -> Plan:
    """Load the data set, resolve the configuration and build the grid.

    Raises:
        InputError: Anything in the configuration that cannot be.
    """
    dataset = load_sweep_dataset(config)
    resolved = resolve(config, dataset)
    return Plan(resolved, dataset, build_cells(resolved, dataset))

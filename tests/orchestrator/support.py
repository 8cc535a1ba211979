"""Fake rows, fake data sets and a simulated executor: what the tests of the driver need instead of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import validate
from orchestrator.directory.reader import SweepDirectory, histories_of
from orchestrator.plan.cells import Cell, build_cells, resolve
from orchestrator.search.dispatch import Dispatcher, Pick
from store.rules import RULES, Rule
from trainable.data.base import Axis
from trainable.spec import TrialSpec
from trainable.trial.outcome import spec_row

Row = dict[str, Any]

TINY = """
name: tiny
dataset: {name: coloured_digits, bias: {color_variance: 0.4}}
methods: [erm]
search: {trials: 1}
confirm: {seeds: 1}
training: {epochs: 1}
"""
"""A sweep file of one cell."""


@dataclass
class FakeData:
    """As much of a data set as the grid asks for."""

    name: str = "fake"
    axes: tuple[Axis, ...] = (
        Axis("rho", "rho", 0.0, 1.0, "larger", 0.0),
        Axis("gamma", "gamma", 0.0, 1.0, "larger", 0.0, 0.0),
    )
    rules: tuple[str, ...] = RULES
    has_renderer: bool = True
    variants_depend_on_bias: bool = True
    n_folds: int = 3
    counts: tuple[int, ...] = (50, 50)
    default_network: str | None = "pixel_front"

    def labels(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def bias_strength(self, bias: Mapping[str, float]) -> float:
        return float(bias["rho"])


def sweep_config(data: FakeData | None = None, **changes: Any) -> SweepConfig:
    """A small resolved sweep on the fake data set; ``changes`` replace whole top-level keys."""
    tree: dict[str, Any] = {
        "dataset": {"name": "fake", "bias": {"rho": [0.0, 0.5, 1.0]}},
        "methods": ["erm", "lnl"],
        "search": {"trials": 5},
        "confirm": {"seeds": 2},
        "training": {"epochs": 2},
    }
    return resolve(validate({**tree, **changes}), data or FakeData())


def sweep_cells(config: SweepConfig, data: FakeData | None = None) -> list[Cell]:
    return build_cells(config, data or FakeData())


def dispatcher_for(config: SweepConfig) -> Dispatcher:
    return Dispatcher(config, sweep_cells(config))


def study_of(dispatcher: Dispatcher, cell_id: str) -> optuna.Study:
    """The study of a cell with a search (of the search's rule, in the first repeat)."""
    return dispatcher._states[cell_id, 0].searches[0].study.study


def picks_of(dispatcher: Dispatcher, cell_id: str) -> dict[Rule, Pick]:
    """What each rule chose in a cell (in the first repeat); empty while its search runs."""
    return dict(dispatcher._states[cell_id, 0].picks or {})


def histories_in(directory: SweepDirectory) -> dict[str, list[Row]]:
    """History rows of every finished trial, in the order of the epochs."""
    return histories_of(directory.rows("history"))


def fake_row(
    spec: TrialSpec,
    value: float | None,
    status: str = "completed",
    rules: Mapping[str, float] | None = None,
    error: str | None = None,
) -> Row:
    """The row of a trial: ``value`` under every rule, except those named in ``rules``."""
    values = dict.fromkeys(RULES, value) | dict(rules or {})
    error = error or ("made to fail" if status == "failed" else None)
    return {**spec_row(spec, status, error), **values}


def fake_history(values: Sequence[float]) -> list[Row]:
    """History rows with the same value under every rule."""
    return [{"epoch": i + 1, **dict.fromkeys(RULES, value)} for i, value in enumerate(values)]


Curve = Callable[[TrialSpec, int], float]


def final_value(spec: TrialSpec, epoch: int) -> float:
    """A smooth objective with its best at lr = 1e-2; a later epoch is better, a stronger bias is worse."""
    lr = spec.hyperparameters["lr"]
    return 1.0 - 0.1 * abs(np.log10(lr) + 2) - spec.bias["rho"] / 2 + 0.001 * epoch


@dataclass
class Simulation:
    """Runs trials one epoch a round on a fixed number of slots, as Tune would; nothing is trained.

    Attributes:
        dispatcher: What is tested.
        slots: Trials that run at once.
        curve: Objective of (trial, epoch).
        status: How a trial ends that was not stopped.
    """

    dispatcher: Dispatcher
    slots: int = 1
    curve: Curve = final_value
    status: Callable[[TrialSpec], str] = lambda spec: "completed"
    rows: dict[str, Row] = field(default_factory=dict)
    histories: dict[str, list[Row]] = field(default_factory=dict)
    running: list[TrialSpec] = field(default_factory=list)
    issued: list[TrialSpec] = field(default_factory=list)
    after_issue: Callable[[], None] = lambda: None

    def run(self, rows: int | None = None) -> Simulation:
        """Go on until everything has ended, or this many rows exist."""
        while rows is None or len(self.rows) < rows:
            self._fill()
            if not self.running:
                return self
            for spec in list(self.running):
                self._epoch(spec)
                if rows is not None and len(self.rows) >= rows:
                    return self
        return self

    def crash(self, config: SweepConfig) -> Simulation:
        """A new driver that knows only what the old one's directory would hold; checkpoints keep every epoch."""
        dispatcher = dispatcher_for(config)
        rows = list(self.rows.values())
        stale = dispatcher.restore(rows[::-1], self.histories, list(self.running))
        kept = {name: list(history) for name, history in self.histories.items()}
        for spec in stale:
            kept.pop(spec.trial_id, None)
        return Simulation(dispatcher, self.slots, self.curve, self.status, dict(self.rows), kept)

    def _fill(self) -> None:
        while len(self.running) < self.slots:
            spec = self.dispatcher.next()
            if spec is None:
                return
            self.running.append(spec)
            self.issued.append(spec)
            self.after_issue()

    def _epoch(self, spec: TrialSpec) -> None:
        history = self.histories.setdefault(spec.trial_id, [])
        epoch = len(history) + 1
        value = self.curve(spec, epoch)
        history.append({"epoch": epoch, **dict.fromkeys(RULES, value)})
        last = epoch == spec.training.epochs
        if not last and self.dispatcher.report(spec, epoch, value):
            return
        row = fake_row(spec, value, self.status(spec) if last else "pruned")
        self.running.remove(spec)
        self.rows[spec.trial_id] = row
        self.dispatcher.record(row, history)

    def told(self) -> list[tuple[Any, ...]]:
        """What makes two runs the same, in no particular order."""
        columns = ("trial_id", "seed", "hyperparameters", "status", "val_counterfactual")
        return sorted(tuple(row[name] for name in columns) for row in self.rows.values())

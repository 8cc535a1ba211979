"""Simulated executor that replays learning curves on its own clock and trains nothing (the idea is syne-tune's).

The searcher, the scheduler, the recorder, the dispatcher and the writer are the real ones, and are called as Ray Tune
calls them; only the trials are not run. A sweep of thousands of trials takes seconds, and nothing depends on the
machine but the time that the driver itself takes.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from rich.console import Console

from orchestrator.cluster.nodes import demands_of
from orchestrator.cluster.session import Session
from orchestrator.cluster.tuning import CellScheduler, CellSearcher, Recorder
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.directory.lease import Lease
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.writer import Writer
from orchestrator.plan.cells import Cell
from orchestrator.progress import Progress, StatusFile
from orchestrator.run import Options
from orchestrator.run import Run as SweepRun
from orchestrator.search.dispatch import Dispatcher
from store.rules import RULES
from trainable.randomness import derive
from trainable.spec import TrialSpec
from trainable.trial.outcome import spec_row

Row = dict[str, Any]
Curve = Callable[[TrialSpec, int], Mapping[str, float]]
Seconds = Callable[[TrialSpec], float]


@dataclass
class SimulatedTrial:
    """Replacement of one of Tune's trials, with the members that our side of it uses."""

    trial_id: str
    spec: TrialSpec
    epoch: int = 0
    history: list[Row] = field(default_factory=list)
    num_failures: int = 0
    max_failures: int = 0

    def get_error(self) -> None:
        return None


@dataclass(frozen=True)
class Run:
    """Start and end of a trial on the simulated clock."""

    trial_id: str
    phase: str
    start: float
    end: float
    epochs: int


@dataclass
class Executor:
    """Runs a sweep on a simulated cluster.

    Attributes:
        session: What the real searcher, scheduler and recorder share.
        slots: Trials that run at once.
        curve: Values of (trial, epoch) by selection rule.
        seconds: Simulated seconds of an epoch of a trial.
        clock: Simulated seconds since the start.
        runs: The trials that ended.
    """

    session: Session
    slots: int
    curve: Curve
    seconds: Seconds
    clock: float = 0.0
    runs: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._searcher, self._scheduler = CellSearcher(self.session), CellScheduler(self.session)
        self._recorder = Recorder(self.session)
        self._pending: list[SimulatedTrial] = []
        self._events: list[tuple[float, int, SimulatedTrial]] = []
        self._begun: dict[str, float] = {}
        self._asked = self._events_made = 0

    def run(self) -> Executor:
        """Go on until the searcher has finished and every trial has ended."""
        while True:
            self._fill()
            if not self._events:
                break
            self.clock, _, trial = heapq.heappop(self._events)
            self._recorder.on_step_begin(0, [])
            self._epoch(trial)
        if self.session.error is not None:
            raise self.session.error
        return self

    def _fill(self) -> None:
        while len(self._pending) + len(self._begun) <= self.slots:
            name = f"{self._asked:08d}"
            found = self._searcher.suggest(name)
            if found is None or found == Searcher.FINISHED:
                break
            self._asked += 1
            self._pending.append(SimulatedTrial(name, TrialSpec.from_json(found["spec"])))
        while self._pending and len(self._begun) < self.slots:
            trial = self._pending.pop(0)
            self._begun[trial.trial_id] = self.clock
            self._recorder.on_trial_start(0, [], trial)
            self._schedule(trial)

    def _schedule(self, trial: SimulatedTrial) -> None:
        self._events_made += 1
        heapq.heappush(self._events, (self.clock + self.seconds(trial.spec), self._events_made, trial))

    def _epoch(self, trial: SimulatedTrial) -> None:
        trial.epoch += 1
        values = dict(self.curve(trial.spec, trial.epoch))
        last = trial.epoch == trial.spec.training.epochs
        row = {**spec_row(trial.spec, "completed" if last else "pruned", None), **values}
        entry = {"epoch": trial.epoch, **values}
        value = values[trial.spec.rule]
        result = {"epoch": trial.epoch, "value": value, "history": [entry], "row": row, "done": last}
        going = last or self._scheduler.on_trial_result(None, trial, result) == TrialScheduler.CONTINUE
        self._recorder.on_trial_result(0, [], trial, result)
        if going and not last:
            self._schedule(trial)
            return
        begun = self._begun.pop(trial.trial_id)
        self.runs.append(Run(trial.spec.trial_id, trial.spec.phase, begun, self.clock, trial.epoch))
        self._searcher.on_trial_complete(trial.trial_id, result)
        self._recorder.on_trial_complete(0, [], trial)

    def busy_share(self) -> float:
        """Share of the slots that are busy, after all are up and until the last ``slots`` trials start."""
        starts = sorted(run.start for run in self.runs)
        first, last = starts[self.slots - 1], starts[-self.slots]
        busy = sum(max(0.0, min(run.end, last) - max(run.start, first)) for run in self.runs)
        return busy / (self.slots * (last - first))


def simulate(
    config: SweepConfig, cells: list[Cell], directory: SweepDirectory, slots: int, curve: Curve, seconds: Seconds
) -> Executor:
    """Make a sweep that is ready to run on a simulated cluster, whose rows are really written.

    Args:
        config: The resolved configuration.
        cells: The grid.
        directory: Where the rows go.
        slots: Trials that run at once.
        curve: Values of (trial, epoch).
        seconds: Simulated seconds of an epoch.
    """
    directory.folder.write("sweep.yaml", b"name: simulated\n")
    dispatcher = Dispatcher(config, cells)
    progress = Progress(dispatcher, Console(file=io.StringIO()), StatusFile(directory.folder))
    writer, demands = Writer(directory, Lease(directory.folder, "sim", 1)), demands_of(config, [])
    session = Session(SweepRun(dispatcher, writer, progress, Options(slots=slots)), demands)
    return Executor(session, slots, curve, seconds)


def skewed_seconds(spec: TrialSpec) -> float:
    """Seconds of an epoch, a function of the trial alone.

    Most epochs are short, some ten times as long.
    """
    import numpy as np

    return float(np.random.default_rng(derive(0, spec.trial_id)).lognormal(0.0, 1.0))


def smooth_curve(spec: TrialSpec, epoch: int) -> Mapping[str, float]:
    """Value that rises with the epochs to a height given by the learning rate, the same under every rule."""
    import math

    height = 1.0 - 0.1 * abs(math.log10(spec.hyperparameters["lr"]) + 2) - spec.bias["rho"] / 2
    noise = (derive(0, spec.trial_id, epoch) % 1000) / 1e5
    return dict.fromkeys(RULES, height * (1 - 0.5 * 0.7**epoch) + noise)

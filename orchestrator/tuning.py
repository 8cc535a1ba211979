"""The sweep's one Ray Tune run: a searcher and a scheduler that dispatch by cell, and a recorder of what ends.

Ray Tune knows one searcher and one scheduler per run; ours hand every question to the ``Dispatcher``, which holds a
study and a set of rungs for each cell.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from orchestrator.cluster import count_slots
from orchestrator.config import SweepConfig
from orchestrator.dispatch import Dispatcher
from orchestrator.progress import Progress
from orchestrator.results import Writer
from trainable.report import spec_row
from trainable.spec import TrialSpec
from trainable.tune_trainable import SweepTrainable

MAX_FAILURES = 2
"""Times a trial whose process died is started again before it counts as failed."""

Row = dict[str, Any]


class _Session:
    """What the searcher, the scheduler and the recorder share: which of Ray's trials is which of ours."""

    def __init__(
        self, config: SweepConfig, dispatcher: Dispatcher, writer: Writer, progress: Progress, slots: int, share: float
    ) -> None:
        self.dispatcher = dispatcher
        self.writer = writer
        self.progress = progress
        self.slots = slots
        self.share = share
        self.specs: dict[str, TrialSpec] = {}
        self.histories: dict[str, dict[int, Row]] = {}
        self.last_row: dict[str, Row] = {}
        self.error: BaseException | None = None
        self.checkpoint_seconds = config.limits.checkpoint_seconds
        hours = config.limits.max_hours
        self.deadline = None if hours is None else time.monotonic() + 3600 * hours

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # Tune pickles its searcher, scheduler and callbacks into its snapshots, which nothing here ever reads back.
        return type(None), ()

    def guarded(self, work: Callable[[], Any], otherwise: Any) -> Any:
        """Run our part of a call from Ray: an exception must end the sweep in order, not in Ray's event loop."""
        try:
            return work()
        except Exception as error:
            self.error = self.error or error
            return otherwise

    @property
    def stopping(self) -> bool:
        """No new trial is issued any more."""
        return self.error is not None or (self.deadline is not None and time.monotonic() > self.deadline)

    def suggest(self, ray_id: str) -> Row | str | None:
        """The next trial as a Tune configuration, None to be asked again, or FINISHED."""
        self.progress.update()
        if self.stopping or self.dispatcher.finished:
            return Searcher.FINISHED
        # Fresh suggestions: one that waits in Tune's queue would know less than one asked for when a slot is free.
        if len(self.specs) >= self.slots:
            return None
        spec = self.dispatcher.next()
        if spec is None:
            return None if self.specs else Searcher.FINISHED
        self.writer.issue(spec)
        self.specs[ray_id] = spec
        return {
            "spec": spec.to_json(),
            "dir": self.writer.directory.uri,
            "checkpoint_seconds": self.checkpoint_seconds,
            "rungs": list(self.dispatcher.rung_epochs(spec)),
        }

    def result(self, ray_id: str, result: Row) -> None:
        """Keep what an epoch reported."""
        history = self.histories.setdefault(ray_id, {})
        history.update({int(entry["epoch"]): entry for entry in result["history"]})
        self.last_row[ray_id] = result["row"]

    def keep_going(self, ray_id: str, result: Row) -> bool:
        """Ask the cell's rungs; every epoch counts, also those of an earlier attempt."""
        spec = self.specs[ray_id]
        return self.dispatcher.report(spec, int(result["epoch"]), float(result["value"]))

    def ended(self, ray_id: str, attempts: int, error: str | None = None) -> None:
        """Write the row of a trial that ended."""
        spec = self.specs.pop(ray_id, None)
        if spec is None:
            return
        row = self.last_row.pop(ray_id, None) or spec_row(spec, "failed", error)
        history = [entry for _, entry in sorted(self.histories.pop(ray_id, {}).items())]
        if error is not None:
            row.update(status="failed", error=error)
        cell = next(cell for cell in self.dispatcher.cells if cell.id == spec.cell)
        row.update(
            bias_axis=cell.bias_axis,
            bias_value=cell.bias_value,
            bias_strength=cell.bias_strength,
            attempts=attempts,
            preemptions=max(0, self.writer.directory.attempts(spec.trial_id) - 1),
            gpu_share=self.share,
            ray_version=ray.__version__,
        )
        self.writer.finish(row, history)
        if self.dispatcher.record(row, history) or self._cell_is_done(spec.cell):
            self.writer.compact(spec.cell)
        self.progress.trial_ended(row)

    def _cell_is_done(self, cell_id: str) -> bool:
        status = next(status for status in self.dispatcher.status() if status.cell == cell_id)
        return status.exact and status.finished == status.planned


class CellSearcher(Searcher):
    """Tune's one searcher: hands out the next trial of whichever cell is furthest behind."""

    def __init__(self, session: _Session) -> None:
        super().__init__(metric="value", mode="max")
        self._session = session

    def suggest(self, trial_id: str) -> Any:
        """The next trial, None or FINISHED."""
        return self._session.guarded(lambda: self._session.suggest(trial_id), Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing: the recorder writes the row, since it is given the trial with the reason of an error."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Ray's snapshots are logs, the directory is the state."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a sweep is resumed from its directory."""
        raise NotImplementedError("a sweep is resumed from its directory, never from Ray's snapshots")


class CellScheduler(FIFOScheduler):
    """Tune's one scheduler: asks the rungs of the trial's own cell."""

    def __init__(self, session: _Session) -> None:
        super().__init__()
        self._session = session

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
        """CONTINUE or STOP."""
        going = self._session.guarded(lambda: self._session.keep_going(trial.trial_id, result), True)
        return TrialScheduler.CONTINUE if going else TrialScheduler.STOP


class Recorder(tune.Callback):
    """Keeps what trials report and writes their rows when they end."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        """Keep a result."""
        self._session.guarded(lambda: self._session.result(trial.trial_id, result), None)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Write the row of a trial that completed or was stopped."""
        self._session.guarded(lambda: self._session.ended(trial.trial_id, _attempts(trial)), None)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Write the row of a trial whose process died too often."""
        reason = f"the worker process died {_attempts(trial)} times ({_reason(trial)})"
        self._session.guarded(lambda: self._session.ended(trial.trial_id, _attempts(trial), reason), None)


def run_tuner(config: SweepConfig, dispatcher: Dispatcher, writer: Writer, progress: Progress, driver: str) -> None:
    """Run everything that is missing. Returns when all rows are written.

    Args:
        config: The resolved configuration.
        dispatcher: What is planned and done.
        writer: Writes the rows.
        progress: Shows them.
        driver: Identifier of this driver; names the Tune run.

    Raises:
        LeaseLost: Another driver took the directory over.
        InputError: The directory cannot be written any more.
        KeyboardInterrupt: SIGINT or SIGTERM.
    """
    slots, share = count_slots(config)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)
    session = _Session(config, dispatcher, writer, progress, slots, share)

    # Ray registers trainables by name in the whole cluster: a second sweep must not run the first one's code.
    trainable = type(f"Sweep_{driver}", (SweepTrainable,), {})
    place = writer.directory.folder.local
    with tempfile.TemporaryDirectory(prefix="lnl-sweep-") as elsewhere:
        tuner = tune.Tuner(
            tune.with_resources(trainable, tune.PlacementGroupFactory([_bundle(config, share)])),
            tune_config=tune.TuneConfig(
                metric="value",
                mode="max",
                num_samples=-1,
                search_alg=CellSearcher(session),
                scheduler=CellScheduler(session),
                reuse_actors=True,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name=f"run-{driver}",
                storage_path=str(place / "ray") if place else elsewhere,
                callbacks=[Recorder(session)],
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        progress.start(slots)
        tuner.fit()
    if session.error is not None:
        raise session.error


def _bundle(config: SweepConfig, share: float) -> dict[str, float]:
    bundle: dict[str, float] = {"CPU": float(config.resources.cpu)}
    if share:
        bundle["GPU"] = share
    return bundle


def _attempts(trial: Any) -> int:
    return 1 + int(getattr(trial, "num_failures", 0))


def _reason(trial: Any) -> str:
    error = trial.get_error()
    return "unknown reason" if error is None else type(error).__name__

"""The sweep's one Ray Tune run: a searcher and a scheduler that dispatch by cell, and a recorder of what ends.

Ray Tune knows one searcher and one scheduler per run; ours hand every question to the ``Dispatcher``, which holds a
study and a set of rungs for each cell.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from orchestrator.cluster import count_slots
from orchestrator.config import SweepConfig
from orchestrator.dispatch import Dispatcher
from orchestrator.gpu_packing import ray_share
from orchestrator.progress import Progress
from orchestrator.results import Writer
from trainable.errors import InputError
from trainable.remote import store_environment
from trainable.report import spec_row
from trainable.spec import TrialSpec, objective
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
        # A slot that falls free takes a waiting trial at once. An adaptive sampler's would be stale: asked for before
        # the trial that just ended had told its value.
        self.open_trials = slots + (1 if config.search.sampler in ("random", "qmc") else 0)
        self.share = share
        self.specs: dict[str, TrialSpec] = {}
        self.histories: dict[str, dict[int, Row]] = {}
        self.last_row: dict[str, Row] = {}
        self.error: BaseException | None = None
        self.checkpoint_seconds = config.limits.checkpoint_seconds
        hours = config.limits.max_hours
        minutes = config.limits.trial_minutes
        self.limit = None if minutes is None else 60 * minutes
        self.started: dict[str, float] = {}
        self.overdue: set[str] = set()
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
        # Tune asks again and again while its slots are taken: that answer must cost nothing.
        if len(self.specs) >= self.open_trials:
            return None
        if self.stopping or self.dispatcher.finished:
            return Searcher.FINISHED
        spec = self.dispatcher.next()
        if spec is None:
            return None if self.specs else Searcher.FINISHED
        self.writer.issue(spec)
        self.specs[ray_id] = spec
        return {
            "spec": spec.to_json(),
            "dir": self.writer.directory.uri,
            "gpu": self.share,
            "checkpoint_seconds": self.checkpoint_seconds,
            "rungs": list(self.dispatcher.rung_epochs(spec)),
        }

    def result(self, ray_id: str, result: Row) -> None:
        """Keep what an epoch reported."""
        if result.get("halt"):
            # Not a fault of the trial: it stays open, and the sweep ends in order.
            self.specs.pop(ray_id, None)
            raise InputError(str(result["halt"]))
        history = self.histories.setdefault(ray_id, {})
        history.update({int(entry["epoch"]): entry for entry in result["history"]})
        self.last_row[ray_id] = result["row"]

    def keep_going(self, ray_id: str, result: Row) -> bool:
        """Ask the cell's rungs; every epoch counts, also those of an earlier attempt.

        The values are those of the history, from which a resumed sweep rebuilds its rungs: the two must agree.
        """
        spec, going = self.specs[ray_id], True
        for entry in result["history"]:
            going = self.dispatcher.report(spec, int(entry["epoch"]), objective(spec.rule, entry))
        return going

    def end_overdue(self, trials: Sequence[Any]) -> None:
        """End trials that took longer than ``limits.trial_minutes``: a trial that hangs never ends by itself."""
        if self.limit is None:
            return
        now = time.monotonic()
        for trial in trials:
            started = self.started.get(trial.trial_id)
            actor = trial.temporary_state.ray_actor
            if started is None or actor is None or now - started < self.limit:
                continue
            del self.started[trial.trial_id]
            self.overdue.add(trial.trial_id)
            # It would hang again: this end counts as the last one.
            trial.max_failures = trial.num_failures
            ray.kill(actor)

    def reason(self, trial: Any) -> str:
        """Why a trial's process is gone, in words."""
        if trial.trial_id in self.overdue:
            assert self.limit is not None
            return f"took longer than limits.trial_minutes = {self.limit / 60:g}"
        error = trial.get_error()
        cause = "unknown reason" if error is None else type(error).__name__
        return f"the worker process died {max(1, _attempts(trial) - 1)} times ({cause})"

    def ended(self, ray_id: str, attempts: int, error: str | None = None) -> None:
        """Write the row of a trial that ended."""
        self.started.pop(ray_id, None)
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
            preemptions=self.writer.preemptions(spec.trial_id),
            gpu_share=self.share,
            ray_version=ray.__version__,
        )
        self.writer.finish(row, history)
        if self.dispatcher.record(row, history) or self.dispatcher.cell_is_done(spec.cell):
            self.writer.compact(spec.cell)
        self.progress.trial_ended(row)


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

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        """Look for trials that hang."""
        self._session.guarded(lambda: self._session.end_overdue(trials), None)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Start a trial's clock."""
        self._session.started[trial.trial_id] = time.monotonic()

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        """Keep a result."""
        self._session.guarded(lambda: self._session.result(trial.trial_id, result), None)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Write the row of a trial that completed or was stopped."""
        self._session.guarded(lambda: self._session.ended(trial.trial_id, _attempts(trial)), None)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Write the row of a trial whose process died too often."""
        # Every start of this trial has failed, so there were as many attempts as failures.
        died, reason = max(1, _attempts(trial) - 1), self._session.reason(trial)
        self._session.guarded(lambda: self._session.ended(trial.trial_id, died, reason), None)


def run_tuner(
    config: SweepConfig,
    dispatcher: Dispatcher,
    writer: Writer,
    progress: Progress,
    driver: str,
    slots: int | None = None,
) -> None:
    """Run everything that is missing. Returns when all rows are written.

    Args:
        config: The resolved configuration.
        dispatcher: What is planned and done.
        writer: Writes the rows.
        progress: Shows them.
        driver: Identifier of this driver; names the Tune run.
        slots: Trials at once; None = as many as the cluster holds at its largest.

    Raises:
        LeaseLost: Another driver took the directory over.
        InputError: The directory cannot be written any more.
        KeyboardInterrupt: SIGINT or SIGTERM.
    """
    slots, share = count_slots(config, slots)
    session = _Session(config, dispatcher, writer, progress, slots, share)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(session.open_trials)

    # Ray registers trainables by name in the whole cluster: a second sweep must not run the first one's code.
    trainable = type(f"Sweep_{driver}", (SweepTrainable,), {"environment": store_environment()})
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
        bundle["GPU"] = ray_share(share)
    return bundle


def _attempts(trial: Any) -> int:
    return 1 + int(getattr(trial, "num_failures", 0))

"""The sweep's one Ray Tune run: a searcher and a scheduler that dispatch by cell, and a recorder of what ends.

Ray Tune knows one searcher and one scheduler per run; ours hand every question to the ``Dispatcher``, which holds a
study and a set of rungs for each cell.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from orchestrator.capacity import Capacity, Demand
from orchestrator.cluster import cluster_nodes, lost_its_node, ray_log
from orchestrator.config import SweepConfig
from orchestrator.dispatch import Dispatcher
from orchestrator.gpu_packing import ray_share
from orchestrator.interruption import Interruption
from orchestrator.lease import LeaseLost
from orchestrator.progress import Progress
from orchestrator.reporting import ReportKeeper
from orchestrator.results import Writer
from trainable.errors import InputError
from trainable.remote import Unreachable, store_environment
from trainable.report import spec_row
from trainable.spec import TrialSpec, objective
from trainable.tune_trainable import SweepTrainable

MAX_FAILURES = 2
"""Times a trial whose process died is started again before it counts as failed."""

Row = dict[str, Any]


class _Session:
    """What the searcher, the scheduler and the recorder share: which of Ray's trials is which of ours."""

    def __init__(
        self,
        config: SweepConfig,
        dispatcher: Dispatcher,
        writer: Writer,
        progress: Progress,
        demands: Mapping[str, Demand],
        nodes: Iterable[Mapping[str, float]] = (),
        slots: int | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.writer = writer
        self.progress = progress
        self.demands = demands
        # A slot that falls free takes a waiting trial at once. An adaptive sampler's would be stale: asked for before
        # the trial that just ended had told its value.
        ahead = 1 if config.search.sampler in ("random", "qmc") else 0
        self.capacity = Capacity(nodes, demands.values(), slots, ahead)
        self.specs: dict[str, TrialSpec] = {}
        self.histories: dict[str, dict[int, Row]] = {}
        self.last_row: dict[str, Row] = {}
        self.error: BaseException | None = None
        self.checkpoint_seconds = config.limits.checkpoint_seconds
        hours = config.limits.max_hours
        minutes = config.limits.trial_minutes
        self.limit = None if minutes is None else 60 * minutes
        self.started: dict[str, tuple[float, Any]] = {}
        self.actors: dict[str, str] = {}
        self.overdue: set[str] = set()
        self.deaths: dict[str, int] = {}
        self.lost: dict[str, int] = {}
        self.deadline = None if hours is None else time.monotonic() + 3600 * hours
        self.max_cost = config.limits.max_cost
        self.report = ReportKeeper(writer.directory.uri)

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
        late = self.deadline is not None and time.monotonic() > self.deadline
        return self.error is not None or late or self._spent

    @property
    def _spent(self) -> bool:
        # A cost that the table of prices cannot tell counts as too much: the bound is a promise.
        cost = self.progress.cost
        return self.max_cost is not None and (cost is None or cost >= self.max_cost)

    def suggest(self, ray_id: str) -> Row | str | None:
        """The next trial as a Tune configuration, None to be asked again, or FINISHED."""
        self.progress.update()
        # Tune asks again and again while its slots are taken: that answer must cost nothing.
        if not any(map(self.has_place, self.demands)):
            return None if self.specs or not self.stopping else Searcher.FINISHED
        if self.stopping or self.dispatcher.finished:
            return Searcher.FINISHED
        spec = self.dispatcher.next(self.has_place)
        if spec is None:
            return None if self.specs else Searcher.FINISHED
        self.writer.issue(spec)
        self.specs[ray_id] = spec
        demand = self.demands[spec.label]
        self.capacity.issue(demand)
        return {
            "spec": spec.to_json(),
            "dir": self.writer.directory.uri,
            "cpu": demand.cpu,
            "gpu": demand.gpu,
            "checkpoint_seconds": self.checkpoint_seconds,
            "rungs": list(self.dispatcher.rung_epochs(spec)),
        }

    def has_place(self, label: str) -> bool:
        """One more trial of this method may be issued."""
        return label in self.demands and self.capacity.takes(self.demands[label])

    def _leave(self, ray_id: str) -> TrialSpec | None:
        spec = self.specs.pop(ray_id, None)
        self.actors.pop(ray_id, None)
        self.progress.trial_left(ray_id)
        if spec is not None:
            self.capacity.release(self.demands[spec.label])
        return spec

    def result(self, ray_id: str, result: Row) -> None:
        """Keep what an epoch reported."""
        if result.get("halt"):
            # Not a fault of the trial: it stays open, and the sweep ends in order.
            self._leave(ray_id)
            raise Unreachable(str(result["halt"])) if result["away"] else InputError(str(result["halt"]))
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

    def start(self, trial: Any) -> None:
        """Start a trial's clock."""
        self.started[trial.trial_id] = (time.monotonic(), trial)
        with contextlib.suppress(AttributeError):
            self.actors[trial.trial_id] = trial.temporary_state.ray_actor._actor_id.hex()
        if trial.trial_id in self.specs:
            self.progress.trial_started(trial.trial_id)
            self.writer.start(self.specs[trial.trial_id].trial_id)

    def process_lost(self, trial: Any) -> None:
        """A trial's process is gone: the trial starts anew, unless that has happened too often or it took too long."""
        self.started.pop(trial.trial_id, None)
        spec = self.specs.get(trial.trial_id)
        if spec is None:
            return
        error, overdue = _last_error(trial), trial.trial_id in self.overdue
        if not overdue and lost_its_node(self.actors.get(trial.trial_id), error):
            # No error of the trial: it costs no retry.
            self.lost[spec.trial_id] = self.lost.get(spec.trial_id, 0) + 1
            self.writer.lose(spec.trial_id, self.lost[spec.trial_id])
        else:
            self.deaths[spec.trial_id] = self.deaths.get(spec.trial_id, 0) + 1
        died = self.deaths.get(spec.trial_id, 0)
        if overdue or died > MAX_FAILURES:
            self.ended(trial.trial_id, died, self.reason(trial.trial_id, died, error))
            return
        self.histories.pop(trial.trial_id, None)
        self.last_row.pop(trial.trial_id, None)
        self._leave(trial.trial_id)
        self.dispatcher.again(spec)

    def end_overdue(self) -> None:
        """End trials that took longer than ``limits.trial_minutes``: a trial that hangs never ends by itself."""
        if self.limit is None:
            return
        now = time.monotonic()
        for begun, trial in list(self.started.values()):
            actor = trial.temporary_state.ray_actor
            if actor is None or now - begun < self.limit:
                continue
            del self.started[trial.trial_id]
            self.overdue.add(trial.trial_id)
            ray.kill(actor)

    def reason(self, ray_id: str, died: int, error: BaseException | None) -> str:
        """Why a trial's process is gone, in words."""
        if ray_id in self.overdue:
            assert self.limit is not None
            return f"took longer than limits.trial_minutes = {self.limit / 60:g}"
        cause = "unknown reason" if error is None else type(error).__name__
        return f"the worker process died {died} times ({cause})"

    def ended(self, ray_id: str, attempts: int | None = None, error: str | None = None) -> None:
        """Write the row of a trial that ended; by default it was started once more than its process died."""
        self.started.pop(ray_id, None)
        spec = self._leave(ray_id)
        if spec is None:
            return
        row = self.last_row.pop(ray_id, None) or spec_row(spec, "failed", error)
        history = [entry for _, entry in sorted(self.histories.pop(ray_id, {}).items())]
        if error is not None:
            row.update(status="failed", error=error)
        cell = self.dispatcher.cell(spec.cell)
        row.update(
            bias_axis=cell.bias_axis,
            bias_value=cell.bias_value,
            bias_strength=cell.bias_strength,
            attempts=attempts or 1 + self.deaths.get(spec.trial_id, 0),
            preemptions=self.writer.preemptions(spec.trial_id),
            gpu_share=self.demands[spec.label].gpu,
            ray_version=ray.__version__,
        )
        self.writer.finish(row, history)
        done = self.dispatcher.record(row, history) or self.dispatcher.cell_is_done(spec.cell)
        if done:
            self.writer.compact(spec.cell)
        self.progress.trial_ended(row)
        self.report.ended(cell=done)


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

    def __init__(self, session: _Session, interruption: Interruption | None = None) -> None:
        self._session = session
        self._interruption = interruption or Interruption()

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        """Look for trials that hang, for a signal that was lost, and for another driver that has taken over."""
        self._interruption.check()
        if isinstance(self._session.error, LeaseLost):
            # Its trials write into a directory that is no longer ours: they end now and not when they have trained.
            raise self._session.error
        self._session.guarded(lambda: self._session.end_overdue(), None)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Start a trial's clock."""
        self._session.guarded(lambda: self._session.start(trial), None)

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        """Keep a result."""
        self._session.guarded(lambda: self._session.result(trial.trial_id, result), None)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Write the row of a trial that completed or was stopped."""
        self._session.guarded(lambda: self._session.ended(trial.trial_id), None)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Start a trial whose process died anew, or write its row."""
        self._session.guarded(lambda: self._session.process_lost(trial), None)


def run_tuner(
    config: SweepConfig,
    dispatcher: Dispatcher,
    writer: Writer,
    progress: Progress,
    driver: str,
    demands: Mapping[str, Demand],
    slots: int | None = None,
    interruption: Interruption | None = None,
) -> None:
    """Run everything that is missing. Returns when all rows are written.

    Args:
        config: The resolved configuration.
        dispatcher: What is planned and done.
        writer: Writes the rows.
        progress: Shows them.
        driver: Identifier of this driver; names the Tune run.
        demands: What a trial of each method that has any left takes, by label.
        slots: Trials at once; None = as many as the cluster holds at its largest.
        interruption: Whether a signal has come.

    Raises:
        LeaseLost: Another driver took the directory over.
        InputError: The directory cannot be written any more.
        KeyboardInterrupt: SIGINT or SIGTERM.
    """
    session = _Session(config, dispatcher, writer, progress, demands, cluster_nodes(), slots)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(session.capacity.pending)

    # Ray registers trainables by name in the whole cluster: a second sweep must not run the first one's code.
    trainable = type(f"Sweep_{driver}", (SweepTrainable,), {"environment": store_environment()})
    place = writer.directory.folder.local
    with tempfile.TemporaryDirectory(prefix="lnl-sweep-") as elsewhere:
        tuner = tune.Tuner(
            tune.with_resources(trainable, _places),
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
                callbacks=[Recorder(session, interruption)],
                # Tune hears of one death twice, and takes the second report for the end of the trial it is about to
                # start again: retries are ours.
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        progress.start(session.capacity.slots)
        try:
            with ray_log(place / "ray" if place else None):
                tuner.fit()
        except Exception:
            # Tune gives an error of ours another name.
            if session.error is None:
                raise
        finally:
            session.report.stop()
    if session.error is not None:
        raise session.error


def _places(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    bundle: dict[str, float] = {"CPU": float(config["cpu"])}
    if config["gpu"]:
        bundle["GPU"] = ray_share(config["gpu"])
    return tune.PlacementGroupFactory([bundle])


def _last_error(trial: Any) -> BaseException | None:
    # Tune's own ``get_error`` gives the text of all errors so far, and nothing of what they were.
    with contextlib.suppress(Exception):
        error = pickle.loads(Path(trial.pickled_error_file).read_bytes())
        return error if isinstance(error, BaseException) else None
    return None

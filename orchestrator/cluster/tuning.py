"""Single Ray Tune run of a sweep: a searcher and a scheduler that dispatch by cell, and a recorder.

Ray Tune takes one searcher and one scheduler for each run. Ours pass every call on to the ``Dispatcher``, which holds a
study and a set of rungs for each cell.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from orchestrator.budget import Exhausted
from orchestrator.cluster.capacity import Demand
from orchestrator.cluster.loggers import told
from orchestrator.cluster.nodes import cluster_nodes, living_nodes
from orchestrator.cluster.ray_private import no_variables_in_runtime_environments, oldest_waiting
from orchestrator.cluster.same_code import compared
from orchestrator.cluster.session import Session
from orchestrator.config.own_code import dataset_paths, plugins_of
from orchestrator.directory.lease import LeaseLost
from orchestrator.interruption import Interruption
from orchestrator.process.temporary import TemporaryFolder
from orchestrator.run import Run
from trainable.environment import store_environment
from trainable.trial.provenance import bytes_checksum, weights_checksum
from trainable.tune_trainable import SweepTrainable


class CellSearcher(Searcher):
    """Tune's one searcher, which returns the next trial of the cell that is furthest behind."""

    def __init__(self, session: Session) -> None:
        super().__init__(metric="value", mode="max")
        self._session = session

    def suggest(self, trial_id: str) -> Any:
        """Next trial as a configuration, or None, or FINISHED."""
        return self._session.guarded(lambda: self._session.suggest(trial_id), Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Do nothing.

        The recorder writes the row, since it is given the trial with the reason of an error.
        """

    def save(self, checkpoint_path: str) -> None:
        """Write an empty file.

        Ray's snapshots serve as logs only: the sweep's directory is the state.
        """
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Refuse, since a sweep is resumed from its directory."""
        raise NotImplementedError("a sweep is resumed from its directory, never from Ray's snapshots")


class CellScheduler(FIFOScheduler):
    """Tune's one scheduler, which asks the rungs of the trial's own cell."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
        """Return CONTINUE or STOP."""
        going = self._session.guarded(lambda: self._session.keep_going(trial.trial_id, result), True)
        return TrialScheduler.CONTINUE if going else TrialScheduler.STOP

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Oldest trial that waits for a slot, without those whose worker is just being started.

        Tune would give such a trial the next idle worker, and discard the one that is starting. Where trials end more
        often than a worker takes to start, slots that come late would never be used.
        """
        try:
            return oldest_waiting(tune_controller, self._session.specs)
        except AttributeError:
            # A Ray that keeps these things elsewhere: its own choice is never wrong, only slower.
            return super().choose_trial_to_run(tune_controller)


class Recorder(tune.Callback):
    """Keeps what trials report, and writes their rows when they end."""

    def __init__(self, session: Session, interruption: Interruption | None = None) -> None:
        self._session = session
        self._interruption = interruption or Interruption()

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        """Look for a lost signal, for another driver, for trials that hang, and for new nodes."""
        self._interruption.check()
        if isinstance(self._session.error, LeaseLost):
            # Its trials write into a directory that is no longer ours: they end now and not when they have trained.
            raise self._session.error
        self._session.guarded(lambda: self._session.end_overdue(), None)
        self._session.look_for_nodes()

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
        """Start a trial again whose process died, or write its row."""
        self._session.guarded(lambda: self._session.process_lost(trial), None)


def run_tuner(run: Run, demands: Mapping[str, Demand]) -> Exhausted | None:
    """Run everything that is missing, until all rows are written.

    Args:
        run: The run.
        demands: Resources of a trial of each method that has any left, by label.

    Returns:
        The bound that ended the run early, or None where all planned trials have ended.

    Raises:
        LeaseLost: Another driver took the directory over.
        InputError: The directory cannot be written any more.
        KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP.
    """
    config, driver = run.config, run.writer.driver
    session = Session(run, demands, cluster_nodes, living_nodes)
    # Tune reads its bound once, and a cluster grows: how many may wait is the session's to say.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000000"

    # Ray registers trainables by name in the whole cluster: a second sweep must not run the first one's code.
    weights = weights_checksum(config.network.name, config.network.options)
    files = bytes_checksum(config.dataset.name, config.dataset.options)
    # As tuples: a worker with other code may have no class of plug-ins.
    plugins = tuple(astuple(plugin) for plugin in plugins_of(config))
    checked = {"weights": weights, "files": files, "paths": dataset_paths(config), "data": run.data}
    members = {"environment": store_environment(), "plugins": plugins, **checked}
    trainable = compared(SweepTrainable, f"Sweep_{driver}", members)
    local = run.writer.directory.folder.local
    loggers = told(config, session.specs, local, run.options.print)
    with TemporaryFolder() as elsewhere:
        tuner = tune.Tuner(
            tune.with_resources(trainable, _resources()),
            tune_config=tune.TuneConfig(
                metric="value",
                mode="max",
                # Only the searcher knows when the sweep has ended.
                num_samples=-1,
                search_alg=CellSearcher(session),
                scheduler=CellScheduler(session),
                # A new process for each trial would import torch each time: seconds in place of milliseconds.
                reuse_actors=True,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name=f"run-{driver}",
                storage_path=str(local / "ray" if local else elsewhere),
                # The recorder last: it forgets a trial that has ended.
                callbacks=[*loggers, Recorder(session, run.options.interruption)],
                # Tune hears of one death twice, and takes the second report for the end of the trial it is about to
                # start again: retries are ours.
                failure_config=tune.FailureConfig(max_failures=0),
                # Trials write their own checkpoints: one more at the end would be a megabyte that nothing reads.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        run.progress.start(session.capacity.slots)
        try:
            with no_variables_in_runtime_environments():
                tuner.fit()
        except Exception:
            # Tune gives an error of ours another name.
            if session.error is None:
                raise
        finally:
            session.report.stop()
    if session.error is not None:
        raise session.error
    return None if run.dispatcher.finished else session.limit_reached


def _resources() -> Callable[[Mapping[str, Any]], tune.PlacementGroupFactory]:
    # It travels to workers with the trainable, and a function within a function travels by value: by reference each
    # worker would import this module, and with it the driver's libraries.
    def resources(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
        from orchestrator.cluster.gpu_packing import ray_share

        bundle: dict[str, float] = {"CPU": float(config["cpu"])}
        if config["gpu"]:
            bundle["GPU"] = ray_share(config["gpu"])
        return tune.PlacementGroupFactory([bundle])

    return resources

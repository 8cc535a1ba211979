"""Ray Tune's callbacks for TensorBoard, MLflow and Weights & Biases, told of a sweep's trials in plain numbers.

A trial's configuration in Tune is one text, and its results are rows: each logger is shown hyperparameters, cell and
seed instead, and one step for each epoch. What a logger does never ends a sweep.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.logger import LoggerCallback

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.process.log import LOG
from store.errors import InputError
from store.local import expanded
from trainable.spec import TrialSpec
from trainable.texts import reason_of

FOLDER = "tensorboard"
"""Folder of TensorBoard's files in a sweep's directory."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Trial as a logger sees it.

    Attributes:
        trial_id: The trial's identifier in the sweep.
        config: Hyperparameters under their names, and ``cell``, ``method``, ``network``, ``phase``, ``seed``, the bias
            values and the rule.
        local_path: Folder of its own, for loggers that write files.
        experiment_dir_name: Name of the sweep.
    """

    trial_id: str
    config: Mapping[str, Any]
    local_path: str
    experiment_dir_name: str
    checkpoint: None = field(default=None)

    @property
    def evaluated_params(self) -> Mapping[str, Any]:
        """The configuration, under the name by which TensorBoard's logger asks for it."""
        return self.config

    def init_local_path(self) -> None:
        """Make the folder."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return self.trial_id


class Told(tune.Callback):
    """Tells a logger of the trials of a sweep.

    Args:
        name: Name of the logger.
        logger: Ray Tune's callback.
        specs: Trials under way, by Tune's identifiers.
        folder: Folder below which each trial has one of its own.
        say: Prints a line for the user.
    """

    def __init__(
        self,
        name: str,
        logger: LoggerCallback,
        specs: Mapping[str, TrialSpec],
        folder: Path,
        say: Callable[[str], None] = print,
    ) -> None:
        self._name, self._specs, self._folder, self._say = name, specs, folder, say
        self._logger: LoggerCallback | None = logger
        self._shown: dict[str, Shown] = {}

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # Tune pickles its callbacks into its snapshots, which nothing here ever reads back.
        return type(None), ()

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Begin a run."""
        spec = self._specs.get(trial.trial_id)
        if spec is not None and trial.trial_id not in self._shown:
            shown = Shown(spec.trial_id, config_of(spec), str(self._folder / spec.trial_id), spec.sweep)
            self._shown[trial.trial_id] = shown
            self._tell(functools.partial(_log_start, shown, self._name != "mlflow"))

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        """Log the epochs of a result, and the row of a trial that has ended."""
        shown = self._shown.get(trial.trial_id)
        if shown is not None and not result.get("halt"):
            for step, numbers in steps_of(result):
                self._tell(functools.partial(_log_step, step, shown, numbers))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """End a run."""
        self._end(trial, failed=False)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """End the run of a trial whose process died."""
        self._end(trial, failed=True)

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        """End the logger."""
        self._tell(lambda logger: logger.on_experiment_end(trials, **info))

    def _end(self, trial: Any, failed: bool) -> None:
        shown = self._shown.pop(trial.trial_id, None)
        if shown is not None:
            self._tell(lambda logger: logger.log_trial_end(shown, failed=failed))

    def _tell(self, work: Callable[[Any], None]) -> None:
        if self._logger is None:
            return
        try:
            work(self._logger)
        except Exception as error:
            # Its server may be away for the rest of the night, and each call may wait for it.
            self._logger = None
            LOG.warning("%s is told no more", self._name, exc_info=True)
            self._say(f"{self._name} is told no more of this run ({reason_of(error)}), and the sweep goes on")


def told(
    config: SweepConfig, specs: Mapping[str, TrialSpec], folder: Path | None, say: Callable[[str], None]
) -> list[Told]:
    """Make and set up the callbacks of the loggers that a sweep asks for.

    Args:
        config: The configuration.
        specs: Trials under way, by Tune's identifiers.
        folder: The sweep's directory, or None where it is in an object store.
        say: Prints a line for the user.

    Returns:
        One callback a logger.

    Raises:
        InputError: A logger cannot be set up.
    """
    asked, callbacks = config.logging, []
    for name in asked.names:
        base = (folder or Path()) / name
        if name == "tensorboard" and asked.tensorboard is not None and asked.tensorboard.folder is not None:
            base = expanded(asked.tensorboard.folder)
        try:
            logger = _LOGGERS[name](config, config.name or config.dataset.name)
            logger.setup()
        except Exception as error:
            raise InputError(
                f"the logger {name} cannot be set up ({reason_of(error)}): mend it, or leave logging.{name} out"
            ) from error
        callbacks.append(Told(name, logger, specs, base, say))
    return callbacks


def _tensorboard(config: SweepConfig, name: str) -> LoggerCallback:
    from ray.tune.logger import TBXLoggerCallback

    return TBXLoggerCallback()


def _mlflow(config: SweepConfig, name: str) -> LoggerCallback:
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    asked = config.logging.mlflow
    assert asked is not None
    return MLflowLoggerCallback(asked.tracking_uri, experiment_name=asked.experiment_name or name)


def _wandb(config: SweepConfig, name: str) -> LoggerCallback:
    import ray
    from ray.air.integrations.wandb import WandbLoggerCallback

    class Heard(WandbLoggerCallback):
        """Raises what went wrong in the process of a run, of which Ray says nothing."""

        def _cleanup_logging_actor(self, trial: Any) -> None:
            future = self._trial_logging_futures[trial]
            super()._cleanup_logging_actor(trial)
            ray.get(future, timeout=0)

    asked = config.logging.wandb
    assert asked is not None
    further = {key: value for key in ("entity", "mode") if (value := getattr(asked, key)) is not None}
    if asked.mode is not None:
        # Ray asks for a key unless this is set.
        os.environ["WANDB_MODE"] = asked.mode
    return Heard(asked.project or name, asked.group or name, **further)


_LOGGERS: Mapping[str, Callable[[SweepConfig, str], LoggerCallback]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}


def _log_start(shown: Shown, writes_files: bool, logger: Any) -> None:
    if writes_files:
        shown.init_local_path()
    logger.log_trial_start(shown)


def _log_step(step: int, shown: Shown, numbers: dict[str, Any], logger: Any) -> None:
    logger.log_trial_result(step, shown, numbers)


def config_of(spec: TrialSpec) -> dict[str, Any]:
    """Configuration of a trial in plain values.

    Args:
        spec: The trial.

    Example:
        >>> spec = TrialSpec("digits", {"rho": 0.9}, "erm", {"lr": 0.01}, "small_cnn", 7, "search", "t1")
        >>> config_of(spec)["rho"], config_of(spec)["lr"], config_of(spec)["method"]
        (0.9, 0.01, 'erm')
    """
    told = {key: getattr(spec, key) for key in ("cell", "dataset", "network", "phase", "seed", "rule", "repeat")}
    return {**told, "method": spec.label or spec.method, **spec.bias, **spec.hyperparameters}


def steps_of(result: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """Numbers that a result brings, one step an epoch.

    Args:
        result: A result of ``SweepTrainable``.

    Returns:
        Number of each step, from 1, and its finite numbers. Those of the trial's row, with ``test_`` columns where it
        was tested, stand in the last one of a trial that has ended.

    Example:
        >>> entry = {"epoch": 0, "train_label_loss": 0.5, "terms": "{}", "val_biased": None}
        >>> steps_of({"history": [entry], "done": False, "row": {"test_unbiased": 0.9}})
        [(1, {'train_label_loss': 0.5, 'training_iteration': 1})]
    """
    steps = [(int(entry["epoch"]) + 1, _numbers(entry)) for entry in result.get("history", ()) if "epoch" in entry]
    row = result.get("row") or {}
    if result.get("done"):
        judged = _numbers({key: value for key, value in row.items() if key.startswith(("test_", "val_"))})
        last = steps.pop() if steps else (max(1, int(result.get("epoch") or 0)), {})
        steps.append((last[0], {**last[1], **judged}))
    return [(step, {**numbers, "training_iteration": step}) for step, numbers in steps if numbers]


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in row.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and key != "epoch"
    }

"""Loggers that a sweep tells of its trials: what they are shown, and what their failures cost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster.loggers import Told, config_of, steps_of, told
from orchestrator.config.loggers import LoggingConfig, check_loggers
from orchestrator.config.sweep_file import parse_config
from orchestrator.plan.continuation import check_config
from store.errors import InputError
from trainable.spec import TrialSpec

SPEC = TrialSpec(
    "digits", {"rho": 0.9}, "lnl", {"lambda_": 0.5}, "small_cnn", 7, "search", "t1", label="two", sweep="s"
)
EPOCHS = [
    {"epoch": 0, "label_loss": 0.5, "terms": '{"q": 1}', "val_biased": None, "lr": math.nan},
    {"epoch": 1, "label_loss": 0.25, "val_biased": 0.75},
]
ROW = {"trial_id": "t1", "test_unbiased": 0.8, "val_biased": 0.75, "n_test": 30, "status": "completed"}
TEXT = "{name: s, dataset: {name: brain_phantom, bias: {rho: 1}}, methods: [erm], logging: %s}"


class Logger:
    """A logger that remembers what it is told."""

    def __init__(self, fails_at: str = "") -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._fails_at = fails_at

    def _take(self, name: str, *values: Any) -> None:
        self.calls.append((name, *values))
        if name == self._fails_at:
            raise ConnectionError("the server is away")

    def log_trial_start(self, trial: Any) -> None:
        self._take("start", str(trial), dict(trial.config))

    def log_trial_result(self, step: int, trial: Any, numbers: dict[str, Any]) -> None:
        self._take("step", step, numbers)

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        self._take("end", failed)


class Trial:
    trial_id = "ray1"


def callback(logger: Logger, folder: Path, said: list[str]) -> Told:
    return Told("tensorboard", logger, {"ray1": SPEC}, folder, said.append)


def play(callback: Told) -> None:
    callback.on_trial_start(0, [], Trial)
    callback.on_trial_result(0, [], Trial, {"history": EPOCHS[:1], "row": ROW, "done": False, "epoch": 1})
    callback.on_trial_result(0, [], Trial, {"history": EPOCHS[1:], "row": ROW, "done": True, "epoch": 2})
    callback.on_trial_complete(0, [], Trial)


def test_epochs_are_steps_and_the_last_one_has_the_figures_of_the_row(tmp_path: Path) -> None:
    logger = Logger()
    play(callback(logger, tmp_path, []))
    (start, name, config), *rest = logger.calls
    assert (start, name) == ("start", "t1") and (tmp_path / "t1").is_dir()
    assert {"rho": 0.9, "lambda_": 0.5, "method": "two", "seed": 7, "phase": "search"}.items() <= config.items()
    assert rest == [
        ("step", 1, {"label_loss": 0.5, "training_iteration": 1}),
        ("step", 2, {"label_loss": 0.25, "val_biased": 0.75, "test_unbiased": 0.8, "training_iteration": 2}),
        ("end", False),
    ]


def test_a_finished_trial_that_only_brings_its_row() -> None:
    """A trial that is resumed after its last epoch has no epoch to report."""
    assert steps_of({"history": [], "row": ROW, "done": True, "epoch": 6}) == [
        (6, {"test_unbiased": 0.8, "val_biased": 0.75, "training_iteration": 6})
    ]
    assert steps_of({"history": [], "row": None, "done": True, "epoch": 0}) == []


@pytest.mark.parametrize("call", ["start", "step", "end"])
def test_a_logger_that_fails_is_told_no_more_and_ends_nothing(tmp_path: Path, call: str) -> None:
    logger, said = Logger(call), []
    told_of = callback(logger, tmp_path, said)
    play(told_of)
    play(told_of)
    assert [name for name, *_ in logger.calls].count(call) == 1
    assert said == [
        "tensorboard is told no more of this run (ConnectionError: the server is away), and the sweep goes on"
    ]


def test_trials_that_halt_or_die(tmp_path: Path) -> None:
    logger = Logger()
    told_of = callback(logger, tmp_path, [])
    told_of.on_trial_start(0, [], Trial)
    told_of.on_trial_result(0, [], Trial, {"halt": "no store", "history": [], "row": None, "done": True})
    told_of.on_trial_error(0, [], Trial)
    assert [name for name, *_ in logger.calls] == ["start", "end"] and logger.calls[-1] == ("end", True)


def test_what_may_be_written() -> None:
    assert parse_config(TEXT % "{}").logging.names == []
    assert parse_config(TEXT % "{tensorboard: true, mlflow: false, wandb: {project: p}}").logging.names == [
        "tensorboard",
        "wandb",
    ]
    for entry, words in (
        ("{tensorbord: true}", "did you mean 'tensorboard'"),
        ("{wandb: {api_key: s3cr3t}}", "api_key"),
        ("{wandb: {mode: away}}", "mode"),
        ("{mlflow: {tracking_uri: 'https://me:s3cr3t@host'}}", "must hold no credentials"),
        ("{tensorboard: yes please}", "tensorboard"),
    ):
        with pytest.raises(InputError, match=words) as refused:
            parse_config(TEXT % entry)
        assert "s3cr3t" not in str(refused.value)


def test_a_sweep_may_be_logged_from_a_later_day_on() -> None:
    old = parse_config(TEXT % "{}").model_dump(mode="json", by_alias=True)
    logged = parse_config(TEXT % "{tensorboard: {folder: events}, mlflow: true}")
    assert set(check_config(old, logged, "results/s")) == {"logging.tensorboard.folder"}
    del old["logging"]
    assert check_config(old, parse_config(TEXT % "{}"), "results/s") == {}


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"logging\.mlflow needs the package mlflow, .* pip install mlflow, or leave"):
        check_loggers(LoggingConfig(mlflow=True))


def test_what_cannot_be_set_up_is_refused_before_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise ConnectionError("nobody there")

    monkeypatch.setattr("orchestrator.cluster.loggers._LOGGERS", {"mlflow": broken, "tensorboard": broken})
    with pytest.raises(InputError, match=r"mlflow cannot be set up \(ConnectionError: nobody there\)"):
        told(parse_config(TEXT % "{mlflow: true}"), {}, tmp_path, print)
    assert config_of(SPEC)["dataset"] == "digits"


@pytest.mark.parametrize("folder", ["s3://bucket/events", ""])
def test_a_folder_that_is_none_on_this_machine(folder: str) -> None:
    with pytest.raises(InputError, match=r"logging\.tensorboard\.folder: must be a folder on the driver's machine"):
        parse_config(TEXT % f"{{tensorboard: {{folder: '{folder}'}}}}")

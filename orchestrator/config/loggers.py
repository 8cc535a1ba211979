"""Loggers of the field that a sweep can also write for: TensorBoard, MLflow, Weights & Biases."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from store.errors import InputError
from store.local import expanded, probe_writable

_PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class TensorBoardConfig(_Strict):
    """Event files, a folder for each trial."""

    folder: str | None = Field(None, description="Where they lie; default: tensorboard/ in the sweep's directory.")

    @field_validator("folder")
    @classmethod
    def _local(cls, value: str | None) -> str | None:
        if value is not None and ("://" in value or not value.strip()):
            raise ValueError(f"must be a folder on the driver's machine, but got '{value}'")
        return value


class MlflowConfig(_Strict):
    """Runs of an MLflow experiment, one for each trial."""

    tracking_uri: str | None = Field(None, description="Server or folder; default: that of MLFLOW_TRACKING_URI.")
    experiment_name: str | None = Field(None, description="The experiment; default: the sweep's name.")

    @field_validator("tracking_uri")
    @classmethod
    def _no_credentials(cls, value: str | None) -> str | None:
        if value is not None and "@" in urlsplit(value).netloc:
            raise ValueError(
                "must hold no credentials: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment"
            )
        return value


class WandbConfig(_Strict):
    """Runs of a Weights & Biases project, one for each trial.

    The key is that of WANDB_API_KEY or of ``wandb login``.
    """

    project: str | None = Field(None, description="The project; default: the sweep's name.")
    entity: str | None = Field(None, description="User or team.")
    group: str | None = Field(None, description="Group of the runs; default: the sweep's name.")
    mode: Literal["online", "offline"] | None = Field(None, description="Default: that of WANDB_MODE, else online.")


class LoggingConfig(_Strict):
    """Loggers that the driver tells of every trial.

    None is on by default.
    """

    tensorboard: TensorBoardConfig | None = Field(None, description="true, or {folder: PATH}.")
    mlflow: MlflowConfig | None = Field(None, description="true, or {tracking_uri: ..., experiment_name: ...}.")
    wandb: WandbConfig | None = Field(None, description="true, or {project: ..., entity: ..., group: ..., mode: ...}.")

    @field_validator("tensorboard", "mlflow", "wandb", mode="before")
    @classmethod
    def _switches(cls, value: Any) -> Any:
        return {} if value is True else None if value is False else value

    @property
    def names(self) -> list[str]:
        """Names of the loggers that are on.

        Example:
            >>> LoggingConfig(mlflow=True, wandb=False).names
            ['mlflow']
        """
        return [name for name in ("tensorboard", "mlflow", "wandb") if getattr(self, name) is not None]


def check_loggers(asked: LoggingConfig) -> None:
    """Refuse a logger whose package is not installed.

    Args:
        asked: The section ``logging``.

    Raises:
        InputError: The package's name, and how to install it.

    Example:
        >>> check_loggers(LoggingConfig())
    """
    for name in asked.names:
        package = _PACKAGES[name]
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"logging.{name} needs the package {package}, which is not installed: pip install {package}, or leave "
                f"logging.{name} out"
            )


def check_folder(asked: LoggingConfig, out: str) -> None:
    """Refuse a folder of TensorBoard's that cannot be written, and none where the sweep's directory is not local.

    Nothing is left in the folder, nor is it made.

    Args:
        asked: The section ``logging``.
        out: Address of the sweep's directory.

    Raises:
        InputError: The folder and the reason, or that one must be named.

    Example:
        >>> check_folder(LoggingConfig(tensorboard=True), "results/demo")
        >>> check_folder(LoggingConfig(tensorboard=True), "s3://bucket/demo")
        Traceback (most recent call last):
            ...
        store.errors.InputError: TensorBoard's files need a local folder, but the sweep's directory is s3://bucket/demo...
    """
    if asked.tensorboard is None:
        return
    if asked.tensorboard.folder is None:
        if "://" in out:
            raise InputError(
                f"TensorBoard's files need a local folder, but the sweep's directory is {out}: give "
                "logging.tensorboard: {folder: PATH}"
            )
        return
    folder = expanded(asked.tensorboard.folder)
    try:
        probe_writable(folder)
    except OSError as error:
        raise InputError(
            f"logging.tensorboard.folder must be a folder that can be written, but '{folder}' cannot "
            f"({error.strerror}): name another, or leave folder out"
        ) from error

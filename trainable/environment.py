"""Variables that a worker on another machine takes over from the driver: where the store and the data are."""

from __future__ import annotations

import os
from pathlib import Path

from store.object_store import CREDENTIALS

DATA = "LNL_SWEEP_DATA"
"""Names the folder, or the address in an object store, of prepared data sets that all nodes can reach."""
ENVIRONMENT = (
    DATA,
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED"),
    *CREDENTIALS,
)
"""Variables that a worker on another machine needs to reach the driver's store, and the data."""


def store_environment() -> dict[str, str]:
    """Collect this process's variables with the places of store and data, and the credentials for them.

    Example:
        >>> from unittest import mock
        >>> with mock.patch.dict(os.environ, {"LNL_SWEEP_DATA": "s3://bucket/data"}, clear=True):
        ...     store_environment()
        {'LNL_SWEEP_DATA': 's3://bucket/data'}
    """
    variables = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    if variables.get(DATA) and "://" not in variables[DATA]:
        # A worker has another working directory, and perhaps another home.
        variables[DATA] = str(Path(variables[DATA]).expanduser().absolute())
    return variables


def use_environment(variables: dict[str, str]) -> None:
    """Take over another process's ``store_environment``.

    Example:
        >>> from unittest import mock
        >>> with mock.patch.dict(os.environ):
        ...     use_environment({"AWS_REGION": "eu-central-1"})
        ...     os.environ["AWS_REGION"]
        'eu-central-1'
    """
    os.environ.update(variables)

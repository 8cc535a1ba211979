"""The Ray that trials run on: one that is there, or one of our own on this machine."""

from __future__ import annotations

import os

import ray

from orchestrator.config import SweepConfig

OBJECT_STORE_BYTES = 200 * 2**20
"""Nothing of size travels through Ray: images and weights are read and written by the workers."""


def start_ray(address: str | None, cpus: int | None = None) -> None:
    """Connect to a cluster, or start Ray on this machine.

    Args:
        address: Address of a running cluster, ``auto``, or None: ``RAY_ADDRESS`` if set, else a local Ray of our own.
        cpus: Processors of the local Ray; all by default.
    """
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        # A SIGTERM is an orderly end here, not a crash whose addresses the user should read.
        "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    }.items():
        os.environ.setdefault(name, value)
    if ray.is_initialized():
        return
    quiet = {"log_to_driver": False, "logging_level": "error"}
    if address or os.environ.get("RAY_ADDRESS"):
        ray.init(address=address or "auto", **quiet)
    else:
        # Without "local" Ray would join whatever cluster was last started on this machine.
        ray.init(
            address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet
        )


def count_slots(config: SweepConfig) -> tuple[int, float]:
    """How many trials run at once on the connected cluster, and the share of a GPU each gets."""
    resources = ray.cluster_resources()
    share = config.resources.gpu_share(resources.get("GPU", 0.0))
    slots = int(resources.get("CPU", 1.0) // config.resources.cpu)
    if share:
        slots = min(slots, int(resources.get("GPU", 0.0) / share + 1e-9))
    return max(slots, 1), share

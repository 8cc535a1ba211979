"""Check that a local Ray can run a sweep's trials, since no node will ever join it."""

from __future__ import annotations

import sys
from collections.abc import Collection

from orchestrator.cluster.machine import processors
from orchestrator.config.sweep_config import SweepConfig
from store.errors import InputError


def check_fits(config: SweepConfig, labels: Collection[str], cpus: int | None = None) -> None:
    """Refuse resources that this machine does not have.

    Args:
        config: The resolved configuration.
        labels: Methods whose trials are to run.
        cpus: Processors that the Ray is to have; None = all that this process may use.

    Raises:
        InputError: A trial would wait forever.

    Example:
        >>> from orchestrator.config.sweep_file import parse_config
        >>> text = "{dataset: {name: brain_phantom, bias: {rho: 1}}, methods: [erm], resources: {cpu: 8, gpu: 0}}"
        >>> check_fits(parse_config(text), {"erm"}, cpus=8)
    """
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        # Somebody else's, in this process: it may be a cluster.
        return
    has = cpus or processors()
    for method in config.methods:
        label = method.label or method.name
        if label not in labels:
            continue
        wants = config.resources_of(label)
        if wants.cpu > has:
            raise InputError(
                f"a trial must fit on one machine, and Ray has {has} processor{'s' if has > 1 else ''} here"
                f"{' (--cpus)' if cpus else ''}, but one of {label} needs resources.cpu = {wants.cpu}: lower it, or "
                "run on a cluster (--address)"
            )
        cards = wants.gpu_share(0) and gpus()
        if wants.gpu_share(cards) > cards:
            raise InputError(
                f"a trial must fit on one machine, and Ray finds {cards:g} GPUs here, but one of {label} needs "
                f"resources.gpu = {wants.gpu}: write auto, or run on a cluster (--address)"
            )


def gpus() -> float:
    """Number of GPUs that a Ray started here would have."""
    # Ray takes seconds to import: most methods ask for no card by name.
    from orchestrator.cluster.ray_private import gpus_here

    return gpus_here()

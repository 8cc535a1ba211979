"""``resources.gpu: auto``: how many trials share a card, from what one trial needs of its memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import ray
from rich.console import Console

from orchestrator.cells import Cell, default_in
from orchestrator.config import SweepConfig
from orchestrator.identity import search_seed, trial_spec
from trainable.spec import TrialSpec

MEMORY_SHARE = 0.9
"""Of a card's memory that is given away: other trials of the sweep may need a little more than the measured ones."""
RAY_UNIT = 10_000
"""Ray counts resources in steps of a ten thousandth."""


def trials_on_card(need: int, memory: int, cpus: float, cpus_of_trial: int) -> int:
    """How many trials a card takes.

    Args:
        need: Memory of one trial, in bytes.
        memory: Memory of the card.
        cpus: Processors of the node for each of its cards.
        cpus_of_trial: Processors of a trial.

    Returns:
        At least one.
    """
    by_memory = int(MEMORY_SHARE * memory // max(need, 1))
    return max(1, min(by_memory, int(cpus // cpus_of_trial)))


def ray_share(share: float) -> float:
    """The share of a card as Ray must be asked for it: rounded down, else k times 1/k could exceed one card."""
    return share if share >= 1 else math.floor(share * RAY_UNIT + 1e-6) / RAY_UNIT


def pack_gpus(config: SweepConfig, cells: Iterable[Cell], console: Console) -> SweepConfig:
    """Replace ``auto`` by the share that one trial of each method was measured to need.

    Waits for a card: on a cluster that grows from zero, for its first node with one.

    Args:
        config: The resolved configuration, on a cluster that has cards.
        cells: The grid.
        console: Where the finding is told.

    Returns:
        The configuration with a share in place of ``auto``; one card a trial where nothing could be measured.
    """
    probes = [spec.to_json() for spec in probe_specs(config, cells)]
    task = ray.remote(num_gpus=1, num_cpus=config.resources.cpu, max_calls=1, max_retries=0)(_measure)
    console.print(f"measuring the GPU memory of {len(probes)} trials, an epoch each", highlight=False)
    try:
        found = ray.get(task.remote(probes))
    except ray.exceptions.RayError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        console.print(f"resources.gpu: auto gives each trial a whole GPU: it was not measured ({reason})")
        return _with_share(config, 1)
    if found is None:
        console.print("resources.gpu: auto gives each trial a whole GPU: torch cannot use it there")
        return _with_share(config, 1)
    need, memory, name = found
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU", 0) >= 1]
    cpus = min((_cpus_of_card(node) for node in nodes), default=1.0)
    count = trials_on_card(need, memory, cpus, config.resources.cpu)
    console.print(
        f"resources.gpu: auto = {f'1/{count}' if count > 1 else '1'}: a trial takes {need / 2**20:.0f} of "
        f"{memory / 2**20:.0f} MB on {name}, and {cpus:g} CPUs go with each card",
        highlight=False,
    )
    return _with_share(config, count)


def probe_specs(config: SweepConfig, cells: Iterable[Cell]) -> list[TrialSpec]:
    """One trial for each method: at its defaults, with the test images that a confirm trial loads."""
    from trainable.methods.base import get_method

    first = {cell.label: cell for cell in reversed(list(cells))}
    specs = []
    for label, cell in sorted(first.items()):
        defaults = get_method(cell.method).defaults
        searched = {name: default_in(entry, defaults[name]) for name, entry in cell.space.items()}
        hyperparameters = {**cell.fixed, **searched}
        seed = search_seed(config.seed)
        specs.append(trial_spec(config, cell, "confirm", f"probe-{label}", hyperparameters, seed))
    return specs


def _measure(probes: list[str]) -> tuple[int, int, str] | None:
    from trainable.footprint import footprint

    return footprint([TrialSpec.from_json(text) for text in probes])


def _cpus_of_card(node: Mapping[str, Any]) -> float:
    return float(node.get("CPU", 1.0)) / float(node["GPU"])


def _with_share(config: SweepConfig, count: int) -> SweepConfig:
    resources = config.resources.model_copy(update={"gpu": 1 if count == 1 else f"1/{count}"})
    return config.model_copy(update={"resources": resources})

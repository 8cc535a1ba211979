"""Number of trials that share a GPU, for ``resources.gpu: auto``.

It follows from the GPU memory that one trial was measured to need.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

import ray
from rich.console import Console

from orchestrator.cluster.capacity import Demand
from orchestrator.cluster.nodes import cluster_nodes
from orchestrator.cluster.same_code import with_our_code
from orchestrator.config.own_code import plugins_of
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.cells import Cell
from orchestrator.plan.identity import search_seed, trial_spec
from orchestrator.plan.space import default_in
from orchestrator.process.log import LOG
from trainable.plugins import Plugin
from trainable.spec import TrialSpec

MEMORY_SHARE = 0.9
"""Share of a GPU's memory that is given to trials.

The rest is for trials that need a little more than the measured ones.
"""
RAY_UNIT = 10_000
"""Number of steps in which Ray counts one unit of a resource."""
MEASURE_SECONDS = 1800.0
"""Longest time for the measurement, in which a first GPU node may have to start and an epoch is trained."""

Footprints = tuple[list[int], int, str]
"""Bytes that each measured trial needs, then memory in bytes and name of the smallest GPU."""


def trials_on_card(need: int, memory: int, cpus: float, cpus_of_trial: int) -> int:
    """Number of trials that one GPU takes.

    Args:
        need: Memory of one trial, in bytes.
        memory: Memory of the GPU, in bytes.
        cpus: Processors of the node for each of its GPUs.
        cpus_of_trial: Processors of a trial.

    Returns:
        At least one.

    Example:
        >>> trials_on_card(need=2 * 2**30, memory=16 * 2**30, cpus=8, cpus_of_trial=1)
        7
    """
    by_memory = int(MEMORY_SHARE * memory // max(need, 1))
    return max(1, min(by_memory, int(cpus // cpus_of_trial)))


def ray_share(share: float) -> float:
    """Share of a GPU to ask Ray for, rounded down to Ray's steps.

    Without that, k times 1/k could exceed one GPU.

    Example:
        >>> ray_share(1 / 3)
        0.3333
    """
    return share if share >= 1 else math.floor(share * RAY_UNIT + 1e-6) / RAY_UNIT


def pack_gpus(
    config: SweepConfig, cells: Iterable[Cell], demands: Mapping[str, Demand], console: Console
) -> dict[str, Demand]:
    """Replace the whole GPU of each method with ``auto`` by the share that one of its trials was measured to need.

    Waits for a GPU, ``MEASURE_SECONDS`` at most: on a cluster that grows from zero, for its first node with one.
    Where there are GPUs of several kinds by then, the share is that of the one with the least memory.

    Args:
        config: The resolved configuration, on a cluster that has GPUs.
        cells: The grid.
        demands: What a trial of each method takes, by label, where ``auto`` stands for a whole GPU.
        console: Shows the result.

    Returns:
        The demands, with one GPU for each trial where nothing could be measured.
    """
    cards = [node for node in cluster_nodes() if node.get("GPU", 0.0) >= 1]
    # A trial that fits on no node, not even on one to come, would be waited for without end.
    probes = {
        label: spec
        for label, spec in probe_specs(config, cells).items()
        if label in demands and config.resources_of(label).gpu == "auto" and any(map(demands[label].on, cards))
    }
    if not probes:
        return dict(demands)
    console.print(f"measuring the GPU memory of {len(probes)} trials, an epoch each", highlight=False, soft_wrap=True)
    try:
        cpus_of_probe = max(demands[label].cpu for label in probes)
        measured = _measured(list(probes.values()), cpus_of_probe, plugins_of(config))
    except ray.exceptions.RayError as error:
        LOG.warning("the GPU memory of a trial was not measured", exc_info=True)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        if isinstance(error, ray.exceptions.GetTimeoutError):
            reason = f"no card gave an answer within {MEASURE_SECONDS / 60:.0f} minutes"
        text = f"resources.gpu: auto gives each trial a whole GPU: it was not measured ({reason})"
        console.print(text, soft_wrap=True)
        return dict(demands)
    if measured is None:
        console.print("resources.gpu: auto gives each trial a whole GPU: torch cannot use it there")
        return dict(demands)
    needs, memory, name = measured
    packed = dict(demands)
    for label, need in zip(probes, needs, strict=True):
        cpus = min(_cpus_of_card(node) for node in cards if demands[label].on(node))
        count = trials_on_card(need, memory, cpus, demands[label].cpu)
        packed[label] = replace(demands[label], gpu=1 / count)
        console.print(
            f"resources.gpu: auto = {f'1/{count}' if count > 1 else '1'} for {label}: a trial takes "
            f"{need / 2**20:.0f} of {memory / 2**20:.0f} MB on {name}, and {cpus:g} CPUs go with each card",
            highlight=False,
            soft_wrap=True,
        )
    return packed


def probe_specs(config: SweepConfig, cells: Iterable[Cell]) -> dict[str, TrialSpec]:
    """Specification of one trial of each method, by label.

    It has the default hyperparameters, and the test images that a confirm trial loads.

    Args:
        config: The resolved configuration.
        cells: The grid.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm", "lnl"]}))
        >>> {label: spec.trial_id for label, spec in probe_specs(plan.config, plan.cells).items()}
        {'erm': 'probe-erm', 'lnl': 'probe-lnl'}
    """
    from trainable.methods.base import get_method

    first = {cell.label: cell for cell in reversed(list(cells))}
    specs = {}
    for label, cell in sorted(first.items()):
        defaults = get_method(cell.method).known
        searched = {name: default_in(entry, defaults[name]) for name, entry in cell.space.items()}
        hyperparameters = {**cell.fixed, **searched}
        seed = search_seed(config.seed)
        specs[label] = trial_spec(config, cell, "confirm", f"probe-{label}", hyperparameters, seed)
    return specs


def _measured(specs: list[TrialSpec], cpus: int, plugins: Sequence[Plugin] = ()) -> Footprints | None:
    """Memory that the trials need, then memory and name of the smallest GPU.

    None where torch can use no GPU.
    """
    end = time.monotonic() + MEASURE_SECONDS
    # One call for each process: a process that stayed would keep GPU memory that the trials need.
    probe = ray.remote(num_gpus=1, num_cpus=cpus, max_calls=1, max_retries=0)(with_our_code(_measure))
    # As tuples: they are read before the worker looks for our packages.
    fields = [astuple(plugin) for plugin in plugins]
    (measured,) = _answers([probe.remote([spec.to_json() for spec in specs], fields)], end)
    if measured is None:
        return None
    needs, memory, name = measured
    kinds = _kinds_of_cards()
    cards = [(memory, name)]
    if len(kinds) > 1:
        # The share that fits where the trials were measured may be too large for another card.
        look = with_our_code(_look)
        little = {"num_gpus": 1 / RAY_UNIT, "num_cpus": 0, "max_calls": 1, "max_retries": 0}
        asked = [ray.remote(**little, resources={kind: 1 / RAY_UNIT})(look).remote() for kind in kinds]
        cards += [card for card in _answers(asked, end) if card is not None]
    return needs, *min(cards)


def _answers(asked: list[Any], end: float) -> list[Any]:
    try:
        answers: list[Any] = ray.get(asked, timeout=max(0.0, end - time.monotonic()))
    except ray.exceptions.GetTimeoutError:
        # Else it would take a card from the trials as soon as there is one.
        for reference in asked:
            ray.cancel(reference, force=True)
        raise
    return answers


def _kinds_of_cards() -> list[str]:
    """Ray's names of the kinds of GPU that are there now.

    A GPU that Ray cannot name has no kind of its own.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU", 0.0) >= 1]
    return sorted({name for node in nodes for name in node if name.startswith("accelerator_type:")})


def _measure(probes: list[str], plugins: list[tuple[Any, ...]]) -> Footprints | None:
    from trainable.plugins import Plugin, load_plugins
    from trainable.trial.sizing.footprint import footprints

    load_plugins([Plugin(*fields) for fields in plugins])
    return footprints([TrialSpec.from_json(text) for text in probes])


def _look() -> tuple[int, str] | None:
    from trainable.trial.sizing.footprint import card

    return card()


def _cpus_of_card(node: Mapping[str, Any]) -> float:
    return float(node.get("CPU", 1.0)) / float(node["GPU"])

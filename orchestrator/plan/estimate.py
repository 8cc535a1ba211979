"""Estimate of a sweep's time and cost, from its own finished trials or from a few steps of each method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.plan.cells import Cell
from orchestrator.plan.identity import search_seed, trial_spec
from orchestrator.plan.plan import Plan
from orchestrator.plan.prices import read_prices
from orchestrator.plan.space import middle_of

if TYPE_CHECKING:
    from trainable.trial.trainer import Trainer

_COUNTED = 4
"""Number of images whose operations are counted, since they are the same for every image."""


@dataclass(frozen=True)
class Timing:
    """Timing of a few steps of a method.

    Attributes:
        seconds: Seconds of an epoch.
        timed: Description of the timed steps.
        device: Name of the processor or of the GPU.
        gpu_share: Share of a GPU that a trial has.
        operations: Number of floating-point operations of an epoch; None where there is a GPU.
        tested: Seconds that a confirm trial takes for its test images.
    """

    seconds: float
    timed: str
    device: str
    gpu_share: float
    operations: float | None
    tested: float = 0.0


Timer = Callable[[Plan, Sequence[Cell]], Mapping[str, Timing]]
"""Function that times a few steps in each of the cells: label of the cell -> timing."""


def time_cell(plan: Plan, cell: Cell) -> Timing:
    """Train a few steps of one cell in this process, in the middle of its search space.

    Args:
        plan: The resolved sweep.
        cell: One of its cells.

    Returns:
        Seconds of an epoch and of the test images, and the number of operations.
    """
    import torch

    from trainable.trial.machine.process_state import kept
    from trainable.trial.provenance import device_name
    from trainable.trial.sizing.timing import epoch_time, tested_seconds
    from trainable.trial.trainer import Trainer

    hyperparameters = {**cell.fixed, **{name: middle_of(entry) for name, entry in cell.space.items()}}
    seed = search_seed(plan.config.seed)
    spec = trial_spec(plan.config, cell, "search", "probe", hyperparameters, seed)
    share = plan.config.resources_of(cell.label).gpu_share(float(torch.cuda.device_count()))
    with kept():
        trainer = Trainer(spec, "auto" if share else "cpu")
        operations = None if torch.cuda.is_available() else _operations(trainer)
        timed = epoch_time(trainer)
    tested = tested_seconds(trainer, timed.image)
    return Timing(timed.seconds, timed.words, device_name(trainer.device), share, operations, tested)


def estimate(plan: Plan, rows: Iterable[Mapping[str, Any]], timer: Timer) -> dict[str, Any]:
    """Estimate the number of cells and trials, the time and the cost of a sweep.

    A method that has completed trials in the sweep's directory is judged by their mean. Any other method is judged by a
    few steps of one trial on this machine, in its cell of the strongest bias, which has the most bias heads, and in the
    middle of its search space (the anchor's weights of 0 would leave out the work that costs most). The time of the
    test images is added for confirm trials.

    Args:
        plan: The resolved sweep.
        rows: Trial rows of the sweep's directory, if it exists.
        timer: Times the cells of methods without completed trials.

    Returns:
        ``cells``, ``search``, ``confirm`` (an upper bound), ``trials``, ``seconds`` (of one slot),
        ``seconds_per_trial`` by label, ``source`` by label (origin, in words), ``gpu_hours`` and ``cost`` (None where
        the table of prices lacks the GPU), and ``operations`` (of training alone, by label; None where all methods have
        completed trials or there is a GPU).

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm", "lnl"]}))
        >>> epoch = Timing(seconds=3.0, timed="3 steps", device="CPU", gpu_share=0.0, operations=None)
        >>> needed = estimate(plan, (), lambda plan, cells: {cell.label: epoch for cell in cells})
        >>> needed["cells"], needed["seconds_per_trial"]["lnl"]
        (4, 60.0)
    """
    config = plan.config
    # In each cell; a rule with a search of its own has all its trials.
    seeds, repeats = config.confirm.seeds_of(), config.search.repeats
    searches = repeats * (len({config.search.rule, *seeds}) if config.search.per_rule else 1)
    confirm = repeats * config.confirm.splits * sum(seeds.values())
    per_trial: dict[str, float] = {}
    tested: dict[str, float] = {}
    like: dict[str, dict[str, Any]] = {}
    source: dict[str, str] = {}
    operations: dict[str, float] = {}
    for label, of_label in _by_label(rows).items():
        per_trial[label] = sum(float(row["train_seconds"]) for row in of_label) / len(of_label)
        like[label], source[label] = dict(of_label[-1]), f"{len(of_label)} trials in the directory"
    unknown = [cell for cell in _costliest(plan.applicable) if cell.label not in per_trial]
    for label, timing in (timer(plan, unknown) if unknown else {}).items():
        per_trial[label], tested[label] = timing.seconds * config.training.epochs, timing.tested
        source[label] = f"{timing.timed} on this machine ({timing.device})"
        like[label] = {
            "threads": config.resources_of(label).cpu,
            "gpu_share": timing.gpu_share,
            "device_name": timing.device,
        }
        if timing.operations is not None:
            operations[label] = timing.operations * config.training.epochs
    search = searches * sum(cell.trials * cell.search_seeds for cell in plan.applicable)
    each = {cell.label: 0.0 for cell in plan.applicable}
    for cell in plan.applicable:
        each[cell.label] += (searches * cell.trials * cell.search_seeds + confirm) * per_trial[cell.label]
        # The mean of finished trials holds their looks at test images.
        each[cell.label] += confirm * tested.get(cell.label, 0.0)
    seconds, prices = sum(each.values()), read_prices()
    costs = [prices.of_trial({**like[label], "train_seconds": needed}) for label, needed in each.items()]
    return {
        "cells": len(plan.applicable),
        "search": search,
        "confirm": confirm * len(plan.applicable),
        "trials": search + confirm * len(plan.applicable),
        "seconds": seconds,
        "seconds_per_trial": {label: per_trial[label] for label in each},
        "source": source,
        "gpu_hours": sum(float(like[label].get("gpu_share") or 0.0) * needed / 3600 for label, needed in each.items()),
        "cost": None if None in costs else sum(cost for cost in costs if cost is not None),
        "operations": sum(
            (searches * cell.trials * cell.search_seeds + confirm) * operations[cell.label] for cell in plan.applicable
        )
        if operations.keys() == each.keys()
        else None,
    }


def _operations(trainer: Trainer) -> float:
    """Number of floating-point operations of one epoch's steps.

    They are counted forward on a few images, and taken twice for the backward pass.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from trainable.methods.adversary import counted
    from trainable.networks.modes import evaluating
    from trainable.trial.sizing.timing import part_of

    batch, nets = part_of(next(trainer.feed.batches(0)), _COUNTED), trainer.nets
    with FlopCounterMode(display=False) as counter, evaluating(nets.f, nets.g), torch.no_grad():
        features = nets.f(batch.x)
        nets.g(features)
        if nets.h is not None:
            nets.h(features, counted(batch)[0])
    return 3 * float(counter.get_total_flops()) / len(batch.y) * sum(trainer.feed.sizes)


def _costliest(cells: Iterable[Cell]) -> list[Cell]:
    """Cell of the strongest bias of each label, in the order of the labels."""
    chosen: dict[str, Cell] = {}
    for cell in cells:
        known = chosen.setdefault(cell.label, cell)
        if cell.bias_strength > known.bias_strength:
            chosen[cell.label] = cell
    return list(chosen.values())


def _by_label(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    by_label: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["status"] == "completed" and row.get("train_seconds"):
            by_label.setdefault(str(row["label"]), []).append(row)
    return by_label

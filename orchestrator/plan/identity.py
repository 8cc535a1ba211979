"""Seeds of a sweep's trials, and the specification of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.cells import Cell
from store.names import Place
from trainable.randomness import derive
from trainable.spec import Phase, TrialSpec


def search_seed(sweep_seed: int, repeat: int = 0, k: int = 0) -> int:
    """Search seed k of a repeat, the same for all candidates; even, so that no confirm seed can equal it."""
    return 2 * derive(sweep_seed, "search", repeat, *([k] if k else []))


def confirm_seed(sweep_seed: int, k: int, repeat: int = 0, split: int | None = None) -> int:
    """Confirm seed k of a repeat (and of a split): the same in every cell, for every method and rule; odd."""
    of_split = [] if split is None else ["split", split]
    return 2 * derive(sweep_seed, "confirm", k, *([repeat] if repeat else []), *of_split) + 1


def split_seed(sweep_seed: int, split: int | None, repeat: int = 0) -> int | None:
    """Seed of a train / validation split that several confirm seeds share; None where each seed has its own."""
    return None if split is None else derive(sweep_seed, "split", split, repeat)


def place_of(row: Mapping[str, Any]) -> Place:
    """Place of a trial among those of its cell and repeat, from its row."""
    return Place(row["search_number"], row["search_rule"], row["seed_number"])


def at_place(spec: TrialSpec, place: Place) -> TrialSpec:
    """The same trial at a place among those of its cell and repeat."""
    return replace(spec, search_number=place.number, search_rule=place.rule, seed_number=place.seed)


def trial_spec(
    config: SweepConfig,
    cell: Cell,
    phase: Phase,
    trial_id: str,
    hyperparameters: Mapping[str, Any],
    seed: int,
) -> TrialSpec:
    """Specification of one trial of a resolved sweep: all that a worker must know, for the first repeat."""
    assert config.metric is not None
    assert config.search.rule is not None
    return TrialSpec(
        dataset=config.dataset.name,
        dataset_options=config.dataset.options,
        bias=dict(cell.bias),
        network=config.network.name,
        network_options=config.network.options,
        method=cell.method,
        hyperparameters=dict(hyperparameters),
        seed=seed,
        phase=phase,
        training=config.training.of_a_trial(),
        metric=config.metric,
        rule=config.search.rule,
        fold=cell.fold,
        label=cell.label,
        sweep=config.name,
        cell=cell.id,
        trial_id=trial_id,
        keep_model=phase == "confirm" and config.confirm.keep_models,
        threads=config.resources_of(cell.label).cpu,
    )


def in_repeat(spec: TrialSpec, sweep_seed: int, repeat: int, split: int | None = None) -> TrialSpec:
    """The same trial in a repeat of the sweep, and on a split that several seeds share."""
    return replace(spec, repeat=repeat, split=split, split_seed=split_seed(sweep_seed, split, repeat))


def spec_of_row(config: SweepConfig, cell: Cell, row: Mapping[str, Any]) -> TrialSpec:
    """Specification by which a worker trains a finished trial of a cell once more."""
    hyperparameters = json.loads(row["hyperparameters"])
    spec = trial_spec(config, cell, row["phase"], row["trial_id"], hyperparameters, row["seed"])
    spec = replace(spec, rule=row["search_rule"] or spec.rule, enqueued_from=row["enqueued_from"])
    return in_repeat(at_place(spec, place_of(row)), config.seed, row["repeat"], row.get("split"))

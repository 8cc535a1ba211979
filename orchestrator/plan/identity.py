"""Seeds of a sweep's trials, and the specification of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.cells import Cell
from store.names import Place
from store.rules import Rule
from trainable.randomness import derive
from trainable.spec import Phase, TrialSpec

_ALONE = Place()


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


def trial_spec(
    config: SweepConfig,
    cell: Cell,
    phase: Phase,
    trial_id: str,
    hyperparameters: Mapping[str, Any],
    seed: int,
    repeat: int = 0,
    place: Place = _ALONE,
    rule: Rule | None = None,
    enqueued_from: str | None = None,
    split: int | None = None,
) -> TrialSpec:
    """Everything a worker needs to know of one trial of a resolved sweep."""
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
        rule=rule or config.search.rule,
        fold=cell.fold,
        repeat=repeat,
        split=split,
        split_seed=split_seed(config.seed, split, repeat),
        search_number=place.number,
        search_rule=place.rule,
        seed_number=place.seed,
        enqueued_from=enqueued_from,
        label=cell.label,
        sweep=config.name,
        cell=cell.id,
        trial_id=trial_id,
        keep_model=phase == "confirm" and config.confirm.keep_models,
        threads=config.resources_of(cell.label).cpu,
    )


def spec_of_row(config: SweepConfig, cell: Cell, row: Mapping[str, Any]) -> TrialSpec:
    """Specification by which a worker trains a finished trial of a cell once more."""
    return trial_spec(
        config,
        cell,
        row["phase"],
        row["trial_id"],
        json.loads(row["hyperparameters"]),
        row["seed"],
        repeat=row["repeat"],
        place=place_of(row),
        rule=row["search_rule"],
        enqueued_from=row["enqueued_from"],
        split=row.get("split"),
    )

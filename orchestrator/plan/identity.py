"""What a trial is called and which seed it has: named by what it trains, never by the rule that chose it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.cells import Cell
from store.rules import Rule
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


def hyperparameter_text(hyperparameters: Mapping[str, Any]) -> str:
    """The canonical JSON text of hyperparameters: the column, and what a confirm trial's id hashes."""
    return json.dumps(dict(hyperparameters), sort_keys=True)


def search_id(cell_id: str, repeat: int, number: int, rule: Rule | None = None, k: int = 0) -> str:
    """Identifier of a search trial; ``rule`` where the rule has a search of its own, ``k`` the search seed's index."""
    infix = f".{rule}" if rule else ""
    return f"{cell_id}-r{repeat}{infix}-{number:03d}{f'.s{k}' if k else ''}"


def own_rule(trial_id: object) -> Rule | None:
    """The rule whose own search a search trial belongs to; None where all rules choose from one search."""
    match = re.search(r"-r\d+\.(val_[a-z]+)-\d+(?:\.s\d+)?$", str(trial_id))
    return cast(Rule, match[1]) if match else None


def confirm_id(
    cell_id: str, hyperparameters: Mapping[str, Any], k: int, repeat: int = 0, split: int | None = None
) -> str:
    """Identifier of a confirm trial: cell, hash of the hyperparameters, seed index.

    Before the seed index stand the repeat, after the first one, and the split, where seeds share one.
    """
    digest = hashlib.sha256(hyperparameter_text(hyperparameters).encode()).hexdigest()[:8]
    within = f"{f'-r{repeat}' if repeat else ''}{'' if split is None else f'-p{split}'}"
    return f"{cell_id}-{digest}{within}-s{k}"


def search_place(trial_id: object) -> tuple[int, int]:
    """Search number of a search trial's id, and the index of its search seed."""
    number, _, k = str(trial_id).rsplit("-", 1)[1].partition(".s")
    return int(number), int(k or 0)


def search_number(trial_id: object) -> int:
    """Search number of a search trial's id."""
    return search_place(trial_id)[0]


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
    spec = replace(spec, rule=own_rule(row["trial_id"]) or spec.rule, enqueued_from=row["enqueued_from"])
    return in_repeat(spec, config.seed, row["repeat"], row.get("split"))

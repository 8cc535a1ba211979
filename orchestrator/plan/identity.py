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
    """Search seed k of a repeat, the same for all candidates.

    It is even, so that no confirm seed can equal it.

    Args:
        sweep_seed: Seed of the sweep file.
        repeat: Number of the repetition, from 0.
        k: Index of the search seed, from 0.

    Example:
        >>> search_seed(0) == search_seed(0), search_seed(0) % 2
        (True, 0)
    """
    # A k of 0 is left out, so that sweeps with one search seed, begun by older versions, keep that seed.
    return 2 * derive(sweep_seed, "search", repeat, *([k] if k else []))


def confirm_seed(sweep_seed: int, k: int, repeat: int = 0, split: int | None = None) -> int:
    """Confirm seed k of a repeat (and of a split), the same in every cell, for every method and rule.

    It is odd, so that no search seed can equal it.

    Args:
        sweep_seed: Seed of the sweep file.
        k: Index of the confirm seed, from 0, within its split where there are several.
        repeat: Number of the repetition, from 0.
        split: Index of the split; None = each seed has a split of its own.

    Example:
        >>> confirm_seed(0, k=0) == confirm_seed(0, k=1), confirm_seed(0, k=0) % 2
        (False, 1)
    """
    of_split = [] if split is None else ["split", split]
    return 2 * derive(sweep_seed, "confirm", k, *([repeat] if repeat else []), *of_split) + 1


def split_seed(sweep_seed: int, split: int | None, repeat: int = 0) -> int | None:
    """Seed of a train / validation split that several confirm seeds share.

    None where each seed has a split of its own.

    Args:
        sweep_seed: Seed of the sweep file.
        split: Index of the split; None = each seed has a split of its own.
        repeat: Number of the repetition, from 0.

    Example:
        >>> split_seed(0, None) is None, split_seed(0, 0) == split_seed(0, 1)
        (True, False)
    """
    return None if split is None else derive(sweep_seed, "split", split, repeat)


def seeds_of(config: SweepConfig, searches: int | None = None) -> list[tuple[int, int]]:
    """Every seed of a sweep, each with the seed of its train / validation split.

    Args:
        config: The resolved configuration.
        searches: Search seeds that its cells have; None = those of the configuration.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": 0.02}}
        >>> confirm = {"seeds": 3, "rules": ["val_biased"]}
        >>> config = validate({"dataset": dataset, "methods": ["erm"], "confirm": confirm})
        >>> len(seeds_of(config)), seeds_of(config)[0] == (search_seed(0), search_seed(0))
        (4, True)
    """
    most = max(config.confirm.seeds_of().values())
    seeds: list[tuple[int, int]] = []
    for repeat in range(config.search.repeats):
        of_search = [search_seed(config.seed, repeat, k) for k in range(searches or config.search.seeds)]
        seeds += [(seed, seed) for seed in of_search]
        for number in config.confirm.places():
            shared = split_seed(config.seed, number, repeat)
            confirm = [confirm_seed(config.seed, k, repeat, number) for k in range(most)]
            seeds += [(seed, seed if shared is None else shared) for seed in confirm]
    return seeds


def place_of(row: Mapping[str, Any]) -> Place:
    """Place of a trial among those of its cell and repeat, from its row.

    Example:
        >>> place_of({"search_number": 3, "search_rule": None, "seed_number": 0})
        Place(number=3, rule=None, seed=0)
    """
    return Place(row["search_number"], row["search_rule"], row["seed_number"])


def at_place(spec: TrialSpec, position: Place) -> TrialSpec:
    """Copy of a trial at a place among those of its cell and repeat.

    Example:
        >>> spec = TrialSpec("brain_phantom", {"rho": 1.0}, "erm", {"lr": 0.01}, "small_cnn", 2, "confirm", "trial-1")
        >>> at_place(spec, Place(seed=3)).seed_number
        3
    """
    return replace(spec, search_number=position.number, search_rule=position.rule, seed_number=position.seed)


def trial_spec(
    config: SweepConfig,
    cell: Cell,
    phase: Phase,
    trial_id: str,
    hyperparameters: Mapping[str, Any],
    seed: int,
) -> TrialSpec:
    """Specification of one trial of a resolved sweep, for the first repeat.

    It holds all that a worker must know.

    Args:
        config: The resolved configuration.
        cell: Cell of the trial.
        phase: ``search`` or ``confirm``.
        trial_id: Identifier of the trial, usable as a file name.
        hyperparameters: Value of every hyperparameter of the method.
        seed: Seed of the trial.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": 0.02}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm"]}))
        >>> spec = trial_spec(plan.config, plan.cells[0], "search", "trial-0", {"lr": 0.01}, seed=search_seed(0))
        >>> spec.method, spec.bias
        ('erm', {'color_variance': 0.02})
    """
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
        draw=cell.draw,
    )


def in_repeat(spec: TrialSpec, sweep_seed: int, repeat: int, split: int | None = None) -> TrialSpec:
    """Copy of a trial in a repeat of the sweep, and on a split that several seeds share.

    Args:
        spec: The trial.
        sweep_seed: Seed of the sweep file.
        repeat: Number of the repetition, from 0.
        split: Index of the split; None = the trial's seed decides the split too.

    Example:
        >>> spec = TrialSpec("brain_phantom", {"rho": 1.0}, "erm", {"lr": 0.01}, "small_cnn", 2, "confirm", "trial-1")
        >>> in_repeat(spec, sweep_seed=0, repeat=2).repeat
        2
    """
    return replace(spec, repeat=repeat, split=split, split_seed=split_seed(sweep_seed, split, repeat))


def spec_of_row(config: SweepConfig, cell: Cell, row: Mapping[str, Any]) -> TrialSpec:
    """Specification by which a worker trains a finished trial of a cell once more.

    Args:
        config: The resolved configuration.
        cell: Cell of the trial.
        row: Trial row.
    """
    hyperparameters = json.loads(row["hyperparameters"])
    spec = trial_spec(config, cell, row["phase"], row["trial_id"], hyperparameters, row["seed"])
    spec = replace(spec, rule=row["search_rule"] or spec.rule, enqueued_from=row["enqueued_from"])
    return in_repeat(at_place(spec, place_of(row)), config.seed, row["repeat"], row.get("split"))

"""Plan of a sweep: its configuration resolved against its data set, and the grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.config.loggers import check_loggers
from orchestrator.config.own_code import check_files, settled
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.applicable import with_reasons
from orchestrator.plan.cells import (
    Cell,
    bias_points,
    build_cells,
    default_rules,
    folds,
    load_checked,
    resolve,
    with_span,
)
from orchestrator.plan.comparable import check_primary
from orchestrator.plan.identity import search_seed, seeds_of
from orchestrator.plan.names import check_names, check_values
from store.errors import InputError
from store.local import expanded
from store.rules import Rule
from trainable.data.base import Dataset, TrainingDraw
from trainable.errors import ImpossibleDraw


@dataclass(frozen=True)
class Plan:
    """Resolved sweep, in which nothing is left to be decided.

    Attributes:
        config: The resolved configuration.
        dataset: The data set.
        cells: The whole grid.
        rule_reason: Why the rule is the one it is, where the sweep file names none; else "".
    """

    config: SweepConfig
    dataset: Dataset
    cells: list[Cell]
    rule_reason: str = ""

    @property
    def applicable(self) -> list[Cell]:
        """Cells that have trials: those whose method can work there."""
        return [cell for cell in self.cells if cell.not_applicable is None]

    @property
    def note(self) -> str:
        """Note that must stand wherever figures of the sweep are shown (synthetic data, toy settings), or ""."""
        from trainable.networks.base import network_note

        return " ".join(note for note in (self.dataset.note, network_note(self.config.network.name)) if note)


def make_plan(config: SweepConfig) -> Plan:
    """Load the data set, resolve the configuration and build the grid.

    Raises:
        InputError: The configuration asks for something impossible.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm", "lnl"]}))
        >>> len(plan.cells), plan.cells[0].label
        (4, 'erm')
    """
    config = settled(config, expanded("."))
    check_values("dataset", config.dataset.options)
    check_files(config)
    check_loggers(config.logging)
    config = with_span(config, load_checked(config.dataset.name, config.dataset.options))
    dataset = load_checked(config.dataset.name, config.dataset.options)
    config, reason = _with_rule(config, dataset)
    resolved = _with_absolute_files(resolve(config, dataset))
    plan = Plan(resolved, dataset, build_cells(resolved, dataset), reason)
    check_names(resolved, plan.cells, dataset)
    _check_network(plan)
    _check_methods(plan)
    plan = replace(plan, cells=with_reasons(resolved, dataset, plan.cells))
    _check_draws(plan)
    _check_rules(plan)
    _check_splits(plan)
    check_primary(resolved, plan.cells, dataset)
    return plan


def _check_methods(plan: Plan) -> None:
    from trainable.methods.base import get_method
    from trainable.trial.refusals import check_combination

    training = plan.config.training.of_a_trial()
    for name, draw in dict.fromkeys((cell.method, cell.draw) for cell in plan.cells):
        check_combination(get_method(name), plan.dataset, training, draw)


def _with_absolute_files(config: SweepConfig) -> SweepConfig:
    """Configuration in which the network's files have absolute paths, since workers run in other directories."""
    from trainable.trial.provenance import named_files

    files = {name: str(path) for name, path in named_files(config.network.options).items()}
    if not files:
        return config
    network = {**config.network.model_dump(), **files}
    return config.model_copy(update={"network": type(config.network).model_validate(network)})


def _with_rule(config: SweepConfig, dataset: Dataset) -> tuple[SweepConfig, str]:
    """Configuration with the first rule that every cell has, unless it names one, and the reason."""
    if config.search.rule is not None:
        return config, ""
    candidates, reasons = default_rules(dataset), []
    points = [(point, fold) for fold in folds(config, dataset) for point in bias_points(config, dataset)]
    if "val_counterfactual" not in candidates:
        reasons.append("val_counterfactual needs a painter")
    # Whether the declared comparison has this rule is asked of the one that is chosen.
    seeded = resolve(config.model_copy(update={"primary": None}), dataset)
    for rule in candidates:
        try:
            # The last one is refused with its own reason, in the check of the plan.
            if rule != candidates[-1]:
                _check_rule(seeded, dataset, points, rule)
        except InputError as error:
            reasons.append(str(error) if str(error).startswith(rule) else f"{rule}: {error}")
            continue
        search = config.search.model_copy(update={"rule": rule})
        words = f" ({'; '.join(reasons)})" if reasons else ""
        return config.model_copy(update={"search": search}), f"the first that every cell has{words}"
    raise AssertionError("the last candidate is never refused here")


def _check_rule(
    config: SweepConfig, dataset: Dataset, points: list[tuple[dict[str, float], int | None]], rule: Rule
) -> None:
    """Refuse a rule whose column would be null at one of the bias values."""
    from trainable.data.view import DataView
    from trainable.evaluation.rules import check_rule

    # Painted images take long to check, and differ little from split to split.
    seeds = seeds_of(config) if dataset.collected_attribute() is not None else seeds_of(config)[:1]
    for point, fold in points:
        for seed, of_split in seeds:
            check_rule(DataView(dataset, point, seed, fold, "search", of_split), rule)


def _check_rules(plan: Plan) -> None:
    # A rule whose column is null in a cell could choose nothing there, which would show after hours of search.
    config = plan.config
    seen = set()
    for cell in plan.applicable:
        for rule in dict.fromkeys((config.search.rule, *config.confirm.seeds_of())):
            asked = (tuple(sorted(cell.bias.items())), cell.fold, rule)
            if rule is None or asked in seen:
                continue
            seen.add(asked)
            try:
                _check_rule(config, plan.dataset, [(dict(cell.bias), cell.fold)], rule)
            except InputError as error:
                raise InputError(
                    f"rule '{rule}' cannot be computed on {plan.dataset.name} in cell {cell.id} (its column would "
                    f"be null): {error}"
                ) from error


def _check_draws(plan: Plan) -> None:
    """Refuse bias values at which some split of the sweep cannot give its training images."""
    from trainable.data.view import DataView
    from trainable.evaluation.rules import check_test
    from trainable.methods.base import get_method

    dataset, seen = plan.dataset, set()
    refused: list[ImpossibleDraw] = []
    if dataset.collected_attribute() is None:
        return
    for fold in dict.fromkeys(cell.fold for cell in plan.cells):
        check_test(DataView(dataset, plan.cells[0].bias, search_seed(plan.config.seed), fold, "confirm"))
    for cell in plan.cells:
        draw: TrainingDraw = "unbiased" if get_method(cell.method).training_draw in ("unbiased", "clean") else "biased"
        asked = (tuple(sorted(cell.bias.items())), cell.fold, draw)
        if asked not in seen:
            seen.add(asked)
            for seed, of_split in seeds_of(plan.config):
                try:
                    dataset.check_draw(cell.bias, seed, dataset.split(of_split, cell.fold).train, draw)
                except ImpossibleDraw as error:
                    refused.append(error)
    if refused:
        # The size that the scarcest of all sets has room for serves the others too.
        raise min(refused, key=lambda error: error.largest)


def _check_splits(plan: Plan) -> None:
    import numpy as np

    splits, cells = plan.config.confirm.splits, plan.cells
    if splits == 1 or not cells:
        return
    first, second = (plan.dataset.split(seed, cells[0].fold) for seed in (1, 2))
    if np.array_equal(first.val, second.val):
        raise InputError(
            f"confirm.splits draws splits into training and validation, but {plan.dataset.name} has the same one for "
            f"every seed (its validation patients are drawn for it), and got {splits}: leave splits out, or "
            "val_patients"
        )


def _check_network(plan: Plan) -> None:
    # Built once here: a wrong name, option or weights file would otherwise fail every trial, one by one.
    from trainable.methods.base import get_method
    from trainable.networks.base import DataShape
    from trainable.networks.build import build_nets, check_size
    from trainable.trial.augment import resolve as resolve_augmentation

    network = plan.config.network
    with_head = any(get_method(cell.method).bias_head for cell in plan.cells)
    shape = DataShape.of(plan.dataset)
    check_size(network.name, build_nets(network.name, network.options, shape, 0, with_head), shape)
    resolve_augmentation(plan.config.training.augmentation)

"""Grid of a sweep, with one cell for each (data set, bias values, fold, network, method)."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.config.sweep_config import BiasValues, EarlyStopping, MethodConfig, SweepConfig
from orchestrator.plan.likes import check_likes, with_sources
from orchestrator.plan.space import anchor_of, space_of
from store.columns import BIAS, TRIALS, bias_column
from store.errors import InputError, Unreachable, unknown_name
from store.gathered import DERIVED
from store.names import cell_id, short
from store.rules import Rule
from store.sheet.sheet import Like
from trainable.data.base import DECIDED, Dataset, dataset_factory, load_dataset, resolve_bias
from trainable.methods.base import Method, Space, get_method
from trainable.methods.contract.stages import spans
from trainable.networks.base import TIMM, default_network
from trainable.spec import Draw

QMC_UNDER = 25
"""Number of trials below which ``sampler: auto`` is quasi-random, since TPE has too few observations to learn from."""
LARGEST_CLASS = 0.6
"""Share of the largest class above which plain accuracy says too little."""


@dataclass(frozen=True)
class Cell:
    """Point of the grid, with an Optuna study and an early stopping of its own.

    Attributes:
        id: Name of the cell, usable as a file name.
        label: Name of the method in this sweep.
        method: Registered name of the method.
        bias: Value of every bias parameter.
        bias_axis: The parameter on the x axis.
        bias_strength: I(b; y) / H(y) on the training law, in [0, 1].
        fold: Fold, or None.
        space: Searched values of each hyperparameter.
        fixed: Value of every hyperparameter that is not searched.
        anchor: All hyperparameters of trial 0 where it is plain training, or None.
        trials: Search trials, the anchor included. It is 0 where another cell's search chooses.
        like: That other cell and what is taken over from it, or None.
        search_seeds: Seeds with which each candidate is trained. It is 1 where there is nothing to choose.
        draw: How the training images are drawn.
        not_applicable: Why the method cannot work here, in which case the cell has no trials; None = it can.
    """

    id: str
    label: str
    method: str
    bias: Mapping[str, float]
    bias_axis: str
    bias_strength: float
    fold: int | None
    space: Space
    fixed: Mapping[str, Any]
    anchor: Mapping[str, Any] | None
    trials: int
    like: Like | None = None
    search_seeds: int = 1
    draw: Draw = "natural"
    not_applicable: str | None = None

    @property
    def bias_value(self) -> float:
        """Position on the x axis, in its own units."""
        return self.bias[self.bias_axis]

    def judged_after(self, hyperparameters: Mapping[str, Any], epochs: int) -> int:
        """Epochs of a trial that do not count in early stopping: those before the last stage of its method.

        Args:
            hyperparameters: Value of every hyperparameter of the trial.
            epochs: Epochs of a trial.
        """
        stages = get_method(self.method).stages
        return spans(stages, {**self.fixed, **hyperparameters}, epochs)[-1].first if stages else 0


def choose_cells(cells: list[Cell], only: str) -> list[Cell]:
    """Choose the cells that ``--only method=lnl,rho=0.9`` names.

    Args:
        cells: The grid.
        only: Conditions joined by commas: ``method`` (the label), a bias parameter, or ``fold``.

    Returns:
        The cells that meet all of them, and those whose search chooses for one of them (``like``).

    Raises:
        InputError: No condition, an unknown name, no such cell, or none whose method is applicable.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm", "lnl"]}))
        >>> [cell.id for cell in choose_cells(plan.cells, "method=lnl,color_variance=0.1")]
        ['coloured_digits-color_variance0.1-pixel_front-lnl']
    """
    chosen = cells
    for condition in only.split(","):
        name, separator, text = condition.strip().partition("=")
        if not separator:
            raise InputError(f"--only takes name=value,name=value, but got '{only}'")
        known = {"method", "fold", *cells[0].bias}
        if name not in known:
            raise unknown_name("name in --only", name, known)
        values = [str({"method": cell.label, "fold": cell.fold, **cell.bias}[name]) for cell in cells]
        wanted = text if name in ("method", "fold") else _number(name, text)
        if wanted not in values:
            there = ", ".join(dict.fromkeys(values))
            raise InputError(f"--only {name}={text}: the sweep has no such cell; it has {there}")
        keep = {cell.id for cell, value in zip(cells, values, strict=True) if value == wanted}
        chosen = [cell for cell in chosen if cell.id in keep]
    if not chosen:
        raise InputError(f"--only {only}: no cell meets all conditions")
    reasons = [cell.not_applicable for cell in chosen]
    if None not in reasons:
        raise InputError(f"--only {only}: the method is not applicable there ({reasons[0]}): choose other cells")
    wanted_ids = {cell.id for cell in chosen} | {cell.like.cell for cell in chosen if cell.like}
    return [cell for cell in cells if cell.id in wanted_ids]


def _number(name: str, text: str) -> str:
    try:
        return str(float(text))
    except ValueError:
        raise InputError(f"--only {name} takes a number, but got '{text}'") from None


def with_span(config: SweepConfig, dataset: Dataset) -> SweepConfig:
    """Configuration with the options of the data set that its bias values decide, where they are not given.

    Args:
        config: The configuration as read.
        dataset: Its data set.

    Raises:
        InputError: A bias value outside its range.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": 0.02}}
        >>> config = validate({"dataset": dataset, "methods": ["erm"]})
        >>> with_span(config, load_checked("coloured_digits", {})) == config  # painted: nothing need be decided
        True
    """
    points = bias_points(config, dataset)
    every = [
        *points,
        *(p for entry in config.methods for p in _own_points(entry, get_method(entry.name), points, dataset)),
    ]
    decided = {key: value for key, value in dataset.options_for(every).items() if key not in config.dataset.options}
    if not decided:
        return config
    section = {**config.dataset.model_dump(), **decided}
    return config.model_copy(update={"dataset": type(config.dataset).model_validate(section)})


def load_checked(name: str, options: Mapping[str, Any]) -> Dataset:
    """Load a data set with its options checked by name.

    Args:
        name: Registered name.
        options: Its options.

    Raises:
        InputError: Unknown data set or option, or data that cannot be read.

    Example:
        >>> load_checked("coloured_digits", {}).axes[0].name
        'color_variance'
    """
    known = set(inspect.signature(dataset_factory(name)).parameters)
    for option in options:
        if option not in known and option not in DECIDED:
            raise unknown_name(f"option of data set {name}", option, known | {"name", "bias"})
    try:
        return load_dataset(name, **options)
    except Unreachable as error:
        # No trial has begun: there is nothing to wait for, and nothing to resume.
        raise InputError(str(error)) from error


def resolve(config: SweepConfig, dataset: Dataset) -> SweepConfig:
    """Replace every default that depends on the data set or on other keys by its value.

    Args:
        config: The configuration as read.
        dataset: Its data set.

    Returns:
        The configuration that is written to ``sweep.yaml``: nothing is left to be decided.

    Raises:
        InputError: A rule that the data set cannot compute.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": 0.02}}
        >>> config = validate({"dataset": dataset, "methods": ["erm"]})
        >>> resolved = resolve(config, load_checked("coloured_digits", {}))
        >>> config.search.rule, resolved.search.rule, resolved.search.sampler
        (None, 'val_counterfactual', 'qmc')
    """
    counts = np.bincount(dataset.labels())
    metric = config.metric or ("balanced_accuracy" if counts.max() > LARGEST_CLASS * counts.sum() else "accuracy")
    rule: Rule = config.search.rule or default_rules(dataset)[0]
    rules = config.confirm.rules or [rule]
    primary = config.primary and config.primary.model_copy(update={"rule": config.primary.rule or rule})
    confirm = config.confirm.model_copy(update={"rules": rules})
    for name in {rule, *confirm.seeds_of(), *([primary.rule] if primary else [])}:
        if name not in dataset.rules:
            raise InputError(
                f"rule '{name}' cannot be computed on {dataset.name} (its column would be null in every cell): "
                f"choose one of {', '.join(dataset.rules)}"
            )
    if primary is not None and primary.rule not in confirm.seeds_of():
        raise InputError(
            f"primary.rule must be one of the rules that are confirmed, {', '.join(confirm.seeds_of())}, but got "
            f"'{primary.rule}': add it to confirm.rules, or leave it out"
        )
    sampler = config.search.sampler
    if sampler == "auto":
        sampler = "qmc" if config.search.trials < QMC_UNDER else "tpe"
    stopping = config.search.early_stopping
    if stopping == "auto":
        # A short trial is hardly beyond its ramp when it ends: nothing is left to save.
        stopping = "off" if config.training.epochs < 10 else EarlyStopping(min_epochs=_beyond_ramp(config))
    return config.model_copy(
        update={
            "name": config.name or config.dataset.name,
            "network": config.network.model_copy(update={"name": config.network.name or default_network(dataset)}),
            "metric": metric,
            "methods": [m.model_copy(update={"label": m.label or m.name}) for m in config.methods],
            "search": config.search.model_copy(update={"rule": rule, "sampler": sampler, "early_stopping": stopping}),
            "confirm": confirm,
            "primary": primary,
        }
    )


def default_rules(dataset: Dataset) -> list[Rule]:
    """Rules that a sweep may use without being told to, the first of them that every cell has.

    Args:
        dataset: The data set.

    Returns:
        Counterfactual, re-weighted and biased validation, without those that the data set never has.

    Example:
        >>> default_rules(load_checked("coloured_digits", {}))
        ['val_counterfactual', 'val_biased']
    """
    rules: tuple[Rule, ...] = ("val_counterfactual", "val_reweighted", "val_biased")
    kept = [rule for rule in rules if rule in dataset.rules and (rule != rules[0] or dataset.has_renderer)]
    if not kept:
        raise InputError(f"{dataset.name} has none of the rules {', '.join(rules)}: name one of its own in search.rule")
    return kept


def _beyond_ramp(config: SweepConfig) -> int:
    # An adversarial method is at its worst while its weights rise: stopping there would kill the good trials.
    return max(2, math.ceil(1.3 * config.training.ramp * config.training.epochs))


def build_cells(config: SweepConfig, dataset: Dataset) -> list[Cell]:
    """Build the grid in the order of the file, with the bias values outside and the methods inside.

    Args:
        config: The resolved configuration.
        dataset: Its data set.

    Returns:
        The cells; their ids are unique.

    Raises:
        InputError: An impossible bias value, an unknown method or hyperparameter.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm", "lnl"]}))
        >>> [cell.label for cell in build_cells(plan.config, plan.dataset)]
        ['erm', 'lnl', 'erm', 'lnl']
    """
    points = bias_points(config, dataset)
    axis = bias_axis(points, dataset)
    _check_columns(dataset)
    check_likes(config.methods)
    methods = [(entry, get_method(entry.name)) for entry in config.methods]
    points_of = {entry.label: _own_points(entry, method, points, dataset) for entry, method in methods}
    cells = [
        _cell(config, dataset, point, axis, fold, entry)
        for fold in folds(config, dataset)
        for point in [*_off_grid(points_of, points), *points]
        for entry, _ in methods
        if point in points_of[entry.label]
    ]
    ids = [cell.id for cell in cells]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise InputError(f"every cell must stand once, but '{twice[0]}' stands twice: remove the repeated bias value")
    return with_sources(config, cells)


def _check_columns(dataset: Dataset) -> None:
    for name in (parameter.name for parameter in dataset.axes):
        if bias_column(name) is None:
            raise InputError(
                f"the column of a bias parameter is {BIAS}<name>, but {dataset.name} has one called {name}, and "
                f"{BIAS}{name} is a column of every trial: give it another name"
            )
        if name in TRIALS or name in DERIVED:
            raise InputError(
                f"readers get a bias parameter under its own name too, but {dataset.name} has one called {name}, which "
                "is a column of every trial: give it another name"
            )


def bias_points(config: SweepConfig, dataset: Dataset) -> list[dict[str, float]]:
    """Combinations of bias values that the sweep asks for, checked against the data set's axes.

    Returns:
        Value of every bias parameter at each point, in the order of the file.

    Raises:
        InputError: An unknown bias parameter, or a value outside its range.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
        >>> config = validate({"dataset": dataset, "methods": ["erm"]})
        >>> bias_points(config, load_checked("coloured_digits", {}))
        [{'color_variance': 0.02}, {'color_variance': 0.1}]
    """
    return _points(config.dataset.bias, dataset)


def _points(given: BiasValues, dataset: Dataset) -> list[dict[str, float]]:
    if isinstance(given, dict):
        given = [dict(zip(given, values, strict=True)) for values in itertools.product(*given.values())]
    return [resolve_bias(dataset, point) for point in given]


def _own_points(
    entry: MethodConfig, method: Method, points: list[dict[str, float]], dataset: Dataset
) -> list[dict[str, float]]:
    """Points at which a method has a cell."""
    if method.training_draw == "unbiased" and not dataset.variants_depend_on_bias:
        # It never sees the bias: one cell, at the place that no change of the grid moves, serves the whole axis.
        unbiased = {axis.name: axis.unbiased_at for axis in dataset.axes}
        missing = [name for name, value in unbiased.items() if value is None]
        if missing:
            raise InputError(
                f"{entry.label or entry.name} needs a value of {missing[0]} without bias, but {dataset.name} has none: "
                f"leave {entry.label or entry.name} out"
            )
        return [{name: value for name, value in unbiased.items() if value is not None}]
    if entry.bias is None:
        return points
    chosen = _points(entry.bias, dataset)
    for point in chosen:
        if point not in points:
            where = ", ".join(f"{name} = {short(value)}" for name, value in point.items())
            raise InputError(
                f"methods.{entry.label}.bias must be among the sweep's bias values, but {where} is not: add it to "
                "dataset.bias, or leave it out"
            )
    return chosen


def _off_grid(
    points_of: Mapping[str, list[dict[str, float]]], points: list[dict[str, float]]
) -> list[dict[str, float]]:
    added: list[dict[str, float]] = []
    for point in (point for given in points_of.values() for point in given):
        if point not in points and point not in added:
            added.append(point)
    return added


def folds(config: SweepConfig, dataset: Dataset) -> list[int | None]:
    """Folds of a sweep, or ``[None]`` for one fixed split.

    Raises:
        InputError: The data set has no such fold.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": 0.02}}
        >>> folds(validate({"dataset": dataset, "methods": ["erm"]}), load_checked("coloured_digits", {}))
        [None]
    """
    wanted = config.dataset.folds
    if wanted is None:
        return [None]
    if not dataset.n_folds:
        raise InputError(f"dataset.folds: {dataset.name} has no folds: leave dataset.folds out")
    known = list(range(dataset.n_folds))
    for fold in [] if wanted == "all" else wanted:
        if fold not in known:
            raise InputError(f"dataset.folds: {dataset.name} has the folds 0 to {known[-1]}, but got {fold}")
    return list(known if wanted == "all" else wanted)


def bias_axis(points: list[dict[str, float]], dataset: Dataset) -> str:
    """Name of the x axis: the first declared parameter that varies, or else the first one.

    Args:
        points: Value of every bias parameter at each point of the grid.
        dataset: The data set.

    Example:
        >>> bias_axis([{"color_variance": 0.02}, {"color_variance": 0.1}], load_checked("coloured_digits", {}))
        'color_variance'
    """
    for axis in dataset.axes:
        if len({point[axis.name] for point in points}) > 1:
            return axis.name
    return dataset.axes[0].name


def file_part(network: str) -> str:
    """Name of a network as part of the names of files: that of timm's begins with a colon's prefix.

    Example:
        >>> file_part("timm:resnet18.a1_in1k"), file_part("small_cnn")
        ('timm-resnet18.a1_in1k', 'small_cnn')
    """
    return network.replace(TIMM, TIMM.replace(":", "-"), 1) if network.startswith(TIMM) else network


def _cell(
    config: SweepConfig,
    dataset: Dataset,
    bias: dict[str, float],
    axis: str,
    fold: int | None,
    entry: MethodConfig,
) -> Cell:
    label, method = entry.label or entry.name, get_method(entry.name)
    space, fixed = space_of(entry, method, config.training.epochs)
    trials = config.search.trials if space else 1
    if entry.like is not None:
        space, fixed, trials = {}, {**method.defaults, **entry.fixed}, 0
    return Cell(
        id=cell_id(config.dataset.name, bias, fold, file_part(config.network.name), label),
        label=label,
        method=method.name,
        bias=bias,
        bias_axis=axis,
        bias_strength=dataset.bias_strength(bias),
        fold=fold,
        space=space,
        fixed=fixed,
        anchor=anchor_of(method, space, fixed) if trials > 1 else None,
        trials=trials,
        search_seeds=config.search.seeds if trials > 1 else 1,
        draw=entry.draw or "natural",
    )

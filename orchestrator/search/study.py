"""Optuna study of one cell, whose proposals do not depend on the order of events.

Before each ask the sampler is built anew from (sweep seed, cell, repeat, trial number). So random and quasi-random
proposals are a pure function of (cell, number), whatever ran before and after a resume; TPE and GP depend on the
finished trials and on nothing else.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from orchestrator.plan.cells import Cell
from trainable.methods.base import Choices, Range
from trainable.randomness import derive

optuna.logging.set_verbosity(optuna.logging.ERROR)

STATES = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class CellStudy:
    """Proposes the hyperparameters of a cell's search trials, and learns from their rows.

    Attributes:
        cell: The cell.
        study: Its Optuna study, which maximises. The anchor is no part of it, since 0 lies outside a log range.
    """

    def __init__(self, cell: Cell, sampler: str, sweep_seed: int, repeat: int = 0, rule: str | None = None) -> None:
        self.cell = cell
        self._rule = [rule] if rule else []
        self._sampler = sampler
        self._sweep_seed = sweep_seed
        self._repeat = repeat
        self._distributions = {name: distribution(entry) for name, entry in cell.space.items()}
        self._numbers: dict[int, int] = {}
        self.study = optuna.create_study(
            study_name="-".join([cell.id, f"r{repeat}", *self._rule]),
            direction="maximize",
            storage=None,
            # Never asked: each proposal is enqueued, or this sampler is replaced first.
            sampler=optuna.samplers.RandomSampler(0),
        )

    def holds(self, hyperparameters: Mapping[str, Any]) -> bool:
        """Tell if hyperparameters of another cell lie in what this cell searches."""
        if not self._distributions:
            return False
        for name, entry in self._distributions.items():
            value = hyperparameters.get(name)
            if isinstance(entry, CategoricalDistribution):
                if value not in entry.choices:
                    return False
            elif value is None or not entry._contains(value):
                return False
        return True

    def propose(self, number: int, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Propose hyperparameters of search trial ``number``, and add a running trial for them to the study.

        Args:
            number: 0 .. trials - 1; 0 is the anchor where the cell has one.
            given: Searched hyperparameters to try instead of asking the sampler.

        Returns:
            Every hyperparameter of the method.
        """
        if self._is_anchor(number):
            return dict(self.cell.anchor or {})
        if not self._distributions:
            return dict(self.cell.fixed)
        if given is not None:
            self.study.enqueue_trial({name: given[name] for name in self._distributions})
        elif self._sampler in ("random", "qmc"):
            self.study.enqueue_trial(self._point(number))
        else:
            self.study.sampler = self._adaptive_sampler(number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            trial = self.study.ask(self._distributions)
        self._numbers[number] = trial.number
        return {**self.cell.fixed, **trial.params}

    def restore(self, number: int, hyperparameters: Mapping[str, Any]) -> None:
        """Put a trial that was proposed by an earlier driver back into the study as running."""
        # An anchor of a longer search lies outside the ranges: it has its row, and Optuna does not learn of it.
        if self._is_anchor(number) or not self.holds(hyperparameters):
            return
        params = {name: hyperparameters[name] for name in self._distributions}
        trial = create_trial(state=TrialState.RUNNING, params=params, distributions=self._distributions)
        self.study.add_trial(trial)
        self._numbers[number] = len(self.study.get_trials(deepcopy=False)) - 1

    def tell(self, number: int, status: str, value: float | None, history: Iterable[tuple[int, float]] = ()) -> None:
        """Report the end of a trial.

        Args:
            number: Search number.
            status: ``completed``, ``pruned`` or ``failed``.
            value: Objective at the reported epoch; NaN or None makes a completed trial a failed one.
            history: (epoch, objective) of every epoch, kept as intermediate values.
        """
        optuna_number = self._numbers.get(number)
        if optuna_number is None:
            return
        # Without the copies that study.trials makes: they would cost a second a tell in a study of 1,000 trials.
        frozen = self.study.get_trials(deepcopy=False)[optuna_number]
        trial = optuna.trial.Trial(self.study, frozen._trial_id)
        for epoch, objective in history:
            if epoch not in frozen.intermediate_values and math.isfinite(objective):
                trial.report(objective, epoch)
        state = STATES[status]
        if state is TrialState.COMPLETE and (value is None or not math.isfinite(value)):
            state = TrialState.FAIL
        values = value if state is TrialState.COMPLETE else None
        self.study.tell(trial, values, state=state, skip_if_finished=True)

    def _is_anchor(self, number: int) -> bool:
        return number == 0 and self.cell.anchor is not None

    def _point(self, number: int) -> dict[str, Any]:
        dimensions = len(self._distributions)
        if self._sampler == "random":
            seed = derive(self._sweep_seed, self.cell.id, self._repeat, number, *self._rule)
            unit = list(np.random.default_rng(seed).random(dimensions))
        else:
            # Without the cell in the seed: the same draws at every bias value, so that cells are paired.
            unit = sobol_point(derive(self._sweep_seed, "qmc", self._repeat), dimensions, number)
        return {
            name: from_unit(entry, float(u)) for (name, entry), u in zip(self.cell.space.items(), unit, strict=True)
        }

    def _adaptive_sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = derive(self._sweep_seed, self.cell.id, self._repeat, number, *self._rule)
        startup = max(4, self.cell.trials // 4)
        if self._sampler == "gp":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)


def sobol_point(seed: int, dimensions: int, number: int) -> list[float]:
    """Point ``number`` of a scrambled Sobol sequence (Owen 1998).

    Args:
        seed: Seed of the scrambling.
        dimensions: Number of hyperparameters that are searched.
        number: Position in the sequence, from 0.

    Returns:
        ``dimensions`` numbers in [0, 1).

    Example:
        >>> point = sobol_point(seed=0, dimensions=2, number=5)
        >>> len(point), all(0 <= u < 1 for u in point)
        (2, True)
    """
    # Rounded up to a power of two, so that the cache holds few sequences and not one for each number.
    return _sobol_points(seed, dimensions, 1 << number.bit_length())[number]


@functools.lru_cache(maxsize=64)
def _sobol_points(seed: int, dimensions: int, n: int) -> list[list[float]]:
    import torch

    engine = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    points: list[list[float]] = engine.draw(n, dtype=torch.float64).tolist()
    return points


def distribution(entry: Range | Choices) -> BaseDistribution:
    """Optuna's form of a searched set.

    Example:
        >>> distribution(Range(1e-4, 1e-1, log=True))
        FloatDistribution(high=0.1, log=True, low=0.0001, step=None)
    """
    if isinstance(entry, Choices):
        return CategoricalDistribution(entry.values)
    if entry.integer:
        return IntDistribution(int(entry.low), int(entry.high), log=entry.log)
    return FloatDistribution(entry.low, entry.high, log=entry.log)


def from_unit(entry: Range | Choices, u: float) -> Any:
    """Map u in [0, 1) to the searched set, uniformly (in the logarithm for a log range).

    Args:
        entry: The searched set.
        u: Number in [0, 1).

    Returns:
        A value of the set: a float, an int of an integer range, or one of the choices.

    Example:
        >>> from_unit(Range(0.0, 10.0), 0.25), from_unit(Choices(("adam", "sgd")), 0.75)
        (2.5, 'sgd')
    """
    if isinstance(entry, Choices):
        return entry.values[int(u * len(entry.values))]
    if entry.integer:
        return int(entry.low) + int(u * (int(entry.high) - int(entry.low) + 1))
    if entry.log:
        low, high = math.log(entry.low), math.log(entry.high)
        return min(max(math.exp(low + u * (high - low)), entry.low), entry.high)
    return entry.low + u * (entry.high - entry.low)

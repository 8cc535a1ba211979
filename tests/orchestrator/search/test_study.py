"""Proposals of one cell: what they depend on, and what Optuna is told."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from orchestrator.plan.cells import Cell
from orchestrator.search.study import CellStudy, from_unit
from tests.orchestrator.support import sweep_cells, sweep_config
from trainable.methods.base import Choices, Range

TRIALS = 40
SPACE = {
    "lambda_": {"log": [1e-3, 10]},
    "mu": {"uniform": [0, 2]},
    "pretrain_epochs": {"int": [0, 3]},
    "weight_decay": {"choice": [0, 1e-4, 1e-2]},
}


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    config = sweep_config(
        methods=["erm", {"name": "lnl", "space": SPACE}], search={"trials": TRIALS}, training={"epochs": 8}
    )
    return [cell for cell in sweep_cells(config) if cell.label == "lnl"]


@pytest.fixture(scope="module")
def cell(cells: list[Cell]) -> Cell:
    return cells[0]


def value_of(hyperparameters: dict[str, Any]) -> float:
    return -abs(math.log10(hyperparameters["lr"]) + 2) - abs(hyperparameters["mu"] - 1)


def searched(study: CellStudy, numbers: Any) -> list[dict[str, Any]]:
    """Propose and tell one after the other."""
    found = []
    for number in numbers:
        found.append(study.propose(number))
        study.tell(number, "completed", value_of(found[-1]))
    return found


@pytest.mark.parametrize("sampler", ["random", "qmc"])
class TestOrderIndependence:
    def test_the_order_of_asking_does_not_matter(self, cell: Cell, sampler: str) -> None:
        one, other = CellStudy(cell, sampler, 0), CellStudy(cell, sampler, 0)
        forward = {number: one.propose(number) for number in range(12)}
        backward = {number: other.propose(number) for number in reversed(range(12))}
        assert forward == backward

    def test_what_was_told_does_not_matter(self, cell: Cell, sampler: str) -> None:
        silent, told = CellStudy(cell, sampler, 0), CellStudy(cell, sampler, 0)
        assert [silent.propose(number) for number in range(12)] == searched(told, range(12))

    def test_a_rebuilt_study_proposes_the_same(self, cell: Cell, sampler: str) -> None:
        undisturbed = searched(CellStudy(cell, sampler, 0), range(12))
        rebuilt = CellStudy(cell, sampler, 0)
        for number in (5, 2, 7):
            rebuilt.restore(number, undisturbed[number])
            rebuilt.tell(number, "completed", 0.5)
        assert [rebuilt.propose(number) for number in (9, 3, 11)] == [undisturbed[number] for number in (9, 3, 11)]

    def test_the_sweeps_seed_matters(self, cell: Cell, sampler: str) -> None:
        assert CellStudy(cell, sampler, 0).propose(1) != CellStudy(cell, sampler, 1).propose(1)

    def test_no_two_proposals_are_alike(self, cell: Cell, sampler: str) -> None:
        study = CellStudy(cell, sampler, 0)
        assert len({str(study.propose(number)) for number in range(TRIALS)}) == TRIALS


def test_qmc_draws_the_same_at_every_bias_value(cells: list[Cell]) -> None:
    assert len(cells) == 3
    drawn = [[study.propose(n) for n in range(8)] for study in (CellStudy(cell, "qmc", 0) for cell in cells)]
    assert drawn[0] == drawn[1] == drawn[2]


def test_random_draws_differ_between_cells(cells: list[Cell]) -> None:
    assert CellStudy(cells[0], "random", 0).propose(1) != CellStudy(cells[1], "random", 0).propose(1)


def test_qmc_fills_the_space_evenly(cell: Cell) -> None:
    study = CellStudy(dataclasses.replace(cell, anchor=None), "qmc", 0)
    mu = np.array([study.propose(number)["mu"] for number in range(16)])
    # A scrambled Sobol sequence has exactly one of its first 16 points in each sixteenth.
    assert sorted(np.floor(mu / 2 * 16).astype(int)) == list(range(16))


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe", "gp"])
def test_proposals_lie_within_the_space_and_are_complete(cell: Cell, sampler: str) -> None:
    study = CellStudy(cell, sampler, 0)
    for found in searched(study, range(15))[1:]:
        assert set(found) == {*cell.space, *cell.fixed}
        assert 1e-3 <= found["lambda_"] <= 10 and 0 <= found["mu"] <= 2
        assert found["pretrain_epochs"] in range(4) and isinstance(found["pretrain_epochs"], int)
        assert found["weight_decay"] in (0, 1e-4, 1e-2)


@pytest.mark.parametrize(
    ("entry", "low", "high"),
    [
        (Range(1e-3, 10, log=True), 1e-3, 10),
        (Range(-1, 1), -1, 1),
        (Range(2, 5, integer=True), 2, 5),
        (Choices(("a", "b", "c")), "a", "c"),
    ],
)
def test_the_unit_interval_maps_onto_the_whole_set(entry: Range | Choices, low: Any, high: Any) -> None:
    assert from_unit(entry, 0.0) == pytest.approx(low) if not isinstance(low, str) else low
    top = from_unit(entry, np.nextafter(1.0, 0.0))
    assert top == pytest.approx(high) if not isinstance(high, str) else high


def test_a_log_range_is_uniform_in_the_logarithm() -> None:
    assert from_unit(Range(1e-4, 1.0, log=True), 0.5) == pytest.approx(1e-2)


@pytest.mark.parametrize(("sampler", "cut"), [("tpe", 1), ("tpe", 6), ("tpe", 13), ("gp", 12)])
def test_an_adaptive_study_rebuilt_from_rows_proposes_what_the_undisturbed_one_does(
    cell: Cell, sampler: str, cut: int
) -> None:
    undisturbed = searched(CellStudy(cell, sampler, 0), range(16))
    rebuilt = CellStudy(cell, sampler, 0)
    for number in range(cut):
        rebuilt.restore(number, undisturbed[number])
        rebuilt.tell(number, "completed", value_of(undisturbed[number]))
    assert searched(rebuilt, range(cut, 16)) == undisturbed[cut:]


def test_tpe_rebuilt_with_pruned_failed_and_open_trials_proposes_the_same(cell: Cell) -> None:
    def end(study: CellStudy, number: int, hyperparameters: dict[str, Any]) -> None:
        if number % 7 == 5:
            return  # still open
        status = {3: "pruned", 4: "failed"}.get(number % 7, "completed")
        study.tell(number, status, value_of(hyperparameters), [(1, value_of(hyperparameters) - 1)])

    undisturbed, rebuilt = CellStudy(cell, "tpe", 0), CellStudy(cell, "tpe", 0)
    known = {}
    for number in range(30):
        known[number] = undisturbed.propose(number)
        end(undisturbed, number, known[number])
    for number, hyperparameters in known.items():
        rebuilt.restore(number, hyperparameters)
        end(rebuilt, number, hyperparameters)
    assert rebuilt.propose(30) == undisturbed.propose(30)


def test_tpe_learns(cell: Cell) -> None:
    found = [value_of(hyperparameters) for hyperparameters in searched(CellStudy(cell, "tpe", 0), range(1, TRIALS))]
    assert np.mean(found[-10:]) > np.mean(found[:10]) + 0.3


def test_tpe_starts_with_a_quarter_of_its_trials_drawn_at_random(cell: Cell) -> None:
    up, down = CellStudy(cell, "tpe", 0), CellStudy(cell, "tpe", 0)
    differs = []
    for number in range(1, 20):
        one, other = up.propose(number), down.propose(number)
        up.tell(number, "completed", one["mu"])
        down.tell(number, "completed", -other["mu"])
        differs.append(one != other)
    # Independent of what was told until 40 / 4 = 10 trials have ended, and not after.
    assert not any(differs[:10]) and any(differs[10:])


def test_the_anchor_is_trial_0_and_optuna_never_hears_of_it(cell: Cell) -> None:
    study = CellStudy(cell, "tpe", 0)
    assert study.propose(0) == cell.anchor
    assert study.propose(0)["lambda_"] == 0.0
    study.tell(0, "completed", 1.0)
    study.restore(0, dict(cell.anchor or {}))
    assert study.study.trials == []


def test_a_cell_without_anything_to_search_proposes_its_fixed_values(cell: Cell) -> None:
    fixed = dataclasses.replace(cell, space={}, fixed={"lr": 0.1}, anchor=None, trials=1)
    study = CellStudy(fixed, "tpe", 0)
    assert study.propose(0) == {"lr": 0.1}
    study.tell(0, "completed", 1.0)
    assert study.study.trials == []


class TestTell:
    @pytest.fixture
    def study(self, cell: Cell) -> CellStudy:
        study = CellStudy(cell, "tpe", 0)
        study.propose(1)
        return study

    def only(self, study: CellStudy) -> Any:
        (trial,) = study.study.trials
        return trial

    def test_a_completed_trial_has_its_value_and_its_epochs(self, study: CellStudy) -> None:
        study.tell(1, "completed", 0.7, [(1, 0.5), (2, 0.7)])
        trial = self.only(study)
        assert (trial.state, trial.value, trial.intermediate_values) == (TrialState.COMPLETE, 0.7, {1: 0.5, 2: 0.7})

    def test_a_stopped_trial_is_pruned_and_keeps_its_epochs(self, study: CellStudy) -> None:
        study.tell(1, "pruned", 0.5, [(1, 0.4), (2, 0.5)])
        trial = self.only(study)
        assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {1: 0.4, 2: 0.5})

    def test_a_failed_trial_is_failed(self, study: CellStudy) -> None:
        study.tell(1, "failed", 0.9, [(1, 0.9)])
        assert self.only(study).state is TrialState.FAIL

    @pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
    def test_no_number_is_never_a_completed_value(self, study: CellStudy, value: float | None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            study.tell(1, "completed", value, [(1, float("nan"))])
        assert self.only(study).state is TrialState.FAIL

    def test_telling_twice_changes_nothing(self, study: CellStudy) -> None:
        study.tell(1, "completed", 0.7)
        study.tell(1, "failed", None)
        assert (self.only(study).state, self.only(study).value) == (TrialState.COMPLETE, 0.7)

    def test_a_trial_that_was_never_proposed_is_left_alone(self, study: CellStudy) -> None:
        study.tell(9, "completed", 0.7)
        assert self.only(study).state is TrialState.RUNNING

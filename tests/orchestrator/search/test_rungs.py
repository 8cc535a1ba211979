"""Successive halving in one cell, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.config.sweep_config import EarlyStopping
from orchestrator.search.rungs import Rungs, build_rungs
from tests.orchestrator.support import Simulation, dispatcher_for, sweep_config
from trainable.methods.base import METHODS, Range, Stage, register_method
from trainable.methods.erm import erm
from trainable.spec import TrialSpec


@pytest.mark.parametrize(
    ("min_epochs", "factor", "epochs", "levels"),
    [(2, 3, 20, (2, 6, 18)), (2, 3, 18, (2, 6)), (8, 3, 20, (8,)), (20, 3, 20, ()), (1, 2, 9, (1, 2, 4, 8))],
)
def test_the_rungs_and_none_at_the_last_epoch(
    min_epochs: int, factor: int, epochs: int, levels: tuple[int, ...]
) -> None:
    assert build_rungs(EarlyStopping(min_epochs=min_epochs, reduction_factor=factor), epochs).levels == levels


def test_off_never_stops() -> None:
    rungs = build_rungs("off", 20)
    assert all(rungs.report(f"t{i}", epoch, -float(i)) for i in range(20) for epoch in range(1, 21))


def test_one_rung_by_hand() -> None:
    rungs = Rungs((3,), 3)
    # With 3, 4, 5 records one trial in three goes on: only the best so far. With 6 the best two.
    arrivals = [(0.5, True), (0.6, True), (0.4, False), (0.55, False), (0.7, True), (0.65, True), (0.66, False)]
    for i, (value, goes_on) in enumerate(arrivals[:6]):
        assert rungs.report(f"t{i}", 3, value) is goes_on, i
    assert rungs.report("t6", 3, 0.66) is True
    assert rungs.report("t7", 3, 0.64) is False


def test_between_rungs_nobody_is_stopped() -> None:
    rungs = Rungs((3,), 2)
    for i in range(5):
        assert rungs.report(f"t{i}", 3, 1.0 - i / 10) is (i < 1 or rungs.report(f"t{i}", 3, 0.0))
    assert rungs.report("t4", 2, -1.0) and rungs.report("t4", 4, -1.0)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_fewer_records_than_the_factor_stop_nobody(factor: int) -> None:
    rungs = Rungs((1,), factor)
    assert all(rungs.report(f"t{i}", 1, -float(i)) for i in range(factor - 1))
    assert rungs.report("last", 1, -100.0) is False


def test_a_trial_is_compared_within_its_rung_only() -> None:
    rungs = Rungs((1, 2), 2)
    for i in range(6):
        rungs.report(f"early{i}", 1, 10.0)
    assert rungs.report("a", 2, 0.1) and rungs.report("b", 2, 0.2)


def test_nan_is_the_worst() -> None:
    rungs = Rungs((1,), 2)
    assert rungs.report("a", 1, -1e9)
    assert rungs.report("b", 1, float("nan")) is False
    assert rungs.report("c", 1, -1e8) is True


def test_a_first_nan_does_not_stop_those_after_it() -> None:
    rungs = Rungs((1,), 2)
    rungs.report("a", 1, float("nan"))
    assert rungs.report("b", 1, 0.1) is True


def test_ties_go_on() -> None:
    rungs = Rungs((1,), 3)
    assert all(rungs.report(f"t{i}", 1, 0.5) for i in range(9))


def test_a_repeated_report_changes_nothing() -> None:
    once, twice = Rungs((1,), 2), Rungs((1,), 2)
    for rungs in (once, twice):
        rungs.report("a", 1, 0.5)
    for _ in range(5):
        assert twice.report("a", 1, 0.9) is True
    # A repeated record counted again would make this the third of two places, and 0.9 would be above it.
    assert once.report("b", 1, 0.6) is twice.report("b", 1, 0.6) is True


def by_bias(spec: TrialSpec, epoch: int) -> float:
    # Whatever its learning rate, a trial at rho = 1 is worse than every trial at rho = 0.
    return 10.0 - 10 * spec.bias["rho"] + 0.01 * np.log10(spec.hyperparameters["lr"])


def test_a_hard_cell_is_never_stopped_by_an_easy_one() -> None:
    config = sweep_config(
        dataset={"name": "fake", "bias": {"rho": [0.0, 1.0]}},
        methods=["erm"],
        search={"trials": 12, "early_stopping": {"min_epochs": 2, "reduction_factor": 3}},
        training={"epochs": 6},
    )
    dispatcher = dispatcher_for(config)
    done = Simulation(dispatcher, slots=4, curve=by_bias).run()
    searched = [row for row in done.rows.values() if row["phase"] == "search"]
    for rho in (0.0, 1.0):
        cell = [row for row in searched if row["bias_rho"] == rho]
        best = max(cell, key=lambda row: row["val_counterfactual"])
        assert best["status"] == "completed"
        assert any(row["status"] == "pruned" for row in cell)
    counts = [sum(row["status"] == "pruned" for row in searched if row["bias_rho"] == rho) for rho in (0.0, 1.0)]
    assert counts[0] == counts[1]


def test_epochs_before_the_last_stage_stop_nobody_and_count_in_no_rung() -> None:
    stages = (Stage("first", epochs="T"), Stage("second"))
    space = {"T": Range(1, 6, integer=True)}
    register_method("staged", long_name="Staged", reference="none", space=space, defaults={"T": 2}, stages=stages)(erm)
    try:
        config = sweep_config(
            methods=["staged"],
            search={"trials": 8, "early_stopping": {"min_epochs": 4, "reduction_factor": 2}},
            training={"epochs": 10},
        )
        state = dispatcher_for(config)._states[next(iter(dispatcher_for(config)._states))]
        specs = [state.next() for _ in range(8)]
        goes_on = {}
        for value, spec in enumerate(reversed([spec for spec in specs if spec is not None])):
            first = int(spec.hyperparameters["T"])
            assert all(state.report(spec, epoch, -1.0) for epoch in range(1, first + 1))
            goes_on[spec.trial_id] = (first, state.report(spec, 4, -float(value)))
        judged = [went for first, went in goes_on.values() if first < 4]
        assert all(went for first, went in goes_on.values() if first >= 4)
        assert len(judged) > 2 and not all(judged)
        # A driver that starts again records the same.
        search = state.searches[0]
        again = dispatcher_for(config)._states[next(iter(dispatcher_for(config)._states))].searches[0]
        for spec in specs:
            assert spec is not None and spec.search_number is not None
            again.put_back((spec.search_number, 0), spec.hyperparameters, None)
            history = [{"epoch": epoch, config.search.rule: -1.0} for epoch in range(1, 4)]
            again.replay(spec.trial_id, (spec.search_number, 0), history)
        assert not again.rungs._records and search.rungs._records[4].keys() == {
            name for name, (first, _) in goes_on.items() if first < 4
        }
    finally:
        METHODS.entries.pop("staged", None)

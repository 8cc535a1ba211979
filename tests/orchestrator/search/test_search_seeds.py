"""Candidates that are trained with several search seeds: issue, value, early stopping, resume, extension."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.identity import confirm_seed, search_seed
from store.names import Place, place_of_version_1, search_id
from tests.orchestrator.support import Simulation, dispatcher_for, picks_of, study_of, sweep_config
from trainable.spec import TrialSpec


def seeds_config(seeds: int = 3, trials: int = 4, **search: Any) -> SweepConfig:
    return sweep_config(
        dataset={"name": "fake", "bias": {"rho": [0.5, 1.0]}},
        methods=["erm", "lnl"],
        search={"trials": trials, "seeds": seeds, "sampler": "random", **search},
        confirm={"seeds": 1},
    )


def noisy(spec: TrialSpec, epoch: int) -> float:
    """A function of configuration and seed, in which the seed decides more than the configuration."""
    return float(np.random.default_rng([spec.seed % 2**32, int(1e6 * spec.hyperparameters["lr"])]).random())


def search_rows(simulation: Simulation, cell: str) -> dict[tuple[int, int], dict[str, Any]]:
    rows = (row for row in simulation.rows.values() if row["phase"] == "search" and row["cell"] == cell)
    return {(row["search_number"], row["seed_number"]): row for row in rows}


def test_each_candidate_has_all_seeds_and_is_worth_their_mean() -> None:
    simulation = Simulation(dispatcher_for(seeds_config()), slots=2, curve=noisy).run()
    assert simulation.dispatcher.finished
    for cell in simulation.dispatcher.cells:
        rows = search_rows(simulation, cell.id)
        assert rows.keys() == {(n, k) for n in range(4) for k in range(3)}
        for (n, k), row in rows.items():
            assert row["seed"] == search_seed(0, 0, k) and row["hyperparameters"] == rows[n, 0]["hyperparameters"]
        means = [float(np.mean([rows[n, k]["val_counterfactual"] for k in range(3)])) for n in range(4)]
        pick = picks_of(simulation.dispatcher, cell.id)["val_counterfactual"]
        assert (pick.number, pick.value) == (int(np.argmax(means)), pytest.approx(max(means), abs=1e-12))
        assert dict(pick.hyperparameters) == json.loads(rows[pick.number, 0]["hyperparameters"])
        told = [trial.value for trial in study_of(simulation.dispatcher, cell.id).trials]
        assert told == pytest.approx(means[1:] if cell.anchor else means)


def test_one_seed_has_the_identifiers_and_seeds_it_had() -> None:
    one = Simulation(dispatcher_for(seeds_config(1)), curve=noisy).run()
    assert {row["seed_number"] for row in one.rows.values() if row["phase"] == "search"} == {0}
    assert search_id("c", 0, 7) == "c-r0-007" and search_id("c", 0, 7, "val_biased", 2) == "c-r0.val_biased-007.s2"
    assert place_of_version_1("c-r0.val_biased-007.s2", "search") == Place(7, "val_biased", 2)
    assert search_seed(5, 1) == search_seed(5, 1, 0) != search_seed(5, 1, 1)


def test_search_seeds_differ_from_one_another_and_from_confirm_seeds() -> None:
    search = {search_seed(0, repeat, k) for repeat in range(5) for k in range(50)}
    confirm = {confirm_seed(0, k, repeat) for repeat in range(5) for k in range(50)}
    assert len(search) == 250 and not search & confirm and all(seed % 2 == 0 for seed in search)


def test_where_nothing_is_searched_there_is_one_trial() -> None:
    fixed = {"name": "erm", "fixed": {"lr": 1e-3, "weight_decay": 0}}
    config = sweep_config(methods=[fixed], search={"trials": 4, "seeds": 3}, confirm={"seeds": 1})
    assert dispatcher_for(config).totals()[0] == 3 * (1 + 1)


def test_a_candidate_that_does_not_complete_is_given_up_with_its_first_seed() -> None:
    def fails(spec: TrialSpec) -> str:
        search = spec.phase == "search"
        return "failed" if search and (spec.search_number, spec.seed_number) in ((1, 0), (2, 1)) else "completed"

    simulation = Simulation(dispatcher_for(seeds_config()), slots=3, curve=noisy, status=fails).run()
    assert simulation.dispatcher.finished
    for cell in simulation.dispatcher.cells:
        rows = search_rows(simulation, cell.id)
        assert rows.keys() == {(n, k) for n in range(4) for k in range(3)} - {(1, 1), (1, 2)}
        mean = [rows[2, k]["val_counterfactual"] for k in (0, 2)]
        value = simulation.dispatcher._states[cell.id, 0].searches[0].value(2, "val_counterfactual")
        assert value == pytest.approx(np.mean(mean))
    planned, exact, done = simulation.dispatcher.totals()
    assert exact and planned == done == 4 * (10 + 1)


def test_early_stopping_judges_the_first_seed_alone() -> None:
    config = seeds_config(2, 6, early_stopping={"min_epochs": 2, "reduction_factor": 2})
    config = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 4})})
    simulation = Simulation(dispatcher_for(config), curve=noisy).run()
    for cell in simulation.dispatcher.cells:
        rows = search_rows(simulation, cell.id)
        pruned = {n for n in range(6) if rows[n, 0]["status"] == "pruned"}
        assert pruned and {n for n, k in rows if k == 1} == set(range(6)) - pruned
        assert {row["status"] for (_, k), row in rows.items() if k} == {"completed"}


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_an_interrupted_sweep_ends_like_an_undisturbed_one(sampler: str) -> None:
    config = seeds_config(3, 5, sampler=sampler)
    whole = Simulation(dispatcher_for(config), 1, noisy).run()
    for rows in (1, 2, 17, 33, 50):
        broken = Simulation(dispatcher_for(config), 1, noisy).run(rows)
        assert broken.crash(config).run().told() == whole.told(), rows


def test_more_seeds_add_trials_and_fewer_leave_rows_out() -> None:
    one = Simulation(dispatcher_for(seeds_config(1)), curve=noisy).run()
    three = one.crash(seeds_config(3))
    assert not three.dispatcher.finished
    three.run()
    fresh = Simulation(dispatcher_for(seeds_config(3)), curve=noisy).run()
    assert three.dispatcher.finished
    for cell in fresh.dispatcher.cells:
        assert picks_of(three.dispatcher, cell.id) == picks_of(fresh.dispatcher, cell.id)
    back = three.crash(seeds_config(1))
    assert back.dispatcher.finished and back.dispatcher.totals()[0] == one.dispatcher.totals()[0]

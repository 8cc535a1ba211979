"""Which trial runs next, simulated: no Ray, no training, no files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.identity import at_place, confirm_seed, search_seed, trial_spec
from orchestrator.search.dispatch import Dispatcher
from orchestrator.search.failures import Failures
from store.names import Place, search_id
from tests.orchestrator.support import Simulation, dispatcher_for, fake_row, picks_of, study_of, sweep_config
from trainable.spec import TrialSpec

RULES = ["val_counterfactual", "val_biased"]


def cell_dispatcher(trials: int = 3, **confirm: Any) -> Dispatcher:
    """One cell of plain training."""
    return dispatcher_for(
        sweep_config(
            dataset={"name": "fake", "bias": {"rho": [1.0]}},
            methods=["erm"],
            search={"trials": trials},
            confirm={"seeds": 2, **confirm},
        )
    )


def end_search(dispatcher: Dispatcher, outcomes: list[dict[str, Any]]) -> list[TrialSpec]:
    """End the one cell's search trials with these outcomes (keywords of ``fake_row``)."""
    specs = []
    for outcome in outcomes:
        spec = dispatcher.next()
        assert spec is not None and spec.phase == "search"
        specs.append(spec)
        dispatcher.record(fake_row(spec, **outcome), [])
    return specs


def drain(dispatcher: Dispatcher) -> list[TrialSpec]:
    """Everything that can be issued now."""
    return list(iter(dispatcher.next, None))


def pick_of(dispatcher: Dispatcher, rule: str = "val_counterfactual") -> int:
    (cell,) = dispatcher.cells
    return picks_of(dispatcher, cell.id)[rule].number  # type: ignore[index]


class TestOrder:
    @pytest.mark.parametrize("slots", [1, 3, 7])
    def test_no_cell_is_more_than_one_trial_ahead(self, slots: int) -> None:
        config = sweep_config(methods=["erm", "ceiling", "grl"], search={"trials": 10})
        dispatcher = dispatcher_for(config)
        most = [0]

        def compare() -> None:
            searching = [cell for cell in dispatcher.status() if cell.searching]
            started = [cell.finished + cell.running for cell in searching]
            most.append(max(started) - min(started) if started else 0)

        Simulation(dispatcher, slots=slots, after_issue=compare).run()
        assert dispatcher.finished and max(most) == 1

    def test_cells_of_different_length_advance_by_their_share(self) -> None:
        fixed = {"name": "erm", "label": "fixed", "fixed": {"lr": 0.1, "weight_decay": 0}}
        config = sweep_config(
            dataset={"name": "fake", "bias": {"rho": [1.0]}}, methods=["erm", fixed], search={"trials": 20}
        )
        dispatcher = dispatcher_for(config)

        def compare() -> None:
            one, other = dispatcher.status()
            gap = (one.finished + one.running) / one.planned - (other.finished + other.running) / other.planned
            assert abs(gap) <= 1 / min(one.planned, other.planned) + 1e-9

        Simulation(dispatcher, slots=1, after_issue=compare).run()
        assert dispatcher.finished

    def test_a_cell_confirms_while_others_still_search(self) -> None:
        dispatcher = dispatcher_for(sweep_config(methods=["erm"]))
        for spec in drain(dispatcher):
            if spec.bias["rho"] == 1.0:
                dispatcher.record(fake_row(spec, 0.5), [])
        confirm = drain(dispatcher)
        assert [(spec.phase, spec.bias["rho"]) for spec in confirm] == [("confirm", 1.0)] * 2

    def test_a_cells_confirm_trials_wait_for_its_own_search(self) -> None:
        dispatcher = cell_dispatcher(trials=2)
        first, second = drain(dispatcher)
        assert dispatcher.next() is None
        dispatcher.record(fake_row(first, 0.5), [])
        assert dispatcher.next() is None
        dispatcher.record(fake_row(second, 0.6), [])
        assert [spec.phase for spec in drain(dispatcher)] == ["confirm", "confirm"]

    def test_a_method_without_a_place_is_passed_over_and_keeps_its_turn(self) -> None:
        dispatcher = dispatcher_for(
            sweep_config(dataset={"name": "fake", "bias": {"rho": [0.0, 1.0]}}, methods=["erm", "lnl"])
        )
        first = [dispatcher.next(lambda label: label == "lnl") for _ in range(3)]
        assert [spec.label for spec in first if spec] == ["lnl"] * 3
        assert dispatcher.next(lambda label: False) is None
        # The plain cells are now furthest behind.
        then = [dispatcher.next() for _ in range(2)]
        assert [spec.label for spec in then if spec] == ["erm", "erm"]

    def test_a_trial_that_is_put_back_waits_for_a_place_of_its_own_kind(self) -> None:
        dispatcher = dispatcher_for(sweep_config(methods=["erm", "lnl"]))
        lost = dispatcher.next(lambda label: label == "lnl")
        assert lost is not None
        dispatcher.requeue(lost)
        other = dispatcher.next(lambda label: label == "erm")
        assert other is not None and other.label == "erm"
        assert dispatcher.next() == lost

    def test_each_methods_trials_have_its_own_threads(self) -> None:
        methods = ["erm", {"name": "lnl", "resources": {"cpu": 3}}]
        specs = drain(dispatcher_for(sweep_config(methods=methods, resources={"cpu": 2})))
        assert {(spec.label, spec.threads) for spec in specs} == {("erm", 2), ("lnl", 3)}

    def test_nothing_is_issued_twice(self) -> None:
        done = Simulation(dispatcher_for(sweep_config()), slots=5).run()
        names = [spec.trial_id for spec in done.issued]
        assert len(set(names)) == len(names)

    def test_ids_are_unique_across_cells_and_usable_as_file_names(self) -> None:
        done = Simulation(dispatcher_for(sweep_config()), slots=5).run()
        assert all(name.replace("-", "").replace(".", "").replace("_", "").isalnum() for name in done.rows)
        assert len({name.lower() for name in done.rows}) == len(done.rows)


class TestSeeds:
    def test_all_search_trials_share_one_seed(self) -> None:
        done = Simulation(dispatcher_for(sweep_config()), slots=2).run()
        assert {row["seed"] for row in done.rows.values() if row["phase"] == "search"} == {search_seed(0)}

    def test_confirm_seed_k_is_the_same_in_every_cell(self) -> None:
        done = Simulation(dispatcher_for(sweep_config()), slots=2).run()
        seeds = {}
        for name, row in done.rows.items():
            if row["phase"] == "confirm":
                seeds.setdefault(row["cell"], set()).add((name.rsplit("-", 1)[1], row["seed"]))
        assert set(map(frozenset, seeds.values())) == {frozenset((f"s{k}", confirm_seed(0, k)) for k in range(2))}

    def test_confirm_seeds_are_disjoint_from_search_seeds_by_construction(self) -> None:
        search = {search_seed(sweep, repeat) for sweep in range(50) for repeat in range(5)}
        confirm = {confirm_seed(sweep, k) for sweep in range(50) for k in range(20)}
        assert not search & confirm and len(confirm) == 1000
        assert {seed % 2 for seed in search} == {0} and {seed % 2 for seed in confirm} == {1}

    def test_confirm_trials_train_exactly_what_was_selected(self) -> None:
        done = Simulation(dispatcher_for(sweep_config()), slots=2).run()
        for cell in {row["cell"] for row in done.rows.values()}:
            rows = [row for row in done.rows.values() if row["cell"] == cell]
            best = max((row for row in rows if row["phase"] == "search"), key=lambda row: row["val_counterfactual"])
            assert {row["hyperparameters"] for row in rows if row["phase"] == "confirm"} == {best["hyperparameters"]}


class TestPicks:
    def test_the_best_completed_trial_is_picked(self) -> None:
        dispatcher = cell_dispatcher()
        end_search(dispatcher, [{"value": 0.5}, {"value": 0.7}, {"value": 0.6}])
        assert pick_of(dispatcher) == 1

    @pytest.mark.parametrize("status", ["pruned", "failed"])
    def test_a_trial_that_did_not_complete_is_never_picked(self, status: str) -> None:
        dispatcher = cell_dispatcher()
        end_search(dispatcher, [{"value": 0.5}, {"value": 0.9, "status": status}, {"value": 0.6}])
        assert pick_of(dispatcher) == 2

    @pytest.mark.parametrize("value", [float("nan"), None])
    def test_a_trial_without_a_value_is_never_picked(self, value: float | None) -> None:
        dispatcher = cell_dispatcher()
        end_search(dispatcher, [{"value": value}, {"value": 0.1}, {"value": value}])
        assert pick_of(dispatcher) == 1

    def test_ties_go_to_the_lower_number_whatever_the_order_of_ending(self) -> None:
        dispatcher = cell_dispatcher()
        for spec in drain(dispatcher)[::-1]:
            dispatcher.record(fake_row(spec, 0.5), [])
        assert pick_of(dispatcher) == 0

    def test_the_anchor_can_be_picked(self) -> None:
        config = sweep_config(dataset={"name": "fake", "bias": {"rho": [1.0]}}, methods=["lnl"])
        dispatcher = dispatcher_for(config)
        end_search(dispatcher, [{"value": 0.9}] + [{"value": 0.5}] * 4)
        spec = dispatcher.next()
        assert spec is not None and spec.phase == "confirm" and spec.hyperparameters["lambda_"] == 0.0

    def test_val_reweighted_is_judged_minus_its_standard_error(self) -> None:
        config = sweep_config(
            dataset={"name": "fake", "bias": {"rho": [1.0]}},
            methods=["erm"],
            search={"trials": 2, "rule": "val_reweighted"},
        )
        dispatcher = dispatcher_for(config)
        for spec, value, error in zip(drain(dispatcher), (0.90, 0.85), (0.20, 0.01), strict=True):
            dispatcher.record({**fake_row(spec, value), "val_reweighted_se": error}, [])
        assert pick_of(dispatcher, "val_reweighted") == 1

    def test_each_rule_picks_by_its_own_column(self) -> None:
        dispatcher = cell_dispatcher(rules=RULES)
        end_search(dispatcher, [{"value": 0.5}, {"value": 0.9, "rules": {"val_biased": 0.1}}, {"value": 0.6}])
        assert (pick_of(dispatcher), pick_of(dispatcher, "val_biased")) == (1, 2)
        assert len(drain(dispatcher)) == 4

    def test_two_rules_that_choose_the_same_configuration_train_it_once(self) -> None:
        dispatcher = cell_dispatcher(rules=RULES)
        end_search(dispatcher, [{"value": 0.5}, {"value": 0.9}, {"value": 0.6}])
        assert len(drain(dispatcher)) == 2

    @pytest.mark.parametrize(("same", "planned"), [(True, 5), (False, 5 + 3)])
    def test_a_rule_with_fewer_seeds(self, same: bool, planned: int) -> None:
        dispatcher = cell_dispatcher(seeds=5, rules=["val_counterfactual", {"rule": "val_biased", "seeds": 3}])
        other = {} if same else {"val_biased": 0.1}
        end_search(dispatcher, [{"value": 0.5}, {"value": 0.9, "rules": other}, {"value": 0.6}])
        specs = drain(dispatcher)
        assert len(specs) == planned == dispatcher.totals()[0] - 3
        if not same:
            by_configuration = [spec.trial_id.rsplit("-", 1)[0] for spec in specs]
            assert sorted(map(by_configuration.count, set(by_configuration))) == [3, 5]


class TestTotals:
    def test_planned_is_an_upper_bound_until_the_search_has_ended(self) -> None:
        dispatcher = cell_dispatcher(rules=RULES)
        assert dispatcher.totals() == (3 + 4, False, 0)
        end_search(dispatcher, [{"value": 0.5}, {"value": 0.9}, {"value": 0.6}])
        assert dispatcher.totals() == (3 + 2, True, 3)

    def test_planned_is_finished_at_the_end(self) -> None:
        dispatcher = dispatcher_for(sweep_config(confirm={"seeds": 2, "rules": RULES}))
        done = Simulation(dispatcher, slots=3).run()
        assert dispatcher.totals() == (len(done.rows), True, len(done.rows))
        assert dispatcher.finished and dispatcher.running == 0 and dispatcher.problems() == []

    def test_planned_never_grows(self) -> None:
        dispatcher = dispatcher_for(sweep_config(confirm={"seeds": 3, "rules": RULES}))
        planned = [dispatcher.totals()[0]]
        Simulation(dispatcher, slots=3, after_issue=lambda: planned.append(dispatcher.totals()[0])).run()
        assert planned == sorted(planned, reverse=True) and planned[-1] < planned[0]

    def test_a_cell_whose_trials_all_failed_is_a_problem(self) -> None:
        dispatcher = cell_dispatcher()
        end_search(dispatcher, [{"value": None, "status": "failed"}] * 3)
        (cell,) = dispatcher.cells
        assert dispatcher.problems() == [f"{cell.id}: no search trial completed"]
        assert dispatcher.next() is None and dispatcher.finished and dispatcher.failures().failed == 3

    def test_a_diverged_search_trial_is_counted_and_is_no_problem(self) -> None:
        dispatcher = cell_dispatcher()
        diverged = {"value": None, "status": "failed", "error": "TrialFailed: epoch 2: train_loss is nan"}
        end_search(dispatcher, [diverged, {"value": 0.5}, {"value": 0.4}])
        assert dispatcher.failures() == Failures(1) and dispatcher.problems() == []

    def test_a_failed_confirm_trial_is_a_problem_with_its_reason(self) -> None:
        dispatcher = cell_dispatcher()
        end_search(dispatcher, [{"value": 0.5}] * 3)
        for spec in drain(dispatcher):
            dispatcher.record(fake_row(spec, None, "failed", error="out of memory"), [])
        assert len(dispatcher.problems()) == 2
        assert all(line.endswith(": out of memory") for line in dispatcher.problems())

    def test_the_status_of_a_cell(self) -> None:
        config = sweep_config(dataset={"name": "fake", "bias": {"rho": [1.0]}}, methods=["lnl"])
        dispatcher = dispatcher_for(config)
        first, second, _ = (dispatcher.next() for _ in range(3))
        assert first is not None and second is not None
        dispatcher.record(fake_row(first, 0.5), [])
        dispatcher.record(fake_row(second, None, "failed"), [])
        (status,) = dispatcher.status()
        assert (status.finished, status.running, status.failed, status.pruned) == (2, 1, 1, 0)
        assert (status.best, status.best_pressure, status.searching, status.exact) == (0.5, 0.0, True, False)

    def test_the_status_of_a_cell_whose_weights_have_other_names(self) -> None:
        config = sweep_config(dataset={"name": "fake", "bias": {"rho": [1.0]}}, methods=["end", "erm"])
        dispatcher = dispatcher_for(config)
        for spec in iter(dispatcher.next, None):
            dispatcher.record(fake_row(spec, 0.5 - 0.1 * (spec.hyperparameters.get("alpha") == 0)), [])
        end, erm = dispatcher.status()
        assert end.best_pressure is not None and end.best_pressure > 0 and erm.best_pressure is None


class TestOptunaAtTheEnd:
    def test_no_trial_is_left_running(self) -> None:
        config = sweep_config(
            search={"trials": 12, "early_stopping": {"min_epochs": 2}, "sampler": "tpe"}, training={"epochs": 8}
        )
        dispatcher = dispatcher_for(config)

        def status(spec: TrialSpec) -> str:
            return "failed" if spec.search_number == 1 else "completed"

        done = Simulation(
            dispatcher, slots=4, status=lambda spec: status(spec) if spec.phase == "search" else "completed"
        ).run()
        for cell in dispatcher.cells:
            states = [trial.state.name for trial in study_of(dispatcher, cell.id).trials]
            rows = [row for row in done.rows.values() if row["cell"] == cell.id and row["phase"] == "search"]
            rows = [row for row in rows if not (cell.anchor and row["search_number"] == 0)]
            expected = [{"completed": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}[row["status"]] for row in rows]
            assert sorted(states) == sorted(expected)
            assert {"COMPLETE", "PRUNED", "FAIL"} == set(states)


SAMPLERS = ["random", "qmc", "tpe"]


def stopping_sweep(sampler: str, **changes: Any) -> SweepConfig:
    return sweep_config(
        dataset={"name": "fake", "bias": {"rho": [0.0, 1.0]}},
        search={"trials": 12, "sampler": sampler, "early_stopping": {"min_epochs": 2, "reduction_factor": 2}},
        training={"epochs": 6},
        **changes,
    )


class TestRestore:
    @pytest.mark.parametrize("sampler", SAMPLERS)
    @pytest.mark.parametrize("cut", [0, 1, 7, 16, 25, 27])
    def test_a_killed_driver_goes_on_as_if_nothing_had_happened(self, sampler: str, cut: int) -> None:
        config = stopping_sweep(sampler)
        undisturbed = Simulation(dispatcher_for(config), slots=1).run()
        killed = Simulation(dispatcher_for(config), slots=1).run(rows=cut)
        resumed = killed.crash(config).run()
        assert resumed.told() == undisturbed.told()
        assert resumed.dispatcher.finished

    @pytest.mark.parametrize("sampler", ["random", "qmc"])
    @pytest.mark.parametrize("cut", [3, 11, 20])
    def test_with_parallel_trials_proposals_stay_the_same(self, sampler: str, cut: int) -> None:
        config = stopping_sweep(sampler).model_copy(update={"confirm": sweep_config().confirm})
        undisturbed = Simulation(dispatcher_for(config), slots=3).run()
        resumed = Simulation(dispatcher_for(config), slots=3).run(rows=cut).crash(config).run()

        def proposals(done: Simulation) -> dict[str, str]:
            return {n: row["hyperparameters"] for n, row in done.rows.items() if row["phase"] == "search"}

        assert proposals(resumed) == proposals(undisturbed)

    def test_tpe_with_open_trials_among_finished_ones_goes_on_the_same(self) -> None:
        config = sweep_config(
            dataset={"name": "fake", "bias": {"rho": [1.0]}}, methods=["erm"], search={"trials": 40, "sampler": "tpe"}
        )
        first, second = dispatcher_for(config), dispatcher_for(config)
        rows, open_trials = [], []
        for number in range(32):
            spec = first.next()
            assert spec is not None
            if number in (3, 17):
                open_trials.append(spec)
                continue
            rows.append(fake_row(spec, -abs(spec.hyperparameters["lr"] - 0.01)))
            first.record(rows[-1], [])
        second.restore(rows, {}, open_trials)
        assert [second.next() for _ in open_trials] == open_trials
        expected, found = first.next(), second.next()
        assert expected is not None and found == expected

    def test_the_rungs_are_rebuilt_from_rows_and_from_open_trials(self) -> None:
        config = stopping_sweep("qmc")
        killed = Simulation(dispatcher_for(config), slots=4).run(rows=9)
        resumed = killed.crash(config)
        for old, new in zip(killed.dispatcher._states.values(), resumed.dispatcher._states.values(), strict=True):
            assert new.searches[0].rungs == old.searches[0].rungs and old.searches[0].rungs._records

    def test_open_trials_go_on_first_and_under_their_own_name(self) -> None:
        config = sweep_config()
        killed = Simulation(dispatcher_for(config), slots=3).run(rows=4)
        assert killed.running
        resumed = killed.crash(config)
        assert [resumed.dispatcher.next() for _ in killed.running] == killed.running

    def test_no_finished_trial_runs_again(self) -> None:
        config = sweep_config()
        killed = Simulation(dispatcher_for(config), slots=3).run(rows=17)
        resumed = killed.crash(config).run()
        assert not {spec.trial_id for spec in resumed.issued} & set(killed.rows)
        assert len(resumed.issued) + len(killed.rows) == len(resumed.rows)

    def test_restoring_a_finished_sweep_leaves_nothing_to_do(self) -> None:
        config = sweep_config()
        resumed = Simulation(dispatcher_for(config), slots=3).run().crash(config)
        assert resumed.dispatcher.finished and resumed.dispatcher.next() is None

    def test_a_thousand_trials_are_rebuilt_in_the_order_of_their_numbers(self) -> None:
        config = sweep_config(
            dataset={"name": "fake", "bias": {"rho": [1.0]}}, methods=["erm"], search={"trials": 1002}
        )
        dispatcher = dispatcher_for(config)
        (cell,) = dispatcher.cells
        rates = {998: 0.01, 999: 0.02, 1000: 0.03, 1001: 0.04}
        specs = [
            at_place(
                trial_spec(config, cell, "search", search_id(cell.id, 0, number), {"lr": lr, "weight_decay": 1e-3}, 0),
                Place(number, None, 0),
            )
            for number, lr in rates.items()
        ]
        dispatcher.restore([fake_row(spec, 0.5) for spec in specs], {}, [])
        assert [trial.params["lr"] for trial in study_of(dispatcher, cell.id).trials] == list(rates.values())


class TestExtension:
    """A finished sweep under a larger configuration runs what is missing and nothing else."""

    def extended(self, old: SweepConfig, new: SweepConfig) -> tuple[Simulation, list[TrialSpec]]:
        finished = Simulation(dispatcher_for(old), slots=2).run()
        resumed = finished.crash(new).run()
        assert resumed.dispatcher.finished
        return finished, resumed.issued

    def test_three_more_seeds(self) -> None:
        finished, issued = self.extended(sweep_config(), sweep_config(confirm={"seeds": 5}))
        assert len(issued) == 6 * 3
        assert {spec.trial_id.rsplit("-", 1)[1] for spec in issued} == {"s2", "s3", "s4"}
        old = {row["hyperparameters"] for row in finished.rows.values() if row["phase"] == "confirm"}
        assert {json.dumps(dict(spec.hyperparameters), sort_keys=True) for spec in issued} <= old

    def test_one_more_bias_value(self) -> None:
        bias = {"name": "fake", "bias": {"rho": [0.0, 0.5, 0.75, 1.0]}}
        _, issued = self.extended(sweep_config(), sweep_config(dataset=bias))
        assert {spec.bias["rho"] for spec in issued} == {0.75}
        assert len(issued) == 2 * (5 + 2)

    def test_one_more_method(self) -> None:
        _, issued = self.extended(sweep_config(), sweep_config(methods=["erm", "lnl", "grl"]))
        assert {spec.method for spec in issued} == {"grl"}

    def test_one_more_rule_trains_only_what_was_not_trained(self) -> None:
        _, issued = self.extended(sweep_config(), sweep_config(confirm={"seeds": 2, "rules": RULES}))
        assert issued == []

    def test_more_search_trials(self) -> None:
        longer = sweep_config(search={"trials": 9})
        finished, issued = self.extended(sweep_config(), longer)
        search = [spec for spec in issued if spec.phase == "search"]
        assert len(search) == 6 * 4
        assert {spec.search_number for spec in search} == {5, 6, 7, 8}
        assert not {spec.trial_id for spec in issued} & set(finished.rows)

    def test_a_longer_qmc_search_is_the_longer_search(self) -> None:
        short, long = sweep_config(), sweep_config(search={"trials": 9})
        extended = Simulation(dispatcher_for(short), slots=1).run().crash(long).run()
        at_once = Simulation(dispatcher_for(long), slots=1).run()
        assert set(at_once.rows) <= set(extended.rows)

    def test_superseded_confirm_rows_are_not_counted(self) -> None:
        one_cell: dict[str, Any] = {"dataset": {"name": "fake", "bias": {"rho": [1.0]}}, "methods": ["erm"]}
        old, new = (sweep_config(**one_cell, search={"trials": n, "sampler": "qmc"}) for n in (2, 3))
        finished = Simulation(dispatcher_for(old), curve=lambda spec, epoch: 0.5).run()
        better = dict(finished.rows)
        resumed = dispatcher_for(new)
        resumed.restore(better.values(), {}, [])
        spec = resumed.next()
        assert spec is not None and spec.search_number == 2
        resumed.record(fake_row(spec, 0.9), [])
        assert resumed.totals() == (3 + 2, True, 3)
        assert [spec.phase for spec in drain(resumed)] == ["confirm", "confirm"]

    def test_a_shorter_search_counts_only_its_own_trials(self) -> None:
        _, issued = self.extended(sweep_config(search={"trials": 9}), sweep_config(search={"trials": 5}))
        assert all(spec.phase == "confirm" for spec in issued)

    def test_rows_of_cells_that_are_not_in_the_grid_are_left_alone(self) -> None:
        _, issued = self.extended(sweep_config(), sweep_config(methods=["lnl"]))
        assert issued == []

    def test_open_trials_that_are_not_wanted_any_more_are_returned(self) -> None:
        killed = Simulation(dispatcher_for(sweep_config()), slots=8).run(rows=1)
        unwanted = [spec for spec in killed.running if spec.search_number != 0]
        assert unwanted
        dispatcher = dispatcher_for(sweep_config(search={"trials": 1}))
        assert dispatcher.restore(killed.rows.values(), {}, killed.running) == unwanted
        assert dispatcher.running == len(killed.running) - len(unwanted)

    def test_open_trials_of_other_cells_are_left_alone(self) -> None:
        killed = Simulation(dispatcher_for(sweep_config()), slots=4).run(rows=1)
        others = [spec for spec in killed.running if spec.method == "lnl"]
        assert others
        dispatcher = dispatcher_for(sweep_config(methods=["erm"]))
        assert dispatcher.restore(killed.rows.values(), {}, killed.running) == []
        assert dispatcher.running == len(killed.running) - len(others)

"""Searches that are repeated, one for each rule, or fed from the neighbouring cells; and a part of the grid."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.cells import choose_cells
from orchestrator.plan.identity import confirm_seed, search_seed
from orchestrator.search.dispatch import Dispatcher
from store.errors import InputError
from tests.orchestrator.support import Simulation, dispatcher_for, fake_row, picks_of, sweep_cells, sweep_config
from trainable.spec import TrialSpec

ONE_CELL: dict[str, Any] = {"dataset": {"name": "fake", "bias": {"rho": [1.0]}}, "methods": ["erm"]}
RULES = ["val_counterfactual", "val_biased"]


def search(**more: Any) -> dict[str, Any]:
    return {"search": {"trials": 4, **more}}


def finished(config: SweepConfig, slots: int = 2) -> Simulation:
    done = Simulation(dispatcher_for(config), slots=slots).run()
    assert done.dispatcher.finished
    return done


class TestRepeats:
    def test_a_repeat_has_a_search_and_seeds_of_its_own(self) -> None:
        done = finished(sweep_config(**ONE_CELL, **search(repeats=3)))
        seeds = {(row["phase"], row["repeat"], row["seed"]) for row in done.rows.values()}
        expected = {("search", r, search_seed(0, r)) for r in range(3)}
        expected |= {("confirm", r, confirm_seed(0, k, r)) for r in range(3) for k in range(2)}
        assert seeds == expected and len({seed for _, _, seed in seeds}) == 3 + 6

    def test_each_repeat_proposes_something_else(self) -> None:
        done = finished(sweep_config(**ONE_CELL, **search(repeats=2)))
        searched = [row["hyperparameters"] for row in done.rows.values() if row["phase"] == "search"]
        assert len(set(searched)) == len(searched) == 8

    def test_one_more_repeat_runs_only_that(self) -> None:
        old, new = (sweep_config(**ONE_CELL, **search(repeats=n)) for n in (1, 2))
        resumed = finished(old).crash(new).run()
        assert {spec.repeat for spec in resumed.issued} == {1}
        assert len(resumed.issued) == 4 + 2 and resumed.dispatcher.finished

    def test_a_repeat_does_not_change_the_first_one(self) -> None:
        once, twice = (finished(sweep_config(**ONE_CELL, **search(repeats=n))) for n in (1, 2))
        assert set(once.told()) <= set(twice.told())


class TestOneSearchForEachRule:
    def config(self, **more: Any) -> SweepConfig:
        return sweep_config(**ONE_CELL, **search(per_rule=True, **more), confirm={"seeds": 2, "rules": RULES})

    def test_every_rule_has_as_many_trials(self) -> None:
        done = finished(self.config())
        counts = Counter(spec.search_rule for spec in done.issued if spec.phase == "search")
        assert counts == dict.fromkeys(RULES, 4)

    def test_a_search_follows_its_own_rule(self) -> None:
        done = finished(self.config())
        assert all(spec.rule == spec.search_rule for spec in done.issued if spec.phase == "search")

    def test_a_rule_chooses_among_its_own_trials(self) -> None:
        dispatcher = dispatcher_for(self.config())
        for spec in list(iter(dispatcher.next, None)):
            other = "val_biased" if spec.rule == "val_counterfactual" else "val_counterfactual"
            own = 0.5 + (spec.search_number or 0) / 10
            dispatcher.record(fake_row(spec, own, rules={other: 0.99}), [])
        picks = picks_of(dispatcher, dispatcher.cells[0].id)
        assert {rule: (pick.number, pick.value) for rule, pick in picks.items()} == dict.fromkeys(RULES, (3, 0.8))

    def test_a_killed_driver_goes_on_the_same(self) -> None:
        config = self.config(early_stopping={"min_epochs": 1, "reduction_factor": 2})
        undisturbed = finished(config, slots=1)
        resumed = Simulation(dispatcher_for(config)).run(rows=5).crash(config).run()
        assert resumed.told() == undisturbed.told()


class TestNeighbours:
    """Cells at the next bias value to either side lend their best hyperparameters once they are half way."""

    def config(self, **more: Any) -> SweepConfig:
        return sweep_config(methods=["erm"], **search(neighbours=True, sampler="random", **more))

    def lent(self, done: Simulation) -> list[TrialSpec]:
        return [spec for spec in done.issued if spec.enqueued_from]

    def test_each_neighbour_lends_once(self) -> None:
        lent = self.lent(finished(self.config(), slots=1))
        assert lent and all(spec.enqueued_from != spec.cell for spec in lent)
        assert max(Counter((spec.cell, spec.enqueued_from) for spec in lent).values()) == 1

    def test_only_cells_next_to_each_other_lend(self) -> None:
        values = {cell.id: cell.bias_value for cell in sweep_cells(self.config())}
        for spec in self.lent(finished(self.config(), slots=1)):
            assert abs(values[spec.cell] - values[str(spec.enqueued_from)]) == 0.5

    def test_what_is_lent_is_the_neighbours_best_so_far(self) -> None:
        dispatcher = dispatcher_for(self.config())
        seen: list[dict[str, Any]] = []
        checked = 0
        while (spec := dispatcher.next()) is not None:
            if spec.enqueued_from:
                rows = [row for row in seen if row["cell"] == spec.enqueued_from]
                best = max(rows, key=lambda row: row["val_counterfactual"])
                assert 2 * len(rows) >= 4 and best["lr"] == spec.hyperparameters["lr"]
                checked += 1
            row = fake_row(spec, spec.hyperparameters["lr"])
            if spec.phase == "search":
                seen.append(row)
            dispatcher.record(row, [])
        assert checked

    def test_it_is_off_unless_asked_for(self) -> None:
        assert self.lent(finished(sweep_config(methods=["erm"], **search(sampler="random")))) == []

    def test_a_resumed_sweep_does_not_borrow_again(self) -> None:
        config = self.config()
        resumed = Simulation(dispatcher_for(config)).run(rows=9).crash(config).run()
        rows = [row for row in resumed.rows.values() if row["enqueued_from"]]
        assert max(Counter((row["cell"], row["enqueued_from"]) for row in rows).values()) == 1


class TestPartOfTheGrid:
    def chosen(self, only: str) -> list[tuple[str, float]]:
        return [(cell.label, cell.bias["rho"]) for cell in choose_cells(sweep_cells(sweep_config()), only)]

    def test_by_method_and_bias_value(self) -> None:
        assert self.chosen("method=lnl") == [("lnl", 0.0), ("lnl", 0.5), ("lnl", 1.0)]
        assert self.chosen("method=lnl,rho=0.5") == [("lnl", 0.5)]
        assert self.chosen("rho=1") == [("erm", 1.0), ("lnl", 1.0)]

    @pytest.mark.parametrize(
        ("only", "named"),
        [("lnl", "'lnl'"), ("methd=lnl", "did you mean 'method'?"), ("rho=0.7", "0.0, 0.5, 1.0"), ("rho=x", "'x'"),
         ("method=grl", "erm, lnl")],
    )  # fmt: skip
    def test_what_is_not_there(self, only: str, named: str) -> None:
        with pytest.raises(InputError) as caught:
            self.chosen(only)
        assert named in str(caught.value)

    def test_cells_that_do_not_run_are_left_as_they_are(self) -> None:
        config = sweep_config()
        killed = Simulation(dispatcher_for(config), slots=6).run(rows=1)
        part = Dispatcher(config, choose_cells(sweep_cells(config), "method=lnl"))
        assert part.restore(killed.rows.values(), killed.histories, killed.running) == []
        rest = Simulation(part).run()
        assert {spec.method for spec in rest.issued} == {"lnl"} and part.finished

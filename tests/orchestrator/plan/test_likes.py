"""Methods with ``like: LABEL``: trained with what another method's search chose in the same cell."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.cells import choose_cells
from orchestrator.plan.continuation import check_config
from orchestrator.plan.identity import confirm_seed
from orchestrator.progress import cell_table
from orchestrator.search.dispatch import Dispatcher
from store.errors import InputError
from store.names import confirm_id
from tests.orchestrator.support import Simulation, dispatcher_for, picks_of, sweep_cells, sweep_config
from trainable.spec import TrialSpec

CONTROL = {"name": "permuted_bias", "like": "lnl"}


def like_config(*methods: Any, **changes: Any) -> SweepConfig:
    return sweep_config(methods=list(methods) or ["lnl", CONTROL], **changes)


def confirmed(simulation: Simulation, label: str) -> dict[str, list[dict[str, Any]]]:
    """Confirm rows of a label by bias value."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in simulation.rows.values():
        if row["phase"] == "confirm" and row["label"] == label:
            found.setdefault(row["bias_rho"], []).append(row)
    return found


def weights(spec: TrialSpec, epoch: int) -> float:
    """Best at a pair of weights that depends on the bias."""
    h = spec.hyperparameters
    return -abs(h["lambda_"] - spec.bias["rho"]) - abs(h["mu"] - 1.0) - h["lr"]


class TestDispatch:
    def test_has_no_search_and_what_the_other_chose_in_each_cell(self) -> None:
        config = like_config(confirm={"seeds": 2, "rules": ["val_counterfactual", "val_biased"]})
        simulation = Simulation(dispatcher_for(config), slots=2, curve=weights).run()
        assert simulation.dispatcher.finished
        assert not [r for r in simulation.rows.values() if r["phase"] == "search" and r["label"] == "permuted_bias"]
        own, others = confirmed(simulation, "permuted_bias"), confirmed(simulation, "lnl")
        assert len(own) == 3 and {len(rows) for rows in own.values()} == {2}
        for rho, rows in own.items():
            assert {r["hyperparameters"] for r in rows} == {r["hyperparameters"] for r in others[rho]}
            assert sorted(r["seed"] for r in rows) == sorted(confirm_seed(0, k) for k in range(2))
            for k in range(2):
                assert confirm_id(rows[0]["cell"], json.loads(rows[0]["hyperparameters"]), k) in simulation.rows
        assert len({rows[0]["hyperparameters"] for rows in own.values()}) > 1

    def test_waits_for_the_other_search_in_the_same_cell_alone(self) -> None:
        dispatcher = dispatcher_for(like_config())
        simulation = Simulation(dispatcher, slots=1, curve=weights)
        ended: set[float] = set()

        def compare() -> None:
            spec = simulation.issued[-1]
            if spec.label == "permuted_bias":
                done = [
                    r for r in simulation.rows.values() if r["phase"] == "search" and r["bias_rho"] == spec.bias["rho"]
                ]
                assert len(done) == 5
                ended.add(len([r for r in simulation.rows.values() if r["phase"] == "search"]))

        simulation.after_issue = compare
        simulation.run()
        assert dispatcher.finished and ended

    def test_a_rule_has_its_own_choice(self) -> None:
        config = like_config(
            "lnl", CONTROL, search={"trials": 4, "per_rule": True},
            confirm={"seeds": 1, "rules": ["val_counterfactual", {"rule": "val_biased", "seeds": 3}]},
            dataset={"name": "fake", "bias": {"rho": [1.0]}},
        )  # fmt: skip
        dispatcher = dispatcher_for(config)
        Simulation(
            dispatcher,
            curve=lambda spec, _: spec.hyperparameters["lr"] * (1 if spec.rule == "val_biased" else -1),
        ).run()
        lnl, control = dispatcher.cells
        assert picks_of(dispatcher, control.id) == picks_of(dispatcher, lnl.id)
        assert len({json.dumps(dict(p.hyperparameters)) for p in picks_of(dispatcher, lnl.id).values()}) == 2

    def test_fixed_goes_before_and_what_only_the_control_has_is_its_default(self) -> None:
        entry = {"name": "lnl", "label": "half", "like": "grl", "fixed": {"lambda_": 0.25}}
        config = like_config({"name": "grl", "space": {"mu": {"log": [1, 2]}}}, entry)
        simulation = Simulation(dispatcher_for(config), curve=lambda spec, _: spec.hyperparameters["mu"]).run()
        for rho, rows in confirmed(simulation, "half").items():
            chosen = json.loads(confirmed(simulation, "grl")[rho][0]["hyperparameters"])
            assert json.loads(rows[0]["hyperparameters"]) == {**chosen, "lambda_": 0.25}

    def test_planned_counts_no_search(self) -> None:
        dispatcher = dispatcher_for(like_config())
        assert dispatcher.totals() == (3 * (5 + 2) + 3 * 2, False, 0)
        Simulation(dispatcher).run()
        assert dispatcher.totals() == (3 * (5 + 2) + 3 * 2, True, 3 * (5 + 2) + 3 * 2)

    def test_the_table_says_for_whom_a_cell_waits(self) -> None:
        dispatcher = dispatcher_for(like_config())
        phases = list(cell_table(dispatcher.status()).columns[2].cells)
        assert phases == ["search", "waits for lnl"] * 3

    def test_a_search_without_a_completed_trial_is_named(self) -> None:
        dispatcher = dispatcher_for(like_config())
        Simulation(dispatcher, status=lambda spec: "failed").run()
        lnl, control = dispatcher.cells[:2]
        assert dispatcher.finished
        assert dispatcher.problems()[:2] == [
            f"{lnl.id}: no search trial completed",
            f"{control.id}: no search trial of {lnl.id} completed",
        ]

    @pytest.mark.parametrize("slots", [1, 3])
    def test_an_interrupted_sweep_ends_like_an_undisturbed_one(self, slots: int) -> None:
        config = like_config(search={"trials": 5, "sampler": "random"})
        whole = Simulation(dispatcher_for(config), slots, weights).run()
        for rows in (4, 13, 17, 24):
            broken = Simulation(dispatcher_for(config), slots, weights).run(rows)
            assert broken.crash(config).run().told() == whole.told()

    def test_a_longer_search_that_chooses_otherwise_trains_the_control_anew(self) -> None:
        short = like_config(search={"trials": 2, "sampler": "random"})
        long = like_config(search={"trials": 12, "sampler": "random"})
        first = Simulation(dispatcher_for(short), curve=weights).run()
        second = first.crash(long)
        assert not second.dispatcher.finished
        second.run()
        assert second.dispatcher.finished
        new = {name for name, row in second.rows.items() if row["label"] == "permuted_bias"} - first.rows.keys()
        chosen = {
            row["cell"]: row["hyperparameters"]
            for row in (second.rows[name] for name in second.dispatcher.finished_ids())
            if row["phase"] == "confirm" and row["label"] == "permuted_bias"
        }
        assert new and {second.rows[name]["hyperparameters"] for name in new} <= set(chosen.values())

    def test_only_the_control_brings_the_cells_whose_search_it_waits_for(self) -> None:
        config = like_config("erm", "lnl", CONTROL)
        cells = choose_cells(sweep_cells(config), "method=permuted_bias,rho=0.5")
        assert [(cell.label, cell.bias_value) for cell in cells] == [("lnl", 0.5), ("permuted_bias", 0.5)]
        simulation = Simulation(Dispatcher(config, cells), curve=weights).run()
        assert simulation.dispatcher.finished and len(confirmed(simulation, "permuted_bias")[0.5]) == 2


class TestRefused:
    @pytest.mark.parametrize(
        ("methods", "said"),
        [
            (["lnl", {**CONTROL, "like": "lln"}], "methods.permuted_bias.like 'lln': did you mean 'lnl'"),
            (["lnl", {**CONTROL, "like": "permuted_bias"}], "must name another method"),
            (["lnl", CONTROL, {"name": "grl", "like": "permuted_bias"}], "name lnl"),
            (["lnl", {**CONTROL, "space": {"mu": {"log": [1, 2]}}}], "remove space, or like"),
            ([{"name": "lnl", "bias": [{"rho": 1}]}, CONTROL], "lnl has none at rho = 0, gamma = 0"),
            (["erm", {"name": "erm", "label": "e", "like": "erm",
                      "fixed": {"lr": 1e-3, "weight_decay": 0, "pretrain_epochs": 0}}], "takes nothing over from erm"),
        ],
    )  # fmt: skip
    def test_in_one_sentence(self, methods: list[Any], said: str) -> None:
        with pytest.raises(InputError) as refusal:
            sweep_cells(like_config(*methods))
        assert said in str(refusal.value)

    def test_another_source_for_a_known_label(self) -> None:
        old = like_config("lnl", "grl", CONTROL).model_dump(mode="json", by_alias=True)
        with pytest.raises(InputError, match=r"ran method 'permuted_bias' with other settings \(.*like"):
            check_config(old, like_config("lnl", "grl", {**CONTROL, "like": "grl"}), "DIR")

    def test_a_subset_of_the_bias_values_is_none(self) -> None:
        cells = sweep_cells(like_config("lnl", {**CONTROL, "bias": [{"rho": 1}]}))
        assert [cell.bias_value for cell in cells if cell.like] == [1.0]

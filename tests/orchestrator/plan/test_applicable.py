"""Cells in which a method lacks what it needs: no trials there, and a sentence wherever it matters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from analysis.planning.borrowed import borrowed_components
from orchestrator.config.sweep_file import validate
from orchestrator.directory.sheet import sweep_sheet
from orchestrator.plan.applicable import places_in_words
from orchestrator.plan.cells import choose_cells
from orchestrator.plan.estimate import Timing, estimate
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.search.dispatch import Dispatcher
from store.errors import InputError
from store.sheet.sheet import Sheet
from trainable.methods.base import METHODS, register_method
from trainable.methods.erm import erm


@pytest.fixture(autouse=True)
def methods() -> Iterator[None]:
    space: Any = {"pull": METHODS.get("lnl").space["mu"]}
    for name, need in (("upweighted", "conflicting_samples"), ("grouped", "all_groups")):
        register_method(name, long_name=name, reference="none", space=space, defaults={"pull": 1.0}, needs={need})(erm)
    register_method("follower", long_name="follower", reference="none", defaults={"pull": 1.0})(erm)
    yield
    for name in ("upweighted", "grouped", "follower"):
        METHODS.entries.pop(name)


def plan_of(*methods: Any, rho: Any = (0, 0.5, 1), **more: Any) -> Plan:
    dataset = {"name": "brain_phantom", "bias": {"rho": list(rho)}}
    small = {"search": {"trials": 3}, "confirm": {"seeds": 2}, "training": {"epochs": 1}, "name": "small"}
    return make_plan(validate({"dataset": dataset, "methods": list(methods), **small, **more}))


def where(plan: Plan, label: str) -> list[float]:
    return [cell.bias_value for cell in plan.cells if cell.label == label and cell.not_applicable is not None]


def test_a_method_is_not_applicable_where_no_image_contradicts_the_bias() -> None:
    plan = plan_of("erm", "upweighted")
    assert where(plan, "upweighted") == [0.0, 1.0] and where(plan, "erm") == []
    assert [cell.label for cell in plan.applicable] == ["erm", "erm", "upweighted", "erm"]
    without = [cell for cell in plan.cells if cell.not_applicable is not None]
    assert all(cell.trials == 0 and cell.anchor is None for cell in without)
    assert places_in_words(plan.cells)[1] == (
        "brain_phantom-rho1-gamma0-small_cnn-upweighted: not applicable: upweighted needs training images whose bias "
        "is that of another class, but brain_phantom has none at rho = 1, gamma = 0"
    )


def test_no_trial_is_planned_timed_or_issued_there() -> None:
    plan = plan_of("erm", "upweighted")
    dispatcher = Dispatcher(plan.config, plan.cells)
    assert [cell.bias_value for cell in dispatcher.not_applicable] == [0.0, 1.0]
    assert dispatcher.totals()[0] == 4 * (3 + 2)
    issued = [dispatcher.next() for _ in range(30)]
    assert {spec.bias["rho"] for spec in issued if spec and spec.label == "upweighted"} == {0.5}
    assert {spec.bias["rho"] for spec in issued if spec and spec.label == "erm"} == {0.0, 0.5, 1.0}
    assert len(dispatcher.status()) == 4
    epoch = Timing(seconds=1.0, timed="1 step", device="CPU", gpu_share=0.0, operations=None)
    asked: list[float] = []

    def timer(_: Plan, cells: Any) -> Any:
        asked.extend(cell.bias_value for cell in cells if cell.label == "upweighted")
        return {cell.label: epoch for cell in cells}

    needed = estimate(plan, (), timer)
    assert asked == [0.5] and needed["cells"] == 4 and needed["trials"] == 20


def test_the_sheet_says_why_and_is_read_back() -> None:
    sheet = Sheet(sweep_sheet(plan_of("erm", "upweighted")))
    assert [(cell.label, cell.bias_value) for cell in sheet.not_applicable] == [
        ("upweighted", 0.0),
        ("upweighted", 1.0),
    ]
    assert all("whose bias is that of another class" in str(cell.not_applicable) for cell in sheet.not_applicable)
    assert Sheet(sweep_sheet(plan_of("erm", "lnl"))).not_applicable == ()


def test_no_difference_is_planned_there() -> None:
    rows, _ = borrowed_components(sweep_sheet(plan_of("erm", "upweighted")))
    assert rows["bias_value"].tolist() == [0.5]


def test_what_takes_its_hyperparameters_over_is_not_applicable_where_the_source_is_not() -> None:
    plan = plan_of("upweighted", {"name": "follower", "like": "upweighted"})
    assert where(plan, "follower") == [0.0, 1.0]
    cell = next(cell for cell in plan.cells if cell.label == "follower")
    assert str(cell.not_applicable).startswith("upweighted, whose search chooses, is not applicable: upweighted needs")
    Dispatcher(plan.config, plan.cells)


def test_groups_without_an_image_are_named() -> None:
    with pytest.raises(
        InputError, match=r"method grouped is applicable in no cell of the sweep \(grouped needs a train"
    ):
        plan_of("erm", "grouped")


def test_a_method_that_is_applicable_in_no_cell_is_refused_by_name() -> None:
    with pytest.raises(
        InputError, match=r"method upweighted is applicable in no cell .*: add a bias value where it is"
    ):
        plan_of("erm", "upweighted", rho=[0, 1])


def test_the_declared_comparison_is_refused_where_a_method_is_not_applicable() -> None:
    for at in ("strongest", 1):
        with pytest.raises(
            InputError, match=r"at rho = 1, but upweighted is not applicable there \(.*another value, or"
        ):
            plan_of("erm", "upweighted", primary={"compare": ["upweighted", "erm"], "at": at})
    for allowed in ("area", 0.5):
        plan_of("erm", "upweighted", primary={"compare": ["upweighted", "erm"], "at": allowed})


def test_only_such_cells_cannot_be_chosen() -> None:
    plan = plan_of("erm", "upweighted")
    assert len(choose_cells(plan.cells, "method=upweighted")) == 3
    with pytest.raises(InputError, match="the method is not applicable there"):
        choose_cells(plan.cells, "method=upweighted,rho=1")

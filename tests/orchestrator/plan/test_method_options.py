"""Texts and truth values among the hyperparameters: from the sweep file to what a sampler proposes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.config.sweep_file import parse_config
from orchestrator.plan.cells import Cell
from orchestrator.plan.names import check_values
from orchestrator.search.study import CellStudy
from store.errors import InputError
from tests.orchestrator.support import sweep_cells, sweep_config
from trainable.methods.base import Choices, get_method

BOTH = {"target": {"choice": ["uniform", "prior"]}, "adaptive": {"choice": [False, True]}}
POINT = {"name": "fake", "bias": {"rho": 1.0}}


def cells_of(*methods: Any, **search: Any) -> list[Cell]:
    config = sweep_config(dataset=POINT, methods=list(methods), search={"trials": 12, **search})
    cells = sweep_cells(config)
    for cell in cells:
        check_values("fixed", cell.fixed)
    return cells


def test_a_method_that_does_not_name_them_is_as_before() -> None:
    (cell,) = cells_of("lnl")
    assert not {"target", "adaptive"} & {*cell.space, *cell.fixed, *(cell.anchor or {})}
    assert set(cell.space) | set(cell.fixed) == set(get_method("lnl").defaults)


def test_fixed_ones_stand_in_every_trial_and_in_the_anchor() -> None:
    (cell,) = cells_of({"name": "lnl", "fixed": {"target": "prior", "adaptive": True}})
    assert cell.fixed["target"] == "prior" and cell.fixed["adaptive"] is True
    assert cell.anchor is not None and cell.anchor["target"] == "prior" and cell.anchor["lambda_"] == 0


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_sampler_proposes_them_as_they_were_written(sampler: str) -> None:
    (cell,) = cells_of({"name": "lnl", "space": BOTH})
    assert cell.space["target"] == Choices(("uniform", "prior"))
    assert cell.anchor is not None and (cell.anchor["target"], cell.anchor["adaptive"]) == ("uniform", False)
    study = CellStudy(cell, sampler, 0)
    proposed = []
    for number in range(12):
        values = study.propose(number)
        study.tell(number, "completed", 0.5 + 0.01 * number)
        # Through a row and back, as a resumed driver reads them.
        assert json.loads(json.dumps(values)) == values
        assert number == 0 or study.holds(values)
        proposed.append((values["target"], values["adaptive"]))
    assert {target for target, _ in proposed} == {"uniform", "prior"}
    assert {str(adaptive) for _, adaptive in proposed} == {"False", "True"}


def test_a_control_takes_them_over() -> None:
    cells = cells_of({"name": "lnl", "space": BOTH}, {"name": "permuted_bias", "like": "lnl"})
    like = cells[1].like
    assert like is not None and {"target", "adaptive"} <= set(like.takes)
    fixed = cells_of({"name": "lnl", "fixed": {"target": "prior"}}, {"name": "permuted_bias", "like": "lnl"})
    assert fixed[1].like is not None and "target" in fixed[1].like.takes


def test_a_sweep_file_of_text_is_read_so() -> None:
    text = """
dataset: {name: coloured_digits, bias: {color_variance: 0.02}}
methods:
  - {name: lnl, fixed: {target: prior, adaptive: true}}
  - {name: lnl, label: both, space: {target: {choice: [uniform, prior]}, adaptive: {choice: [false, true]}}}
"""
    config = parse_config(text)
    assert config.methods[0].fixed == {"target": "prior", "adaptive": True}
    assert config.methods[1].space["adaptive"].choice == [False, True]
    again = parse_config(json.dumps(config.model_dump(mode="json", by_alias=True)))
    assert again == config


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ({"name": "lnl", "fixed": {"target": "flat"}}, "lnl: the value of 'target' must be uniform or prior, but got"),
        ({"name": "lnl", "space": {"target": {"choice": ["prior", "x"]}}}, "must be uniform or prior, but got 'x'"),
        ({"name": "lnl", "space": {"adaptive": {"int": [0, 1]}}}, "'adaptive' must be false or true, but got 0"),
        ({"name": "grl", "fixed": {"target": "prior"}}, "unknown hyperparameter of grl 'target'"),
        ({"name": "erm", "fixed": {"adaptive": True}}, "unknown hyperparameter of erm 'adaptive'"),
        ({"name": "lnl", "fixed": {"target": "prior"}, "space": {"target": {"choice": ["prior"]}}}, "both in space"),
    ],
)
def test_wrong_ones_are_refused_before_the_start(method: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        cells_of(method)

"""Places where the group methods have nothing to work on: named by the plan, refused by a single trial."""

from __future__ import annotations

from typing import Any

import pytest

import trainable
from orchestrator.config.sweep_file import validate
from orchestrator.plan.plan import make_plan
from store.errors import InputError
from tests.trainable.methods.groups.test_trials import METHODS

SMALL: dict[str, Any] = {
    "name": "small",
    "search": {"trials": 1},
    "confirm": {"seeds": 1},
    "training": {"epochs": 2},
}
CONSTANT = "is a function of the class"
NONE = "training images whose bias is that of another class"


def test_at_full_bias_they_are_not_applicable() -> None:
    dataset = {"name": "brain_phantom", "bias": {"rho": [0.5, 0.9, 1]}}
    plan = make_plan(validate({"dataset": dataset, "methods": ["erm", *METHODS], **SMALL}))
    reasons = {(cell.label, cell.bias_value): cell.not_applicable for cell in plan.cells}
    for name in METHODS:
        assert reasons[name, 0.5] is None and reasons[name, 0.9] is None
        reason = reasons[name, 1.0]
        assert reason is not None and (NONE if name == "dfr" else CONSTANT) in reason
    assert [reasons["erm", rho] for rho in (0.5, 0.9, 1.0)] == [None] * 3


@pytest.mark.parametrize("name", METHODS)
def test_where_the_bias_is_the_own_classes_colour_they_are_refused_by_name(name: str) -> None:
    # Bias labels of pixels, and as the attribute the mean colour, which is that of the digit at every variance.
    dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
    with pytest.raises(InputError, match=f"method {name} is applicable in no cell of the sweep .*{CONSTANT}"):
        make_plan(validate({"dataset": dataset, "methods": ["erm", name], **SMALL}))
    with pytest.raises(InputError, match=f"^{name} needs .*{CONSTANT}"):
        trainable.train("coloured_digits", method=name, color_variance=0.05, epochs=2, phase="search")


def test_empty_groups_are_allowed_where_another_class_has_several() -> None:
    # Of three classes only gliomas have annotated images and others.
    small: dict[str, Any] = {"dataset_options": {"image_size": 32, "patients": 60}, "phase": "search", "device": "cpu"}
    for name in METHODS:
        run = trainable.train("brain_phantom", method=name, rho=0.6, epochs=2, **small)
        assert run.row["status"] == "completed" and run.row["n_conflicting"] > 0


@pytest.mark.parametrize("name", ["resample", "group_dro", "mixup"])
def test_methods_that_draw_take_no_draw(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} draws its training images itself: leave draw out"):
        trainable.train("brain_phantom", method=name, rho=0.6, epochs=1, draw="balanced")

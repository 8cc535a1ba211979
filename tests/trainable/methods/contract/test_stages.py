"""Stages of a method, and the epochs that each gets."""

from __future__ import annotations

import re
from typing import Any

import pytest

from orchestrator.config.sweep_config import MethodConfig
from orchestrator.plan.space import space_of
from store.errors import InputError
from trainable.methods.base import METHODS, Range, register_method
from trainable.methods.contract.stages import Stage, least_epochs, spans
from trainable.methods.erm import erm
from trainable.spec import Training
from trainable.trial.course import Course
from trainable.trial.optimise import ramp, schedule
from trainable.trial.refusals import check_hyperparameters, check_range

JTT = (Stage("identify", epochs="T"), Stage("train"))
THREE = [("a", 0, 2), ("b", 2, 2), ("c", 4, 1)]


@pytest.mark.parametrize(
    ("stages", "hyper", "epochs", "expected"),
    [
        ((), {}, 7, [("train", 0, 7)]),
        (JTT, {"T": 3}, 4, [("identify", 0, 3), ("train", 3, 1)]),
        (JTT, {"T": 3.0}, 9, [("identify", 0, 3), ("train", 3, 6)]),
        ((Stage("a"), Stage("b", epochs=2), Stage("c", epochs="k")), {"k": 1}, 5, THREE),
    ],
)
def test_the_rest_is_what_the_others_leave(stages: Any, hyper: Any, epochs: int, expected: Any) -> None:
    laid = spans(stages, hyper, epochs)
    assert [(span.stage.name, span.first, span.epochs) for span in laid] == expected
    assert laid[-1].end == epochs


@pytest.mark.parametrize(
    ("values", "epochs", "sentence"),
    [
        ({"T": 3}, 3, "two: a trial has 3 epochs, which leave none for each stage (identify takes 3): raise"),
        ({"T": 2.5}, 9, "the value of 'T', the epochs of stage 'identify', must be a whole number of at least 1"),
        ({"T": 0}, 9, "must be a whole number of at least 1, but got 0"),
        ({"T": True}, 9, "must be a finite number, but got True"),
        ({"T": 2, "pretrain_epochs": 1}, 9, "two: pretrain_epochs must be 0, but got 1: two has stages of its own"),
    ],
)
def test_epochs_that_no_trial_can_follow_are_refused(values: Any, epochs: int, sentence: str) -> None:
    try:
        register_method("two", long_name="Two", reference="none", defaults={"T": 2}, stages=JTT)(erm)
        with pytest.raises(InputError, match=re.escape(sentence)):
            check_hyperparameters(METHODS.get("two"), values, epochs)
    finally:
        METHODS.entries.pop("two", None)


def test_a_range_of_epochs_is_one_of_whole_numbers_that_fit() -> None:
    try:
        register_method("two", long_name="Two", reference="none", defaults={"T": 2}, stages=JTT)(erm)
        method = METHODS.get("two")
        check_range(method, "T", Range(1, 5, integer=True), 6)
        with pytest.raises(InputError, match="a trial has 5 epochs"):
            check_range(method, "T", Range(1, 5, integer=True), 5)
        with pytest.raises(InputError, match="must be a whole number, but the range from 1 to 5 holds others"):
            check_range(method, "T", Range(1, 5), 9)
    finally:
        METHODS.entries.pop("two", None)


@pytest.mark.parametrize(
    ("stages", "sentence"),
    [
        ((Stage("a"), Stage("a", epochs=1)), "must have different names, but got a, a"),
        ((Stage("a"), Stage("b")), "must take the rest of the epochs, but 2 do"),
        ((Stage("a"), Stage("b", epochs="k")), "a hyperparameter or 'rest', but got 'k', which has no default"),
    ],
)
def test_stages_that_cannot_be_meant_are_refused_when_they_are_declared(stages: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        register_method("wrong", long_name="Wrong", reference="none", stages=stages)(erm)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"train": "f"}, "must have one of all, g as train, but got 'f'"),
        ({"on": "test"}, "must have one of train, held_out as on, but got 'test'"),
        ({"reset": "h"}, "must have one of nothing, g, all as reset"),
        ({"epochs": 0}, "must take at least 1 epoch, but got 0"),
    ],
)
def test_a_stage_has_known_values(options: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Stage("a", **options)


def test_fewest_epochs() -> None:
    assert least_epochs((Stage("a", epochs=3), Stage("b"), Stage("c", epochs="k"))) == 5
    assert least_epochs((Stage("a", epochs=3), Stage("b"), Stage("c", epochs="k")), {"k": 4}) == 8


@pytest.mark.parametrize("kind", ["cosine", "step", "constant"])
@pytest.mark.parametrize("pretrain", [0, 1])
def test_one_stage_has_the_schedule_and_the_ramp_of_the_trial(kind: Any, pretrain: int) -> None:
    training = Training(epochs=4, schedule=kind, ramp=0.3)
    course = Course(training, spans((), {}, 4), (5,), pretrain)
    for step in range(20):
        assert course.factor(step) == schedule(training, step, 20)
        first = pretrain * 5
        assert course.ramp(step) == (ramp(0.3, (step - first) / (20 - first)) if step >= first else 0.0)
        assert course.is_pretraining(step) == (step < first)
    assert [course.first_step(epoch) for epoch in range(5)] == [0, 5, 10, 15, 20]


def test_each_stage_has_a_schedule_and_a_ramp_of_its_own() -> None:
    training = Training(epochs=5, ramp=0.5)
    course = Course(training, spans(JTT, {"T": 2}, 5), (3, 4))
    assert [course.first_step(epoch) for epoch in range(6)] == [0, 3, 6, 10, 14, 18]
    for step in range(18):
        within, steps = (step, 6) if step < 6 else (step - 6, 12)
        assert course.factor(step) == schedule(training, within, steps)
        assert course.ramp(step) == ramp(0.5, within / steps)
    with pytest.raises(IndexError):
        course.factor(18)


@pytest.mark.parametrize(
    ("space", "epochs", "sentence"),
    [
        ({"T": {"int": [1, 5]}}, 6, None),
        ({"T": {"int": [1, 5]}}, 4, "a trial has 4 epochs, which leave none for each stage (identify takes 5): raise"),
        ({}, 3, "raise training.epochs to at least 6, or search fewer: space: {T: {int: [1, 2]}}"),
        ({}, 5, "raise training.epochs to at least 6, or search fewer: space: {T: {int: [1, 4]}}"),
        ({}, 2, "raise training.epochs to at least 6, or fix it: fixed: {T: 1}"),
    ],
)
def test_a_searched_length_that_leaves_no_epoch_is_refused(space: Any, epochs: int, sentence: str | None) -> None:
    """Half of a search would fail one trial at a time."""
    try:
        longest = {"T": Range(1, 5, integer=True)}
        register_method("two", long_name="Two", reference="none", space=longest, defaults={"T": 2}, stages=JTT)(erm)
        entry = MethodConfig(name="two", space=space)
        if sentence is None:
            assert space_of(entry, METHODS.get("two"), epochs)[0]["T"] == longest["T"]
            return
        with pytest.raises(InputError, match=re.escape(sentence)):
            space_of(entry, METHODS.get("two"), epochs)
    finally:
        METHODS.entries.pop("two", None)

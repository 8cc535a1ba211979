"""Trials of the group methods: interrupted after each epoch, and what the package's checks say of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.trainable.same_trial import identical, unpacked
from trainable.methods.base import get_method, list_methods
from trainable.spec import TrialSpec
from trainable.testing import assert_passes, check_method
from trainable.trial.trainer import Trainer

MakeSpec = Callable[..., TrialSpec]
METHODS = ("reweight", "resample", "group_dro", "dfr", "bias_balance", "irm", "mixup")


def finished(trainer: Trainer) -> Trainer:
    while not trainer.finished:
        trainer.train_epoch()
    return trainer


@pytest.mark.parametrize("name", METHODS)
def test_the_check_finds_nothing(name: str) -> None:
    findings = list(check_method(name))
    assert_passes(findings)
    assert {finding.level for finding in findings} == {"ok"}


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("name", METHODS)
def test_an_interrupted_trial_equals_an_undisturbed_one(name: str, stop: int, tiny: MakeSpec) -> None:
    options: dict[str, Any] = {"epochs": 4, "phase": "confirm", "bias": {"rho": 0.6}}
    if stop == 2:
        options.update(epoch="best", precision="bf16", optimizer="sgd")
    spec = tiny(name, **options)
    whole, part = finished(Trainer(spec, "cpu")), Trainer(spec, "cpu")
    for _ in range(stop):
        part.train_epoch()
    saved = part.state()
    torch.manual_seed(stop)
    again = Trainer(TrialSpec.from_json(spec.to_json()), "cpu")
    again.load_state(saved)
    assert identical(unpacked(whole), unpacked(finished(again)))
    assert identical(whole.finish().row, again.finish().row)


@pytest.mark.parametrize("name", ["resample", "group_dro", "mixup"])
def test_groups_are_drawn_equally_often_and_anew(name: str, tiny: MakeSpec) -> None:
    feed = Trainer(tiny(name, bias={"rho": 0.6}, batch_size=20), "cpu").feed
    order = feed.order(2)
    assert feed.attribute is not None
    sizes = torch.bincount(feed.y[order] * 4 + feed.attribute[order])
    assert len(order) == feed.n and int(sizes[sizes > 0].max() - sizes[sizes > 0].min()) <= 1
    assert not torch.equal(order, feed.order(3)) and torch.equal(order, feed.order(2))


def test_they_are_registered_with_their_needs_and_the_ranges_of_all() -> None:
    assert set(METHODS) <= set(list_methods())
    common = {"lr", "weight_decay"}
    own = {name: set(get_method(name).space) - common for name in METHODS}
    assert own == {
        "reweight": set(),
        "resample": set(),
        "group_dro": {"eta"},
        "dfr": set(),
        "bias_balance": set(),
        "irm": {"a", "anneal"},
        "mixup": {"p_sel"},
    }
    for name in METHODS:
        method = get_method(name)
        assert {"bias_labels", "group_counts"} <= method.needs and not method.bias_head
        assert all(method.space[key] == get_method("erm").space[key] for key in common)

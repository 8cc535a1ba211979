"""Methods with a state, and methods that are told the bias without a bias head."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from store.errors import InputError
from trainable.methods.base import METHODS, Batch, Facts, Losses, MethodState, Nets, register_method
from trainable.methods.erm import erm
from trainable.spec import TrialSpec
from trainable.trial.trainer import Trainer

MakeSpec = Callable[..., TrialSpec]
seen: dict[str, Any] = {}


class GroupDRO(MethodState):
    """Sagawa et al. 2020, algorithm 1, with the groups (class, attribute)."""

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        assert facts.group_counts is not None
        self.q = torch.full((facts.group_counts.numel(),), 1 / facts.group_counts.numel(), device=facts.device)

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        assert nets.h is None
        logits = nets.g(nets.f(batch.x))
        losses = F.cross_entropy(logits, batch.y, reduction="none")
        group = batch.y * self.facts.n_attributes + batch.attribute
        sums = torch.zeros_like(self.q).index_add(0, group, losses)
        means = sums / torch.bincount(group, minlength=len(self.q)).clamp(min=1)
        self.q.mul_(torch.exp(self.hyper["eta"] * means.detach()))
        self.q.div_(self.q.sum())
        total = (self.q * means).sum()
        torch.autograd.backward(total)
        return Losses(logits.detach(), losses.detach().mean(), total=total.detach())

    def tensors(self) -> Mapping[str, Tensor]:
        return {"q": self.q}


def looks(nets: Nets, batch: Batch, hyper: Mapping[str, Any], ramp: float) -> Losses:
    seen.update(batch=batch, h=nets.h, attribute=batch.attribute)
    return erm(nets, batch, hyper, ramp)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    register_method(
        "dro",
        long_name="Group DRO",
        reference="Sagawa et al. 2020",
        defaults={"eta": 0.1},
        needs={"bias_labels", "group_counts"},
    )(GroupDRO)
    register_method("looks", long_name="Looks", reference="none", needs={"bias_labels"})(looks)
    register_method("conflict", long_name="Conflict", reference="none", needs={"conflicting_samples"})(erm)
    yield
    for name in ("dro", "looks", "conflict"):
        METHODS.entries.pop(name)


def test_an_interrupted_trial_with_state_goes_on_bit_for_bit(tiny: MakeSpec) -> None:
    whole = Trainer(tiny("dro", epochs=4), "cpu")
    while not whole.finished:
        whole.train_epoch()
    part = Trainer(tiny("dro", epochs=4), "cpu")
    for _ in range(2):
        part.train_epoch()
    saved = part.state()
    again = Trainer(tiny("dro", epochs=4), "cpu")
    again.load_state(saved)
    while not again.finished:
        again.train_epoch()
    assert isinstance(whole.stepper.state, GroupDRO) and isinstance(again.stepper.state, GroupDRO)
    assert torch.equal(whole.stepper.state.q, again.stepper.state.q)
    for name, own in whole.nets.f.state_dict().items():
        assert torch.equal(own, again.nets.f.state_dict()[name])
    numbers = [[{k: v for k, v in row.items() if k != "seconds"} for row in one.history] for one in (whole, again)]
    assert numbers[0] == numbers[1]


def test_a_state_that_does_not_fit_changes_nothing(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("dro", epochs=2), "cpu")
    trainer.train_epoch()
    saved = trainer.state()
    other = Trainer(tiny("dro", epochs=2), "cpu")
    assert isinstance(other.stepper.state, GroupDRO)
    other.stepper.state.q = torch.ones(3)
    before = {name: t.clone() for name, t in other.nets.f.state_dict().items()}
    with pytest.raises(ValueError, match="its state of the method at q must be"):
        other.load_state(saved)
    assert all(torch.equal(t, other.nets.f.state_dict()[name]) for name, t in before.items())
    assert other.epoch == 0


def test_a_step_function_leaves_nothing_more_in_a_checkpoint(tiny: MakeSpec) -> None:
    for method, more in (("lnl", set()), ("dro", {"method"})):
        kept = torch.load(io.BytesIO(Trainer(tiny(method), "cpu").state()), weights_only=True)
        usual = {"spec", "epoch", "nets", "optimisers", "history", "reported", "best", "seconds", "started_at"}
        assert set(kept) == usual | more


@pytest.mark.parametrize("spatial", [True, False])
def test_a_method_without_a_head_is_told_the_bias(spatial: bool, tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("looks", dataset_options={"spatial": spatial}, epochs=2), "cpu")
    trainer.train_epoch()
    trainer.train_epoch()
    batch = seen["batch"]
    assert seen["h"] is None and len(batch.b) == len(batch.y)
    assert batch.b.shape[1:] == ((2, 4, 4) if spatial else (2,))
    assert trainer.feed.attribute is not None
    assert torch.equal(seen["attribute"], trainer.feed.attribute[batch.index])
    assert torch.equal(batch.y, trainer.feed.y[batch.index])
    assert (batch.epoch, batch.step) == (1, 2 * len(trainer.feed.sizes) - 1)


def test_a_method_that_has_not_declared_it_is_not_told_the_bias(tiny: MakeSpec) -> None:
    batch = next(iter(Trainer(tiny("erm"), "cpu").feed.batches(0)))
    assert len(batch.b) == 0
    with pytest.raises(RuntimeError, match="bias_labels"):
        _ = batch.attribute


def test_group_counts_are_those_of_the_images_drawn(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("dro"), "cpu")
    assert trainer.stepper.state is not None
    facts = trainer.stepper.state.facts
    assert facts.group_counts is not None and facts.attribute is not None and facts.group_counts.shape == (4, 4)
    assert int(facts.group_counts.sum()) == facts.n == trainer.feed.n
    for y, a in zip(facts.labels.tolist(), facts.attribute.tolist(), strict=True):
        assert facts.group_counts[y, a] > 0
    assert trainer.n_conflicting == int((facts.labels != facts.attribute).sum())


def test_needs_that_are_not_met_are_refused(tiny: MakeSpec) -> None:
    assert Trainer(tiny("conflict"), "cpu").n_conflicting
    with pytest.raises(InputError, match=r"conflict needs training images .*, but tiny has none at rho = 1: leave"):
        Trainer(tiny("conflict", bias={"rho": 1.0}), "cpu")
    with pytest.raises(InputError, match=r"unknown need of method 'x'.*did you mean 'bias_labels'"):
        register_method("x", long_name="X", reference="none", needs={"bias_label"})(erm)


def test_earlier_names_of_traits() -> None:
    try:
        register_method("old", long_name="Old", reference="none", adversarial=True, needs_conflicting_samples=True)(erm)
        method = METHODS.get("old")
    finally:
        METHODS.entries.pop("old", None)
    assert method.bias_head and method.adversarial
    assert method.needs == {"bias_labels", "conflicting_samples"}

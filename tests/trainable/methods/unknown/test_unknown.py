"""JTT and LfF: draws and weights by hand, gradients against the definition, and no look at the bias."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.trainable.methods.waits import no_waits
from tests.trainable.same_trial import identical, unpacked
from trainable.data.parts import ImageSet
from trainable.data.view import DataView
from trainable.methods.base import Batch, Facts, Nets, get_method
from trainable.methods.contract.stages import WHOLE, Span
from trainable.methods.unknown.jtt import drawn_by_weight
from trainable.methods.unknown.lff import LfF, generalised_cross_entropy, per_class
from trainable.spec import TrialSpec
from trainable.testing import assert_passes, check_method
from trainable.trial.trainer import Trainer

MakeSpec = Callable[..., TrialSpec]
NAMES = ("jtt", "lff")


def finished(spec: TrialSpec) -> Trainer:
    trainer = Trainer(spec, "cpu")
    while not trainer.finished:
        trainer.train_epoch()
    return trainer


@pytest.mark.parametrize("name", NAMES)
def test_check(name: str) -> None:
    assert not get_method(name).needs
    findings = check_method(name)
    assert_passes(findings)
    assert [finding.level for finding in findings] == ["ok"] * len(findings)


def poisoned(images: ImageSet) -> ImageSet:
    """The same images with nonsense as their bias."""
    generator = torch.Generator().manual_seed(9)
    attribute = torch.randint(0, 4, images.attribute.shape, generator=generator)
    bias = torch.randint(0, 3, images.bias.shape, generator=generator)
    return dataclasses.replace(images, attribute=attribute, bias=bias)


@pytest.mark.parametrize("name", NAMES)
def test_no_bias_label_is_read(name: str, tiny: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny(name, epochs=4, hyperparameters={"T": 2} if name == "jtt" else {}, phase="confirm")
    own = finished(spec)
    outcome = own.finish()
    train = DataView.train
    given: list[ImageSet] = []

    def nonsense(self: DataView, *arguments: Any) -> ImageSet:
        given.append(poisoned(train(self, *arguments)))
        return given[-1]

    monkeypatch.setattr(DataView, "train", nonsense)
    other = finished(spec)
    assert given and len(set(given[0].attribute.tolist())) == 4
    row = other.finish().row
    # The count of conflicting images describes the data, whatever the method.
    differing = {"n_conflicting"}
    assert other.n_conflicting != own.n_conflicting
    assert identical(
        {k: v for k, v in outcome.row.items() if k not in differing},
        {k: v for k, v in row.items() if k not in differing},
    )
    assert identical(unpacked(own), unpacked(other))


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_trial_equals_an_undisturbed_one(name: str, stop: int, tiny: MakeSpec) -> None:
    spec = tiny(name, epochs=5, phase="confirm")
    whole, part = finished(spec), Trainer(spec, "cpu")
    for _ in range(stop):
        part.train_epoch()
    saved = part.state()
    torch.manual_seed(stop)
    again = Trainer(TrialSpec.from_json(spec.to_json()), "cpu")
    again.load_state(saved)
    while not again.finished:
        again.train_epoch()
    assert identical(unpacked(whole), unpacked(again))
    assert identical(whole.finish().row, again.finish().row)


def test_draws_in_proportion_to_weights() -> None:
    weights = torch.tensor([1.0] * 90 + [20.0] * 10)
    seen = torch.zeros(100)
    for seed in range(200):
        drawn = drawn_by_weight(weights, torch.Generator().manual_seed(seed))
        times = torch.bincount(drawn, minlength=100)
        # 100 / 290 of a time and 2000 / 290 times.
        assert len(drawn) == 100 and set(times[:90].tolist()) <= {0, 1} and set(times[90:].tolist()) <= {6, 7}
        seen += times
    assert float(seen[90:].mean()) / 200 == pytest.approx(2000 / 290, rel=0.01)
    assert float(seen[:90].mean()) / 200 == pytest.approx(100 / 290, rel=0.01)
    everything = drawn_by_weight(torch.full((50,), 3.0), torch.Generator().manual_seed(0))
    assert sorted(everything.tolist()) == list(range(50)) and everything.tolist() != list(range(50))


def test_jtt_trains_twice_and_draws_its_errors_u_times_as_often(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("jtt", epochs=5, hyperparameters={"T": 2, "u": 50.0}), "cpu")
    plain = Trainer(tiny("erm", epochs=2), "cpu")
    first = {name: t.clone() for name, t in trainer.nets.f.state_dict().items()}
    for _ in range(2):
        assert trainer.train_epoch()["train_loss"] == plain.train_epoch()["train_loss"]
    wrong = trainer.nets.g.eval()(trainer.nets.f.eval()(trainer.feed._float(slice(None)))).argmax(1) != trainer.feed.y
    row = trainer.train_epoch()
    state = trainer.stepper.state
    assert state is not None and torch.equal(state.tensors()["wrong"], wrong) and 0 < int(wrong.sum()) < len(wrong)
    assert json.loads(row["terms"])["error_share"] == pytest.approx(float(wrong.float().mean()))
    order = trainer.feed.order(3)
    times = torch.bincount(order, minlength=len(wrong)).double()
    # The last batch of an epoch may be dropped, and a time is drawn up to one.
    expected = len(wrong) * 50 / float(50 * wrong.sum() + (~wrong).sum())
    assert float(times[wrong].mean()) == pytest.approx(expected, abs=1)
    assert not torch.equal(first["0.weight"], trainer.nets.f.state_dict()["0.weight"])


def test_jtt_whose_errors_weigh_1_draws_each_image_once(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("jtt", epochs=3, hyperparameters={"T": 1, "u": 1.0}), "cpu")
    trainer.train_epoch()
    trainer.train_epoch()
    order = trainer.feed.order(2)
    assert len(set(order.tolist())) == len(order)


def test_generalised_cross_entropy_has_p_to_the_q_times_the_gradient() -> None:
    logits = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y = torch.arange(7) % 3
    entropy = F.cross_entropy(logits, y, reduction="none")
    gce = generalised_cross_entropy(entropy, 0.7)
    p = logits.softmax(1)[torch.arange(7), y]
    torch.testing.assert_close(gce, (1 - p**0.7) / 0.7)
    own = torch.autograd.grad(gce.sum(), logits, retain_graph=True)[0]
    weighted = torch.autograd.grad((p.detach() ** 0.7 * entropy).sum(), logits)[0]
    torch.testing.assert_close(own, weighted)
    assert torch.autograd.gradcheck(
        lambda z: generalised_cross_entropy(F.cross_entropy(z, y, reduction="none"), 0.7), (logits,)
    )
    certain = torch.tensor([1e-9, 0.0, 200.0], dtype=torch.float64)
    assert generalised_cross_entropy(certain, 0.7).tolist() == pytest.approx([1e-9, 0.0, 1 / 0.7], rel=1e-6)


class Flat(nn.Module):
    """f and g in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.linear(x)
        return logits


def begun(labels: Tensor) -> LfF:
    def make_nets(role: str) -> Nets:
        torch.manual_seed(len(role))
        return Nets(nn.Identity(), Flat(), None)

    known = Facts(
        len(labels),
        3,
        2,
        4,
        2,
        0,
        torch.device("cpu"),
        labels,
        spans=(Span(WHOLE, 0, 4),),
        make_nets=make_nets,
    )
    state = LfF(known, {"q": 0.7})
    state.losses = state.losses.double()
    return state


@pytest.mark.parametrize("class_weight", [None, torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)])
def test_lff_weights_what_the_biased_network_finds_hard(class_weight: Tensor | None) -> None:
    n, generator = 12, torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    state = begun(labels)
    module = state.biased[1]
    assert isinstance(module, Flat)
    torch.manual_seed(4)
    net, twin, other = Flat(), Flat(), Flat()
    twin.load_state_dict(net.state_dict())
    other.load_state_dict(module.state_dict())
    averaged: dict[tuple[int, int], float] = {}
    # Image 3 stands twice in the second batch, as it may in a balanced draw.
    for index in ([0, 1, 2, 3, 4, 5], [3, 3, 6, 7, 2], [2, 5, 8, 9, 10, 11]):
        x = torch.randn(n, 6, generator=generator, dtype=torch.float64)[index]
        batch = Batch(x, labels[index], torch.empty(0), class_weight, index=torch.tensor(index))
        for one in (net, twin, other, module):
            one.zero_grad()
        losses = state.step(Nets(nn.Identity(), net, None), batch, 1.0)
        entropy = [F.cross_entropy(one(x), batch.y, reduction="none") for one in (other, twin)]
        for row in (0, 1):
            for i in set(index):
                new = max(float(entropy[row][k].detach()) for k in range(len(index)) if index[k] == i)
                averaged[row, i] = 0.7 * averaged[row, i] + 0.3 * new if (row, i) in averaged else new

        def relative(row: int, i: int) -> float:
            of_class = [value for (r, j), value in averaged.items() if r == row and labels[j] == labels[i]]
            return averaged[row, i] / max(of_class)

        W = torch.tensor([relative(0, i) / (relative(0, i) + relative(1, i)) for i in index], dtype=torch.float64)
        c = torch.ones(len(index), dtype=torch.float64) if class_weight is None else class_weight[batch.y]
        gce = (1 - (-entropy[0]).exp() ** 0.7) / 0.7
        total = (W * entropy[1] * c).sum() / c.sum() + (gce * c).sum() / c.sum()
        torch.autograd.backward(total)
        # W is divided by a sum that is larger by 1e-8.
        torch.testing.assert_close(net.linear.weight.grad, twin.linear.weight.grad, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(module.linear.weight.grad, other.linear.weight.grad, rtol=1e-6, atol=1e-7)
        assert float(losses.terms["weight"]) == pytest.approx(float(W.mean()), rel=1e-6)
        assert losses.total is not None and float(losses.total) == pytest.approx(float(total.detach()), rel=1e-6)


def test_lff_where_nothing_is_hard_is_finite() -> None:
    assert per_class(torch.zeros(2, 3), torch.tensor([0, 1, 1]), 3).tolist() == [[0.0] * 3] * 2
    state = begun(torch.tensor([0, 1, 2]))
    net, biased = Flat(), state.biased[1]
    assert isinstance(biased, Flat)
    with torch.no_grad():
        for one in (net, biased):
            one.linear.weight.copy_(1e6 * torch.eye(3, 6, dtype=torch.float64))
    batch = Batch(torch.eye(3, 6, dtype=torch.float64), torch.arange(3), torch.empty(0), index=torch.arange(3))
    losses = state.step(Nets(nn.Identity(), net, None), batch, 1.0)
    assert losses.total is not None and bool(losses.total.isfinite())
    assert net.linear.weight.grad is not None and bool(net.linear.weight.grad.isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_no_step_waits_for_the_device(name: str, tiny: MakeSpec) -> None:
    trainer = Trainer(tiny(name, epochs=4), "cpu")
    batch = next(iter(trainer.feed.batches(3)))
    state = trainer.stepper.state
    assert state is not None
    with no_waits():
        state.step(trainer.nets, batch, 1.0)


def test_the_second_network_of_lff_is_another_one_and_rests_in_pretraining(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("lff", epochs=2, hyperparameters={"pretrain_epochs": 1}), "cpu")
    biased = trainer.stepper.modules["biased"]
    first = {name: t.clone() for name, t in biased.state_dict().items()}
    assert not torch.equal(first["0.0.weight"], trainer.nets.f.state_dict()["0.weight"])
    trainer.train_epoch()
    assert all(torch.equal(t, first[name]) for name, t in biased.state_dict().items())
    trainer.train_epoch()
    assert all(not torch.equal(p, first[name]) for name, p in biased.named_parameters())
    assert set(json.loads(trainer.history[1]["terms"])) == {"weight", "biased_loss"}

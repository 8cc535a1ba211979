"""Hooks of a method with state: when they are called, what they are given, and what they may not give back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from store.errors import InputError
from trainable.methods.base import METHODS, Batch, Facts, Losses, MethodState, Nets, Predict, Stage, register_method
from trainable.methods.erm import erm
from trainable.networks.modes import evaluating
from trainable.spec import TrialSpec
from trainable.trial.sizing.timing import epoch_time
from trainable.trial.trainer import Trainer, TrialFailed

MakeSpec = Callable[..., TrialSpec]
Register = Callable[..., None]


class Plain(MethodState):
    """Plain training, as a class."""

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        return erm(nets, batch, self.hyper, ramp)


@pytest.fixture
def register() -> Iterator[Register]:
    """Register a class as the method ``own`` for one test."""

    def as_own(kind: type[MethodState], **traits: Any) -> None:
        register_method("own", long_name="Own", reference="none", **traits)(kind)

    yield as_own
    METHODS.entries.pop("own", None)


def numbers(trainer: Trainer) -> list[dict[str, Any]]:
    left_out = ("seconds", "terms", "stage")
    return [{k: v for k, v in row.items() if k not in left_out} for row in trainer.history]


def trained(spec: TrialSpec) -> Trainer:
    trainer = Trainer(spec, "cpu")
    while not trainer.finished:
        trainer.train_epoch()
    return trainer


def test_a_class_without_hooks_is_its_step(register: Register, tiny: MakeSpec) -> None:
    register(Plain)
    assert numbers(trained(tiny("own", epochs=3))) == numbers(trained(tiny("erm", epochs=3)))


def test_the_order_of_the_calls(register: Register, tiny: MakeSpec) -> None:
    calls: list[tuple[str, int]] = []

    class Recorded(Plain):
        def begin_epoch(self, epoch: int, nets: Nets, predict: Predict) -> None:
            calls.append(("begin", epoch))

        def order(self, epoch: int, generator: torch.Generator) -> Tensor | None:
            calls.append(("order", epoch))
            return None

        def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
            calls.append(("step", batch.step))
            assert nets.f.training and torch.is_grad_enabled()
            return super().step(nets, batch, ramp)

        def after_step(self, nets: Nets, step: int) -> None:
            calls.append(("after", step))
            assert not torch.is_grad_enabled()

        def evaluated(self, nets: Nets) -> Nets:
            calls.append(("evaluated", -1))
            return nets

    register(Recorded)
    trainer = Trainer(tiny("own", epochs=2, hyperparameters={"pretrain_epochs": 1}), "cpu")
    calls.clear()
    trainer.train_epoch()
    trainer.train_epoch()
    first = [("begin", 0), ("order", 0), *(("after", step) for step in range(3)), ("evaluated", -1)]
    second = [("begin", 1), ("order", 1)]
    second += [(name, step) for step in range(3, 6) for name in ("step", "after")]
    assert calls == [*first, *second, ("evaluated", -1)]


@pytest.mark.parametrize("evaluation", ["eval", "train"])
def test_predictions_are_those_of_an_evaluation_in_order(evaluation: str, register: Register, tiny: MakeSpec) -> None:
    seen: list[Tensor] = []

    class Looking(Plain):
        def begin_epoch(self, epoch: int, nets: Nets, predict: Predict) -> None:
            assert predict() is predict()
            seen.append(predict())

    register(Looking)
    spec = tiny("own", epochs=2, augmentation=("flip",), evaluation=evaluation, dataset_options={"spatial": False})
    trainer = Trainer(spec, "cpu")
    before = {k: t.clone() for k, t in trainer.nets.f.state_dict().items()}
    trainer.stepper.begin_epoch(0, trainer.feed)
    assert all(torch.equal(t, before[k]) for k, t in trainer.nets.f.state_dict().items())
    logits = seen[0]
    assert logits.shape == (trainer.feed.n, 4) and not logits.requires_grad and logits.dtype == torch.float32
    if evaluation == "eval":
        with evaluating(trainer.nets.f, trainer.nets.g), torch.no_grad():
            own = trainer.nets.g(trainer.nets.f(trainer.feed._float(slice(None))))
        torch.testing.assert_close(logits, own)
    # Predictions draw nothing and move nothing: the trial is plain training.
    other = tiny("erm", epochs=2, augmentation=("flip",), evaluation=evaluation, dataset_options={"spatial": False})
    assert numbers(trained(spec)) == numbers(trained(other))


@pytest.mark.parametrize(("length", "sizes"), [(40, [22, 18]), (150, [22] * 6 + [18]), (67, [22] * 3)])
def test_an_epoch_of_another_length(length: int, sizes: list[int], register: Register, tiny: MakeSpec) -> None:
    told: list[int] = []

    class Sampled(Plain):
        def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
            super().__init__(facts, hyper)
            told.append(facts.steps_per_epoch)

        @classmethod
        def length(cls, n: int, hyper: Mapping[str, Any]) -> int:
            return length

        def order(self, epoch: int, generator: torch.Generator) -> Tensor | None:
            return torch.randint(self.facts.n, (length,), generator=generator)

    register(Sampled)
    trainer = trained(tiny("own", epochs=3, schedule="cosine"))
    assert trainer.feed.sizes == sizes and told[-1] == len(sizes)
    steps = 3 * len(sizes)
    last = 0.5 * (1 + math.cos(math.pi * (steps - 1) / steps))
    assert trainer.history[-1]["lr"] == pytest.approx(1e-2 * last)
    assert trainer.images_trained == 3 * sum(sizes)
    assert trainer.row()["n_train"] == 67
    # The same draws for the same seed, and others in another epoch.
    again = Trainer(tiny("own", epochs=3), "cpu")
    assert torch.equal(trainer.feed.order(1), again.feed.order(1))
    assert not torch.equal(trainer.feed.order(1), trainer.feed.order(2))
    assert epoch_time(again).seconds > 0


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (torch.arange(60), r"must be int64 of the shape \[67\], but it gave torch.int64 of the shape \[60\]"),
        (torch.zeros(67), "but it gave torch.float32"),
        (torch.arange(1, 68), "must hold positions from 0 to 66, but it holds others"),
        (torch.arange(-1, 66), "must hold positions from 0 to 66"),
    ],
)
def test_an_order_that_cannot_be_followed_is_refused(
    order: Tensor, sentence: str, register: Register, tiny: MakeSpec
) -> None:
    class Wrong(Plain):
        def order(self, epoch: int, generator: torch.Generator) -> Tensor | None:
            return order

    register(Wrong)
    with pytest.raises(InputError, match=sentence):
        Trainer(tiny("own"), "cpu").train_epoch()
    with pytest.raises(InputError, match="own draws its training images itself: leave draw out"):
        Trainer(tiny("own", draw="balanced"), "cpu")


def test_a_length_without_an_order_is_refused(register: Register, tiny: MakeSpec) -> None:
    class Half(Plain):
        @classmethod
        def length(cls, n: int, hyper: Mapping[str, Any]) -> int:
            return n // 2

    register(Half)
    with pytest.raises(InputError, match=r"whose length\(67\) is 33 must give so many positions, but it gave None"):
        Trainer(tiny("own"), "cpu").train_epoch()


def test_networks_of_another_kind_are_not_judged(register: Register, tiny: MakeSpec) -> None:
    class Other(Plain):
        def evaluated(self, nets: Nets) -> Nets:
            return Nets(nets.f, nn.Linear(3, 4), None)

    register(Other)
    with pytest.raises(InputError, match="with the parameters and buffers of f and g, but its g has others"):
        Trainer(tiny("own"), "cpu").train_epoch()


class OneMore(Plain):
    """A further network, whose gradients stand in it or not."""

    gives = True

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        assert facts.make_nets is not None
        nets = facts.make_nets("more")
        self.more = nn.Sequential(nets.f, nets.g)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"more": self.more}

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        assert self.more.training
        torch.autograd.backward(nn.functional.cross_entropy(self.more(batch.x), batch.y))
        if not self.gives:
            for parameter in self.more.parameters():
                parameter.grad = None
        return super().step(nets, batch, ramp)


@pytest.mark.parametrize("gives", [True, False])
def test_a_further_network_steps_where_it_has_gradients(
    gives: bool, register: Register, tiny: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OneMore, "gives", gives)
    register(OneMore)
    trainer = Trainer(tiny("own", epochs=1), "cpu")
    before = {name: p.detach().clone() for name, p in trainer.stepper.modules["more"].named_parameters()}
    trainer.train_epoch()
    after = dict(trainer.stepper.modules["more"].named_parameters())
    assert all(torch.equal(after[name], value) is not gives for name, value in before.items())


def test_further_networks_differ_by_role_and_seed(register: Register, tiny: MakeSpec) -> None:
    register(OneMore)
    one, same, other = (Trainer(tiny("own", seed=seed), "cpu") for seed in (5, 5, 6))
    weights = [t.stepper.modules["more"].state_dict()["0.0.weight"] for t in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], one.nets.f.state_dict()["0.weight"])
    assert one.stepper.state is not None and one.stepper.state.facts.make_nets is not None
    role = one.stepper.state.facts.make_nets("another").f.state_dict()["0.weight"]
    assert not torch.equal(role, weights[0])


def test_a_further_network_that_is_not_finite_ends_the_trial(register: Register, tiny: MakeSpec) -> None:
    class Broken(OneMore):
        def after_step(self, nets: Nets, step: int) -> None:
            next(self.more.parameters()).fill_(math.nan)

    register(Broken)
    with pytest.raises(TrialFailed, match="a parameter of more is not a finite number"):
        Trainer(tiny("own"), "cpu").train_epoch()


def test_terms_are_means_over_images_and_may_be_infinite(register: Register, tiny: MakeSpec) -> None:
    class Telling(Plain):
        def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
            losses = super().step(nets, batch, ramp)
            size = torch.tensor(float(len(batch.y)))
            terms = {"size": size, "more": size / 0}
            return Losses(losses.logits, losses.label, terms=terms if batch.step else {"size": size})

    register(Telling)
    trainer = Trainer(tiny("own", batch_size=30, epochs=1), "cpu")
    # Batches of 30, 30 and 7.
    assert trainer.train_epoch()["terms"] == f'{{"more": null, "size": {(30 * 30 * 2 + 7 * 7) / 67!r}}}'


SHARED = nn.Linear(2, 2)
NUMBERS = itertools.count()


@pytest.mark.parametrize(
    ("modules", "sentence"),
    [
        ([SHARED], "modules of method own must give networks by name, but gave a list"),
        ({"a": 3}, "must give networks by name, but gave {a: int}"),
        ({"a": SHARED, "b": nn.Sequential(SHARED)}, "must share no parameter, .* but 'a' and 'b' do"),
    ],
)
def test_further_networks_that_cannot_be_trained_are_refused(
    modules: Any, sentence: str, register: Register, tiny: MakeSpec
) -> None:
    class Odd(Plain):
        def modules(self) -> Mapping[str, nn.Module]:
            given: Mapping[str, nn.Module] = modules
            return given

    register(Odd)
    with pytest.raises(InputError, match=sentence):
        Trainer(tiny("own"), "cpu")


def test_an_order_that_is_no_tensor_is_refused(register: Register, tiny: MakeSpec) -> None:
    class Listed(Plain):
        def order(self, epoch: int, generator: torch.Generator) -> Any:
            return list(range(self.facts.n))

    register(Listed)
    with pytest.raises(InputError, match="the order of a method must be an int64 tensor, but is a list"):
        Trainer(tiny("own"), "cpu").train_epoch()


def test_nothing_in_place_of_networks_is_not_judged(register: Register, tiny: MakeSpec) -> None:
    class Nothing(Plain):
        def evaluated(self, nets: Nets) -> Any:
            return None

    register(Nothing)
    with pytest.raises(InputError, match="evaluated of method own must give networks, but it gave a NoneType"):
        Trainer(tiny("own"), "cpu").train_epoch()


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (lambda: {"a": torch.zeros(3)}, "must give the tensors that it holds"),
        (lambda: {"a": 3.0}, "must give tensors, but 'a' is of type float"),
        (lambda: {f"a{next(NUMBERS)}": torch.zeros(3)}, "with the same names at each call"),
        (lambda: [torch.zeros(3)], "must give a mapping with the same names at each call, but gave a list"),
    ],
)
def test_tensors_that_could_not_be_read_back_are_refused(
    tensors: Any, sentence: str, register: Register, tiny: MakeSpec
) -> None:
    class Loose(Plain):
        def tensors(self) -> Mapping[str, Tensor]:
            given: Mapping[str, Tensor] = tensors()
            return given

    register(Loose)
    with pytest.raises(InputError, match=sentence):
        Trainer(tiny("own"), "cpu")


def test_stages_begin_anew_and_only_the_last_is_judged(register: Register, tiny: MakeSpec) -> None:
    networks: list[dict[str, Tensor]] = []

    class Seen(Plain):
        def begin_epoch(self, epoch: int, nets: Nets, predict: Predict) -> None:
            networks.append({k: p.detach().clone() for k, p in nets.f.named_parameters()})

    stages = (Stage("first", epochs=2), Stage("second", reset="all"), Stage("third", epochs=2, reset="g", train="g"))
    register(Seen, stages=stages)
    spec = tiny("own", epochs=6, epoch="best")
    trainer = Trainer(spec, "cpu")
    values = []
    for epoch in range(6):
        trainer.train_epoch()
        values.append(trainer.history[-1][spec.rule])
        reported = trainer.reported["epoch"]
        if epoch < 4:
            assert reported == epoch + 1
    assert reported in (5, 6) and trainer.objective == max(values[4:])
    assert [row["stage"] for row in trainer.history] == ["first"] * 2 + ["second"] * 2 + ["third"] * 2
    # Before the second stage the networks are still those of the first.
    again = Trainer(spec, "cpu")
    for _ in range(2):
        again.train_epoch()
    now = dict(again.nets.f.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in networks[2].items())
    span = again.course.span(2)
    again.stepper.reset(span, lambda name: again._built(f"stage/{name}", False))
    fresh = again._built("stage/second", False)
    for part, own in ((fresh.f, again.nets.f), (fresh.g, again.nets.g)):
        assert all(torch.equal(t, own.state_dict()[k]) for k, t in part.state_dict().items())
    for moments in again.stepper.optimisers[0].state_dict().values():
        assert not any(bool(moment.any()) for moment in moments)
    # In the third f rests.
    assert all(torch.equal(networks[4][name], value) for name, value in networks[5].items())
    assert epoch_time(Trainer(spec, "cpu")).seconds > 0


def test_a_reset_of_g_keeps_the_moments_of_f(register: Register, tiny: MakeSpec) -> None:
    register(Plain, stages=(Stage("first", epochs=1), Stage("second", reset="g")))
    trainer = Trainer(tiny("own", epochs=2), "cpu")
    trainer.train_epoch()
    optimiser = trainer.stepper.optimisers[0]
    trainer.stepper.reset(trainer.course.span(1), lambda name: trainer._built(f"stage/{name}", False))
    of_g = {id(p) for p in trainer.nets.g.parameters()}
    for parameter, moment in zip(optimiser.parameters, optimiser.state_dict()["mean"], strict=True):
        assert bool(moment.any()) is (id(parameter) not in of_g)


def test_what_a_method_draws_is_a_function_of_the_seed(register: Register, tiny: MakeSpec) -> None:
    drawn: list[Tensor] = []

    class Drawing(Plain):
        def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
            super().__init__(facts, hyper)
            self.layer = nn.Linear(3, 3)
            drawn.append(self.layer.weight.detach().clone())

        def modules(self) -> Mapping[str, nn.Module]:
            return {"layer": self.layer}

        def begin_epoch(self, epoch: int, nets: Nets, predict: Predict) -> None:
            drawn.append(torch.rand(3))

    register(Drawing)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    trainer = Trainer(tiny("own", epochs=2), "cpu")
    assert torch.equal(before, torch.get_rng_state())
    trainer.train_epoch()
    torch.manual_seed(2)
    trainer.train_epoch()
    first, drawn[:] = list(drawn), []
    torch.manual_seed(3)
    trained(tiny("own", epochs=2))
    assert all(map(torch.equal, first, drawn)) and not torch.equal(first[1], first[2])

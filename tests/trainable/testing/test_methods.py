"""The check of a method: all of ours pass, and what is broken on purpose is found, with the line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from store.errors import InputError
from trainable.methods.adversary import Prediction, counted, negative_conditional_entropy
from trainable.methods.base import (
    METHODS,
    Batch,
    Facts,
    Losses,
    Method,
    MethodState,
    Nets,
    Range,
    get_method,
    list_methods,
    register_method,
)
from trainable.methods.erm import erm
from trainable.methods.lnl import lnl
from trainable.testing import Finding, assert_passes, check_method

Hyper = Mapping[str, Any]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    METHODS.import_all()
    before = dict(METHODS.entries)
    yield
    METHODS.entries.clear()
    METHODS.entries.update(before)


def method_of(step: Any, **traits: Any) -> Method:
    name = getattr(step, "__name__", "own").lower()
    register_method(name, long_name="Own", reference="none", **traits)(step)
    return METHODS.entries.pop(name)


def adversarial(step: Any) -> Method:
    weights = {"lambda_": Range(1e-3, 10.0, log=True, least=0.0)}
    rate = {"lr_bias": get_method("lnl").space["lr_bias"]}
    defaults = {"lambda_": 1.0, "lr_bias": 1e-2}
    return method_of(step, space=weights | rate, defaults=defaults, bias_head=True, anchor={"lambda_": 0.0})


def not_ok(method: Method | str) -> list[Finding]:
    return [finding for finding in check_method(method) if finding.level != "ok"]


def the_failure(method: Method) -> Finding:
    failures = [finding for finding in check_method(method) if finding.level == "FAIL"]
    assert len(failures) == 1, failures
    assert failures[0].where.partition(":")[0] == __file__ and failures[0].what == f"method {method.name}"
    return failures[0]


@pytest.mark.parametrize("name", list_methods())
def test_our_own_pass_without_a_warning(name: str) -> None:
    assert not_ok(name) == []


def test_a_method_is_left_as_registered_as_it_was() -> None:
    before = dict(METHODS.entries)
    method = dataclasses.replace(get_method("erm"), name="unregistered")
    assert_passes(check_method(method))
    assert METHODS.entries == before
    with pytest.raises(InputError, match="did you mean 'lnl'"):
        check_method("lnk")


class Averaging(MethodState):
    """Keeps a running mean of the loss as a Python float."""

    def __init__(self, facts: Facts, hyper: Hyper) -> None:
        super().__init__(facts, hyper)
        self.mean = 1.0

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        logits = nets.g(nets.f(batch.x))
        loss = F.cross_entropy(logits, batch.y)
        self.mean = 0.9 * self.mean + 0.1 * loss.item()
        (loss / self.mean).backward()
        return Losses(logits.detach(), loss.detach())


class Kept(Averaging):
    """The same, as a tensor that stands in the checkpoint."""

    def __init__(self, facts: Facts, hyper: Hyper) -> None:
        super().__init__(facts, hyper)
        self._mean = torch.ones((), dtype=torch.float64)

    @property
    def mean(self) -> float:  # type: ignore[override]
        return float(self._mean)

    @mean.setter
    def mean(self, value: float) -> None:
        if hasattr(self, "_mean"):
            self._mean.fill_(value)

    def tensors(self) -> Mapping[str, Tensor]:
        return {"mean": self._mean}


def test_a_number_kept_between_steps_is_found() -> None:
    failure = the_failure(method_of(Averaging))
    assert "six epochs at once and three, an interruption" in failure.sentence
    assert "of epoch 4 is " in failure.sentence and "tensors()" in failure.sentence
    assert not_ok(method_of(Kept)) == []


kept_in_the_module: dict[str, float] = {}


def begun_anew(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    """Keeps a running mean in its module, and sets it back at the first step of a trial."""
    logits = nets.g(nets.f(batch.x))
    loss = F.cross_entropy(logits, batch.y)
    mean = 1.0 if batch.step == 0 else kept_in_the_module["mean"]
    kept_in_the_module["mean"] = 0.9 * mean + 0.1 * loss.item()
    (loss / kept_in_the_module["mean"]).backward()
    return Losses(logits.detach(), loss.detach())


def test_a_number_kept_in_a_module_is_found() -> None:
    assert "six epochs at once and three, an interruption" in the_failure(method_of(begun_anew)).sentence


class Drawing(MethodState):
    """Draws from torch's global random numbers, before its first step, where they are seeded."""

    def __init__(self, facts: Facts, hyper: Hyper) -> None:
        super().__init__(facts, hyper)
        self.weights = torch.rand(facts.n)

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        logits = nets.g(nets.f(batch.x))
        assert batch.index is not None
        loss = (F.cross_entropy(logits, batch.y, reduction="none") * self.weights[batch.index]).mean()
        loss.backward()
        return Losses(logits.detach(), loss.detach())


def noisy(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    noise = torch.rand_like(batch.x)
    return erm(nets, dataclasses.replace(batch, x=batch.x + 0.01 * noise), hyper, ramp)


def numpy_noise(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    return erm(nets, dataclasses.replace(batch, x=batch.x * float(np.random.rand())), hyper, ramp)


def switching(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    torch.set_deterministic_debug_mode("warn")
    return erm(nets, batch, hyper, ramp)


def test_draws_from_global_random_numbers_are_found() -> None:
    assert not_ok(method_of(Drawing)) == []
    changing, differing = not_ok(method_of(numpy_noise))[:2]
    assert "it changes NumPy's random numbers of the process" in changing.sentence
    assert "two trials with the same seed differ" in differing.sentence
    assert "torch_generator(seed, ROLE)" in differing.sentence
    changing = the_failure(method_of(switching))
    assert "it changes deterministic algorithms of the process" in changing.sentence
    # Within a step they are fixed by the trainer, and only pairing is lost.
    (warning,) = not_ok(method_of(noisy))
    assert warning.level == "warn" and "torch's global random numbers" in warning.sentence
    assert warning.where.startswith(f"{__file__}:")


def lnl_moves_h(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    """L_MI pulls at h too."""
    assert nets.h is not None
    losses = lnl(nets, batch, {**hyper, "mu": 0.0}, ramp)
    if hyper["lambda_"]:
        places, labels = counted(batch)
        q = nets.h(nets.f(batch.x).detach(), places)
        _, gradient = negative_conditional_entropy(Prediction.of(q, labels))
        (hyper["lambda_"] * (q * gradient).sum()).backward()
    return losses


def test_h_trained_on_mutual_information_is_found() -> None:
    findings = not_ok(adversarial(lnl_moves_h))
    assert "h must move on its cross-entropy L_B alone, but lambda_ = 2 changes its gradient" in findings[0].sentence


def never_erm(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    """A term that stays with a weight of 0."""
    losses = lnl(nets, batch, {**hyper, "mu": 0.0}, ramp)
    (1e-3 * nets.f(batch.x).square().mean()).backward()
    return losses


def test_an_anchor_that_is_not_erm_is_found() -> None:
    failures = [finding for finding in check_method(adversarial(never_erm)) if finding.level == "FAIL"]
    assert "with lambda_ = 0.0 it must equal erm bit for bit, but after two epochs f" in failures[0].sentence


def logarithm(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    """log(softmax), which is infinite where h is certain."""
    assert nets.h is not None
    losses = lnl(nets, batch, {**hyper, "mu": 0.0}, ramp)
    Q = nets.h(nets.f(batch.x), None).softmax(-1)
    mi = (Q * Q.log()).sum(-1).mean()
    return dataclasses.replace(losses, mi=mi.detach())


def test_a_logarithm_of_a_softmax_is_found() -> None:
    assert any(
        "L_MI is not finite where h is certain" in finding.sentence for finding in not_ok(adversarial(logarithm))
    )


def raises(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    raise KeyError("no such column")


def leaves(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    raise SystemExit(3)


def infinite(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    losses = erm(nets, batch, hyper, ramp)
    return dataclasses.replace(losses, label=losses.label * float("nan"))


def idle(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    logits = nets.g(nets.f(batch.x)).detach()
    return Losses(logits, F.cross_entropy(logits, batch.y))


def headless(nets: Nets, batch: Batch, hyper: Hyper, ramp: float) -> Losses:
    logits = nets.g(nets.f(batch.x).detach())
    loss = F.cross_entropy(logits, batch.y)
    loss.backward()
    return Losses(logits.detach(), loss.detach())


def test_what_ends_a_trial_is_one_line_with_the_users_own() -> None:
    for step, words in (
        (raises, "an epoch of training: KeyError: 'no such column'"),
        (leaves, "it ends the process (SystemExit: 3)"),
        (infinite, "train_loss is nan"),
        (idle, "no parameter of f and g has moved"),
    ):
        assert words in the_failure(method_of(step)).sentence
    (warning,) = not_ok(method_of(headless))
    assert warning.level == "warn" and "no parameter of f has moved" in warning.sentence


def test_declarations() -> None:
    far = Range(-1.0, 10.0, least=0.0)
    failure = next(f for f in check_method(method_of(erm, space={"x": far}, defaults={"x": 1.0})) if f.level == "FAIL")
    assert "the value of 'x' must be at least 0" in failure.sentence
    method = method_of(lnl, defaults={"lambda_": 1.0, "mu": 1.0}, bias_head=True)
    assert "it needs a default of lr_bias" in next(f for f in check_method(method) if f.level == "FAIL").sentence
    with pytest.raises(AssertionError, match=r"^FAIL  method lnl: it needs a default of lr_bias"):
        assert_passes(check_method(method))

"""A checkpoint that does not fit leaves every tensor of a trial as it is."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainable.methods.base import METHODS, Batch, Facts, Losses, MethodState, Nets, register_method
from trainable.methods.erm import erm
from trainable.spec import TrialSpec
from trainable.trial.trainer import Trainer

MakeSpec = Callable[..., TrialSpec]
Change = Callable[[dict[str, Any]], Any]


class Full(MethodState):
    """Tensors, a further network and a bias head: all that a checkpoint can hold."""

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        self.q = torch.full((3,), math.inf)
        self.count = torch.zeros((), dtype=torch.int64)
        assert facts.make_nets is not None
        nets = facts.make_nets("more")
        self.more = nn.Sequential(nets.f, nets.g)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"more": self.more}

    def tensors(self) -> Mapping[str, Tensor]:
        return {"q": self.q, "count": self.count}

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        self.count += 1
        torch.autograd.backward(nn.functional.cross_entropy(self.more(batch.x), batch.y))
        return erm(nets, batch, self.hyper, ramp)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    defaults = {"lr_bias": 1e-3}
    register_method("full", long_name="Full", reference="none", bias_head=True, defaults=defaults)(Full)
    yield
    METHODS.entries.pop("full")


def everything(trainer: Trainer) -> list[Tensor]:
    """Copies of all tensors, those that no checkpoint names included."""
    stepper = trainer.stepper
    held = [t for part in (*trainer.parts().values(), *stepper.modules.values()) for t in part.state_dict().values()]
    for optimiser in (*stepper.optimisers, *stepper.further.values()):
        held += [moment for moments in optimiser.state_dict().values() for moment in moments]
    held += list(stepper.tensors().values())
    held += [t for state in (trainer.best or {}).values() for t in state.values()]
    return [tensor.clone() for tensor in held]


def without(*path: Any) -> Change:
    def change(kept: dict[str, Any]) -> None:
        *to, last = path
        inner: Any = kept
        for key in to:
            inner = inner[key]
        del inner[last]

    return change


def with_value(value: Any, *path: Any) -> Change:
    def change(kept: dict[str, Any]) -> None:
        *to, last = path
        inner: Any = kept
        for key in to:
            inner = inner[key]
        inner[last] = value(inner[last]) if callable(value) else value

    return change


def broken(tensor: Tensor) -> Tensor:
    other = tensor.clone()
    other.view(-1)[-1] = math.nan
    return other


CHANGES: dict[str, Change] = {
    "no f": without("nets", "f"),
    "a weight of h is missing": without("nets", "h", "inner.hidden.weight"),
    "a weight of g has another shape": with_value(lambda t: t[:-1], "nets", "g", "1.bias"),
    "a weight of g has another dtype": with_value(lambda t: t.double(), "nets", "g", "1.bias"),
    "a weight of h is no number": with_value(broken, "nets", "h", "inner.hidden.weight"),
    "an average of BatchNorm is no number": with_value(broken, "nets", "f", "1.running_var"),
    "one optimiser is missing": with_value(lambda some: some[:1], "optimisers"),
    "moments of another optimiser": with_value(lambda m: {"momentum": m["mean"]}, "optimisers", 1),
    "a moment has another shape": with_value(lambda m: [*m[:-1], m[-1][:-1]], "optimisers", 0, "mean"),
    "a moment is missing": with_value(lambda m: m[:-1], "optimisers", 0, "square"),
    "no tensors of the method": without("method"),
    "a tensor of the method is missing": without("method", "q"),
    "a tensor of the method has another dtype": with_value(lambda t: t.float(), "method", "count"),
    "no further networks": without("modules"),
    "a further network has another name": with_value(lambda m: {"less": m["more"]}, "modules"),
    "a weight of a further network is no number": with_value(broken, "modules", "more", "weights", "1.1.bias"),
    "moments of a further network are missing": without("modules", "more", "moments", "steps"),
    "the best g is missing": without("best", "g"),
    "the best f is no number": with_value(broken, "best", "f", "0.bias"),
    "the best f is of another kind": with_value({"weight": torch.zeros(3)}, "best", "f"),
    "no history": without("history"),
    "an epoch is missing": with_value(lambda rows: rows[:-1], "history"),
    "another epoch": with_value(3, "epoch"),
    "no seconds": without("seconds"),
    "other seconds": with_value({"all": 1.0}, "seconds"),
    "no time": with_value("yesterday", "started_at"),
    "no reported epoch": without("reported"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_checkpoint_that_does_not_fit_changes_no_tensor(change: Change, tiny: MakeSpec) -> None:
    spec = tiny("full", epochs=4, epoch="best")
    trainer, other = Trainer(spec, "cpu"), Trainer(spec, "cpu")
    for _ in range(2):
        trainer.train_epoch()
    other.train_epoch()
    kept = torch.load(io.BytesIO(trainer.state()), weights_only=True)
    change(kept)
    file = io.BytesIO()
    torch.save(kept, file)
    before = everything(other)
    fields = (other.epoch, list(other.history), dict(other.reported), dict(other.seconds), other.started_at)
    with pytest.raises((ValueError, KeyError)):
        other.load_state(file.getvalue())
    after = everything(other)
    assert len(before) == len(after) and all(map(torch.equal, before, after))
    assert fields == (other.epoch, other.history, other.reported, other.seconds, other.started_at)
    # It goes on as if nothing had happened.
    other.train_epoch()
    trainer_row, other_row = trainer.history[1], other.history[1]
    assert {k: v for k, v in trainer_row.items() if k != "seconds"} == {
        k: v for k, v in other_row.items() if k != "seconds"
    }


def test_a_checkpoint_that_fits_is_read_whole(tiny: MakeSpec) -> None:
    spec = tiny("full", epochs=4, epoch="best")
    trainer, other = Trainer(spec, "cpu"), Trainer(spec, "cpu")
    for _ in range(2):
        trainer.train_epoch()
    other.load_state(trainer.state())
    assert all(map(torch.equal, everything(trainer), everything(other)))
    # What a method holds may be infinite: it was so in the trial that went before.
    assert math.isinf(float(other.stepper.tensors()["q"][0])) and int(other.stepper.tensors()["count"]) == 6


def test_the_sentence_names_the_place(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("full"), "cpu")
    kept = torch.load(io.BytesIO(trainer.state()), weights_only=True)
    kept["modules"]["more"]["weights"]["1.1.bias"] = torch.zeros(9)
    file = io.BytesIO()
    torch.save(kept, file)
    place = r"its further networks of the method at more\.weights\.1\.1\.bias must be torch.float32 of the shape \[4\]"
    with pytest.raises(ValueError, match=place + r", but got torch.float32 of the shape \[9\]"):
        trainer.load_state(file.getvalue())

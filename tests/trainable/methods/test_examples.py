"""Methods of a user's own, one file each: their gradients, and their trials interrupted after every epoch."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.trainable.same_trial import identical, unpacked
from trainable.methods.base import METHODS, Batch, Facts, MethodState, Nets
from trainable.methods.contract.stages import WHOLE, Span
from trainable.spec import TrialSpec
from trainable.trial.trainer import Trainer

MakeSpec = Callable[..., TrialSpec]
FOLDER = Path(__file__).parents[2] / "examples"
NAMES = ("own_group_dro", "own_jtt", "own_lff", "swa", "own_dfr")
N, K, A = 12, 3, 2


@pytest.fixture(autouse=True)
def examples() -> Iterator[None]:
    """Register all of them for one test."""
    for name in NAMES:
        spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    yield
    for name in NAMES:
        METHODS.entries.pop(name)
        sys.modules.pop(f"example_{name}")


def finished(spec: TrialSpec) -> Trainer:
    trainer = Trainer(spec, "cpu")
    while not trainer.finished:
        trainer.train_epoch()
    return trainer


@pytest.mark.parametrize("stop", range(1, 6))
@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_trial_equals_an_undisturbed_one(name: str, stop: int, tiny: MakeSpec) -> None:
    options: dict[str, Any] = {"epochs": 5, "phase": "confirm", "keep_model": True}
    if stop in (2, 3):
        options.update(epoch="best", precision="bf16", optimizer="sgd")
    spec = tiny(name, **options)
    whole = finished(spec)
    part = Trainer(spec, "cpu")
    for _ in range(stop):
        part.train_epoch()
    saved = part.state()
    torch.manual_seed(stop)
    again = Trainer(TrialSpec.from_json(spec.to_json()), "cpu")
    again.load_state(saved)
    while not again.finished:
        again.train_epoch()
    assert identical(unpacked(whole), unpacked(again))
    one, other = whole.finish(), again.finish()
    assert identical(one.row, other.row)
    assert one.model is not None and other.model is not None
    # The order of its metadata is by chance.
    weights = [dict(sorted(safetensors.torch.load(model).items())) for model in (one.model, other.model)]
    assert identical(*weights)
    assert one.predictions is not None and other.predictions is not None
    for key, values in one.predictions.items():
        assert list(values) == list(other.predictions[key])


def test_the_example_of_the_page_is_short() -> None:
    lines = (FOLDER / "own_group_dro.py").read_text().split("class GroupDRO", 1)[1].splitlines()
    assert len([line for line in lines if line.strip()]) <= 25


@pytest.mark.parametrize("name", ["own_group_dro", "own_jtt"])
def test_the_page_has_the_example_whole(name: str) -> None:
    page = (FOLDER.parents[1] / "docs" / "own_method.md").read_text()
    block = page.split(f"```python {name}.py\n", 1)[1].split("```", 1)[0]
    assert block == (FOLDER / f"{name}.py").read_text()


class Flat(nn.Module):
    """f and g in float64, so that gradients can be compared closely."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, K).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def facts(**more: Any) -> Facts:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(N) % K
    attribute = torch.randint(0, A, (N,), generator=generator)
    counts = torch.bincount(labels * A + attribute, minlength=K * A).view(K, A)

    def make_nets(role: str) -> Nets:
        torch.manual_seed(len(role))
        return Nets(nn.Identity(), Flat(), None)

    given = {
        "n": N,
        "n_classes": K,
        "n_attributes": A,
        "epochs": 4,
        "steps_per_epoch": 2,
        "seed": 0,
        "device": torch.device("cpu"),
        "labels": labels,
        "attribute": attribute,
        "group_counts": counts,
        "spans": (Span(WHOLE, 0, 4),),
        "make_nets": make_nets,
    }
    return Facts(**{**given, **more})


def begun(name: str, known: Facts, **hyper: Any) -> MethodState:
    method = METHODS.get(name)
    assert isinstance(method.step, type)
    state: MethodState = method.step(known, {**method.defaults, **hyper})
    return state


def batch_of(known: Facts, index: Tensor) -> Batch:
    x = torch.randn(N, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Batch(x[index], known.labels[index], index[:0], index=index, attributes=known.attribute)


def test_group_dro_follows_algorithm_1() -> None:
    known = facts()
    assert known.attribute is not None and known.group_counts is not None
    state = begun("own_group_dro", known, eta=0.5)
    state.q = state.q.double()
    q = [1.0 / int((known.group_counts > 0).sum()) if n else 0.0 for n in known.group_counts.flatten().tolist()]
    torch.manual_seed(3)
    net, twin = Flat(), Flat()
    twin.load_state_dict(net.state_dict())
    for index in (torch.tensor([0, 1, 2, 3, 4]), torch.tensor([5, 5, 7, 8])):
        batch = batch_of(known, index)
        net.zero_grad(), twin.zero_grad()
        losses = state.step(Nets(nn.Identity(), net, None), batch, 1.0)
        # One image at a time, as the algorithm is written.
        per_group: dict[int, list[Tensor]] = {}
        for x, y, b in zip(batch.x, batch.y.tolist(), batch.attribute.tolist(), strict=True):
            per_group.setdefault(y * A + b, []).append(-F.log_softmax(twin(x), dim=0)[y])
        means = {group: torch.stack(some).mean() for group, some in per_group.items()}
        q = [p * float(torch.exp(0.5 * means[g].detach())) if g in means else p for g, p in enumerate(q)]
        q = [p / sum(q) for p in q]
        total = sum((q[g] * mean for g, mean in means.items()), torch.zeros((), dtype=torch.float64))
        torch.autograd.backward(total)
        torch.testing.assert_close(state.q, torch.tensor(q, dtype=torch.float64))
        assert losses.total is not None and float(losses.terms["q_max"]) == pytest.approx(max(q))
        torch.testing.assert_close(losses.total, total.detach())
        torch.testing.assert_close(net.linear.weight.grad, twin.linear.weight.grad)


def test_group_dro_draws_its_groups_equally_often(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("own_group_dro", batch_size=20), "cpu")
    order = trainer.feed.order(3)
    assert trainer.feed.attribute is not None
    sizes = torch.bincount(trainer.feed.y[order] * 4 + trainer.feed.attribute[order])
    assert len(order) == trainer.feed.n and int(sizes[sizes > 0].max() - sizes[sizes > 0].min()) <= 1
    assert not torch.equal(order, trainer.feed.order(4))


def test_lff_weighs_what_the_biased_network_finds_hard() -> None:
    known = facts()
    state = begun("own_lff", known, q=0.7)
    state.losses = state.losses.double()
    torch.manual_seed(3)
    net, twin = Flat(), Flat()
    twin.load_state_dict(net.state_dict())
    biased = state.modules()["biased"]
    other = Flat()
    other.load_state_dict(biased[1].state_dict())
    averaged = torch.zeros(2, N, dtype=torch.float64)
    for index in (torch.tensor([0, 1, 2, 3, 4]), torch.tensor([3, 4, 5, 6])):
        batch = batch_of(known, index)
        for module in (net, twin, biased, other):
            module.zero_grad()
        losses = state.step(Nets(nn.Identity(), net, None), batch, 1.0)
        log_p = [-F.cross_entropy(module(batch.x), batch.y, reduction="none") for module in (other, twin)]
        for row, value in enumerate(log_p):
            averaged[row, index] = 0.7 * averaged[row, index] - 0.3 * value.detach()
        scaled = averaged.clone()
        for row in range(2):
            for k in range(K):
                scaled[row, known.labels == k] /= averaged[row, known.labels == k].max().clamp(min=1e-8)
        weight = (scaled[0] / (scaled[0] + scaled[1] + 1e-8))[index]
        torch.autograd.backward((weight * -log_p[1]).mean() + ((1 - log_p[0].exp() ** 0.7) / 0.7).mean())
        torch.testing.assert_close(net.linear.weight.grad, twin.linear.weight.grad)
        torch.testing.assert_close(biased[1].linear.weight.grad, other.linear.weight.grad)
        assert float(losses.terms["weight"]) == pytest.approx(float(weight.mean()))


def test_the_second_network_of_lff_is_trained_and_differs(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("own_lff", epochs=2, hyperparameters={"pretrain_epochs": 1}), "cpu")
    biased = trainer.stepper.modules["biased"]
    first = {name: t.clone() for name, t in biased.state_dict().items()}
    own = {**{f"0.{k}": t for k, t in trainer.nets.f.state_dict().items()}}
    assert not torch.equal(first["0.0.weight"], own["0.0.weight"])
    trainer.train_epoch()
    # It rests in pre-training.
    assert all(torch.equal(t, first[name]) for name, t in biased.state_dict().items())
    trainer.train_epoch()
    moved = [not torch.equal(p, first[name]) for name, p in biased.named_parameters()]
    assert all(moved)
    terms = [row["terms"] for row in trainer.history]
    assert terms[0] is None and set(json.loads(terms[1])) == {"weight", "biased_loss"}


def test_swa_averages_and_is_judged_by_the_average(tiny: MakeSpec) -> None:
    spec = tiny("swa", epochs=4, hyperparameters={"start": 0.5}, phase="confirm")
    trainer = Trainer(spec, "cpu")
    seen = []
    while not trainer.finished:
        trainer.train_epoch()
        seen.append({name: p.detach().clone() for name, p in trainer.nets.f.named_parameters()})
    average = dict(trainer.reported_nets().f.named_parameters())
    for name, value in average.items():
        torch.testing.assert_close(value, (seen[2][name] + seen[3][name]) / 2)
    plain = finished(tiny("erm", epochs=4))
    # Up to the first average they are the same trial.
    for row, other in zip(trainer.history[:2], plain.history[:2], strict=True):
        assert {k: v for k, v in row.items() if k not in ("seconds", "test_accuracy")} == {
            k: v for k, v in other.items() if k not in ("seconds", "test_accuracy")
        }
    assert trainer.history[3]["train_loss"] == plain.history[3]["train_loss"]


def test_jtt_trains_twice_and_draws_the_errors_more_often(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("own_jtt", epochs=5, hyperparameters={"T": 2, "u": 50.0}), "cpu")
    plain = Trainer(tiny("erm", epochs=2), "cpu")
    rates, losses = [], []
    for epoch in range(5):
        row = trainer.train_epoch()
        rates.append(row["lr"])
        losses.append((row["stage"], row["train_loss"]))
        if epoch < 2:
            # The first stage is plain training of that length.
            assert row["train_loss"] == plain.train_epoch()["train_loss"]
    assert [stage for stage, _ in losses] == ["identify", "identify", "train", "train", "train"]
    # A schedule of its own for each stage.
    assert rates[1] < rates[0] and rates[2] > rates[1]
    state = trainer.stepper.state
    assert state is not None
    wrong = state.tensors()["wrong"]
    assert 0 < int(wrong.sum()) < trainer.feed.n
    order = trainer.feed.order(3)
    assert float(wrong[order].double().mean()) > 2 * float(wrong.double().mean())


def test_dfr_leaves_f_as_it_is_and_trains_g_on_images_that_it_has_not_seen(tiny: MakeSpec) -> None:
    spec = tiny("own_dfr", epochs=4, hyperparameters={"T": 2}, bias={"rho": 0.6})
    trainer = Trainer(spec, "cpu")
    for _ in range(2):
        trainer.train_epoch()
    f = {name: t.clone() for name, t in trainer.nets.f.state_dict().items()}
    g = {name: t.clone() for name, t in trainer.nets.g.named_parameters()}
    for _ in range(2):
        trainer.train_epoch()
    assert all(torch.equal(t, f[name]) for name, t in trainer.nets.f.state_dict().items())
    assert not any(torch.equal(p, g[name]) for name, p in trainer.nets.g.named_parameters() if p.dim() > 1)
    assert all(p.requires_grad for p in trainer.nets.f.parameters())
    held, rest = trainer.feeds["held_out"], trainer.feeds["train"]
    assert held.n + rest.n == trainer.n_train == trainer.row()["n_train"] == len(trainer.view.split.train)
    order = held.order(3)
    assert held.attribute is not None
    sizes = torch.bincount(held.y[order] * 4 + held.attribute[order])
    assert int(sizes[sizes > 0].max() - sizes[sizes > 0].min()) <= 1

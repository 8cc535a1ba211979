"""Options of the adversarial methods: the prior as the target, adaptive weights, and how options are given."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from store.errors import InputError
from trainable.data.base import IGNORED, BiasHeads
from trainable.methods.adversary import Prediction, negative_conditional_entropy
from trainable.methods.adversary_options import divergence_from, send_back_clipped
from trainable.methods.base import Batch, Choices, Nets, get_method, register_method
from trainable.methods.erm import erm
from trainable.networks.heads import PointwiseHead
from trainable.spec import TrialSpec
from trainable.testing import assert_passes, check_method
from trainable.testing.training import tensors_of, trained
from trainable.trial.feed import counts_of_labels
from trainable.trial.refusals import check_hyperparameters
from trainable.trial.trainer import Trainer

MakeSpec = Callable[..., TrialSpec]
M, HEADS, VALUES = 7, 2, 4
COUNTS = torch.tensor([[5.0, 2, 0, 1], [1, 1, 1, 5]], dtype=torch.float64)
ADVERSARIAL = ("lnl", "grl", "blind_eye", "permuted_bias")


def logits(scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(M, HEADS, VALUES, dtype=torch.float64, generator=generator)


def labels() -> Tensor:
    drawn = torch.randint(0, VALUES, (M, HEADS), generator=torch.Generator().manual_seed(1))
    drawn[2, 0] = IGNORED
    return drawn


def naive(q: Tensor, b: Tensor, counts: Tensor) -> Tensor:
    """Mean of KL(Q || p) over what is counted, term by term."""
    found = []
    for i in range(M):
        for head in range(HEADS):
            if b[i, head] != IGNORED:
                Q = q[i, head].softmax(0)
                p = (counts[head] + 1) / (counts[head] + 1).sum()
                found.append(torch.stack([Q[v] * (Q[v] / p[v]).log() for v in range(VALUES)]).sum())
    return torch.stack(found).mean()


def test_the_divergence_from_the_prior_and_its_gradient() -> None:
    q = logits().requires_grad_()
    wanted = naive(q, labels(), COUNTS)
    loss, gradient = divergence_from(COUNTS)(Prediction.of(q, labels()))
    assert float(loss) == pytest.approx(float(wanted.detach()), rel=1e-12)
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted, q)[0], rtol=1e-10, atol=1e-14)
    assert not gradient[2, 0].any()


def test_it_is_the_mutual_information_up_to_a_constant_where_values_are_as_frequent() -> None:
    p = Prediction.of(logits(), labels())
    own = divergence_from(torch.full((HEADS, VALUES), 3.0, dtype=torch.float64))(p)
    other = negative_conditional_entropy(p)
    assert float(own[0]) == pytest.approx(float(other[0]) + float(torch.tensor(VALUES).double().log()))
    torch.testing.assert_close(own[1], other[1])


def test_it_is_least_at_the_prior_where_the_uniform_target_pushes_on() -> None:
    every = COUNTS + 1
    at_prior = (every / every.sum(1, keepdim=True)).log().expand(M, HEADS, VALUES)
    p = Prediction.of(at_prior, labels())
    loss, gradient = divergence_from(COUNTS)(p)
    assert abs(float(loss)) < 1e-12 and float(gradient.abs().max()) < 1e-12
    assert float(negative_conditional_entropy(p)[1].abs().max()) > 1e-3


def test_values_that_training_never_has_are_fewer_columns() -> None:
    p = Prediction.of(logits(), labels())
    short = divergence_from(torch.tensor([[5.0, 2], [1, 1]], dtype=torch.float64))(p)
    padded = divergence_from(torch.tensor([[5.0, 2, 0, 0], [1, 1, 0, 0]], dtype=torch.float64))(p)
    assert torch.equal(short[0], padded[0]) and torch.equal(short[1], padded[1])


def test_it_is_finite_at_saturation() -> None:
    loss, gradient = divergence_from(COUNTS)(Prediction.of(logits(1e4), labels()))
    assert bool(loss.isfinite()) and bool(gradient.isfinite().all())


def test_counts_of_labels_by_hand() -> None:
    spatial = torch.tensor([[[[0], [1]]], [[[IGNORED], [1]]], [[[2], [2]]]])
    assert counts_of_labels(spatial).tolist() == [[1.0, 2.0, 2.0]]
    # Groups of 2 and 1 are drawn 3/2 times each: an image of the first .75 times, of the second 1.5 times.
    assert counts_of_labels(spatial, torch.tensor([0, 0, 3])).tolist() == [[0.75, 1.5, 3.0]]
    assert counts_of_labels(spatial, torch.tensor([IGNORED, 0, 3])).tolist() == [[0.0, 1.5, 3.0]]
    assert counts_of_labels(torch.full((3, 2), IGNORED)).tolist() == [[], []]


@pytest.mark.parametrize("spatial", [True, False])
def test_a_batch_counts_all_training_images_once_asked(spatial: bool, tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("lnl", dataset_options={"spatial": spatial}), "cpu")
    batch = next(iter(trainer.feed.batches(0)))
    assert batch.label_counts is not None
    b = trainer.feed._b
    assert b is not None
    counts = batch.label_counts()
    wanted = [[int((b[..., head] == value).sum()) for value in range(counts.shape[1])] for head in range(b.shape[-1])]
    assert counts.tolist() == wanted and batch.label_counts() is counts
    assert next(iter(Trainer(tiny("erm"), "cpu").feed.batches(0))).label_counts is None


def make() -> tuple[Nets, Batch]:
    torch.manual_seed(0)
    f = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 7, 1))
    g = nn.Sequential(nn.Flatten(), nn.Linear(7 * 36, 3))
    h = PointwiseHead(7, 9, BiasHeads(("r", "g"), VALUES, False))
    b = torch.randint(0, VALUES, (12, HEADS))
    batch = Batch(
        torch.rand(12, 3, 8, 8, dtype=torch.float64), torch.arange(12) % 3, b, label_counts=lambda: counts_of_labels(b)
    )
    return Nets(f.double(), g.double(), h.double()), batch


def step(name: str, nets: Nets, batch: Batch, **hyper: Any) -> Any:
    method = get_method(name)
    assert not isinstance(method.step, type)
    return method.step(nets, batch, {**method.defaults, **hyper}, 1.0)


def gradients(module: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in module.parameters() if p.grad is not None]


def test_lnl_with_the_prior_is_what_two_passes_give() -> None:
    nets, batch = make()
    losses = step("lnl", nets, batch, lambda_=0.7, mu=1.9, target="prior")
    twin, _ = make()
    assert twin.h is not None and nets.h is not None
    feat = twin.f(batch.x)
    q = twin.h(feat, None)
    counts = counts_of_labels(batch.b) + 1
    log_p = (counts / counts.sum(1, keepdim=True)).log()
    log_Q = q.log_softmax(-1)
    divergence = (log_Q.exp() * (log_Q - log_p)).sum(-1).mean()
    L_B = sum(F.cross_entropy(q[:, i], batch.b[:, i]) for i in range(HEADS))
    total = F.cross_entropy(twin.g(feat), batch.y) + 0.7 * divergence - 1.9 * L_B
    assert float(losses.total) == pytest.approx(float(total.detach()))
    assert float(losses.mi) == pytest.approx(float((log_Q.exp() * log_Q).sum(-1).mean().detach()))
    wanted = torch.autograd.grad(total, list(twin.f.parameters()))
    for own, other in zip(gradients(nets.f), wanted, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["lnl", "grl", "blind_eye"])
def test_adaptive_weights_clip_each_tensor_to_the_norm_of_the_label_loss(name: str) -> None:
    weights = dict.fromkeys(get_method(name).anchor, 30.0)
    plain, batch = make()
    step(name, plain, batch, **dict.fromkeys(weights, 0.0))
    full, _ = make()
    step(name, full, batch, **weights)
    own, _ = make()
    step(name, own, batch, **weights, adaptive=True)
    clipped = 0
    for g_c, both, adaptive in zip(gradients(plain.f), gradients(full.f), gradients(own.f), strict=True):
        g_a = both - g_c
        # In front of BatchNorm a bias has no gradient but rounding.
        if float(g_c.norm()) > 1e-12:
            factor = min(1.0, float(g_c.norm() / g_a.norm()))
            clipped += factor < 1
            torch.testing.assert_close(adaptive, g_c + factor * g_a, rtol=1e-8, atol=1e-10)
            assert float((adaptive - g_c).norm()) <= float(g_c.norm()) * (1 + 1e-9)
    assert clipped
    assert plain.h is not None and own.h is not None
    for part, other in ((plain.g, own.g), (plain.h, own.h)):
        assert all(torch.equal(a, b) for a, b in zip(gradients(part), gradients(other), strict=True))


def test_adaptive_weights_leave_small_gradients_as_they_are() -> None:
    full, batch = make()
    step("lnl", full, batch, lambda_=1e-6, mu=1e-6)
    own, _ = make()
    step("lnl", own, batch, lambda_=1e-6, mu=1e-6, adaptive=True)
    # The bias in front of BatchNorm has no gradient.
    for index, (a, b) in enumerate(zip(gradients(full.f), gradients(own.f), strict=True)):
        if index != 1:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-14)


def test_adaptive_weights_by_hand_and_of_tensors_without_a_label_gradient() -> None:
    f = nn.Linear(2, 2, bias=False).double()
    x = torch.eye(2, dtype=torch.float64)
    feat = f(x)
    # g_c has the norm 3, g_a the norm 4.
    send_back_clipped(3 * feat[0, 0], feat, torch.tensor([[0.0, 4.0], [0.0, 0.0]]).double(), f)
    assert f.weight.grad is not None and f.weight.grad.tolist() == [[3.0, 0.0], [3.0, 0.0]]
    f.zero_grad()
    feat = f(x)
    send_back_clipped(0 * feat.sum(), feat, torch.ones(2, 2).double(), f)
    assert f.weight.grad is not None and not f.weight.grad.any()
    f.zero_grad()
    feat = f(x)
    send_back_clipped(feat.sum(), feat, torch.zeros(2, 2).double(), f)
    assert f.weight.grad is not None and f.weight.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("lnl", {"target": "prior"}),
        ("lnl", {"target": "prior", "adaptive": True}),
        ("grl", {"adaptive": True}),
        ("blind_eye", {"adaptive": True}),
        ("permuted_bias", {"target": "prior", "adaptive": True}),
    ],
)
def test_check(name: str, hyper: dict[str, Any]) -> None:
    findings = check_method(name, hyper)
    assert_passes(findings)
    assert [finding.level for finding in findings] == ["ok"] * len(findings)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_an_option_stands_in_a_row_where_it_is_given_and_changes_training(name: str, tiny: MakeSpec) -> None:
    plain = trained(tiny(name))
    assert not set(get_method(name).options) & set(json.loads(plain.row()["hyperparameters"]))
    for option, choices in get_method(name).options.items():
        for value in choices.values:
            own = trained(tiny(name, hyperparameters={option: value}))
            assert json.loads(own.row()["hyperparameters"])[option] == value
            one, other = (tensors_of(f=trainer.nets.f) for trainer in (plain, own))
            same = all(torch.equal(one[key], other[key]) for key in one)
            assert same == (value == choices.values[0]), f"{option} = {value}"


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("lnl", {"target": "prios"}, "lnl: the value of 'target' must be uniform or prior, but got 'prios'"),
        ("lnl", {"target": True}, "'target' must be uniform or prior, but got True"),
        ("lnl", {"adaptive": "yes"}, "'adaptive' must be false or true, but got 'yes'"),
        ("lnl", {"adaptive": 1}, "'adaptive' must be false or true, but got 1"),
        ("lnl", {"adaptiv": True}, "did you mean 'adaptive'"),
        ("grl", {"target": "prior"}, "unknown hyperparameter of grl 'target'"),
    ],
)
def test_wrong_values_are_refused(name: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_hyperparameters(get_method(name), given, epochs=20)


def test_an_option_is_no_default() -> None:
    with pytest.raises(InputError, match="gives kind both as a default and as an option"):
        register_method(
            "x", long_name="X", reference="none", defaults={"kind": "a"}, options={"kind": Choices(("a", "b"))}
        )(erm)
    assert get_method("lnl").known == {**get_method("lnl").defaults, "target": "uniform", "adaptive": False}

"""The one-forward gradients are those of the three objectives, to the last digits of float64."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainable.data.base import IGNORED, BiasHeads
from trainable.methods.adversary import (
    Prediction,
    adversary,
    bias_loss,
    confusion_loss,
    counted,
    negative_conditional_entropy,
)
from trainable.methods.base import Batch, Nets, get_method
from trainable.networks.heads import ConvHead, PointwiseHead

HEADS, VALUES, CLASSES = 3, 5, 4
WEIGHTS = {"lambda_": 0.7, "mu": 1.9}


def make(spatial: bool, head: type[nn.Module], masked_head: bool = False) -> tuple[Nets, Batch]:
    torch.manual_seed(0)
    f = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 7, 1))
    g = nn.Sequential(nn.Conv2d(7, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, CLASSES))
    h = head(7, 9, BiasHeads(("r", "g", "b"), VALUES, spatial))  # type: ignore[call-arg]
    shape = (12, HEADS, 6, 6) if spatial else (12, HEADS)
    b = torch.randint(0, VALUES, shape)
    b[torch.rand(shape) < 0.3] = IGNORED
    if masked_head:
        b[:, 1] = IGNORED
    if spatial:
        b[:, :, :2] = IGNORED
    nets = Nets(f.double(), g.double(), h.double())
    return nets, Batch(torch.rand(12, 3, 8, 8, dtype=torch.float64), torch.randint(0, CLASSES, (12,)), b)


def by_the_book(nets: Nets, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """L_c, L_MI, L_B and the confusion loss, each as its definition reads, through a forward of its own."""
    feat = nets.f(batch.x)
    places, labels = counted(batch)
    assert nets.h is not None
    q = nets.h(feat, places)
    L_B = sum(
        (
            F.cross_entropy(q[:, i], labels[:, i], ignore_index=IGNORED)
            for i in range(HEADS)
            if (labels[:, i] >= 0).any()
        ),
        torch.zeros((), dtype=torch.float64),
    )
    log_Q = q.log_softmax(-1)[labels != IGNORED]
    L_MI = (log_Q.exp() * log_Q).sum(-1).mean()
    return F.cross_entropy(nets.g(feat), batch.y), L_MI, L_B, -log_Q.mean()


def gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [p.grad.clone() for p in parameters if p.grad is not None]


def error(found: list[Tensor], wanted: Iterable[Tensor]) -> float:
    wanted = list(wanted)
    assert len(found) == len(wanted)
    largest = max(w.abs().max() for w in wanted)
    return float(max((a - w).abs().max() for a, w in zip(found, wanted, strict=True)) / largest)


@pytest.mark.parametrize("masked_head", [False, True])
@pytest.mark.parametrize("head", [PointwiseHead, ConvHead])
@pytest.mark.parametrize("spatial", [True, False])
@pytest.mark.parametrize("method", ["lnl", "grl", "blind_eye"])
def test_one_forward_equals_two_passes(method: str, spatial: bool, head: type[nn.Module], masked_head: bool) -> None:
    nets, batch = make(spatial, head, masked_head)
    assert nets.h is not None
    f, g, h = list(nets.f.parameters()), list(nets.g.parameters()), list(nets.h.parameters())

    L_c, L_MI, L_B, confusion = by_the_book(nets, batch)
    lambda_, mu = WEIGHTS["lambda_"], WEIGHTS["mu"]
    objective = {
        "lnl": L_c + lambda_ * L_MI - mu * L_B,
        "grl": L_c - mu * L_B,
        "blind_eye": L_c + lambda_ * confusion,
    }[method]
    want_f = torch.autograd.grad(objective, f)
    want_g = torch.autograd.grad(by_the_book(nets, batch)[0], g)
    want_h = torch.autograd.grad(by_the_book(nets, batch)[2], h, materialize_grads=True)

    losses = get_method(method).step(nets, batch, WEIGHTS, 1.0)
    assert error(gradients(f), want_f) < 1e-12
    assert error(gradients(g), want_g) < 1e-12
    assert error(gradients(h), want_h) < 1e-12
    assert losses.mi is not None and losses.bias is not None and losses.total is not None
    for found, wanted in ((losses.label, L_c), (losses.mi, L_MI), (losses.bias, L_B), (losses.total, objective)):
        torch.testing.assert_close(found, wanted.detach())


def test_ramp_scales_both_weights() -> None:
    nets, batch = make(True, PointwiseHead)
    get_method("lnl").step(nets, batch, WEIGHTS, 0.25)
    ramped = gradients(nets.f.parameters())
    other, _ = make(True, PointwiseHead)
    get_method("lnl").step(other, batch, {name: 0.25 * weight for name, weight in WEIGHTS.items()}, 1.0)
    assert error(ramped, gradients(other.f.parameters())) == 0


def prediction(q: Tensor, labels: Tensor | None = None) -> Prediction:
    return Prediction.of(q, torch.zeros(q.shape[:2], dtype=torch.int64) if labels is None else labels)


def test_mutual_information_is_least_at_uniform() -> None:
    loss, gradient = negative_conditional_entropy(prediction(torch.zeros(6, HEADS, VALUES)))
    assert float(loss) == pytest.approx(-math.log(VALUES), abs=1e-6)
    assert gradient.abs().max() < 1e-6
    assert float(confusion_loss(prediction(torch.zeros(6, HEADS, VALUES)))[0]) == pytest.approx(
        math.log(VALUES), abs=1e-6
    )


@pytest.mark.parametrize("scale", [1e4, -1e4])
@pytest.mark.parametrize("loss", [negative_conditional_entropy, confusion_loss, bias_loss])
def test_saturation_is_finite(loss: object, scale: float) -> None:
    q = torch.zeros(6, HEADS, VALUES)
    q[..., 0] = scale
    value, gradient = loss(prediction(q))  # type: ignore[operator]
    assert torch.isfinite(value) and torch.isfinite(gradient).all()
    value, gradient = loss(prediction(q, torch.full((6, HEADS), 1)))  # type: ignore[operator]
    assert torch.isfinite(value) and torch.isfinite(gradient).all()


def test_a_batch_without_a_counted_label_moves_nothing() -> None:
    nets, batch = make(False, PointwiseHead)
    assert nets.h is not None
    empty = Batch(batch.x, batch.y, torch.full_like(batch.b, IGNORED))
    found = adversary(nets.h, nets.f(batch.x), empty, 1.0, 1.0)
    assert float(found.bias) == float(found.mi) == 0
    assert found.gradient is not None and float(found.gradient.abs().max()) == 0
    assert all(float(g.abs().max()) == 0 for g in gradients(nets.h.parameters()))

"""Twelve images of three classes and two values of the bias, for which gradients are worked out by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trainable.methods.base import Batch, Facts, Losses, MethodState, Nets, get_method
from trainable.methods.contract.stages import WHOLE, Span

N, K, A, D = 12, 3, 2, 6
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
ATTRIBUTE = torch.tensor([0, 0, 0, 1, 0, 1, 1, 1, 0, 0, 0, 0])
"""Class 2 has no image with the second value."""


class Flat(nn.Module):
    """A linear classifier in float64, the same each time."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(D, K).double()
        torch.nn.init.normal_(self.linear.weight, generator=torch.Generator().manual_seed(2))
        torch.nn.init.normal_(self.linear.bias, generator=torch.Generator().manual_seed(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)

    @property
    def gradients(self) -> tuple[Tensor, Tensor]:
        assert self.linear.weight.grad is not None and self.linear.bias.grad is not None
        return self.linear.weight.grad, self.linear.bias.grad


def facts(attribute: Tensor = ATTRIBUTE, **more: Any) -> Facts:
    known = attribute >= 0
    counts = torch.bincount(LABELS[known] * A + attribute[known], minlength=K * A).view(K, A)
    device, spans = torch.device("cpu"), (Span(WHOLE, 0, 4),)
    return Facts(N, K, A, 4, 2, 7, device, LABELS, attribute, **{"group_counts": counts, "spans": spans, **more})


def begun(name: str, known: Facts, **hyper: Any) -> MethodState:
    method = get_method(name)
    assert isinstance(method.step, type)
    state: MethodState = method.step(known, {**method.defaults, **hyper})
    return state


def batch_of(known: Facts, index: Tensor, step: int = 0) -> Batch:
    x = torch.randn(N, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Batch(x[index], known.labels[index], index[:0], index=index, attributes=known.attribute, step=step)


def stepped(state: MethodState, batch: Batch, ramp: float = 1.0) -> tuple[Losses, Flat]:
    """The losses of a step on ``Flat``, whose gradients it has left there."""
    net = Flat()
    return state.step(Nets(nn.Identity(), net, None), batch, ramp), net


def agree(net: Flat, total: Tensor, losses: Losses, twin: Flat) -> None:
    """The step's loss is ``total``, which was computed with ``twin``, and so are its gradients."""
    torch.autograd.backward(total)
    assert losses.total is not None
    torch.testing.assert_close(losses.total, total.detach(), rtol=1e-12, atol=1e-12)
    for found, wanted in zip(net.gradients, twin.gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)

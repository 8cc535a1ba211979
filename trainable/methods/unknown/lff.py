"""Learning from Failure (Nam, Cha, Ahn, Lee & Shin, NeurIPS 2020, arXiv 2007.02561).

A second network B of the same kind is trained to fall for the bias, and what it finds hard counts more in the network
that is judged, D = g(f(x)). Algorithm 1, with the probability p of an image's label and its cross-entropy CE = -log p:

    theta_B:           min mean of GCE(x) = (1 - p_B^q) / q
    theta_f, theta_g:  min mean of W(x) CE_D(x)

    W(x) = CE_B(x) / (CE_B(x) + CE_D(x)),   the relative difficulty

GCE, the generalised cross-entropy (Zhang & Sabuncu 2018, arXiv 1805.07836), has p^q times the gradient of CE: it lets B
concentrate on what it already finds easy. As in the authors' code, the losses in W are averaged for each image over the
epochs, with momentum .7 (the first loss is taken whole), and divided by the largest of the image's class for each of
the two networks, so that neither the scale of a network's losses nor that of a class decides. The paper takes q = .7.
No bias label is read.

The authors' code multiplies the gradient of GCE by q besides, which is a smaller learning rate of B. At full bias it is
alive in name only: no training image conflicts with the bias, and both networks find the same images hard.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainable.methods.base import Batch, Facts, Losses, MethodState, Nets, Range, register_method

MOMENTUM = 0.7
SMALL = 1e-8


def generalised_cross_entropy(cross_entropy: Tensor, q: float) -> Tensor:
    """GCE = (1 - p^q) / q of each image, in [0, 1/q].

    Args:
        cross_entropy: -log p of its label, ``[B]``.
        q: Between the cross-entropy (0) and the probability of a mistake (1).

    Returns:
        ``[B]``.

    Example:
        >>> generalised_cross_entropy(torch.tensor([0.0, 0.6931]), q=0.5)
        tensor([0.0000, 0.5858])
    """
    # Of p near 1 expm1 keeps the digits.
    return -torch.expm1(-q * cross_entropy) / q


def per_class(losses: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Losses of all images, divided by the largest of their class.

    Args:
        losses: ``[networks, n]``, >= 0.
        labels: int64 ``[n]``.
        n_classes: Number of classes.

    Returns:
        ``[networks, n]`` in [0, 1].

    Example:
        >>> per_class(torch.tensor([[1.0, 2.0, 8.0]]), torch.tensor([0, 0, 1]), 2)
        tensor([[0.5000, 1.0000, 1.0000]])
    """
    index = labels.expand_as(losses)
    largest = losses.new_zeros(len(losses), n_classes).scatter_reduce(1, index, losses, "amax")
    return losses / largest.gather(1, index).clamp(min=SMALL)


@register_method(
    "lff",
    long_name="Learning from Failure",
    reference="Nam et al. 2020, algorithm 1",
    space={"q": Range(0.3, 0.9, least=0.01, most=1.0)},
    defaults={"q": 0.7},
)
class LfF(MethodState):
    """Two networks trained side by side, and the averaged loss of each image under both."""

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        assert facts.make_nets is not None
        nets = facts.make_nets("biased")
        self.biased = nn.Sequential(nets.f, nets.g)
        # Of B and of D.
        self.losses = torch.zeros(2, facts.n, device=facts.device)
        self.seen = torch.zeros(facts.n, dtype=torch.bool, device=facts.device)

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        """Leave the gradients of both objectives in the parameters of f, g and B.

        theta_f, theta_g: min mean of W CE_D,   theta_B: min mean of GCE

        Args:
            nets: f and g.
            batch: Images and labels; class weights apply to both objectives.
            ramp: Not used.

        Returns:
            L_c of f and g in nats without W, the sum of both objectives, and the means ``weight`` of W and
            ``biased_loss`` of CE_B.
        """
        # f and g first, so that their dropout is that of plain training.
        logits = nets.g(nets.f(batch.x))
        biased = self.biased(batch.x)
        losses = torch.stack([F.cross_entropy(z, batch.y, reduction="none") for z in (biased, logits)])
        W = self._difficulty(batch, losses.detach())
        total = _mean(W * losses[1], batch) + _mean(generalised_cross_entropy(losses[0], self.hyper["q"]), batch)
        torch.autograd.backward(total)
        losses = losses.detach()
        terms = {"weight": W.mean(), "biased_loss": losses[0].mean()}
        return Losses(logits.detach(), _mean(losses[1], batch), total=total.detach(), terms=terms)

    def _difficulty(self, batch: Batch, losses: Tensor) -> Tensor:
        """Average the losses of the batch into those of all images, and return W of the batch, ``[B]``."""
        assert batch.index is not None
        # An image that a batch holds twice counts with its larger loss, in whatever order a device goes through them.
        none = torch.full_like(self.losses, -1.0)
        new = none.scatter_reduce(1, batch.index.expand_as(losses), losses.to(none.dtype), "amax")
        averaged = torch.where(self.seen, MOMENTUM * self.losses + (1 - MOMENTUM) * new, new)
        self.losses.copy_(torch.where(new >= 0, averaged, self.losses))
        self.seen.logical_or_(new[0] >= 0)
        hard_B, hard_D = per_class(self.losses, self.facts.labels, self.facts.n_classes).index_select(1, batch.index)
        W: Tensor = hard_B / (hard_B + hard_D + SMALL)
        return W

    def modules(self) -> Mapping[str, nn.Module]:
        """B, with an optimiser of its own."""
        return {"biased": self.biased}

    def tensors(self) -> Mapping[str, Tensor]:
        """The averaged losses."""
        return {"losses": self.losses, "seen": self.seen}


def _mean(values: Tensor, batch: Batch) -> Tensor:
    if batch.class_weight is None:
        return values.mean()
    weight = batch.class_weight.index_select(0, batch.y)
    return torch.dot(values, weight) / weight.sum()

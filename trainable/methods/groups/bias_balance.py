"""Bias-balanced regression, BiasBal (Hong & Yang, NeurIPS 2021, https://openreview.net/forum?id=2OqZZAqxnn).

Section 3.2. Images are classified as if y were independent of b: the training law p(y | x, b) is that of the balanced
world times p(y | b), up to a factor that does not depend on y. So the logits z = g(f(x)) get the logarithm of that
prior in training, and stand alone in every evaluation:

    L = - log softmax(z + log p(y | b))_y

p(y | b) = n_{y,b} / sum_y n_{y,b} of the training images. As in the authors' code 1e-9 is added to it: an empty group
would have log 0. There is no hyperparameter of its own.

Where b is a function of y, p(y | b) is 1 for one class: the loss is then nearly 0 whatever z is, nothing is learned,
and the method is not applicable. z belongs to a world of equally frequent classes. Class weights of the sweep are left
out for that reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, autograd

from trainable.methods.base import Batch, Facts, Losses, MethodState, Nets, register_method

LEAST = 1e-9
"""Added to p(y | b) before the logarithm."""


def log_prior(counts: Tensor) -> Tensor:
    """Log p(y | b) for every b, and a last row of zeros for images without a bias attribute, which have number -1.

    Args:
        counts: int64 ``[classes, attributes]``, images of each group.

    Returns:
        float64 ``[attributes + 1, classes]``.

    Example:
        >>> log_prior(torch.tensor([[3, 0], [1, 0]])).exp()
        tensor([[0.7500, 0.2500],
                [1.0000, 1.0000],
                [1.0000, 1.0000]], dtype=torch.float64)
    """
    of_b = counts.sum(dim=0)
    log_p = (counts.double() / of_b.clamp(min=1) + LEAST).log()
    # Of a value of b that no image has there is no prior; no image of the training asks for it.
    log_p = torch.where(of_b > 0, log_p, 0.0)
    return F.pad(log_p.T, (0, 0, 0, 1))


@register_method(
    "bias_balance",
    long_name="Bias-balanced regression",
    reference="Hong & Yang 2021, section 3.2 (BiasBal)",
    needs={"bias_labels", "group_counts"},
)
class BiasBalance(MethodState):
    """Cross-entropy of the logits plus log p(y | b)."""

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        assert facts.group_counts is not None
        self.log_p = log_prior(facts.group_counts)

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        """Leave the gradients of L in f and g.

        Args:
            nets: f and g.
            batch: Images, labels and bias attribute.
            ramp: Not used.

        Returns:
            L as ``total``, the cross-entropy of the plain logits as ``label``, in nats.
        """
        logits = nets.g(nets.f(batch.x))
        L = F.cross_entropy(logits + self.log_p[batch.attribute].to(logits.dtype), batch.y)
        autograd.backward(L)
        plain = F.cross_entropy(logits.detach(), batch.y)
        return Losses(logits.detach(), plain, total=L.detach())

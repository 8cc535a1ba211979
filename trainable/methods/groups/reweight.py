"""Reweighting of groups, RWG (Idrissi, Arjovsky, Pezeshki & Lopez-Paz, CLeaR 2022, arXiv 2110.14503).

https://arxiv.org/abs/2110.14503, section 3. Every group (y, b) counts the same:

    L = 1/N sum_i w_i l(g(f(x_i)), y_i),   w_i = N / (G n_{y_i, b_i})

with N training images in G groups that are not empty, n_{y,b} of them in group (y, b). The authors draw images with a
probability in proportion to w instead of weighting their losses: the expected loss is the same, and ``resample`` does
that. There is no hyperparameter of its own (theirs: lr 1e-5 to 1e-3, weight decay 1e-4 to 1, batch size; here lr and
weight decay have the range that every method has).

Where b is a function of y the weights are those of classes: the method is not applicable there. Class weights of the
sweep are left out, since balanced groups are balanced classes wherever each class has as many groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import autograd

from trainable.methods.base import Batch, Facts, Losses, MethodState, Nets, register_method
from trainable.methods.groups.group import weights_of


@register_method(
    "reweight",
    long_name="Reweighted groups",
    reference="Idrissi et al. 2022, section 3 (RWG)",
    needs={"bias_labels", "group_counts"},
)
class Reweight(MethodState):
    """Cross-entropy with the weights N / (G n_{y,b})."""

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        self.weights = weights_of(facts)

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        """Leave the gradients of L in f and g.

        Args:
            nets: f and g.
            batch: Images, labels and positions.
            ramp: Not used.

        Returns:
            L as ``total``, the mean cross-entropy as ``label``, in nats.
        """
        assert batch.index is not None
        logits = nets.g(nets.f(batch.x))
        losses = F.cross_entropy(logits, batch.y, reduction="none")
        # Divided by the number of images, not by the weights of the batch: else a rare group would count less in the
        # batches that hold it.
        L = (self.weights[batch.index].to(losses.dtype) * losses).mean()
        autograd.backward(L)
        return Losses(logits.detach(), losses.detach().mean(), total=L.detach())

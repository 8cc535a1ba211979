"""Group DRO (Sagawa, Koh, Hashimoto & Liang, ICLR 2020, arXiv 1911.08731): the worst group counts most.

https://arxiv.org/abs/1911.08731. The loss of the worst group (equation 4), in the form of its weighted sum with the
weights q of an adversary (equation 7):

    min over theta of  max over q in the simplex of  sum_g q_g E[l(theta; (x, y)) | g]

Algorithm 1, one step: images are drawn with every group equally probable; then

    q_g <- q_g exp(eta_q L_g),   q <- q / sum(q),   theta <- theta - eta_theta * gradient of sum_g q_g L_g

with L_g the mean loss of the batch's images of group g, 0 where it holds none. Groups without a training image have
q_g = 0. ``eta`` is eta_q: .01 in the paper, searched in 1e-3 to 1e-1 by DomainBed (arXiv 2007.01434, table 8). The
generalisation adjustment C / sqrt(n_g) of equation 5 is left out: C = 0. Strong regularisation is part of the method
(section 3.2), and the weight decay is searched as for every method.

Where b is a function of y the groups are the classes: the method is not applicable there. Class weights of the sweep
are left out, since q has their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, autograd

from trainable.methods.base import Batch, Facts, Losses, Nets, Range, register_method
from trainable.methods.groups.group import GroupsDrawnAlike, members


@register_method(
    "group_dro",
    long_name="Group DRO",
    reference="Sagawa et al. 2020, algorithm 1",
    space={"eta": Range(1e-3, 1e-1, log=True, least=0.0)},
    defaults={"eta": 0.01},
    needs={"bias_labels", "group_counts"},
)
class GroupDRO(GroupsDrawnAlike):
    """The weighted sum of the groups' losses, whose weights q rise with them.

    Attributes:
        q: float32 ``[classes * attributes]``, sums to 1.
    """

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        assert facts.group_counts is not None
        present = facts.group_counts.flatten() > 0
        self.q = present / present.sum()

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        """Take a step of q, and leave the gradients of sum_g q_g L_g in f and g.

        Args:
            nets: f and g.
            batch: Images, labels and positions.
            ramp: Not used.

        Returns:
            The weighted sum as ``total``, the mean loss as ``label``, in nats; the largest q as a term.
        """
        assert batch.index is not None
        logits = nets.g(nets.f(batch.x))
        losses = F.cross_entropy(logits, batch.y, reduction="none")
        member = members(self.codes[batch.index], len(self.q), losses)
        L_g = losses @ member / member.sum(dim=0).clamp(min=1)
        self.q *= torch.exp(self.hyper["eta"] * L_g.detach())
        self.q /= self.q.sum()
        total = self.q.to(L_g.dtype) @ L_g
        autograd.backward(total)
        terms = {"q_max": self.q.max()}
        return Losses(logits.detach(), losses.detach().mean(), total=total.detach(), terms=terms)

    def tensors(self) -> Mapping[str, Tensor]:
        """The weights q."""
        return {"q": self.q}

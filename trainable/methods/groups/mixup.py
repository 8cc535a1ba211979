"""LISA: selective mixup (Yao, Wang, Li, Zhang, Liang, Zou & Finn, ICML 2022, arXiv 2201.00299).

https://arxiv.org/abs/2201.00299, section 3, algorithm 1. Each step draws one of two kinds of pairs,

    with probability p_sel   (i, j) with y_i = y_j and b_i != b_j   (intra-label LISA)
    else                     (i, j) with b_i = b_j and y_i != y_j   (intra-domain LISA)

and trains on their mixtures (equations 1 and 2), with a ratio lambda ~ Beta(2, 2) for each image:

    x = lambda x_i + (1 - lambda) x_j,   loss = lambda l(z, y_i) + (1 - lambda) l(z, y_j),   z = g(f(x))

As in the authors' code the images of an epoch are drawn from all groups (y, b) equally often; the partner j is then
drawn from those of the batch that fit, and an image for which there is none stays as it is. A pair is as likely as its
reverse, so that lambda may be replaced by max(lambda, 1 - lambda) without a change of the law: i is then the image's
larger part, and the training accuracy means something. ``p_sel`` is searched in all of [0, 1]; .5 in the authors' runs
on shifts of subpopulations, 1 on shifts of domains. Their CutMix (on two data sets) is left out.

Where b is a function of y no pair of either kind exists: the method is not applicable there. Class weights of the
sweep are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, autograd

from trainable.methods.base import Batch, Facts, Losses, Nets, Range, register_method
from trainable.methods.groups.group import GroupsDrawnAlike
from trainable.randomness import derive


def partners(fits: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a partner for each image among those that fit it, each with the same probability.

    Args:
        fits: bool ``[B, B]``, j fits i.
        u: Independent uniform draws, ``[B]`` in [0, 1).

    Returns:
        Positions in the batch, int64 ``[B]``, and whether there is a partner, bool ``[B]``; without one the position is
        the image's own.

    Example:
        >>> fits = torch.tensor([[False, True, True], [True, False, False], [False, False, False]])
        >>> partners(fits, torch.tensor([0.7, 0.2, 0.9]))
        (tensor([2, 0, 2]), tensor([ True,  True, False]))
    """
    count = fits.sum(dim=1)
    # The k-th of those that fit, k = 1 + floor(u count): its place is where their cumulative number first reaches k.
    k = 1 + (u * count).long().clamp(max=count - 1)
    found = (fits.cumsum(dim=1) < k.unsqueeze(1)).sum(dim=1)
    own = torch.arange(len(u), device=u.device)
    return torch.where(count > 0, found, own), count > 0


@register_method(
    "mixup",
    long_name="Selective mixup (LISA)",
    reference="Yao et al. 2022, algorithm 1",
    space={"p_sel": Range(0.0, 1.0, least=0.0, most=1.0)},
    defaults={"p_sel": 0.5},
    needs={"bias_labels", "group_counts"},
)
class Mixup(GroupsDrawnAlike):
    """Mixtures within a class across the bias, or within a value of the bias across classes."""

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        # On the device, so that no step waits for numbers to be copied there; seeded anew by each step.
        self.generator = torch.Generator(device=facts.device)

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        """Leave the gradients of the mixed loss in f and g.

        Args:
            nets: f and g.
            batch: Images, labels and bias attribute.
            ramp: Not used.

        Returns:
            The mixed loss as ``total``, the cross-entropy of the larger parts' labels as ``label``, in nats; the share
            of mixed images as a term.
        """
        size, y, b = len(batch.y), batch.y, batch.attribute
        # By the step alone: no draw of the networks' dropout is shifted, and a trial that goes on mixes the same.
        self.generator.manual_seed(derive(self.facts.seed, "mixup", batch.step))
        u = torch.rand(size + 1, 4, generator=self.generator, device=y.device)
        # The median of three uniform numbers has the law Beta(2, 2).
        ratio = u[:size, :3].median(dim=1).values
        ratio = torch.maximum(ratio, 1 - ratio)
        same_y, same_b = y.unsqueeze(1) == y, b.unsqueeze(1) == b
        across_b, across_y = same_y & ~same_b, same_b & ~same_y
        j, found = partners(torch.where(u[size, 3] < self.hyper["p_sel"], across_b, across_y), u[:size, 3])
        ratio = torch.where(found, ratio, 1.0).to(batch.x.dtype)

        share = ratio.view(-1, *[1] * (batch.x.dim() - 1))
        logits = nets.g(nets.f(share * batch.x + (1 - share) * batch.x[j]))
        own, other = (F.cross_entropy(logits, label, reduction="none") for label in (y, y[j]))
        total = (ratio * own + (1 - ratio) * other).mean()
        autograd.backward(total)
        terms = {"mixed": found.float().mean()}
        return Losses(logits.detach(), own.detach().mean(), total=total.detach(), terms=terms)

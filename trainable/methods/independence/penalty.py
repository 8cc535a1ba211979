"""One step of plain training with penalties that compare the features of a batch with its bias labels.

The features of an image are one vector z: f(x) itself, or its mean over the positions where f(x) is a grid. A measure
of dependence compares images, and a grid of C x H' x W' numbers would mostly compare where in them something is.

Its bias labels are those that a bias head would be trained on, so that all methods are told the same: one of each head,
and the attribute where the data have no heads. A penalty is the mean of that of each head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trainable.methods.adversary import label_loss
from trainable.methods.base import Batch, Losses, Nets


@dataclass(frozen=True)
class Penalty:
    """A term that f minimises besides L_c.

    Attributes:
        weight: Its weight, >= 0, the ramp included.
        of: z, float ``[B, C]``, and labels of one head, int64 ``[B]``, -> the term, a scalar.
    """

    weight: float
    of: Callable[[Tensor, Tensor], Tensor]


def pooled(feat: Tensor) -> Tensor:
    """z: the mean of f(x) over its positions, never in low precision.

    Args:
        feat: f(x), float ``[B, C]`` or ``[B, C, H', W']``.

    Returns:
        float ``[B, C]``.

    Example:
        >>> pooled(torch.tensor([[[[1.0, 3.0]], [[0.0, 2.0]]]]))
        tensor([[2., 1.]])
    """
    z = feat.float() if feat.dtype in (torch.bfloat16, torch.float16) else feat
    return z if z.dim() == 2 else z.flatten(2).mean(dim=2)


def bias_labels(batch: Batch) -> Tensor:
    """Bias labels of the images: of each head, or the attribute where there are no heads.

    Where they belong to positions, it is the largest of an image's, as in the later code of Kim et al. 2019: a colour's
    channel at full ink.

    Args:
        batch: Its bias labels.

    Returns:
        int64 ``[B, heads]``; ``IGNORED`` = none.

    Example:
        >>> x, y = torch.zeros(2, 3, 8, 8), torch.tensor([0, 1])
        >>> bias_labels(Batch(x, y, torch.tensor([[[[-1, 3], [5, 0]]], [[[-1, -1], [-1, -1]]]])))
        tensor([[ 5],
                [-1]])
        >>> bias_labels(Batch(x, y, torch.empty(2, 0), index=torch.tensor([4, 0]), attributes=torch.arange(5)))
        tensor([[4],
                [0]])
    """
    if batch.b.dim() == 4:
        return batch.b.flatten(2).amax(dim=2).long()
    return batch.b.long() if batch.b.shape[1] else batch.attribute.unsqueeze(1)


def penalised_step(nets: Nets, batch: Batch, penalties: Mapping[str, Penalty]) -> Losses:
    """Leave the gradients of L_c + sum of weight * penalty in the parameters.

    theta_f: min L_c + sum of weight * mean over heads of penalty(z, b),   theta_g: min L_c

    A penalty of weight 0 is left out, not multiplied by 0, so that f is exactly as without it; its value is recorded.

    Args:
        nets: f and g.
        batch: Images, labels and bias labels.
        penalties: By the names that they get in ``Losses.terms``.

    Returns:
        L_c in nats, the weighted sum, and each penalty.

    Example:
        >>> nets = Nets(torch.nn.Flatten(), torch.nn.Linear(192, 2), None)
        >>> batch = Batch(torch.ones(2, 3, 8, 8), torch.tensor([0, 1]), torch.tensor([[0], [1]]))
        >>> losses = penalised_step(nets, batch, {"size": Penalty(0.5, lambda z, b: z.abs().mean())})
        >>> float(losses.terms["size"]), bool(losses.total == losses.label + 0.5)
        (1.0, True)
    """
    feat = nets.f(batch.x)
    logits = nets.g(feat)
    L_c = label_loss(logits, batch)
    total, terms, heads = L_c, {}, bias_labels(batch).unbind(dim=1)
    for name, penalty in penalties.items():
        z = pooled(feat if penalty.weight else feat.detach())
        term = torch.stack([penalty.of(z, b) for b in heads]).mean()
        if penalty.weight:
            total = total + penalty.weight * term
        terms[name] = term.detach()
    torch.autograd.backward(total)
    return Losses(logits.detach(), L_c.detach(), total=total.detach(), terms=terms)

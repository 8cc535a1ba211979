"""Just Train Twice (Liu, Haghgoo, Chen, Raghunathan, Koh, Sagawa, Liang & Finn, ICML 2021, arXiv 2107.09044).

Algorithm 1, with the loss l of an image and the training images D:

    1. Train a network by plain training for T epochs, so few that it mostly learns the bias.
    2. Its errors are the error set  E = { (x, y) in D : network(x) != y }.
    3. Train a fresh network on  u * sum over E of l(x, y)  +  sum over D without E of l(x, y).

u is the paper's lambda_up. No bias label is read. Both stages together take the epochs of every other method, and an
epoch of the second one has as many images as D: they are drawn in proportion to their weight, u or 1, images of one
weight equally often up to one time. In the authors' code an image of E stands u times in an epoch that is longer by
that. They chose T = 60 (of 300 epochs) and u = 100 on Waterbirds, and T = 1 (of 50) and u = 50 on CelebA, by the worst
group's accuracy on validation images with bias labels: it is the choice that reads the bias there.

At full bias no training image conflicts with it: its few errors are ordinary hard images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainable.methods.base import Batch, Facts, Losses, MethodState, Nets, Predict, Range, Stage, register_method
from trainable.methods.erm import erm


def drawn_by_weight(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Draw n of n positions in proportion to weights, each the expected number of times up to one.

    Systematic sampling along a random order: with equal weights each position is drawn once.

    Args:
        weights: ``[n]``, > 0, on the CPU.
        generator: CPU generator.

    Returns:
        int64 ``[n]``, in random order.

    Example:
        >>> drawn = drawn_by_weight(torch.tensor([1.0, 1.0, 6.0, 1.0]), torch.Generator().manual_seed(0))
        >>> len(drawn), int((drawn == 2).sum())
        (4, 3)
    """
    n = len(weights)
    order = torch.randperm(n, generator=generator)
    ends = weights[order].double().cumsum(0)
    ends = ends / ends[-1] * n
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    # n itself is no sum of rounded numbers.
    ends[-1] = n
    until = (ends + offset).floor().long()
    times = until.diff(prepend=until.new_zeros(1))
    return order.repeat_interleave(times)[torch.randperm(n, generator=generator)]


@register_method(
    "jtt",
    long_name="Just Train Twice",
    reference="Liu et al. 2021, algorithm 1",
    space={"T": Range(1, 5, integer=True), "u": Range(2.0, 100.0, log=True, least=1.0)},
    defaults={"T": 2, "u": 20.0},
    stages=(Stage("identify", epochs="T", reset="all"), Stage("train", epochs="rest", reset="all")),
)
class JTT(MethodState):
    """Stage ``identify`` is plain training for T epochs, and stage ``train`` draws its errors u times as often.

    The row's history has the share of the training images that are errors as the term ``error_share``.
    """

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        self.wrong = torch.zeros(facts.n, dtype=torch.bool, device=facts.device)

    def begin_epoch(self, epoch: int, nets: Nets, predict: Predict) -> None:
        """Find E, once, with the network of the first stage."""
        if epoch == self.facts.spans[1].first:
            self.wrong.copy_(predict().argmax(dim=1) != self.facts.labels)

    def order(self, epoch: int, generator: torch.Generator) -> Tensor | None:
        """Draw an epoch of the second stage by the weights u and 1."""
        if self.facts.stage(epoch) == "identify":
            return None
        return drawn_by_weight(torch.where(self.wrong.cpu(), float(self.hyper["u"]), 1.0), generator)

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        """Leave the gradients of plain training in the parameters: the weights are in the draw.

        theta_f, theta_g: min L_c

        Args:
            nets: f and g.
            batch: Images and labels.
            ramp: Not used.
        """
        losses = erm(nets, batch, self.hyper, ramp)
        if self.facts.stage(batch.epoch) == "identify":
            return losses
        return Losses(losses.logits, losses.label, terms={"error_share": self.wrong.float().mean()})

    def tensors(self) -> Mapping[str, Tensor]:
        """E, which a resumed trial must not look for anew."""
        return {"wrong": self.wrong}

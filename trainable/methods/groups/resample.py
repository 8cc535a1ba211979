"""Plain training on groups that are drawn equally often (Idrissi et al., CLeaR 2022, arXiv 2110.14503).

https://arxiv.org/abs/2110.14503, section 3. An epoch has as many images as every other method's, drawn so that each
group (y, b) that occurs has the same number: P(y, b) = 1 / G. The authors call this RWG (their sampler draws with a
probability in proportion to 1 / n_{y,b}, independently); SUBG, its sibling, throws images away until all groups are as
small as the smallest. Here images of a group are drawn by ``balanced``: repeated equally often, up to one time.

It is ``{name: erm, draw: balanced}`` with two differences: its draws are others (those of a sampler), and it goes on
where some groups are empty and draws the others equally often, while ``draw: balanced`` needs all of them. It is a
method so that a sweep can name it, search it and compare it; ``draw`` turns any other method into its balanced form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainable.methods.base import Batch, Facts, Losses, MethodState, Nets, balanced, register_method
from trainable.methods.erm import erm
from trainable.methods.groups.group import codes_of


@register_method(
    "resample",
    long_name="Resampled groups",
    reference="Idrissi et al. 2022, section 3 (RWG by sampling)",
    needs={"bias_labels", "group_counts"},
)
class Resample(MethodState):
    """``erm`` on batches in which all groups are equally probable."""

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        self.codes = codes_of(facts).cpu()

    def order(self, epoch: int, generator: torch.Generator) -> Tensor:
        """Draw the images of an epoch, as many of each group.

        Args:
            epoch: Not used.
            generator: CPU generator of this epoch.

        Returns:
            Positions, int64 ``[n]``.
        """
        return balanced(self.codes, generator)

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        """Leave the gradients of L_c in f and g, as ``erm`` does.

        Args:
            nets: f and g.
            batch: Images and labels.
            ramp: Not used.

        Returns:
            L_c, in nats.
        """
        return erm(nets, batch, self.hyper, ramp)

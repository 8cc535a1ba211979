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

from trainable.methods.base import Batch, Losses, Nets, register_method
from trainable.methods.erm import erm
from trainable.methods.groups.group import GroupsDrawnAlike


@register_method(
    "resample",
    long_name="Resampled groups",
    reference="Idrissi et al. 2022, section 3 (RWG by sampling)",
    needs={"bias_labels", "group_counts"},
)
class Resample(GroupsDrawnAlike):
    """``erm`` on batches in which all groups are equally probable."""

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

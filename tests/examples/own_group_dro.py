"""Group DRO (Sagawa et al. 2020, algorithm 1): the groups (class, attribute) that do worst count most."""

import torch
from torch.nn.functional import cross_entropy

from trainable import Losses, MethodState, Range, balanced, register_method


@register_method(
    "own_group_dro",
    long_name="Group DRO of one's own",
    reference="Sagawa et al. 2020, algorithm 1",
    space={"eta": Range(1e-3, 1e-1, log=True)},
    defaults={"eta": 0.01},
    needs={"bias_labels", "group_counts"},
)
class GroupDRO(MethodState):
    def __init__(self, facts, hyper):
        super().__init__(facts, hyper)
        self.group = facts.labels * facts.n_attributes + facts.attribute
        self.groups = torch.arange(facts.group_counts.numel(), device=facts.device)
        self.q = (facts.group_counts.flatten() > 0) / (facts.group_counts > 0).sum()

    def order(self, epoch, generator):
        return balanced(self.group, generator)

    def step(self, nets, batch, ramp):
        logits = nets.g(nets.f(batch.x))
        losses = cross_entropy(logits, batch.y, reduction="none")
        member = (self.group[batch.index, None] == self.groups).to(losses)
        group_losses = losses @ member / member.sum(dim=0).clamp(min=1)
        self.q *= torch.exp(self.hyper["eta"] * group_losses.detach())
        self.q /= self.q.sum()
        total = self.q @ group_losses
        total.backward()
        return Losses(logits.detach(), losses.detach().mean(), total=total.detach(), terms={"q_max": self.q.max()})

    def tensors(self):
        return {"q": self.q}

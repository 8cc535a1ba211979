"""Deep feature reweighting (Kirichenko et al. 2023): g alone is trained anew, on held-out images of equal groups."""

import torch

from trainable import Losses, MethodState, Range, Stage, balanced, label_loss, register_method


@register_method(
    "own_dfr",
    long_name="Deep feature reweighting of one's own",
    reference="Kirichenko et al. 2023, section 4",
    space={"l1": Range(1e-5, 1e-2, log=True), "T": Range(1, 5, integer=True)},
    defaults={"l1": 1e-3, "T": 2},
    needs={"bias_labels", "group_counts", "conflicting_samples"},
    stages=(
        Stage("features", epochs="rest"),
        Stage("last_layer", epochs="T", train="g", on="held_out", reset="g"),
    ),
)
class DFR(MethodState):
    def order(self, epoch, generator):
        if self.facts.stage(epoch) == "features":
            return None
        held_out = self.facts.held_out
        return balanced(held_out.labels * held_out.n_attributes + held_out.attribute, generator)

    def step(self, nets, batch, ramp):
        logits = nets.g(nets.f(batch.x))
        total = L_c = label_loss(logits, batch)
        if self.facts.stage(batch.epoch) == "last_layer":
            total = L_c + self.hyper["l1"] * torch.stack([p.abs().sum() for p in nets.g.parameters()]).sum()
        total.backward()
        return Losses(logits.detach(), L_c.detach(), total=total.detach())

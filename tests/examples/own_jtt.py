"""Just Train Twice (Liu et al. 2021): images that a first network gets wrong are drawn more often for a second one."""

import torch

from trainable import MethodState, Range, Stage, register_method
from trainable.methods.erm import erm


@register_method(
    "own_jtt",
    long_name="Just Train Twice of one's own",
    reference="Liu et al. 2021, algorithm 1",
    space={"T": Range(1, 5, integer=True), "u": Range(2, 100, log=True)},
    defaults={"T": 2, "u": 20.0},
    stages=(Stage("identify", epochs="T", reset="all"), Stage("train", epochs="rest", reset="all")),
)
class JTT(MethodState):
    def __init__(self, facts, hyper):
        super().__init__(facts, hyper)
        self.wrong = torch.zeros(facts.n, dtype=torch.bool, device=facts.device)

    def begin_epoch(self, epoch, nets, predict):
        if epoch == self.facts.spans[1].first:
            # The networks are still those of the first stage.
            self.wrong.copy_(predict().argmax(dim=1) != self.facts.labels)

    def order(self, epoch, generator):
        if self.facts.stage(epoch) == "identify":
            return None
        # As many images an epoch as every other method has; the paper's epochs grow with the copies.
        weights = torch.where(self.wrong.cpu(), self.hyper["u"], 1.0)
        return torch.multinomial(weights, self.facts.n, replacement=True, generator=generator)

    def step(self, nets, batch, ramp):
        return erm(nets, batch, self.hyper, ramp)

    def tensors(self):
        return {"wrong": self.wrong}

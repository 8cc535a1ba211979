"""Stochastic weight averaging (Izmailov et al. 2018): the mean of the last epochs' weights is judged."""

import torch
from torch import nn

from trainable import MethodState, Nets, Range, register_method
from trainable.methods.erm import erm


@register_method(
    "swa",
    long_name="Averaged weights",
    reference="Izmailov et al. 2018, algorithm 1",
    space={"start": Range(0.5, 0.9)},
    defaults={"start": 0.75},
)
class SWA(MethodState):
    def __init__(self, facts, hyper):
        super().__init__(facts, hyper)
        nets = facts.make_nets("average")
        # Frozen: no optimiser steps it.
        self.average = nn.Sequential(nets.f, nets.g).requires_grad_(False)
        self.count = torch.zeros((), device=facts.device)

    def step(self, nets, batch, ramp):
        return erm(nets, batch, self.hyper, ramp)

    def after_step(self, nets, step):
        epochs, more = divmod(step + 1, self.facts.steps_per_epoch)
        if more or epochs <= self.hyper["start"] * self.facts.epochs:
            return
        self.count += 1
        now = nn.Sequential(nets.f, nets.g).state_dict()
        for name, mean in self.average.state_dict().items():
            # Running averages of BatchNorm are averaged too; its number of batches is a whole number.
            mean.copy_(mean + (now[name] - mean) / self.count if mean.is_floating_point() else now[name])

    def evaluated(self, nets):
        return Nets(self.average[0], self.average[1], None) if self.count else nets

    def modules(self):
        return {"average": self.average}

    def tensors(self):
        return {"count": self.count}

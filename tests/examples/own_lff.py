"""Learning from Failure (Nam et al. 2020): what a network that falls for the bias finds hard counts more in another."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from trainable import Losses, MethodState, Range, register_method

DECAY = 0.7


@register_method(
    "own_lff",
    long_name="Learning from Failure of one's own",
    reference="Nam et al. 2020, algorithm 1",
    space={"q": Range(0.3, 0.9)},
    defaults={"q": 0.7},
)
class LfF(MethodState):
    def __init__(self, facts, hyper):
        super().__init__(facts, hyper)
        nets = facts.make_nets("biased")
        self.biased = nn.Sequential(nets.f, nets.g)
        self.losses = torch.zeros(2, facts.n, device=facts.device)  # of both networks, averaged for each image

    def step(self, nets, batch, ramp):
        logits, biased = nets.g(nets.f(batch.x)), self.biased(batch.x)
        losses = torch.stack([cross_entropy(z, batch.y, reduction="none") for z in (biased, logits)])
        self.losses[:, batch.index] = DECAY * self.losses[:, batch.index] + (1 - DECAY) * losses.detach()
        hard_biased, hard = (self.relative(row)[batch.index] for row in self.losses)
        weight = hard_biased / (hard_biased + hard + 1e-8)
        # The generalised cross-entropy (1 - p^q) / q lets a network keep to what is easy: the bias.
        generalised = (1 - torch.exp(-self.hyper["q"] * losses[0])) / self.hyper["q"]
        total = (weight * losses[1]).mean() + generalised.mean()
        total.backward()
        terms = {"weight": weight.mean(), "biased_loss": losses[0].detach().mean()}
        return Losses(logits.detach(), losses[1].detach().mean(), total=total.detach(), terms=terms)

    def relative(self, losses):
        """Losses of all images, divided by the largest of their class."""
        largest = losses.new_zeros(self.facts.n_classes)
        return losses / largest.scatter_reduce(0, self.facts.labels, losses, "amax")[self.facts.labels].clamp(min=1e-8)

    def modules(self):
        return {"biased": self.biased}

    def tensors(self):
        return {"losses": self.losses}

"""Plug-ins as a user writes them, for the tests of all that takes them along."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

METHOD = '''
"""Plain training, written by a user."""
from trainable import register_method
from trainable.methods.erm import erm

SHARE = 1.0


@register_method("own_erm", long_name="Own ERM", reference="none")
def own_erm(nets, batch, hyper, ramp):
    return erm(nets, batch, hyper, ramp)
'''
"""A method without a state, whose numbers are those of ``erm``."""

STATEFUL = '''
"""Weights of the classes that follow their losses (after Sagawa et al. 2020, algorithm 1)."""
import torch
from torch.nn.functional import cross_entropy

from trainable import register_method
from trainable.methods.base import Losses, MethodState, Range


@register_method(
    "own_dro", long_name="Own DRO", reference="Sagawa et al. 2020",
    space={"eta": Range(1e-3, 1e-1, log=True)}, defaults={"eta": 0.01},
)
class OwnDRO(MethodState):
    def __init__(self, facts, hyper):
        super().__init__(facts, hyper)
        self.weights = torch.full((facts.n_classes,), 1 / facts.n_classes, device=facts.device)

    def step(self, nets, batch, ramp):
        logits = nets.g(nets.f(batch.x))
        each = cross_entropy(logits, batch.y, reduction="none")
        zeros = torch.zeros_like(self.weights)
        counts = zeros.index_add(0, batch.y, torch.ones_like(each)).clamp(min=1)
        means = zeros.index_add(0, batch.y, each) / counts
        self.weights.mul_(torch.exp(self.hyper["eta"] * means.detach()))
        self.weights.div_(self.weights.sum())
        (self.weights * means).sum().backward()
        return Losses(logits.detach(), each.detach().mean())

    def tensors(self):
        return {"weights": self.weights}
'''
"""A method whose steps depend on all earlier ones: what is lost of its state shows in the rows."""

NETWORK = '''
"""A small network."""
from torch import nn

from trainable.networks.base import Blueprint, register_network
from trainable.networks.heads import PointwiseHead


@register_network("own_net")
def own_net(data, width: int = 4, weights: str | None = None):
    def body():
        f = nn.Sequential(nn.Conv2d(data.channels, width, 3, stride=2), nn.ReLU())
        return f, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, len(data.classes)))
    return Blueprint(body, lambda: PointwiseHead(width, 8, data.heads))
'''
"""A network whose activation is easy to change."""

DATASET = '''
"""Coloured digits of which a file says how many pixels they have."""
from pathlib import Path

from trainable import register_dataset
from trainable.data.digits.coloured_digits import ColouredDigits


@register_dataset("own_digits", files=("file",))
def own_digits(file: str) -> ColouredDigits:
    return ColouredDigits(int(Path(file).read_text()))
'''
"""A data set with a declared file."""


@contextmanager
def forgotten() -> Iterator[None]:
    """Forget, at both ends of the block, every plug-in of this process."""
    from trainable.plugins.loading import forget, loaded_plugins

    for plugin in loaded_plugins():
        forget(plugin.name)
    try:
        yield
    finally:
        for plugin in loaded_plugins():
            forget(plugin.name)

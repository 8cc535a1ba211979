"""One optimiser, its schedule and its clipping; learning rate and ramp are functions of the step alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from trainable.spec import Training


def schedule(training: Training, step: int, steps: int) -> float:
    """Factor of the learning rate at a step.

    Args:
        training: Names the schedule.
        step: Steps done before this one, in [0, steps).
        steps: Steps of the whole trial.

    Returns:
        A factor in (0, 1].
    """
    progress = step / steps
    if training.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if training.schedule == "step":
        return 0.1 ** sum(progress >= mark for mark in (0.4, 0.8))
    return 1.0


def ramp(share: float, progress: float) -> float:
    """Share of the adversarial weights in force: 2 / (1 + exp(-10 p)) - 1 (Ganin & Lempitsky 2015, section 4).

    Args:
        share: Share of the training over which it rises, in [0, 1].
        progress: Share of the training that is done, in [0, 1].

    Returns:
        A factor in [0, 1]; exactly 1 from ``share`` on.
    """
    if progress >= share:
        return 1.0
    return 2 / (1 + math.exp(-10 * progress / share)) - 1


class Optimiser:
    """Adam or SGD over some parameters, whose gradient norm is clipped by itself.

    Args:
        parameters: The parameters; frozen ones are left out.
        training: Optimiser, schedule and clipping norm.
        lr: Learning rate at the first step.
        weight_decay: Coupled L2 decay, as in the papers.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], training: Training, lr: float, weight_decay: float) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.lr = self.base_lr = lr
        self.clip_norm = training.clip_norm
        self.torch: torch.optim.Optimizer
        if training.optimizer == "sgd":
            self.torch = torch.optim.SGD(self.parameters, lr, momentum=0.9, weight_decay=weight_decay, fused=True)
        else:
            self.torch = torch.optim.Adam(self.parameters, lr, weight_decay=weight_decay, fused=True)

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for p in self.parameters:
            p.grad = None

    def step(self, factor: float) -> None:
        """Clip the gradients and take one step with ``factor`` times the first learning rate."""
        if self.clip_norm is not None:
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            if gradients:
                # The same as clip_grad_norm_, at a quarter of its overhead a step.
                norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
                torch._foreach_mul_(gradients, (self.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        self.lr = self.base_lr * factor
        for group in self.torch.param_groups:
            group["lr"] = self.lr
        self.torch.step()

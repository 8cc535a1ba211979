"""One optimiser, its schedule and its clipping.

Learning rate and ramp are functions of the step alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from trainable.spec import Training


def schedule(training: Training, step: int, steps: int) -> float:
    """Factor of the learning rate at a step.

    Args:
        training: Names the schedule.
        step: Steps done before this one, in [0, steps).
        steps: Steps of the whole trial.

    Returns:
        A factor in (0, 1].

    Example:
        >>> [round(schedule(Training(schedule="cosine"), step, 4), 3) for step in range(4)]
        [1.0, 0.854, 0.5, 0.146]
        >>> [round(schedule(Training(schedule="step"), step, 5), 3) for step in range(5)]
        [1.0, 1.0, 0.1, 0.1, 0.01]
    """
    progress = step / steps
    if training.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    # The published code of Kim et al. takes a tenth of the rate every 40 of 100 epochs.
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

    Example:
        >>> [round(ramp(0.3, progress), 3) for progress in (0.0, 0.03, 0.15, 0.3)]
        [0.0, 0.462, 0.987, 1.0]
    """
    if progress >= share:
        return 1.0
    return 2 / (1 + math.exp(-10 * progress / share)) - 1


class Optimiser:
    """Adam or SGD over some parameters, whose gradient norm is clipped by itself.

    The updates are torch's own functions. Its optimiser classes import the compiler with their first instance, which
    costs every worker process some five seconds of computing: more than a short trial.

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
        self.weight_decay = weight_decay
        self._sgd = training.optimizer == "sgd"
        names = ("momentum",) if self._sgd else ("mean", "square", "steps")
        self._moments: dict[str, list[Tensor]] = {
            name: [
                # The fused Adam keeps its count of steps on the device.
                torch.zeros((), device=p.device) if name == "steps" else torch.zeros_like(p, requires_grad=False)
                for p in self.parameters
            ]
            for name in names
        }

    @torch.no_grad()
    def forget(self, parameters: Iterable[Tensor] | None = None) -> None:
        """Set the moments of some parameters back to those before the first step.

        Args:
            parameters: Some of this optimiser's; None = all.
        """
        chosen = None if parameters is None else {id(parameter) for parameter in parameters}
        for held in self._moments.values():
            for parameter, moment in zip(self.parameters, held, strict=True):
                if chosen is None or id(parameter) in chosen:
                    moment.zero_()

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Clip the gradients and take one step with ``factor`` times the first learning rate."""
        chosen = [i for i, p in enumerate(self.parameters) if p.grad is not None]
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        self.lr = self.base_lr * factor
        if not gradients:
            return
        if self.clip_norm is not None:
            # The same as clip_grad_norm_, at a quarter of its overhead a step.
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            torch._foreach_mul_(gradients, (self.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        parameters: list[Tensor] = [self.parameters[i] for i in chosen]
        moments = {name: [held[i] for i in chosen] for name, held in self._moments.items()}
        if self._sgd:
            # From a momentum of zero the first step is the gradient itself, as in torch.optim.SGD.
            sgd(
                parameters,
                gradients,
                list(moments["momentum"]),
                fused=True,
                weight_decay=self.weight_decay,
                momentum=0.9,
                lr=self.lr,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
            return
        adam(
            parameters,
            gradients,
            moments["mean"],
            moments["square"],
            [],
            moments["steps"],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.lr,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The moments of every parameter, by name."""
        return self._moments

    def load_state_dict(self, state: Mapping[str, list[Tensor]]) -> None:
        """Go on from the moments that ``state_dict`` returned.

        Raises:
            KeyError: They are of another optimiser.
        """
        for name, held in self._moments.items():
            for tensor, kept in zip(held, state[name], strict=True):
                tensor.copy_(kept)

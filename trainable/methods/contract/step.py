"""One step of training: the networks and the batch that go in, the losses that come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Nets:
    """The three networks of the paper: features f, label head g, bias head h (None for methods without one).

    ``batch_statistics`` is None where the networks are evaluated in evaluation mode; else the number of images a
    batch, in training mode (``Training.evaluation``).
    """

    f: nn.Module
    g: nn.Module
    h: nn.Module | None
    batch_statistics: int | None = None


@dataclass(frozen=True)
class Batch:
    """One step's data.

    Attributes:
        x: float32 ``[B, 3, H, W]`` in [0, 1].
        y: int64 ``[B]``.
        b: integer ``[B, heads]``, or ``[B, heads, H', W']`` at the resolution of f's output; ``IGNORED`` = not counted.
        class_weight: float32 ``[classes]`` or None.
        places: bool ``[B, H', W']``, positions where any head has a label; None = to be read off ``b``.
        index: int64 ``[B]``, positions among the training images, in [0, n).
        attributes: int64 ``[n]``, the bias attribute of all training images as one number (``IGNORED`` = none); None
            where the method does not need bias labels.
        step: Number of the step, counted from the trial's beginning.
        epoch: Number of the epoch, from 0.
        label_counts: () -> float64 ``[heads, values]``, how often the training images, as they are drawn, have each
            value of each head's bias label at a counted place; computed when it is first called. None where the method
            needs no bias labels.
    """

    x: Tensor
    y: Tensor
    b: Tensor
    class_weight: Tensor | None = None
    places: Tensor | None = None
    index: Tensor | None = None
    attributes: Tensor | None = None
    step: int = 0
    epoch: int = 0
    label_counts: Callable[[], Tensor] | None = None

    @property
    def attribute(self) -> Tensor:
        """The bias attribute of the batch's images, int64 ``[B]``: taken where it is asked for, which few methods do.

        Raises:
            RuntimeError: The method has not declared that it needs bias labels.
        """
        if self.attributes is None or self.index is None:
            raise RuntimeError("a method must declare needs={'bias_labels'} to be given the bias attribute")
        return self.attributes.index_select(0, self.index)


@dataclass(frozen=True)
class Losses:
    """Detached scalars that a step reports.

    A term that the method does not have is None.

    Attributes:
        logits: Label logits ``[B, classes]``, detached.
        label: L_c.
        mi: L_MI, the negative conditional entropy of h's prediction (nats).
        bias: L_B, h's cross-entropy, summed over heads.
        bias_correct: Correct bias predictions and the number of them, scalar tensors (no wait for the device).
        total: What f minimises, the weighted sum of the terms; None = L_c alone.
        terms: Further numbers to look at, detached scalar tensors by name: their means over an epoch's images stand in
            the history (column ``terms``). One that is not finite is recorded as null and fails no trial.
    """

    logits: Tensor
    label: Tensor
    mi: Tensor | None = None
    bias: Tensor | None = None
    bias_correct: tuple[Tensor, Tensor] | None = None
    total: Tensor | None = None
    terms: Mapping[str, Tensor] = field(default_factory=dict)


StepFunction = Callable[[Nets, Batch, Mapping[str, Any], float], Losses]
"""(nets, batch, hyperparameters, ramp in [0, 1]) -> losses.

It leaves gradients in the parameters and takes no step of an optimiser.
"""

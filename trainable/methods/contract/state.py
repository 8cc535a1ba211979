"""A method with a state: its hooks into the training loop, and what it is told of the trial."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainable.methods.contract.stages import Span
from trainable.methods.contract.step import Batch, Losses, Nets

Predict = Callable[[], Tensor]
"""() -> logits of all images of the epoch's stage, float32 ``[n, classes]`` in the order of positions, on the device.

In evaluation mode, without gradients and augmentation, computed in batches when it is first called in an epoch.
"""


@dataclass(frozen=True)
class Facts:
    """Facts about a trial, for a method with state, known before the first step.

    Attributes:
        n: Number of training images; where a stage is trained on held-out images, without those.
        n_classes: Number of classes.
        n_attributes: Number of values of the bias attribute.
        epochs: Epochs of the trial, those of all stages.
        steps_per_epoch: Steps in each epoch on these images; another number where ``MethodState.length`` says so.
        seed: The trial's seed.
        device: Where the networks and the tensors below live.
        labels: int64 ``[n]``.
        attribute: int64 ``[n]``; None where the method does not need bias labels.
        group_counts: int64 ``[n_classes, n_attributes]``, training images of each class and attribute as the data have
            them, whatever ``draw``; None where the method does not need them.
        spans: The stages: name, first epoch, number of epochs of each; one stage where the method declares none.
        held_out: The same facts of the held-out images; None where no stage is trained on any.
        make_nets: ``make_nets(role)`` builds further networks like f and g (h is None), with weights drawn for that
            role, on the device: return them from ``MethodState.modules``.
    """

    n: int
    n_classes: int
    n_attributes: int
    epochs: int
    steps_per_epoch: int
    seed: int
    device: torch.device
    labels: Tensor
    attribute: Tensor | None = None
    group_counts: Tensor | None = None
    spans: tuple[Span, ...] = ()
    held_out: Facts | None = None
    make_nets: Callable[[str], Nets] | None = None

    def stage(self, epoch: int) -> str:
        """Name of the stage that an epoch belongs to.

        Args:
            epoch: Number of the epoch, from 0 (``Batch.epoch``).
        """
        return next(span.stage.name for span in self.spans if epoch < span.end)


class MethodState(ABC):
    """A method that keeps something from step to step: one object for each trial.

    Only ``step`` must be written. The order of the calls:

    1. ``__init__``, then ``modules`` and ``tensors``: a checkpoint is read into what they return.
    2. For each epoch ``begin_epoch``, then ``order``, then for each batch ``step``, the optimisers, ``after_step``.
    3. After each epoch ``evaluated``, and the checkpoint: the tensors, and the weights of the modules.

    Torch's random numbers are seeded before ``__init__``, before each ``begin_epoch`` and before each ``step``: what is
    drawn there is the same after an interruption. NumPy's and Python's are not.

    An epoch in which the networks are pre-trained (``pretrain_epochs``) differs in one thing: plain training takes the
    place of ``step``. Whatever is read by a later call and stands neither in ``tensors`` nor in ``modules`` makes a
    trial that was interrupted differ from one that was not.

    Args:
        facts: The trial.
        hyper: Value of every hyperparameter.
    """

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        self.facts, self.hyper = facts, hyper

    @abstractmethod
    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        """Leave the gradients of one step in the parameters, as a ``StepFunction`` does.

        The optimisers step afterwards: no gradient, no step.

        Args:
            nets: f, g and h (None without a bias head), in training mode.
            batch: Images, labels, and the bias where the method needs it.
            ramp: Share of the debiasing weights that is in force, in [0, 1].
        """

    @classmethod
    def length(cls, n: int, hyper: Mapping[str, Any]) -> int:
        """Positions that ``order`` gives for each epoch of a stage that is trained on n images.

        It is asked before the trial begins, since the learning rate follows the number of steps.

        Args:
            n: Images of the stage.
            hyper: Value of every hyperparameter.
        """
        return n

    def order(self, epoch: int, generator: torch.Generator) -> Tensor | None:
        """Draw the images of an epoch: a sampler.

        It must also work before the first ``begin_epoch``: an estimate of the time asks for it.

        Args:
            epoch: Number of the epoch, from 0.
            generator: CPU generator of this epoch: the only source of randomness.

        Returns:
            Positions among the images of the stage, int64 ``[length]``, in the order of training; they may repeat.
            None = all images, each once, in random order (or ``draw: balanced``).
        """
        return None

    def begin_epoch(self, epoch: int, nets: Nets, predict: Predict) -> None:  # noqa: B027
        """Look at the networks before an epoch.

        At the first epoch of a stage they are those with which the stage before it ended: nothing is reset yet.

        Args:
            epoch: Number of the epoch, from 0.
            nets: f, g and h.
            predict: Logits of all images of the stage that the epoch belongs to.
        """

    def after_step(self, nets: Nets, step: int) -> None:  # noqa: B027
        """Look at the networks after the optimisers' step, to average their weights, say.

        Gradients are off.

        Args:
            nets: f, g and h.
            step: Number of the step, counted from the trial's beginning.
        """

    def modules(self) -> Mapping[str, nn.Module]:
        """Further networks by name, the same objects each time.

        They are moved to the device, in training mode while an epoch is trained, checkpointed and checked for numbers
        that are not finite. Each has an optimiser of its own with the method's ``lr`` and ``weight_decay``, which steps
        the parameters that ``step`` left a gradient in; it rests in pre-training. A method that steps a network itself
        leaves no gradient there (``parameter.grad = None``), or freezes it (``requires_grad_(False)``).
        """
        return {}

    def evaluated(self, nets: Nets) -> Nets:
        """Give the networks that are judged, kept as the best, written to ``models/`` and used for predictions.

        They must have the parameters and buffers of f and g. The call must change nothing.

        Args:
            nets: f, g and h.
        """
        return nets

    def tensors(self) -> Mapping[str, Tensor]:
        """All that changes from step to step, by name: it stands in the trial's checkpoint, and is read back in place.

        Names, shapes and dtypes are the same from ``__init__`` on. A method that keeps anything else does other steps
        after an interruption than without one.
        """
        return {}

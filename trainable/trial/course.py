"""Course of a trial: which stage, learning rate and ramp each of its steps has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainable.methods.contract.stages import Span
from trainable.spec import Training
from trainable.trial.optimise import ramp, schedule


@dataclass(frozen=True)
class Course:
    """Stages of a trial, and the steps of each.

    Attributes:
        training: Names the schedule, and how long the ramp is.
        spans: The stages.
        steps: Steps of an epoch of each stage.
        pretrain_epochs: Epochs of plain training at the beginning, before the ramp.

    Example:
        >>> from trainable.methods.contract.stages import Stage, spans
        >>> stages = (Stage("identify", epochs=1), Stage("train"))
        >>> course = Course(Training(epochs=3), spans(stages, {}, 3), steps=(2, 4))
        >>> [course.first_step(epoch) for epoch in range(3)]
        [0, 2, 6]
        >>> [round(course.factor(step), 2) for step in (0, 1, 2, 6)]
        [1.0, 0.5, 1.0, 0.5]
    """

    training: Training
    spans: tuple[Span, ...]
    steps: Sequence[int]
    pretrain_epochs: int = 0

    def number(self, epoch: int) -> int:
        """Index of the stage that an epoch belongs to."""
        return next(k for k, span in enumerate(self.spans) if epoch < span.end)

    def span(self, epoch: int) -> Span:
        """The stage that an epoch belongs to."""
        return self.spans[self.number(epoch)]

    def first_step(self, epoch: int) -> int:
        """Number of the first step of an epoch, counted from the trial's beginning."""
        pairs = zip(self.spans, self.steps, strict=True)
        return sum(max(0, min(epoch, span.end) - span.first) * steps for span, steps in pairs)

    def _within(self, step: int) -> tuple[int, int, int]:
        """Steps of its stage before a step, steps of the stage, and steps of one of its epochs."""
        for span, per_epoch in zip(self.spans, self.steps, strict=True):
            if step < span.epochs * per_epoch:
                return step, span.epochs * per_epoch, per_epoch
            step -= span.epochs * per_epoch
        raise IndexError("the trial has fewer steps")

    def is_pretraining(self, step: int) -> bool:
        """True where a step is one of plain training, before the method begins."""
        return step < self.pretrain_epochs * self.steps[0]

    def factor(self, step: int) -> float:
        """Factor of the learning rate at a step, in (0, 1]."""
        done, steps, _ = self._within(step)
        return schedule(self.training, done, steps)

    def ramp(self, step: int) -> float:
        """Share of the debiasing weights that is in force at a step, in [0, 1]."""
        done, steps, per_epoch = self._within(step)
        first = self.pretrain_epochs * per_epoch
        return ramp(self.training.ramp, (done - first) / (steps - first)) if done >= first else 0.0

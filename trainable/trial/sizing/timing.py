"""Time of an epoch of a trial, from a few of its steps, for estimates before a sweep starts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from trainable.data.held_out import taken
from trainable.evaluation import evaluate
from trainable.methods.base import Batch
from trainable.methods.contract.stages import Span
from trainable.spec import VARIANTS
from trainable.trial.trainer import Trainer

_FEW = 4
_SLOW = 2.0
"""Seconds: where a whole step would take longer, steps of a few images are timed instead."""
_STEPS = 8
_PATIENCE = 5.0
_EVALUATED = 64


@dataclass(frozen=True)
class EpochTime:
    """Times of a trial, by a few of its steps.

    Attributes:
        seconds: An epoch, steps and validation.
        image: Seconds of predicting one image.
        words: What was timed.
    """

    seconds: float
    image: float
    words: str


def epoch_time(trainer: Trainer) -> EpochTime:
    """Estimate the seconds of an epoch, steps and validation, from a part of both.

    The steps are those of the last epoch, where the ramp is at its end and pre-training is over. At most 8 are timed,
    or as many as begin within 5 s, after a step of 4 images that is not counted; where a whole step would take over
    2 s, one more step of 4 images stands for all, image for image. Validation is scaled up from at most 64 images.
    Building the trial and its report are left out. Where a method has stages, the steps of each are timed so, and the
    epoch is the mean one; what it predicts before an epoch is left out.

    Args:
        trainer: A fresh trial; it is trained by the steps and of no use afterwards.

    Returns:
        The times; ``tested_seconds`` adds what a confirm trial looks at.
    """
    spans = trainer.course.spans
    stages = [_stage_steps(trainer, span) for span in spans]
    slow, words = stages[-1].slow, stages[-1].words
    sets = {id(image_set): image_set for image_set in trainer.validation_images.values()}
    evaluated = sum(map(len, sets.values()))
    one = next(iter(sets.values()))
    some = min(_FEW if slow else _EVALUATED, len(one))
    shown = taken(one, np.arange(some))
    predict = partial(evaluate.predict, trainer.nets, shown, trainer.method.transform, trainer.device)
    validation = _timed(trainer, predict)
    trained = sum(stage.seconds * span.epochs for stage, span in zip(stages, spans, strict=True))
    seconds = trained / trainer.spec.training.epochs + validation * evaluated / some
    return EpochTime(seconds, validation / some, f"{words} and {some} validation images")


@dataclass(frozen=True)
class _StageSteps:
    """Seconds of the steps of an epoch of a stage, whether one takes long, and what was timed."""

    seconds: float
    slow: bool
    words: str


def _stage_steps(trainer: Trainer, span: Span) -> _StageSteps:
    feed, last = trainer.feeds[span.stage.on], span.end - 1
    few, first, size = min(_FEW, max(feed.sizes)), trainer.course.first_step(last), max(feed.sizes)
    with trainer.stepper.training(span):
        batch = part_of(next(feed.batches(last, first=first)), few)
        # The first call of everything makes what later calls find: memory, threads, on a GPU its libraries.
        _timed(trainer, partial(trainer.train_batch, batch, first))
        steps = _timed(trainer, partial(trainer.train_batch, batch, first))
        slow = steps * size / few > _SLOW
        count, images = 1, few
        if not slow:
            batches = feed.batches(last, first=first)
            steps, count, images = 0.0, 0, 0
            while count < min(_STEPS, len(feed.sizes)) and steps < _PATIENCE:
                steps += _timed(trainer, partial(_step, trainer, batches, first + count))
                images += feed.sizes[count]
                count += 1
    words = f"a training step of {few} images" if slow else f"{count} training step{'s' * (count > 1)}"
    return _StageSteps(steps * sum(feed.sizes) / images, slow, words)


def tested_seconds(trainer: Trainer, image: float) -> float:
    """Seconds that a confirm trial takes for its test images: once an epoch, and at its end each variant.

    Args:
        trainer: A trial of the search, which does not see these images: they are counted, not loaded.
        image: Seconds of predicting one.
    """
    dataset = trainer.dataset
    independent = dataset.unbiased_is_independent
    variants = len({*VARIANTS, *(dataset.flip_pair or ())}) - independent
    return image * len(trainer.view.split.test) * (trainer.spec.training.epochs + variants)


def part_of(batch: Batch, most: int) -> Batch:
    """Keep the first images of a batch.

    Args:
        batch: N images.
        most: Images to keep.

    Example:
        >>> batch = Batch(torch.zeros(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]), torch.empty(0, dtype=torch.int64))
        >>> part_of(batch, 2).y
        tensor([0, 1])
    """
    per_image = ("x", "y", "b", "places", "index")
    parts = {name: part for name in per_image if (part := getattr(batch, name)) is not None}
    return dataclasses.replace(batch, **{name: part[:most] for name, part in parts.items()})


def _step(trainer: Trainer, batches: Iterator[Batch], number: int) -> None:
    trainer.train_batch(next(batches), number)


def _timed(trainer: Trainer, work: Callable[[], Any]) -> float:
    """Seconds until it is done, also on the device."""
    began = time.perf_counter()
    work()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    return time.perf_counter() - began

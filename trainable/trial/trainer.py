"""One trial from its specification to its row: the training loop, its checkpoint and its report.

Everything random is a function of (seed, role, epoch or step), and the learning rate and the ramp are functions of the
step: a trial that goes on from ``state`` computes, bit for bit, what it would have computed undisturbed.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import math
import time
from typing import Any

import torch
from torch import Tensor, nn

from store.columns import HISTORY, PRESSURES
from trainable.data.base import Dataset, TrainingDraw, heads_with_labels, load_dataset, resolve_bias
from trainable.data.view import DataView
from trainable.errors import InputError
from trainable.evaluation import evaluate
from trainable.methods.base import Batch, Losses, Method, MethodState, Nets, get_method
from trainable.methods.contract.stages import spans
from trainable.networks.base import DataShape
from trainable.networks.build import build_nets, feature_shape
from trainable.randomness import derive
from trainable.spec import TrialSpec, objective
from trainable.trial import checkpoint, outcome
from trainable.trial.course import Course
from trainable.trial.feed import Feed
from trainable.trial.machine.device import choose_device, keep_freed_memory
from trainable.trial.material import facts_of, sets_of
from trainable.trial.outcome import Outcome
from trainable.trial.refusals import check_combination, check_hyperparameters, check_needs, count_conflicting
from trainable.trial.stepper import Stepper, parts_of

_RAMPED = tuple(name for name in PRESSURES if name in HISTORY)
"""Weights of debiasing terms that each epoch records, the ramp included."""


class TrialFailed(RuntimeError):
    """A trial that cannot go on: a loss or a parameter that is not a number, or an undefined objective."""


class Trainer:
    """Trains one trial, one epoch a call.

    Args:
        spec: The trial.
        device: ``auto``, ``cpu`` or ``cuda``.

    Attributes:
        spec: The trial.
        epoch: Epochs done.
        history: Their rows (columns of ``history``).
        nets: f, g and h; h is None for a method without one.
        feeds: The images that stages are trained on: ``train``, and ``held_out`` where one is.
        course: The stages.
        stepper: Takes the steps; it holds the optimisers and the method's state.
        n_train: Number of training images, those of all feeds.
        validation_images: Those of each rule, painted.
        reported: ``epoch`` and the ``val_*`` columns of the epoch that the row reports.
        best: Weights of f and g of that epoch, where the best is reported; else None.

    Raises:
        InputError: A name, option or value of the specification is wrong.
    """

    def __init__(self, spec: TrialSpec, device: str = "auto") -> None:
        keep_freed_memory()
        self.spec, self.device = spec, choose_device(device)
        # The order of a sum, and so its last bit, depends on the number of threads.
        torch.set_num_threads(spec.threads)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.method: Method = get_method(spec.method)
        check_hyperparameters(self.method, spec.hyperparameters, spec.training.epochs)
        self.hyper: dict[str, Any] = {**self.method.defaults, **spec.hyperparameters}
        self.dataset: Dataset = load_dataset(spec.dataset, **spec.dataset_options)
        check_combination(self.method, self.dataset, spec.training, spec.draw)
        if spec.rule not in self.dataset.rules:
            known = ", ".join(self.dataset.rules)
            raise InputError(f"rule {spec.rule} is not defined for {spec.dataset}: choose one of {known}")
        self.bias = resolve_bias(self.dataset, spec.bias)
        self.view = DataView(self.dataset, self.bias, spec.seed, spec.fold, spec.phase, spec.split_seed)
        law: TrainingDraw = "unbiased" if self.method.training_draw in ("unbiased", "clean") else "biased"
        self.dataset.check_draw(self.bias, spec.seed, self.view.split.train, law)
        drawn = self.view.train(self.method.training_draw, self.hyper.get("repaint_share", 1.0))
        heads, train = heads_with_labels(self.dataset.heads, drawn)
        self.n_train = len(train)
        self.n_conflicting = count_conflicting(self.dataset, train)
        check_needs(self.method, spec.draw, self.dataset, self.bias, train)
        self._shape = DataShape.of(self.dataset, heads)
        self.nets = self._built("", self.method.bias_head)

        training = spec.training
        if training.evaluation == "train":
            self.nets = dataclasses.replace(self.nets, batch_statistics=training.batch_size)
        grid: tuple[int, int] | None = None
        if "bias_labels" in self.method.needs:
            features = feature_shape(self.nets.f, train.images.shape[-1])
            grid = (features[-2], features[-1]) if len(features) == 3 else (1, 1)
        stages = spans(self.method.stages, self.hyper, training.epochs)
        sets = sets_of(train, self.method, stages, self.dataset, spec)
        n_classes = len(self.dataset.classes)
        self.feeds = {
            name: Feed(images, self.method, spec, n_classes, grid, self.device) for name, images in sets.items()
        }
        steps = [len(self.feeds[span.stage.on].sizes) for span in stages]
        self.course = Course(training, stages, steps, int(self.hyper["pretrain_epochs"]))
        n_attributes = len(self.dataset.attributes)
        facts = facts_of(self.feeds, self.method, spec, n_attributes, stages, lambda role: self._built(f"nets/{role}"))
        self.stepper = Stepper(self.nets, self.method, facts, spec, self.course)
        state = self.stepper.state
        if state is not None and type(state).order is not MethodState.order:
            for feed in self.feeds.values():
                feed.sampler = state.order
        self.validation_images = evaluate.validation_sets(self.view)
        self._reweighting = self._prepare_reweighting()
        self._metric = evaluate.scored(spec.metric, self.dataset.worst_group_by)
        self._test = self.view.test("unbiased") if spec.phase == "confirm" else None

        self.epoch = 0
        self.history: list[dict[str, Any]] = []
        self.reported: dict[str, Any] = {}
        self.started_at = datetime.datetime.now(datetime.UTC)
        self.seconds = {"all": 0.0, "steps": 0.0}
        self.best: dict[str, dict[str, Tensor]] | None = None

    @property
    def feed(self) -> Feed:
        """The training images."""
        return self.feeds["train"]

    def parts(self) -> dict[str, nn.Module]:
        """The networks there are, by the letters of the paper."""
        return parts_of(self.nets)

    def _built(self, role: str, with_bias_head: bool = False) -> Nets:
        """Networks with fresh weights, on the device.

        The role "" is that of the trial's own.
        """
        seed = derive(self.spec.seed, role) if role else self.spec.seed
        nets = build_nets(self.spec.network, self.spec.network_options, self._shape, seed, with_bias_head)
        for part in parts_of(nets).values():
            part.to(self.device)
        return nets

    def _prepare_reweighting(self) -> evaluate.Reweighting | None:
        images = self.validation_images.get("val_reweighted")
        if images is None:
            return None
        try:
            return evaluate.reweighting(self.view, images)
        except InputError:
            # At full bias a class has no image left to weight: the column is null, unless the trial is chosen by it.
            if self.spec.rule == "val_reweighted":
                raise
            del self.validation_images["val_reweighted"]
            return None

    @property
    def finished(self) -> bool:
        """True once all epochs have been trained."""
        return self.epoch >= self.spec.training.epochs

    @property
    def images_trained(self) -> int:
        """Number of images in all steps so far."""
        spans = self.course.spans
        done = [max(0, min(self.epoch, span.end) - span.first) for span in spans]
        return sum(epochs * sum(self.feeds[span.stage.on].sizes) for epochs, span in zip(done, spans, strict=True))

    @property
    def objective(self) -> float:
        """The rule's value at the reported epoch (``val_reweighted``: minus 1 SE).

        It is NaN before the first epoch.
        """
        return objective(self.spec.rule, self.reported)

    def train_epoch(self) -> dict[str, Any]:
        """Train one epoch and evaluate on the validation images.

        Returns:
            Its row (columns of ``history``), which is also appended to ``history``.

        Raises:
            TrialFailed: A loss, a parameter or the objective is not a finite number.
            RuntimeError: All epochs have been trained.
        """
        if self.finished:
            raise RuntimeError(f"trial {self.spec.trial_id} has trained all its {self.epoch} epochs")
        torch.set_num_threads(self.spec.threads)
        begin = time.perf_counter()
        means, terms = self._train_steps()
        self._fail_unless_finite(means)
        trained = time.perf_counter()

        judged = self.stepper.judged()
        values = evaluate.validation_values(
            judged, self.validation_images, self._metric, self.method.transform, self.device, self._reweighting
        )
        self.epoch += 1
        row: dict[str, Any] = {"trial_id": self.spec.trial_id, "epoch": self.epoch, **means}
        row.update({name: values.get(name) for name in outcome.HISTORY_VALUES})
        row["test_accuracy"] = self._test_accuracy(judged)
        row["lr"] = self.stepper.optimisers[0].lr
        last = self.course.first_step(self.epoch) - 1
        for name in _RAMPED:
            row[name] = self.hyper[name] * self.course.ramp(last) if name in self.hyper else None
        row["stage"] = self.course.span(self.epoch - 1).stage.name if self.method.stages else None
        row["terms"] = terms
        row["seconds"] = time.perf_counter() - begin
        self.seconds["all"] += row["seconds"]
        self.seconds["steps"] += trained - begin
        self.history.append(row)
        self._choose_reported(values, judged)
        return row

    def _train_steps(self) -> tuple[dict[str, float | None], str | None]:
        """Make one pass over the images of the epoch's stage.

        The device is asked for numbers once, at its end.
        """
        span = self.course.span(self.epoch)
        feed = self.feeds[span.stage.on]
        self.stepper.begin_epoch(self.epoch, feed)
        if self.epoch == span.first > 0:
            self.stepper.reset(span, lambda name: self._built(f"stage/{name}", self.method.bias_head))
        order = feed.order(self.epoch)
        first = self.course.first_step(self.epoch)
        with self.stepper.training(span):
            batches = enumerate(feed.batches(self.epoch, order, first), first)
            done = [self.train_batch(batch, step) for step, batch in batches]
        return outcome.epoch_means(done, feed.y[order], feed.sizes), outcome.epoch_terms(done, feed.sizes)

    def train_batch(self, batch: Batch, step: int) -> Losses:
        """Take one step of the optimisers, on networks that the caller has put into training mode.

        Args:
            batch: Its images.
            step: Its number, counted from the trial's beginning: it fixes the step's draws, learning rate and ramp.

        Returns:
            Its losses.
        """
        return self.stepper.step(batch, step)

    def _fail_unless_finite(self, means: dict[str, float | None]) -> None:
        for term, value in means.items():
            if value is not None and not math.isfinite(value):
                raise TrialFailed(f"epoch {self.epoch + 1}: {term} is {value}")
        for name, part in {**self.parts(), **self.stepper.modules}.items():
            # One number of each tensor, and one wait for the device.
            tensors = [t.detach() for t in (*part.parameters(), *part.buffers()) if t.is_floating_point()]
            if tensors and not torch.isfinite(torch.stack(torch._foreach_norm(tensors, math.inf))).all():
                raise TrialFailed(f"epoch {self.epoch + 1}: a parameter of {name} is not a finite number")

    def _test_accuracy(self, judged: Nets) -> float | None:
        if self._test is None:
            return None
        probabilities = evaluate.predict(judged, self._test, self.method.transform, self.device)
        return evaluate.accuracy(probabilities, self._test.labels.numpy(), evaluate.weights_of(self._test))

    def _choose_reported(self, values: dict[str, Any], judged: Nets) -> None:
        value = objective(self.spec.rule, values)
        if not math.isfinite(value):
            raise TrialFailed(f"epoch {self.epoch}: {self.spec.rule} is undefined on these validation images")
        best = self.spec.training.epoch == "best"
        # An epoch of an earlier stage is that of another network: it is reported while there is no other.
        comparable = bool(self.reported) and self.reported["epoch"] > self.course.spans[-1].first
        if best and comparable and value <= self.objective:
            return
        self.reported = {"epoch": self.epoch, **values}
        if best:
            parts = parts_of(judged)
            self.best = {n: {k: t.clone() for k, t in parts[n].state_dict().items()} for n in ("f", "g")}

    def state(self) -> bytes:
        """All that a trial needs to go on bit for bit, as a torch file.

        Random states are functions of the seed, and need not be kept.
        """
        return checkpoint.packed(self)

    def load_state(self, data: bytes | memoryview) -> None:
        """Go on from what ``state`` returned.

        Where that fails the trial is as it was: all is compared before anything is changed.

        Raises:
            InputError: It is the state of another trial.
            Exception: Whatever torch raises on bytes that are torn or no state at all, or on one that does not fit.
        """
        checkpoint.unpack(self, data)

    def reported_nets(self) -> Nets:
        """f and g of the reported epoch, in evaluation mode, without h."""
        judged = self.stepper.judged()
        f, g = judged.f, judged.g
        if self.best is not None and self.reported["epoch"] != self.epoch:
            f, g = copy.deepcopy(f), copy.deepcopy(g)
            f.load_state_dict(self.best["f"])
            g.load_state_dict(self.best["g"])
        return Nets(f.eval(), g.eval(), None, self.nets.batch_statistics)

    def row(self, status: str = "pruned", error: str | None = None) -> dict[str, Any]:
        """The trial's row as it stands.

        ``collapsed`` is judged from the last epoch's training accuracy.

        Args:
            status: ``completed``, ``pruned`` or ``failed``.
            error: Reason of a failure, one line.

        Returns:
            Columns of ``trials``; those that only the driver knows are left out.
        """
        return outcome.trial_row(self, status, error)

    def finish(self) -> Outcome:
        """Judge the reported network.

        In the confirm phase it is also evaluated on the test variants and probed.

        Returns:
            Row, history, predictions and model.
        """
        return outcome.finish(self)

"""One trial from its specification to its row: the training loop, its checkpoint and its report.

Everything random is a function of (seed, role, epoch or step), and the learning rate and the ramp are functions of the
step: a trial that goes on from ``state`` computes, bit for bit, what it would have computed undisturbed.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import io
import math
import time
from typing import Any

import torch
from torch import Tensor, nn

from store.columns import HISTORY, PRESSURES
from trainable.data.base import Dataset, heads_with_labels, load_dataset, resolve_bias
from trainable.data.view import DataView
from trainable.errors import InputError
from trainable.evaluation import evaluate
from trainable.methods.base import Batch, Losses, Method, Nets, get_method
from trainable.methods.erm import erm
from trainable.networks.base import DataShape
from trainable.networks.build import build_nets, feature_shape
from trainable.randomness import derive
from trainable.spec import TrialSpec, objective
from trainable.trial import outcome
from trainable.trial.feed import Feed
from trainable.trial.machine.device import LowPrecision, choose_device, keep_freed_memory
from trainable.trial.optimise import Optimiser, ramp, schedule
from trainable.trial.outcome import Outcome
from trainable.trial.refusals import check_combination, check_conflicting, check_hyperparameters

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
        validation_images: Those of each rule, painted.
        reported: ``epoch`` and the ``val_*`` columns of the epoch that the row reports.

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
        check_combination(self.method, self.dataset, spec.training)
        if spec.rule not in self.dataset.rules:
            known = ", ".join(self.dataset.rules)
            raise InputError(f"rule {spec.rule} is not defined for {spec.dataset}: choose one of {known}")
        self.bias = resolve_bias(self.dataset, spec.bias)
        self.view = DataView(self.dataset, self.bias, spec.seed, spec.fold, spec.phase, spec.split_seed)
        drawn = self.view.train(self.method.training_draw, self.hyper.get("repaint_share", 1.0))
        heads, train = heads_with_labels(self.dataset.heads, drawn)
        self.n_conflicting = outcome.count_conflicting(self.dataset, train)
        check_conflicting(self.method, self.dataset, self.bias, self.n_conflicting)
        shape = DataShape.of(self.dataset, heads)
        self.nets = build_nets(spec.network, spec.network_options, shape, spec.seed, self.method.bias_head)
        for part in self.parts().values():
            part.to(self.device)

        training = spec.training
        if training.evaluation == "train":
            self.nets = dataclasses.replace(self.nets, batch_statistics=training.batch_size)
        grid: tuple[int, int] | None = None
        if "bias_labels" in self.method.needs:
            features = feature_shape(self.nets.f, train.images.shape[-1])
            grid = (features[-2], features[-1]) if len(features) == 3 else (1, 1)
        n_classes = len(self.dataset.classes)
        self.feed = Feed(train, self.method, training, spec.seed, n_classes, grid, self.device)
        facts = self.feed.facts("group_counts" in self.method.needs, training.epochs, len(self.dataset.attributes))
        self._method_step, self._method_state = self.method.begin(facts, self.hyper)
        self.validation_images = evaluate.validation_sets(self.view)
        self._reweighting = self._prepare_reweighting()
        self._test = self.view.test("unbiased") if spec.phase == "confirm" else None

        body = [*self.nets.f.parameters(), *self.nets.g.parameters()]
        self._optimisers = [Optimiser(body, training, self.hyper["lr"], self.hyper["weight_decay"])]
        if self.nets.h is not None:
            self._optimisers.append(Optimiser(self.nets.h.parameters(), training, self.hyper["lr_bias"], 0.0))
        self._step_nets = self.nets
        if training.precision == "bf16":
            low = {name: LowPrecision(part, self.device) for name, part in self.parts().items()}
            self._step_nets = Nets(low["f"], low["g"], low.get("h"))

        self.epoch = 0
        self.history: list[dict[str, Any]] = []
        self.reported: dict[str, Any] = {}
        self.started_at = datetime.datetime.now(datetime.UTC)
        self.seconds = {"all": 0.0, "steps": 0.0}
        self._best: dict[str, dict[str, Tensor]] | None = None

    def parts(self) -> dict[str, nn.Module]:
        """The networks there are, by the letters of the paper."""
        parts = {"f": self.nets.f, "g": self.nets.g, "h": self.nets.h}
        return {name: part for name, part in parts.items() if part is not None}

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
    def objective(self) -> float:
        """The rule's value at the reported epoch (``val_reweighted``: minus 1 SE).

        It is NaN before the first epoch.
        """
        return objective(self.spec.rule, self.reported)

    def _ramp(self, step: int) -> float:
        per_epoch = len(self.feed.sizes)
        first = self.hyper["pretrain_epochs"] * per_epoch
        rest = self.spec.training.epochs * per_epoch - first
        return ramp(self.spec.training.ramp, (step - first) / rest) if step >= first else 0.0

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
        means = self._train_steps()
        self._fail_unless_finite(means)
        trained = time.perf_counter()

        values = evaluate.validation_values(
            self.nets, self.validation_images, self.spec.metric, self.method.transform, self.device, self._reweighting
        )
        self.epoch += 1
        row: dict[str, Any] = {"trial_id": self.spec.trial_id, "epoch": self.epoch, **means}
        row.update({name: values.get(name) for name in outcome.HISTORY_VALUES})
        row["test_accuracy"] = self._test_accuracy()
        row["lr"] = self._optimisers[0].lr
        last = self.epoch * len(self.feed.sizes) - 1
        for name in _RAMPED:
            row[name] = self.hyper[name] * self._ramp(last) if name in self.hyper else None
        row["seconds"] = time.perf_counter() - begin
        self.seconds["all"] += row["seconds"]
        self.seconds["steps"] += trained - begin
        self.history.append(row)
        self._choose_reported(values)
        return row

    def _train_steps(self) -> dict[str, float | None]:
        """Make one pass over the training images.

        The device is asked for numbers once, at its end.
        """
        for part in self.parts().values():
            part.train()
        first = self.epoch * len(self.feed.sizes)
        done = [self.train_batch(batch, first + i) for i, batch in enumerate(self.feed.batches(self.epoch))]
        return outcome.epoch_means(done, self.feed.y[self.feed.order(self.epoch)], self.feed.sizes)

    def train_batch(self, batch: Batch, step: int) -> Losses:
        """Take one step of the optimisers, on networks that the caller has put into training mode.

        Args:
            batch: Its images.
            step: Its number, counted from the trial's beginning: it fixes the step's draws, learning rate and ramp.

        Returns:
            Its losses.
        """
        per_epoch, training = len(self.feed.sizes), self.spec.training
        warming = step < self.hyper["pretrain_epochs"] * per_epoch
        # Seeded each step, so that h's draws never shift those of f and g, and nothing need be kept to resume.
        dropout = derive(self.spec.seed, "dropout")
        torch.default_generator.manual_seed(dropout + step)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(dropout + step)
        for optimiser in self._optimisers:
            optimiser.zero_grad()
        losses = (erm if warming else self._method_step)(self._step_nets, batch, self.hyper, self._ramp(step))
        factor = schedule(training, step, training.epochs * per_epoch)
        for optimiser in self._optimisers[: 1 if warming else 2]:
            optimiser.step(factor)
        return losses

    def _fail_unless_finite(self, means: dict[str, float | None]) -> None:
        for term, value in means.items():
            if value is not None and not math.isfinite(value):
                raise TrialFailed(f"epoch {self.epoch + 1}: {term} is {value}")
        for name, part in self.parts().items():
            # One number of each tensor, and one wait for the device.
            tensors = [t.detach() for t in (*part.parameters(), *part.buffers()) if t.is_floating_point()]
            if tensors and not torch.isfinite(torch.stack(torch._foreach_norm(tensors, math.inf))).all():
                raise TrialFailed(f"epoch {self.epoch + 1}: a parameter of {name} is not a finite number")

    def _test_accuracy(self) -> float | None:
        if self._test is None:
            return None
        probabilities = evaluate.predict(self.nets, self._test, self.method.transform, self.device)
        return evaluate.accuracy(probabilities, self._test.labels.numpy())

    def _choose_reported(self, values: dict[str, Any]) -> None:
        value = objective(self.spec.rule, values)
        if not math.isfinite(value):
            raise TrialFailed(f"epoch {self.epoch}: {self.spec.rule} is undefined on these validation images")
        best = self.spec.training.epoch == "best"
        if best and self.reported and value <= self.objective:
            return
        self.reported = {"epoch": self.epoch, **values}
        if best:
            parts = self.parts()
            self._best = {n: {k: t.clone() for k, t in parts[n].state_dict().items()} for n in ("f", "g")}

    def state(self) -> bytes:
        """All that a trial needs to go on bit for bit, as a torch file.

        Random states are functions of the seed, and need not be kept.
        """
        kept = {
            "spec": self.spec.to_json(),
            "epoch": self.epoch,
            "nets": {name: part.state_dict() for name, part in self.parts().items()},
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
            "history": self.history,
            "reported": self.reported,
            "best": self._best,
            "seconds": self.seconds,
            "started_at": self.started_at.isoformat(),
        }
        # A method without a state of its own leaves the checkpoint as it is.
        if method_tensors := self._method_tensors():
            kept["method"] = method_tensors
        file = io.BytesIO()
        torch.save(kept, file)
        return file.getvalue()

    def load_state(self, data: bytes | memoryview) -> None:
        """Go on from what ``state`` returned.

        Where that fails the trial is as it was.

        Raises:
            InputError: It is the state of another trial.
            Exception: Whatever torch raises on bytes that are torn or no state at all, or on one that does not fit.
        """
        # With weights_only, reading a checkpoint that came from elsewhere runs no code.
        kept = torch.load(io.BytesIO(data), map_location=self.device, weights_only=True)
        # Read as a specification: one of an earlier version has fewer keys.
        if TrialSpec.from_json(kept["spec"]) != TrialSpec.from_json(self.spec.to_json()):
            raise InputError(f"the checkpoint of {self.spec.trial_id} belongs to another trial: remove it")
        before = {name: copy.deepcopy(part.state_dict()) for name, part in self.parts().items()}
        optimisers = [copy.deepcopy(optimiser.state_dict()) for optimiser in self._optimisers]
        method_tensors = {name: tensor.clone() for name, tensor in self._method_tensors().items()}
        try:
            self._load_tensors(kept["nets"], kept["optimisers"], kept.get("method", {}))
            started_at = datetime.datetime.fromisoformat(kept["started_at"])
            epoch, history, reported = kept["epoch"], kept["history"], kept["reported"]
            seconds, best = kept["seconds"], kept["best"]
            for name, state in (best or {}).items():
                _check_fits(f"reported {name}", state, before[name])
        except Exception:
            self._load_tensors(before, optimisers, method_tensors)
            raise
        self.epoch, self.history, self.reported = epoch, history, reported
        self.seconds, self._best, self.started_at = seconds, best, started_at

    def _method_tensors(self) -> dict[str, Tensor]:
        return {} if self._method_state is None else dict(self._method_state.tensors())

    def _load_tensors(self, nets: dict[str, Any], optimisers: list[dict[str, Any]], method: dict[str, Tensor]) -> None:
        held = self._method_tensors()
        _check_fits("state of the method", method, held)
        with torch.no_grad():
            for name, tensor in held.items():
                tensor.copy_(method[name])
        for name, part in self.parts().items():
            part.load_state_dict(nets[name])
        for optimiser, state in zip(self._optimisers, optimisers, strict=True):
            optimiser.load_state_dict(state)

    def reported_nets(self) -> Nets:
        """f and g of the reported epoch, in evaluation mode, without h."""
        f, g = self.nets.f, self.nets.g
        if self._best is not None and self.reported["epoch"] != self.epoch:
            f, g = copy.deepcopy(f), copy.deepcopy(g)
            f.load_state_dict(self._best["f"])
            g.load_state_dict(self._best["g"])
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


def _check_fits(name: str, state: dict[str, Any], expected: dict[str, Any]) -> None:
    if {key: value.shape for key, value in state.items()} != {key: value.shape for key, value in expected.items()}:
        raise ValueError(f"the {name} does not fit")


def kept_history(state: bytes | memoryview) -> list[dict[str, Any]]:
    """Read the epochs that a trial's ``state`` holds.

    Args:
        state: What ``Trainer.state`` returned.

    Returns:
        Columns of ``history``, one dict for each epoch.

    Raises:
        Exception: Whatever torch raises on bytes that are torn or no state at all.
    """
    history: list[dict[str, Any]] = torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)["history"]
    return history

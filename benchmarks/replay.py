"""Trainer that trains nothing, but waits for a given time and replays a learning curve.

Everything around it is real: ``register`` puts it in the place of the trainer in each of Ray's workers
(``worker_process_setup_hook``), so that trials run through ``run_sweep`` and ``SweepTrainable`` as always.
"""

from __future__ import annotations

import datetime
import json
import os
import time
from typing import Any

from store.rules import RULES, objective
from trainable.spec import TrialSpec
from trainable.trial.outcome import Outcome, spec_row

SECONDS = "LNL_SWEEP_REPLAY_SECONDS"
"""Mean seconds of a trial, as text. Their distribution is skewed, and 0 means null trials."""


class ReplayTrainer:
    """Replacement of ``trainable.trial.trainer.Trainer``, with the members that ``SweepTrainable`` uses."""

    def __init__(self, spec: TrialSpec, device: str = "cpu") -> None:
        self.spec, self.epoch = spec, 0
        self.history: list[dict[str, Any]] = []
        self.started_at = datetime.datetime.now(datetime.UTC)

    @property
    def finished(self) -> bool:
        return self.epoch >= self.spec.training.epochs

    @property
    def objective(self) -> float:
        return objective(self.spec.rule, self.history[-1])

    def train_epoch(self) -> None:
        mean = float(os.environ.get(SECONDS, "0"))
        if mean:
            time.sleep(mean * skew(self.spec.trial_id) / self.spec.training.epochs)
        self.epoch += 1
        self.history.append({"epoch": self.epoch, **dict.fromkeys(RULES, skew(self.spec.trial_id))})

    def row(self, status: str = "pruned", error: str | None = None) -> dict[str, Any]:
        values = {name: self.history[-1][name] for name in RULES} if self.history else {}
        now = datetime.datetime.now(datetime.UTC)
        times = {"started_at": self.started_at, "finished_at": now, "train_seconds": 0.0}
        return {**spec_row(self.spec, status, error), **values, **times}

    def state(self) -> bytes:
        return json.dumps({"history": self.history}).encode()

    def load_state(self, data: bytes) -> None:
        self.history = json.loads(data)["history"]
        self.epoch = len(self.history)

    def finish(self) -> Outcome:
        return Outcome(self.row("completed"), self.history, None, None)


def skew(name: str) -> float:
    """Lognormal number of mean 1 that depends on the name alone."""
    import numpy as np

    from trainable.randomness import derive

    return float(np.random.default_rng(derive(0, name)).lognormal(-0.32, 0.8))


def register() -> None:
    """Put the trainer in its place, in every worker."""
    import trainable.trial.trainer

    trainable.trial.trainer.Trainer = ReplayTrainer  # type: ignore[misc, assignment]

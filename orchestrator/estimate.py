"""What a sweep will take, from one epoch of each method."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from orchestrator.identity import search_seed, trial_spec
from orchestrator.plan import Plan


def estimate(plan: Plan) -> dict[str, Any]:
    """What a sweep will take: cells, trials and seconds, from one epoch of each method on this machine.

    Args:
        plan: The resolved sweep.

    Returns:
        ``cells``, ``search``, ``confirm`` (an upper bound), ``trials``, ``seconds`` (of one slot) and
        ``seconds_per_trial`` by label.
    """
    from trainable.trainer import Trainer

    config = plan.config
    confirm = sum(config.confirm.seeds_of().values())
    per_trial: dict[str, float] = {}
    for cell in plan.cells:
        if cell.label in per_trial:
            continue
        hyperparameters = cell.anchor or {**cell.fixed}
        spec = trial_spec(config, cell, "search", "probe", hyperparameters, search_seed(config.seed))
        trainer = Trainer(dataclasses.replace(spec, training=dataclasses.replace(spec.training, epochs=1)))
        began = time.perf_counter()
        trainer.train_epoch()
        per_trial[cell.label] = (time.perf_counter() - began) * config.training.epochs
    search = sum(cell.trials for cell in plan.cells)
    seconds = sum((cell.trials + confirm) * per_trial[cell.label] for cell in plan.cells)
    return {
        "cells": len(plan.cells),
        "search": search,
        "confirm": confirm * len(plan.cells),
        "trials": search + confirm * len(plan.cells),
        "seconds": seconds,
        "seconds_per_trial": per_trial,
    }

"""Command ``lnl-sweep train``: trains one trial in this process."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from orchestrator.commands.data import SWEEP_FILES, assignments, bias_options
from orchestrator.config.own_code import settled
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import validate, with_plugins
from store.errors import InputError, unknown_name
from store.local import expanded

_WITHOUT_SET = {
    "dataset.name": "its first argument",
    "dataset.bias": "options of its own, e.g. --rho 1",
    "network.name": "--network NAME",
    "training.epochs": "--epochs N",
}


def train(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep train``: train one trial in this process."""
    from orchestrator.plan.plan import make_plan
    from store.columns import TEST_COLUMNS_BESIDE
    from trainable import train as train_one
    from trainable.trial.trainer import TrialFailed

    if options.dataset.endswith(SWEEP_FILES):
        raise InputError(
            f"train takes the name of a data set, but '{options.dataset}' is a sweep file: give its dataset.name, its "
            "options by --set dataset.KEY=VALUE and a bias value, or train one trial of each of its cells: "
            f"lnl-sweep run {options.dataset} --smoke"
        )
    bias = bias_options(options.rest)
    groups: dict[str, dict[str, Any]] = {"training": {}, "network": {}, "dataset": {}, "": {}}
    for key, value in assignments(options.set):
        group, _, rest = key.rpartition(".")
        if group not in groups:
            raise unknown_name("group in --set", group, [name for name in groups if name])
        if key in _WITHOUT_SET:
            raise InputError(f"train takes {key} as {_WITHOUT_SET[key]}, but got --set {key}")
        groups[group][rest] = value
    draw = groups[""].pop("draw", "natural")
    # A trial is checked like a sweep of one cell, by the same rules and in the same words.
    one = validate(
        {
            "dataset": {**groups["dataset"], "name": options.dataset, "bias": [bias]},
            "network": {**groups["network"], "name": options.network or ""},
            "methods": [{"name": options.method, "fixed": groups[""], "draw": draw}],
            "training": {**groups["training"], "epochs": options.epochs},
        },
        "train",
    )
    one = _with_lengths(settled(with_plugins(one, options.plugin), expanded(".")))
    plan = make_plan(one)
    training = one.training.of_a_trial()
    try:
        result = train_one(
            options.dataset,
            method=options.method,
            seed=options.seed,
            training=training,
            network=plan.config.network.name,
            network_options=plan.config.network.options,
            dataset_options=plan.config.dataset.options,
            hyperparameters=groups[""],
            draw=draw,
            device=options.device,
            **bias,
        )
    except TrialFailed as error:
        # Not a mistake of these words, but of these values: e.g. a learning rate at which the loss overflows.
        print(f"failed: {error}", file=sys.stderr)
        return 1
    for entry in result.history:
        shown = {key: value for key, value in entry.items() if isinstance(value, float)}
        print(f"epoch {entry['epoch']:>3}  " + "  ".join(f"{key} {value:.4g}" for key, value in shown.items()))
    for key, value in result.row.items():
        if value is not None and (
            key.startswith(("test_", "val_")) or key in (*TEST_COLUMNS_BESIDE, "bias_strength", "collapsed")
        ):
            print(f"{key}: {value:.4f}" if isinstance(value, float) else f"{key}: {value}")
    if plan.note:
        print(f"note: {plan.note}")
    if result.row["status"] == "failed":
        print(f"failed: {result.row['error']}", file=sys.stderr)
        return 1
    return 0


def _with_lengths(one: SweepConfig) -> SweepConfig:
    """Fix the lengths of a method's stages at their defaults: a single trial searches none."""
    from trainable.methods.base import get_method

    entry = one.methods[0]
    method = get_method(entry.name)
    names = [stage.epochs for stage in method.stages if stage.epochs in method.defaults]
    lengths = {name: method.defaults[name] for name in names if isinstance(name, str)}
    fixed = entry.model_copy(update={"fixed": {**lengths, **entry.fixed}})
    return one.model_copy(update={"methods": [fixed]})

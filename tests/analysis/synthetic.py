"""SYNTHETIC test data: a sweep's folder with made-up numbers, written as the orchestrator writes it. No result."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from PIL import Image

from store.columns import to_table

SEEDS = (9007199254740993, 12, 13, 14, 15)
VALUES = (0.40, 0.10, 0.05, 0.02)
STRENGTH = {0.40: 0.31, 0.10: 0.62, 0.05: 0.84, 0.02: 0.98}
MEAN = {
    "ceiling": {0.40: 0.960, 0.10: 0.955, 0.05: 0.955, 0.02: 0.950},
    "erm": {0.40: 0.930, 0.10: 0.820, 0.05: 0.650, 0.02: 0.420},
    "lnl": {0.40: 0.945, 0.10: 0.940, 0.05: 0.935, 0.02: 0.920},
    "grl": {0.40: 0.940, 0.10: 0.900, 0.05: 0.880, 0.02: 0.830},
}
RULES = ("val_counterfactual", "val_biased", "val_unbiased")
WHEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@dataclass
class Sweep:
    """Knobs of the synthetic sweep."""

    values: tuple[float, ...] = VALUES
    methods: tuple[str, ...] = ("ceiling", "erm", "grl", "lnl")
    seeds: tuple[int, ...] = SEEDS
    n_search: int = 12
    n_images: int = 200
    predictions: bool = True
    confirm: bool = True
    patients: int = 0
    sd: float = 0.02
    name: str = "synthetic"
    config: dict[str, Any] = field(default_factory=dict)


def cell_name(method: str, value: float) -> str:
    return f"digits-color_variance={value:g}-{method}"


def base_row(method: str, value: float, **more: Any) -> dict[str, Any]:
    return {
        "sweep": "synthetic",
        "cell": cell_name(method, value),
        "dataset": "coloured_digits",
        "network": "pixel_front",
        "image_size": 14,
        "method": method,
        "label": method,
        "bias_axis": "color_variance",
        "bias_value": value,
        "bias_strength": STRENGTH.get(value, 0.5),
        "bias_color_variance": value,
        "repeat": 0,
        "batch_size": 128,
        "optimizer": "adam",
        "precision": "fp32",
        "epochs": 4,
        "best_epoch": 4,
        "status": "completed",
        "collapsed": False,
        "metric": "accuracy",
        "numerics": 1,
        "train_seconds": 5.0,
        "device": "cpu",
        "started_at": WHEN,
        "finished_at": WHEN,
        "lnl_sweep_version": "0.1.0",
        "git_commit": "0" * 40,
        **more,
    }


def search_row(method: str, value: float, number: int, **more: Any) -> dict[str, Any]:
    place = {"search_number": number, "search_rule": None, "seed_number": 0}
    identifier = f"{cell_name(method, value)}-r0-{number:03d}"
    return base_row(method, value, **{"trial_id": identifier, "phase": "search", "seed": 1, **place, **more})


def confirm_row(method: str, value: float, k: int, seed: int, digest: str = "0123abcd", **more: Any) -> dict[str, Any]:
    return base_row(
        method,
        value,
        trial_id=f"{cell_name(method, value)}-{digest}-s{k}",
        phase="confirm",
        seed=seed,
        search_number=None,
        search_rule=None,
        seed_number=k,
        n_test=200,
        **more,
    )


def hyperparameters(method: str, number: int) -> dict[str, Any]:
    values: dict[str, Any] = {"lr": round(1e-4 * 1.5**number, 8), "weight_decay": 5e-4}
    if method in ("lnl", "grl"):
        values["mu"] = 0.0 if number == 0 else round(0.001 * 2**number, 6)
    if method == "lnl":
        values["lambda_"] = 0.0 if number == 0 else round(0.001 * 2.2**number, 6)
    return values


def write_part(folder: Path, table: str, cell: str, rows: list[dict[str, Any]], order: tuple[int, str, int]) -> Path:
    generation, driver, sequence = order
    (folder / table).mkdir(parents=True, exist_ok=True)
    path = folder / table / f"{cell}.{generation:04d}-{driver}-{sequence:06d}.parquet"
    pq.write_table(to_table(table, rows), path)
    return path


def write_sweep(folder: Path, sweep: Sweep | None = None) -> Path:
    """Write a whole synthetic sweep; returns its folder."""
    sweep = sweep or Sweep()
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    labels = np.arange(sweep.n_images) % 10
    difficulty = rng.random(sweep.n_images)
    for method in sweep.methods:
        for value in sweep.values:
            _write_cell(folder, sweep, method, value, rng, labels, difficulty)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(config_of(sweep), sort_keys=False))
    _write_samples(folder, sweep)
    return folder


def config_of(sweep: Sweep) -> dict[str, Any]:
    range_ = {"log": [0.001, 10.0]}
    return {
        "name": sweep.name,
        "dataset": {"name": "coloured_digits", "bias": {"color_variance": list(sweep.values)}},
        "network": {"name": "pixel_front"},
        "methods": list(sweep.methods),
        "metric": "accuracy",
        "search": {"trials": sweep.n_search, "sampler": "qmc", "rule": "val_counterfactual"},
        "confirm": {"seeds": len(sweep.seeds), "rules": list(RULES)},
        "training": {"epochs": 4},
        "primary": {"compare": ["lnl", "erm"], "rule": "val_counterfactual"},
        "provenance": {"lnl_sweep_version": "0.1.0", "git_commit": "0" * 40, "data_checksum": "feed", "numerics": 1},
        "dataset_info": {
            "long_name": "Coloured digits (SYNTHETIC test data)",
            "note": "synthetic numbers of a test fixture",
            "citation": "nobody",
            "classes": [str(i) for i in range(10)],
            "axes": [
                {
                    "name": "color_variance",
                    "long_name": "colour variance σ²",
                    "low": 0.0,
                    "high": None,
                    "stronger": "smaller",
                    "unbiased_at": None,
                }
            ],
        },
        "methods_info": {
            "erm": {"long_name": "plain training", "reference": "Vapnik 1991", "method": "erm"},
            "lnl": {"long_name": "Learning Not to Learn", "reference": "Kim et al. 2019", "method": "lnl"},
            "grl": {"long_name": "reversed bias heads", "reference": "Ganin & Lempitsky 2015", "method": "grl"},
            "ceiling": {"long_name": "trained without bias", "reference": "", "method": "ceiling"},
        },
        "cells": [
            {
                "cell": cell_name(method, value),
                "label": method,
                "method": method,
                "bias": {"color_variance": value},
                "bias_axis": "color_variance",
                "bias_value": value,
                "bias_strength": STRENGTH.get(value, 0.5),
                "space": {"lr": {"log": [1e-4, 0.1]}}
                | ({"mu": range_} if method in ("lnl", "grl") else {})
                | ({"lambda_": range_} if method == "lnl" else {}),
            }
            for method in sweep.methods
            for value in sweep.values
        ],
        **sweep.config,
    }


def _write_cell(
    folder: Path,
    sweep: Sweep,
    method: str,
    value: float,
    rng: np.random.Generator,
    labels: np.ndarray,
    difficulty: np.ndarray,
) -> None:
    cell = cell_name(method, value)
    best = min(7 if method in ("lnl", "grl") else 5, sweep.n_search - 1)
    rows, history = [], []
    for number in range(sweep.n_search):
        fit = 0.9 - 0.05 * abs(number - best) / sweep.n_search
        row = search_row(
            method,
            value,
            number,
            hyperparameters=json.dumps(hyperparameters(method, number), sort_keys=True),
            val_counterfactual=fit,
            val_unbiased=fit,
            val_biased=0.99 - 0.01 * number,
            **hyperparameters(method, number),
        )
        rows.append(row)
        history += _epochs(row, MEAN[method].get(value, 0.5), confirm=False)
    if sweep.confirm:
        for digest, number, shift in (("0123abcd", best, 0.0), ("89abcdef", 0, -0.05)):
            values = hyperparameters(method, number)
            predictions = []
            for k, seed in enumerate(sweep.seeds):
                target = MEAN[method].get(value, 0.5) + shift + sweep.sd * rng.standard_normal()
                correct = difficulty < np.clip(target, 0, 1)
                correct ^= rng.random(len(labels)) < 0.01
                row = confirm_row(
                    method,
                    value,
                    k,
                    seed,
                    digest,
                    hyperparameters=json.dumps(values, sort_keys=True),
                    test_accuracy=float(correct.mean()),
                    test_conflicting_accuracy=float(correct.mean()) - 0.1,
                    flip_rate=0.1,
                    bias_probe_accuracy=0.4,
                    val_counterfactual=target,
                    val_unbiased=target,
                    val_biased=0.98,
                    **values,
                )
                rows.append(row)
                history += _epochs(row, target, confirm=True)
                predictions += prediction_rows(row["trial_id"], labels, correct, sweep.patients)
            if sweep.predictions:
                write_part(folder, "predictions", cell, predictions, (0, f"d-{digest}", 1))
    write_part(folder, "trials", cell, rows, (0, "driver", 1))
    write_part(folder, "history", cell, history, (0, "driver", 1))


def prediction_rows(trial_id: str, labels: np.ndarray, correct: np.ndarray, patients: int) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": trial_id,
            "variant": "unbiased",
            "image": f"i{i:04d}",
            "patient": f"p{i % patients:03d}" if patients else None,
            "label": int(label),
            "attribute": 0,
            "predicted": int(label) if right else int(label + 1) % 10,
            "p_0": 0.1,
        }
        for i, (label, right) in enumerate(zip(labels, correct, strict=True))
    ]


def _epochs(row: dict[str, Any], target: float, confirm: bool) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": row["trial_id"],
            "epoch": epoch,
            "train_loss": 2.0 / epoch,
            "label_loss": 1.5 / epoch,
            "train_accuracy": 1 - 0.5 / epoch,
            "val_counterfactual": target * (1 - 0.4 / epoch),
            "val_biased": 0.98,
            "val_unbiased": target * (1 - 0.4 / epoch),
            "test_accuracy": target * (1 - 0.4 / epoch) if confirm else None,
            "lr": 1e-3,
            "seconds": 1.0,
        }
        for epoch in range(1, 5)
    ]


def _write_samples(folder: Path, sweep: Sweep) -> None:
    samples = folder / "samples"
    samples.mkdir(exist_ok=True)
    strips = []
    for value in sweep.values:
        name = f"color_variance_{value:g}.png"
        noise = np.random.default_rng(3).normal(0, np.sqrt(value), (28, 168, 3))
        base = np.repeat(np.repeat(np.linspace(0.1, 0.9, 6), 28)[None, :, None], 28, axis=0) * [1.0, 0.6, 0.3]
        Image.fromarray((np.clip(base + noise, 0, 1) * 255).astype(np.uint8)).save(samples / name)
        strips.append({"value": value, "file": name, "caption": f"σ² = {value:g}"})
    index = {"axis": "color_variance", "strips": strips, "alt": "six digits, SYNTHETIC"}
    (samples / "index.json").write_text(json.dumps(index))


def write_values(
    folder: Path, accuracies: dict[tuple[str, float], list[float | None]], seeds: int | None = None, **config: Any
) -> Path:
    """Write a sweep with exactly these test accuracies, one a seed; None = the trial failed."""
    methods = tuple(dict.fromkeys(method for method, _ in accuracies))
    values = tuple(dict.fromkeys(value for _, value in accuracies))
    most = max(len(a) for a in accuracies.values())
    sweep = Sweep(values=values, methods=methods, seeds=tuple(range(seeds or most)), config=config)
    folder.mkdir(parents=True, exist_ok=True)
    for (method, value), listed in accuracies.items():
        text = json.dumps(hyperparameters(method, 5), sort_keys=True)
        rows = [search_row(method, value, 5, hyperparameters=text, val_counterfactual=0.9)]
        for k, accuracy in enumerate(listed):
            failed = {"status": "failed", "error": "loss is not finite"} if accuracy is None else {}
            rows.append(confirm_row(method, value, k, k, hyperparameters=text, test_accuracy=accuracy, **failed))
        write_part(folder, "trials", cell_name(method, value), rows, (0, "d", 1))
    (folder / "sweep.yaml").write_text(yaml.safe_dump(config_of(sweep) | config))
    return folder

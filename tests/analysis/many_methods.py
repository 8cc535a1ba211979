"""SYNTHETIC test data: a sweep of 18 methods at 8 strengths, 5 seeds each, with predictions. No result."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import yaml

VALUES = (0.1, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
METHODS = (
    "ceiling", "erm", "reweight", "resample", "group_dro", "dfr", "bias_balance", "irm", "mixup", "hsic", "dcor", "mmd",
    "end", "jtt", "lff", "lnl", "grl", "blind_eye",
)  # fmt: skip
ABSENT = ("resample", "group_dro", "dfr", "mixup")
"""Methods that need conflicting samples: there are none at the strongest bias."""
REASON = "it needs training images whose bias conflicts with their class, and here there are none"
N_IMAGES, N_PATIENTS = 108, 36


def mean(method: str, value: float) -> float:
    """Accuracy of a method: some help, some lose, and curves cross."""
    if method == "ceiling":
        return 0.93
    plain = 0.92 - 0.5 * value**6
    if method == "erm":
        return plain
    number = METHODS.index(method)
    if method in ("irm", "mmd"):
        return plain - 0.06
    # Some pay at a weak bias for what they win at a strong one.
    price = 0.02 * (number % 4) * (1 - value)
    return plain - price + 0.5 * value**6 * (number % 8) / 8


def write_many(
    folder: Path,
    synthetic: ModuleType,
    methods: tuple[str, ...] = METHODS,
    values: tuple[float, ...] = VALUES,
    seeds: int = 5,
    **config: Any,
) -> Path:
    """Write the sweep's folder, or one of fewer methods, values and seeds."""
    rng = np.random.default_rng(0)
    labels = np.arange(N_IMAGES) % 3
    patients = np.arange(N_IMAGES) % N_PATIENTS
    easy = rng.random(N_IMAGES)
    cells = []
    for method in methods:
        own = 0.25 * rng.random(N_IMAGES)
        rows: list[dict[str, Any]] = []
        predictions: list[dict[str, Any]] = []
        for value in values:
            place = _place(value)
            absent = method in ABSENT and value == 1.0
            cell = f"cell-{method}-{value:g}"
            cells.append(
                {"cell": cell, "label": method, "method": method, **place, "bias": {"rho": value}, "space": {}}
            )
            if absent:
                cells[-1]["not_applicable"] = REASON
                continue
            text = json.dumps({"lr": 0.01, "strength": 0.3})
            common = {**place, "cell": cell, "bias_rho": value, "bias_color_variance": None, "hyperparameters": text}
            common |= {"dataset": "many_digits", "n_test": N_IMAGES}
            for number in range(2):
                rows.append(
                    synthetic.search_row(method, value, number, val_counterfactual=0.8 + 0.1 * number)
                    | common
                    | {"trial_id": f"{cell}-r0-{number:03d}", "n_test": None}
                )
            for k in range(seeds):
                target = mean(method, value) + 0.015 * rng.standard_normal()
                right = 0.8 * easy + own < target - 0.02
                row = synthetic.confirm_row(
                    method, value, k, k, test_accuracy=float(right.mean()), val_counterfactual=0.9, flip_rate=0.1
                )
                rows.append(row | common | {"trial_id": f"{cell}-s{k}"})
                predictions += [
                    {
                        "trial_id": f"{cell}-s{k}", "variant": "unbiased", "image": f"i{i:04d}",
                        "patient": f"p{patient:03d}", "label": int(label), "attribute": 0,
                        "predicted": int(label) if hit else int(label + 1) % 3,
                    }
                    for i, (label, patient, hit) in enumerate(zip(labels, patients, right, strict=True))
                ]  # fmt: skip
        synthetic.write_part(folder, "trials", method, rows, (0, "driver", 1))
        synthetic.write_part(folder, "predictions", method, predictions, (0, "driver", 1))
    sweep = synthetic.Sweep(values=values, methods=methods, seeds=tuple(range(seeds)), n_search=2)
    sheet = synthetic.config_of(sweep) | {"cells": cells, "methods_info": _infos(methods)}
    sheet["dataset"] = {"name": "many_digits", "bias": {"rho": list(values)}}
    sheet["confirm"] = {"seeds": seeds, "rules": ["val_counterfactual"]}
    sheet["dataset_info"] |= {"long_name": "Digits (SYNTHETIC)", "classes": ["a", "b", "c"], "axes": [_AXIS]}
    sheet.pop("primary")
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sheet | config, sort_keys=False))
    return folder


_AXIS = {
    "name": "rho", "long_name": "share of biased images ρ", "low": 0.0, "high": 1.0, "stronger": "larger",
    "unbiased_at": None,
}  # fmt: skip


def _place(value: float) -> dict[str, Any]:
    return {"bias_axis": "rho", "bias_value": value, "bias_strength": round(value**2, 4)}


def _infos(methods: tuple[str, ...]) -> dict[str, Any]:
    return {m: {"long_name": m.replace("_", " "), "reference": "nobody", "method": m} for m in methods}

"""Reading, judging and showing a large synthetic sweep, as ratios within one run.

    python benchmarks/bench_analysis.py                # 20,000 trials, 1 M epochs, 2 M predictions
    python benchmarks/bench_analysis.py --trials 2000  # a look in seconds

Prints a Markdown table. Load is timed in this process, best of three; the report in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

import analysis
from analysis.loading import derive
from store.columns import arrow_schema
from store.gathered import GATHERED, gather
from store.open import open_folder
from store.parts import part_bytes, part_name
from store.sealed import seal_sheet

METHODS = ("ceiling", "erm", "lnl", "grl", "blind_eye", "permuted_bias", "hsic", "end", "repaint", "rwg")
VALUES = (0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.07, 0.1, 0.2, 0.4)
VARIANTS = ("unbiased", "aligned", "independent", "conflicting")
RULES = ("val_counterfactual", "val_biased")
SEEDS, EPOCHS, CLASSES = 10, 50, 10
SWEEP = "0123456789abcdef"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--predictions", type=int, default=2_000_000, help="prediction rows at 20,000 trials")
    parser.add_argument("--keep", help="folder to write into and keep (a temporary one)")
    parser.add_argument("--report-only", metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.report_only:
        report_alone(Path(options.report_only))
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(options.keep or temporary)
        print("\n".join(measure(root, options.trials, round(options.predictions * options.trials / 20_000))))


def measure(root: Path, trials: int, predictions: int) -> list[str]:
    sweep = root / "sweep"
    shutil.rmtree(sweep, ignore_errors=True)
    frame = write_sweep(sweep, trials, predictions)
    one_file = root / "one.parquet"
    pq.write_table(typed("trials", frame), one_file)
    loaded = best(lambda: analysis.load(sweep))
    plain = best(lambda: pd.read_parquet(one_file))
    shutil.move(sweep / GATHERED, root / "aside")
    running, unverified_parts = pair(lambda: analysis.load(sweep), unverified(lambda: analysis.load(sweep)))
    shutil.move(root / "aside", sweep / GATHERED)
    verified, unverified_file = pair(lambda: analysis.load(sweep), unverified(lambda: analysis.load(sweep)), 9)
    n_single, single = time_single_parts(root / "single", frame)
    rows = analysis.load(sweep)
    curve = best(lambda: analysis.accuracy_vs_bias(rows), rounds=1)
    said = subprocess.run(
        [sys.executable, __file__, "--report-only", str(sweep)], capture_output=True, text=True, check=True
    )
    report = json.loads(said.stdout.splitlines()[-1])
    # Listing and opening grow with the number of parts, so that the time of all is the time of some, scaled up.
    parts = single * len(frame) / n_single
    history = len(frame) * EPOCHS
    lines = [
        ("load of trials", f"{loaded:.2f} s", "< 2 s", loaded < 2),
        ("load / pandas.read_parquet of one file", f"{loaded / plain:.2f}", "<= 1.5", loaded / plain <= 1.5),
        (f"the same from the {len(METHODS) * len(VALUES)} parts, as while the sweep runs", f"{running / plain:.2f}", "",
         True),
        ("load with checksums compared / without, finished sweep", f"{verified / unverified_file:.3f}", "<= 1.05",
         verified / unverified_file <= 1.05),
        ("the same from the parts (digests and full validation)", f"{running / unverified_parts:.3f}", "<= 1.05",
         running / unverified_parts <= 1.05),
        (f"load of one-row parts / load after compaction ({n_single:,} parts timed)", f"{parts / running:.0f}", ">= 50",
         parts / running >= 50),
        ("curve without predictions", f"{curve:.2f} s", "", True),
        ("whole report", f"{report['seconds']:.1f} s", "< 30 s", report["seconds"] < 30),
        ("its peak memory", f"{report['gb']:.2f} GB", "< 3 GB", report["gb"] < 3),
        ("its size", f"{report['mb']:.2f} MB", "< 4 MB at 5,000 trials", report["mb"] < 4 or trials > 5000),
    ]  # fmt: skip
    return [
        f"{len(frame):,} trials, {history:,} history rows, {report['predictions']:,} prediction rows (synthetic)",
        "",
        "| what | measured | target | met |",
        "|---|---|---|---|",
        *(f"| {what} | {value} | {target} | {'yes' if met else 'NO'} |" for what, value, target, met in lines),
    ]


def report_alone(sweep: Path) -> None:
    began = time.perf_counter()
    file = analysis.write_report(sweep, sweep.parent / "report.html")
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    n = sum(pq.ParquetFile(f).metadata.num_rows for f in (sweep / "predictions").glob("*.parquet"))
    size = Path(file).stat().st_size / 1e6
    print(json.dumps({"seconds": seconds, "gb": peak, "mb": size, "predictions": n}))


def best(call: Callable[[], Any], rounds: int = 3) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def pair(one: Callable[[], Any], other: Callable[[], Any], rounds: int = 3) -> tuple[float, float]:
    """Best times of two calls that take turns."""
    times = [(best(one, 1), best(other, 1)) for _ in range(rounds)]
    return min(a for a, _ in times), min(b for _, b in times)


def unverified(call: Callable[[], Any]) -> Callable[[], Any]:
    """Make a call in which nothing is hashed or validated."""

    def plain() -> Any:
        with (
            mock.patch("store.parts.digest", lambda data: Anything()),
            mock.patch("store.sealed._bytes_sum", lambda about, data: Anything()),
            mock.patch("store.parts._validate", lambda data: None),
        ):
            return call()

    return plain


class Anything:
    """Object that is equal to whatever it is compared with."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None


def time_single_parts(folder: Path, frame: pd.DataFrame, most: int = 20_000) -> tuple[int, float]:
    """Number of parts of one row each, and the seconds to load them."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "trials").mkdir(parents=True)
    table = typed("trials", frame.head(most))
    for i in range(len(table)):
        (folder / "trials" / part_name("cell", 1, "driver", i)).write_bytes(part_bytes(table.slice(i, 1)))
    return len(table), best(lambda: analysis.load(folder), rounds=1)


def write_sweep(folder: Path, trials: int, predictions: int) -> pd.DataFrame:
    """Write a finished synthetic sweep as the driver leaves one, and return the trial rows."""
    rng = np.random.default_rng(0)
    cells = [(m, v) for m in METHODS for v in VALUES]
    confirms = SEEDS * len(RULES)
    searches = max(2, trials // len(cells) - confirms)
    images = max(20, predictions // (len(cells) * confirms * len(VARIANTS)))
    frames = []
    for method, value in cells:
        cell = f"digits-{value:g}-{method}"
        frame = cell_trials(cell, method, value, searches, rng)
        frames.append(frame)
        write(folder, "trials", cell, frame)
        write(folder, "history", cell, cell_history(frame))
        write(folder, "predictions", cell, cell_predictions(frame, images, rng))
    (folder / "sweep.yaml").write_bytes(seal_sheet(yaml.safe_dump(config(cells, searches)), SWEEP))
    place = open_folder(folder)
    gathered = gather(place, lambda rows: derive(place, rows))
    assert gathered is not None
    (folder / GATHERED).mkdir()
    (folder / GATHERED / gathered[0]).write_bytes(gathered[1])
    return pd.concat(frames, ignore_index=True)


def write(folder: Path, table: str, cell: str, frame: pd.DataFrame) -> None:
    (folder / table).mkdir(parents=True, exist_ok=True)
    content = part_bytes(typed(table, frame), table, SWEEP)
    (folder / table / part_name(cell, 1, "driver", 1, content)).write_bytes(content)


def typed(table: str, frame: pd.DataFrame) -> pa.Table:
    """Arrow table with all columns of the schema, where absent ones are null."""
    schema = arrow_schema(table, frame.columns)
    arrays = [
        pa.array(frame[f.name], f.type, from_pandas=True) if f.name in frame else pa.nulls(len(frame), f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def cell_trials(cell: str, method: str, value: float, searches: int, rng: np.random.Generator) -> pd.DataFrame:
    strength = 1 - value
    n = searches + SEEDS * len(RULES)
    search = np.arange(n) < searches
    weights = 10 ** rng.uniform(-3, 1, n)
    weights[searches : searches + SEEDS] = weights[2]
    weights[searches + SEEDS :] = weights[1]
    validation = {rule: rng.uniform(0.5, 0.9, n) for rule in RULES}
    for i, rule in enumerate(RULES):
        validation[rule][2 - i] = 0.95
    mean = {"ceiling": 0.95, "erm": 0.95 - 0.5 * strength}.get(method, 0.9)
    accuracy = np.clip(mean + 0.03 * rng.standard_normal(n), 0, 1)
    adversarial = method not in ("ceiling", "erm", "rwg")
    texts = [json.dumps({"lambda_": w, "lr": 0.001} if adversarial else {"lr": w}) for w in weights.tolist()]
    k = np.arange(n) - searches
    frame = pd.DataFrame(
        {
            "sweep": "bench",
            "trial_id": [f"{cell}-r0-{i:04d}" if s else f"{cell}-c{j // SEEDS}-s{j % SEEDS}"
                         for i, (s, j) in enumerate(zip(search, k, strict=True))],
            "phase": np.where(search, "search", "confirm"),
            "cell": cell,
            "dataset": "coloured_digits",
            "network": "pixel_front",
            "method": method,
            "label": method,
            "bias_axis": "color_variance",
            "bias_value": value,
            "bias_strength": strength,
            "bias_color_variance": value,
            "seed": np.where(search, 1, 100 + k % SEEDS),
            "search_number": np.where(search, np.arange(n), np.nan),
            "search_rule": None,
            "seed_number": np.where(search, 0, k % SEEDS),
            "repeat": 0,
            "lambda_": weights if adversarial else np.nan,
            "lr": 0.001 if adversarial else weights,
            "hyperparameters": texts,
            "epochs": EPOCHS,
            "best_epoch": EPOCHS,
            "status": "completed",
            "collapsed": False,
            "metric": "accuracy",
            "numerics": 1,
            "train_seconds": 60.0,
            "finished_at": pd.Timestamp("2026-01-01", tz="UTC"),
            **validation,
        }
    )  # fmt: skip
    tests = ("test_accuracy", "test_balanced_accuracy", "test_conflicting_accuracy", "test_worst_group_accuracy")
    for name in (*tests, "flip_rate", "ece", "bias_probe_accuracy"):
        frame[name] = np.where(search, np.nan, accuracy if name.startswith("test") else 1 - accuracy)
    frame["n_test"] = np.where(search, np.nan, 1000)
    return frame.assign(**filled(frame, rng))


def filled(frame: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    """Values for every other column that a real row has, so that both sides of a ratio read the same amount."""
    n = len(frame)
    more: dict[str, Any] = {}
    for field in arrow_schema("trials"):
        if field.name in frame or field.name in (
            "fold",
            "error",
            "enqueued_from",
            "weights",
            "mu",
            "lr_bias",
        ):
            continue
        if pa.types.is_floating(field.type):
            more[field.name] = rng.random(n)
        elif pa.types.is_integer(field.type):
            more[field.name] = 1
        elif pa.types.is_timestamp(field.type):
            more[field.name] = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(n), unit="s")
        elif pa.types.is_string(field.type):
            more[field.name] = f"{field.name} of this cell"
    return more | {f"recall_{c}": rng.random(n) for c in range(CLASSES)}


def cell_history(frame: pd.DataFrame) -> pd.DataFrame:
    n = len(frame)
    epochs = np.tile(np.arange(1, EPOCHS + 1), n)
    confirm = np.repeat((frame["phase"] == "confirm").to_numpy(), EPOCHS)
    return pd.DataFrame(
        {
            "trial_id": np.repeat(frame["trial_id"].to_numpy(), EPOCHS),
            "epoch": epochs,
            "train_loss": 2.0 / epochs,
            "train_accuracy": 1 - 0.5 / epochs,
            "val_counterfactual": 0.9 - 0.4 / epochs,
            "test_accuracy": np.where(confirm, 0.9 - 0.4 / epochs, np.nan),
            "seconds": 1.0,
        }
    )


def cell_predictions(frame: pd.DataFrame, images: int, rng: np.random.Generator) -> pd.DataFrame:
    rows = frame[frame["phase"] == "confirm"]
    each = images * len(VARIANTS)
    label = np.tile(np.arange(images) % CLASSES, len(VARIANTS) * len(rows))
    right = rng.random(len(label)) < np.repeat(rows["test_accuracy"].to_numpy(), each)
    names = np.array([f"{i:016x}" for i in range(images)])
    table = {
        "trial_id": np.repeat(rows["trial_id"].to_numpy(), each),
        "variant": np.tile(np.repeat(np.array(VARIANTS), images), len(rows)),
        "image": np.tile(names, len(VARIANTS) * len(rows)),
        "label": label,
        "attribute": label,
        "predicted": np.where(right, label, (label + 1) % CLASSES),
    }
    probabilities = {f"p_{c}": rng.random(len(label)).astype(np.float32) for c in range(CLASSES)}
    return pd.DataFrame(table | probabilities)


def config(cells: list[tuple[str, float]], searches: int) -> dict[str, Any]:
    return {
        "name": "bench",
        "dataset": {"name": "coloured_digits"},
        "methods": list(METHODS),
        "metric": "accuracy",
        "search": {"trials": searches, "sampler": "qmc", "rule": RULES[0], "early_stopping": "off"},
        "confirm": {"seeds": SEEDS, "rules": list(RULES)},
        "primary": {"compare": ["lnl", "erm"], "rule": RULES[0]},
        "dataset_info": {
            "long_name": "SYNTHETIC digits",
            "note": "made-up numbers of a benchmark",
            "classes": [str(i) for i in range(CLASSES)],
        },
        "cells": [
            {"cell": f"digits-{v:g}-{m}", "label": m, "method": m, "bias_value": v, "bias": {"color_variance": v}}
            for m, v in cells
        ],
    }


if __name__ == "__main__":
    main()

"""A small sweep of one's own images whose models were kept, made without Ray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from PIL import Image

from orchestrator.config.sweep_file import validate
from orchestrator.directory.sheet import sweep_sheet
from orchestrator.directory.writer import typed
from orchestrator.plan.identity import confirm_seed, trial_spec
from orchestrator.plan.plan import Plan, make_plan
from store.columns import is_of_the_test, to_table
from store.names import confirm_id, search_id
from store.parts import part_bytes, part_name
from tests.table_files import ALIGNED, ATTRIBUTES, CLASSES, COLUMNS, row_of, write_csv, write_pngs, xray
from trainable.trial.outcome import model_bytes
from trainable.trial.trainer import Trainer

SEEDS = 2
IMAGES = 90


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``labels.csv``, ``other/other.csv`` from another hospital, and the sweep ``sweep``."""
    folder = tmp_path_factory.mktemp("external")
    write_pngs(folder, 180)
    write_other(folder / "other")
    plan = make_plan(validate(config(folder / "labels.csv"), "sweep.yaml"))
    (folder / "sweep" / "models").mkdir(parents=True)
    sheet = {**sweep_sheet(plan), "name": "own"}
    (folder / "sweep" / "sweep.yaml").write_text(yaml.safe_dump(sheet, sort_keys=False))
    _write_splits(plan, folder / "sweep")
    for cell in plan.cells:
        for number in range(SEEDS):
            _train(plan, cell, number, folder / "sweep")
    return folder


def config(file: Path) -> dict[str, Any]:
    dataset = {
        "name": "table",
        "file": str(file),
        "columns": COLUMNS,
        "aligned": ALIGNED,
        "image_size": 32,
        "bias": {"rho": [0.5, 0.9]},
    }
    return {
        "name": "own",
        "dataset": dataset,
        "network": {"name": "small_cnn"},
        "methods": ["erm", "grl"],
        "search": {"trials": 1},
        "confirm": {"seeds": SEEDS, "rules": ["val_biased"]},
        "training": {"epochs": 1, "batch_size": 8},
    }


def write_other(folder: Path, n: int = IMAGES) -> Path:
    """Images of the same classes that the sweep has not seen, of three a patient; one has no class."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(n):
        label, attribute, patient = row_of(number, 0.5)
        Image.fromarray(xray(5000 + number, label, attribute)).save(folder / "images" / f"{number}.png")
        kind = ATTRIBUTES[attribute] if number % 10 else "tube"
        rows.append([f"images/{number}.png", CLASSES[label], kind, f"Q{patient}"])
    rows[4][1] = ""
    return write_csv(folder / "other.csv", ("path", "label", "bias", "patient"), rows)


def _write_splits(plan: Plan, folder: Path) -> None:
    keys, labels = plan.dataset.image_keys(), plan.dataset.labels()
    split = plan.dataset.split(confirm_seed(plan.config.seed, 0))
    rows = [
        {"seed": 0, "image": keys[i], "label": int(labels[i]), "split": part}
        for part in ("train", "val", "test")
        for i in split.part(part)
    ]
    _write(folder, "splits", "own", 1, to_table("splits", rows))


def _train(plan: Plan, cell: Any, number: int, folder: Path) -> None:
    hyper = {"lr": 1e-2, "weight_decay": 0.0, **({"mu": 0.1, "lr_bias": 1e-2} if cell.method == "grl" else {})}
    seed = confirm_seed(plan.config.seed, number)
    spec = trial_spec(plan.config, cell, "confirm", confirm_id(cell.id, hyper, number), hyper, seed)
    spec = replace(spec, seed_number=number, keep_model=True, threads=1)
    trainer = Trainer(spec, "cpu")
    trainer.train_epoch()
    outcome = trainer.finish()
    (folder / "models" / f"{spec.trial_id}.safetensors").write_bytes(model_bytes(trainer, trainer.reported_nets()))
    # As the driver completes a row.
    of_cell = {name: getattr(cell, name) for name in ("bias_axis", "bias_value", "bias_strength")}
    row = {**outcome.row, **of_cell, "sweep": "own"}
    search = {column: value for column, value in row.items() if not is_of_the_test(column)}
    search |= {"phase": "search", "trial_id": search_id(cell.id, 0, 0), "search_number": 0, "seed_number": 0}
    search["n_test"] = None
    trials = [row] if number else [search, row]
    history = [{**entry, "trial_id": one["trial_id"]} for one in trials for entry in outcome.history]
    assert outcome.predictions is not None
    columns = {name: pa.array(list(values)) for name, values in outcome.predictions.items()}
    predictions = typed("predictions", pa.table({**columns, "trial_id": [spec.trial_id] * len(columns["image"])}))
    for table, rows in (
        ("trials", to_table("trials", trials)),
        ("history", to_table("history", history)),
        ("predictions", predictions),
    ):
        _write(folder, table, cell.id, number + 1, rows)


def _write(folder: Path, table: str, about: str, number: int, rows: pa.Table) -> None:
    content = part_bytes(rows)
    (folder / table).mkdir(exist_ok=True)
    (folder / table / part_name(about, 1, "test", number, content)).write_bytes(content)

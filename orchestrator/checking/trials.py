"""One short trial of each method of a sweep through its end, and the report of their rows."""

from __future__ import annotations

import functools
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from orchestrator.checking.alone import Doing
from orchestrator.checking.few_images import NAME, few_images, registered
from orchestrator.directory.sheet import sweep_sheet
from orchestrator.directory.writer import typed
from orchestrator.plan.applicable import missing_need
from orchestrator.plan.cells import Cell
from orchestrator.plan.identity import confirm_seed, search_seed, trial_spec
from orchestrator.plan.plan import Plan
from orchestrator.plan.space import middle_of
from store.columns import is_of_the_test, to_table
from store.names import confirm_id, search_id
from store.parts import part_bytes, part_name
from trainable.data.base import Dataset
from trainable.data.view import DataView
from trainable.errors import InputError
from trainable.evaluation.rules import check_rule
from trainable.methods.base import get_method
from trainable.methods.contract.stages import REST, least_epochs
from trainable.networks.base import DataShape
from trainable.networks.build import build_nets
from trainable.spec import Phase, TrialSpec
from trainable.testing.findings import Finding, count, failure, guarded
from trainable.trial.machine.process_state import kept
from trainable.trial.outcome import Outcome
from trainable.trial.trainer import Trainer

BATCH = 16
FEWEST, MOST = 16, 256
"""Training images of a trial."""
FEWEST_OF_GROUP = 8
"""Least images of each class and attribute of which a trial draws."""
PASSES = 12.0
"""Forward passes that a training image costs in a trial, those of its validation and test images among them."""


def trial_findings(plan: Plan, seconds: float) -> Iterator[Finding | Doing]:
    """Train each method at the strongest and at the weakest bias, on a few images, and report what came of it.

    Args:
        plan: The resolved sweep.
        seconds: Time that they may take together; what it does not suffice for is named.
    """
    cells, began = _chosen(plan), time.monotonic()
    if not cells:
        return
    most = _affordable(plan, seconds / len(cells))
    groups = len(plan.dataset.classes) * max(1, len(plan.dataset.attributes))
    outcomes: list[tuple[Cell, Outcome]] = []
    left: list[str] = []
    spent = 0.0
    with registered(plan.config.dataset.name, _cut(plan, cells, max(most, FEWEST_OF_GROUP * groups))):
        for cell in cells:
            what = f"trial of {cell.label}"
            yield Doing(what, f"its epoch at {_at(cell)}")
            if outcomes and time.monotonic() - began > seconds:
                left.append(f"{cell.label} at {_at(cell)}")
                continue
            with kept():
                findings = list(guarded(what, functools.partial(_trial, plan, cell, outcomes), f"at {_at(cell)}"))
            spent = time.monotonic() - began
            yield from findings
    if left:
        # The trials that were tried are the smallest that there are, or took their share of the time.
        enough = math.ceil(1.5 * len(cells) * max(spent / max(1, len(cells) - len(left)), seconds / len(cells)))
        yield Finding(
            "warn",
            "trials",
            f"not tried, since {seconds:.0f} s were over: {', '.join(left)}; give --seconds {enough}",
        )
    if outcomes:
        yield Doing("report", "its figures and tables")
        yield from guarded("report", lambda: _report(plan, outcomes), "its figures and tables")


def _chosen(plan: Plan) -> list[Cell]:
    """A cell of each label at its strongest bias, then one at its weakest."""
    strongest: dict[str, Cell] = {}
    weakest: dict[str, Cell] = {}
    for cell in plan.cells:
        if cell.label not in strongest or cell.bias_strength > strongest[cell.label].bias_strength:
            strongest[cell.label] = cell
        if cell.label not in weakest or cell.bias_strength < weakest[cell.label].bias_strength:
            weakest[cell.label] = cell
    others = [cell for cell in weakest.values() if cell is not strongest[cell.label]]
    return [cell for cell in (*strongest.values(), *others) if not getattr(cell, "not_applicable", None)]


def _cut(plan: Plan, cells: Sequence[Cell], most: int) -> Dataset:
    """The data set of a few images, with as many more as the trials' rule and methods need at their bias.

    A strong bias leaves few images that conflict: of a few none.
    """
    whole = plan.dataset
    training, validation = most, max(1, most // 2)
    while True:
        cut = few_images(whole, training, validation)
        lacking = {part for cell in cells for part in _lacking(plan, cut, cell)}
        if not lacking or max(training, validation) > len(whole.labels()):
            return cut
        training, validation = (n * (1 + (part in lacking)) for part, n in (("train", training), ("val", validation)))


def _lacking(plan: Plan, cut: Dataset, cell: Cell) -> Iterator[str]:
    """Parts of a cut data set that lack images of some kind without which a trial of a cell is refused."""
    rule, spec = plan.config.search.rule, _spec(plan, cell, "confirm")
    view = DataView(cut, cell.bias, spec.seed, spec.fold, "confirm", spec.split_seed)
    if missing_need(cell, view) is not None:
        yield "train"
    try:
        if rule is not None:
            check_rule(view, rule)
    except InputError:
        yield "val"


def _at(cell: Cell) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in cell.bias.items())


def _affordable(plan: Plan, seconds: float) -> int:
    """Training images of a trial of so many seconds, from a forward pass of a few."""
    shape = DataShape.of(plan.dataset)
    with kept():
        torch.set_num_threads(1)
        nets = build_nets(plan.config.network.name, plan.config.network.options, shape, 0, False)
        images = torch.rand(2, shape.channels, shape.height, shape.width)
        with torch.no_grad():
            nets.g(nets.f(images))
            began = time.perf_counter()
            nets.g(nets.f(images))
    each = (time.perf_counter() - began) / len(images)
    return max(FEWEST, min(MOST, int(seconds / (PASSES * max(each, 1e-6)))))


def _spec(plan: Plan, cell: Cell, phase: Phase) -> TrialSpec:
    method, config = get_method(cell.method), plan.config
    values = {**cell.fixed, **{name: middle_of(entry) for name, entry in cell.space.items()}, "pretrain_epochs": 0}
    named = [stage.epochs for stage in method.stages if isinstance(stage.epochs, str) and stage.epochs != REST]
    values |= dict.fromkeys(named, 1)
    if phase == "confirm":
        name, seed = confirm_id(cell.id, values, 0), confirm_seed(config.seed, 0)
    else:
        name, seed = search_id(cell.id, 0, 0), search_seed(config.seed)
    spec = trial_spec(config, cell, phase, name, values, seed)
    batch = min(BATCH, spec.training.batch_size)
    training = replace(spec.training, epochs=least_epochs(method.stages), batch_size=batch)
    return replace(
        spec, dataset=NAME, dataset_options={}, training=training, threads=1, seed_number=0, keep_model=False
    )


def _trial(plan: Plan, cell: Cell, outcomes: list[tuple[Cell, Outcome]]) -> Iterator[Finding]:
    what, spec = f"trial of {cell.label}", _spec(plan, cell, "confirm")
    trainer = Trainer(spec, "cpu")
    while not trainer.finished:
        trainer.train_epoch()
    outcome = trainer.finish()
    to_table("trials", [outcome.row])
    to_table("history", outcome.history)
    outcomes.append((cell, outcome))
    loss = outcome.history[-1]["label_loss"]
    yield Finding(
        "ok",
        what,
        f"at {_at(cell)} an epoch of {trainer.n_train} images to its end, label loss {loss:.2f}; its row fits",
    )


def _report(plan: Plan, outcomes: list[tuple[Cell, Outcome]]) -> Iterator[Finding]:
    """A sweep's directory of these rows, and its report."""
    from analysis import write_report

    with tempfile.TemporaryDirectory(prefix="lnl-sweep-check-") as name:
        folder = Path(name)
        sheet = {**sweep_sheet(plan), "name": plan.config.name}
        folder.joinpath("sweep.yaml").write_text(yaml.safe_dump(sheet, sort_keys=False, allow_unicode=True))
        for number, (cell, outcome) in enumerate(outcomes, 1):
            tables = _rows(plan, cell, outcome)
            for table, rows in tables.items():
                content = part_bytes(rows)
                part = part_name(cell.id, 1, "check", number, content)
                folder.joinpath(table).mkdir(exist_ok=True)
                folder.joinpath(table, part).write_bytes(content)
        try:
            written = write_report(folder)
        except Exception as error:
            yield failure("report", error, "it cannot be written of such rows")
            return
        kilobytes = Path(written).stat().st_size // 1024
    yield Finding("ok", "report", f"written of {count(len(outcomes), 'such row')}, {kilobytes:,} kB")


def _rows(plan: Plan, cell: Cell, outcome: Outcome) -> dict[str, Any]:
    """Rows of a cell as its driver writes them: the trial, and a search trial that chose its hyperparameters."""
    import pyarrow as pa

    of_cell = {
        "dataset": plan.config.dataset.name,
        "bias_axis": cell.bias_axis,
        "bias_value": cell.bias_value,
        "bias_strength": cell.bias_strength,
    }
    confirm = {**outcome.row, **of_cell}
    search = {column: value for column, value in confirm.items() if not is_of_the_test(column)}
    search |= {"phase": "search", "trial_id": search_id(cell.id, 0, 0), "seed": search_seed(plan.config.seed)}
    search |= {"search_number": 0, "seed_number": 0, "n_test": None}
    history = [{**row, "trial_id": one["trial_id"]} for one in (confirm, search) for row in outcome.history]
    tables = {"trials": to_table("trials", [search, confirm]), "history": to_table("history", history)}
    if outcome.predictions is not None:
        columns = {name: pa.array(list(values)) for name, values in outcome.predictions.items()}
        tables["predictions"] = typed("predictions", pa.table(columns))
    return tables

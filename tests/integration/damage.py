"""A sweep whose trials train nothing, run in this process by the real driver, and random damage to its files."""

from __future__ import annotations

import random
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.numpy

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import validate
from orchestrator.directory.writer import Writer
from orchestrator.run import Run
from orchestrator.search.dispatch import Dispatcher
from store.rules import RULES
from store.sealed import seal_tensors
from trainable.spec import TrialSpec
from trainable.trial.open_trial import trial_folder, write_checkpoint, write_predictions
from trainable.trial.outcome import spec_row

IMAGES = 12
SWEEP: dict[str, Any] = {
    "name": "small",
    "dataset": {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.05]}},
    "methods": ["erm", "lnl"],
    "search": {"trials": 3, "sampler": "random", "early_stopping": "off"},
    "confirm": {"seeds": 2, "rules": ["val_counterfactual"]},
    "training": {"epochs": 2},
}


class Stop(KeyboardInterrupt):
    """The driver is interrupted after some trials."""


def sweep_config() -> SweepConfig:
    return validate(SWEEP)


def share(*parts: object) -> float:
    """A number in [0, 1) that is a function of its arguments, and short enough to be the same in any file."""
    return zlib.crc32("/".join(map(str, parts)).encode()) % 1000 / 1000


def run_here(stop_after: int | None = None) -> Callable[..., None]:
    """In place of ``orchestrator.sweep._run``: every trial ends at once, its values a function of its name.

    Args:
        stop_after: Trials after which the driver is interrupted, two trials being open by then; None = none.
    """

    def run(run: Run) -> None:
        dispatcher, writer = run.dispatcher, run.writer
        ended = 0
        while (spec := dispatcher.next()) is not None:
            writer.issue(spec)
            writer.start(spec.trial_id)
            if stop_after is not None and ended >= stop_after:
                leave_open(writer, spec)
                other = dispatcher.next()
                if other is not None:
                    writer.issue(other)
                raise Stop
            row, history = finish(writer, dispatcher, spec)
            if dispatcher.record(row, history) or dispatcher.cell_is_done(spec.cell):
                writer.compact(spec.cell)
            run.budget.trial_ended(row)
            run.progress.update()
            ended += 1

    return run


def leave_open(writer: Writer, spec: TrialSpec) -> None:
    """A trial that has written a checkpoint and its predictions, and no row."""
    place = trial_folder(writer.directory.folder, spec.trial_id)
    write_checkpoint(place, b"the state of a trial" * 20, 1)
    write_predictions(place, predictions(spec))


def finish(writer: Writer, dispatcher: Dispatcher, spec: TrialSpec) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    epochs, confirm = spec.training.epochs, spec.phase == "confirm"
    values = [dict.fromkeys(RULES, share(spec.trial_id, epoch)) for epoch in range(1, epochs + 1)]
    history = [
        {"epoch": i + 1, **value, "train_loss": share(spec.trial_id, "loss", i)} for i, value in enumerate(values)
    ]
    cell = dispatcher.cell(spec.cell)
    row = {
        **spec_row(spec, "completed"),
        **values[-1],
        "epochs": epochs,
        "bias_axis": cell.bias_axis,
        "bias_value": cell.bias_value,
        "bias_strength": cell.bias_strength,
        "n_test": IMAGES if confirm else None,
        "test_accuracy": share(spec.trial_id, "test") if confirm else None,
    }
    if confirm:
        folder = writer.directory.folder
        write_predictions(trial_folder(folder, spec.trial_id), predictions(spec))
        import numpy as np

        model = safetensors.numpy.save({"f.w": np.full(50, share(spec.trial_id), "float32")}, {"spec": spec.to_json()})
        folder.child("models").write(f"{spec.trial_id}.safetensors", seal_tensors(bytes(model)))
    writer.finish(row, history)
    return row, history


def predictions(spec: TrialSpec) -> dict[str, list[Any]]:
    right = [share(spec.trial_id, i) > 0.3 for i in range(IMAGES)]
    label = [i % 10 for i in range(IMAGES)]
    return {
        "trial_id": [spec.trial_id] * IMAGES,
        "variant": ["unbiased"] * IMAGES,
        "image": [f"image{i:03d}" for i in range(IMAGES)],
        "label": label,
        "attribute": label,
        "predicted": [k if good else (k + 1) % 10 for k, good in zip(label, right, strict=True)],
        "p_0": [share(spec.trial_id, "p", i) for i in range(IMAGES)],
    }


# ------------------------------------------------------------------------------------------------- damage


def files_of(sweep: Path) -> dict[str, list[Path]]:
    """Files by kind: the folder they lie in and their ending."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(p for p in sweep.rglob("*") if p.is_file()):
        inside = path.relative_to(sweep)
        if inside.parts[0] in ("ray", "optuna") or inside.name == "report.html":
            continue
        kind = inside.name if len(inside.parts) == 1 else f"{inside.parts[0]}/*{path.suffix}"
        kinds.setdefault(kind, []).append(path)
    return kinds


def flip(path: Path, others: list[Path], draw: random.Random) -> str:
    data = bytearray(path.read_bytes())
    if not data:
        path.write_bytes(bytes([draw.randrange(256)]))
        return "a byte in an empty file"
    bit = draw.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(data))
    return f"bit {bit} flipped"


def cut(path: Path, others: list[Path], draw: random.Random) -> str:
    data = path.read_bytes()
    kept = draw.randrange(len(data)) if data else 0
    path.write_bytes(data[:kept])
    return f"cut to {kept} of {len(data)} bytes"


def overwrite(path: Path, others: list[Path], draw: random.Random) -> str:
    data = bytearray(path.read_bytes())
    start = draw.randrange(max(1, len(data)))
    length = draw.choice((16, 512, 4096))
    data[start : start + length] = draw.randbytes(min(length, len(data) - start))
    path.write_bytes(bytes(data))
    return f"{length} bytes from {start} on replaced"


def exchange(path: Path, others: list[Path], draw: random.Random) -> str:
    other = draw.choice(others)
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)
    return f"exchanged with {other.name}"


def remove(path: Path, others: list[Path], draw: random.Random) -> str:
    path.unlink()
    return "removed"


def bring(path: Path, others: list[Path], draw: random.Random) -> str:
    """Put a foreign file beside, or in place of, this one."""
    other = draw.choice(others)
    way = draw.choice(("text", "random", "other file under this name", "folder", "pipe", "loop"))
    place = path if draw.random() < 0.5 else path.with_name(f"x{draw.randrange(99)}-{path.name}")
    place.unlink(missing_ok=True)
    if way == "text":
        place.write_text("notes: 1\n")
    elif way == "random":
        place.write_bytes(draw.randbytes(200))
    elif way == "other file under this name":
        if other != place:
            shutil.copyfile(other, place)
    elif way == "folder":
        place.mkdir()
    elif way == "pipe":
        import os

        os.mkfifo(place)
    else:
        place.symlink_to(place.name)
    return f"{place.name}: {way}"


DAMAGES = (flip, flip, flip, cut, overwrite, exchange, remove, bring)


def damage(sweep: Path, foreign: Path, draw: random.Random) -> tuple[str, str]:
    """Damage one file, each kind of file as likely.

    Args:
        sweep: The folder.
        foreign: Another sweep, of which files may come.
        draw: Random numbers.

    Returns:
        The file, relative to the folder, and what was done to it.
    """
    kinds = files_of(sweep)
    path = draw.choice(kinds[draw.choice(sorted(kinds))])
    others = [p for files in kinds.values() for p in files if p != path]
    if draw.random() < 0.3:
        others = [p for files in files_of(foreign).values() for p in files]
        others = [p for p in others if p.suffix == path.suffix] or others
        work = bring
    else:
        work = draw.choice(DAMAGES)
    return str(path.relative_to(sweep)), f"{work.__name__}: {work(path, others, draw)}"

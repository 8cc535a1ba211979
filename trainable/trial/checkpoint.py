"""Checkpoints of a trial: what is kept, and reading it back in two phases.

First everything is compared with what the trial holds: names, shapes, dtypes, finite numbers. Only then is anything
changed, so that a checkpoint that does not fit leaves the trial as it is.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainable.errors import InputError
from trainable.spec import TrialSpec
from trainable.trial.provenance import without_paths

if TYPE_CHECKING:
    from trainable.trial.trainer import Trainer


def packed(trainer: Trainer) -> bytes:
    """All that a trial needs to go on bit for bit, as a torch file, for ``Trainer.state``.

    Random states are functions of the seed, and need not be kept.
    """
    kept = {
        "spec": trainer.spec.to_json(),
        "epoch": trainer.epoch,
        **_held(trainer),
        "history": trainer.history,
        "reported": trainer.reported,
        "best": trainer.best,
        "seconds": trainer.seconds,
        "started_at": trainer.started_at.isoformat(),
    }
    # A method without tensors or networks of its own leaves the checkpoint as it is.
    for name in ("method", "modules"):
        if not kept[name]:
            del kept[name]
    file = io.BytesIO()
    torch.save(kept, file)
    return file.getvalue()


def unpack(trainer: Trainer, data: bytes | memoryview) -> None:
    """Go on from what ``packed`` returned, for ``Trainer.load_state``.

    Raises:
        InputError: It is the state of another trial.
        Exception: Whatever torch raises on bytes that are torn or no state at all, or a ``ValueError`` for a state that
            does not fit.
    """
    # With weights_only, reading a checkpoint that came from elsewhere runs no code.
    kept = torch.load(io.BytesIO(data), map_location=trainer.device, weights_only=True)
    # Read as a specification: one of an earlier version has fewer keys. Files may have moved since.
    if without_paths(TrialSpec.from_json(kept["spec"])) != without_paths(TrialSpec.from_json(trainer.spec.to_json())):
        raise InputError(f"the checkpoint of {trainer.spec.trial_id} belongs to another trial: remove it")

    held = _held(trainer)
    read = {name: kept.get(name, {}) if name in ("method", "modules") else kept[name] for name in held}
    for name, wanted in held.items():
        _check_fits(_TITLES[name], read[name], wanted)
    judged = trainer.stepper.judged()
    weights = {"f": judged.f.state_dict(), "g": judged.g.state_dict()}
    if kept["best"] is not None:
        _check_fits("reported network", kept["best"], weights)
    for name, some in (("nets", read["nets"]), ("modules", read["modules"]), ("best", kept["best"] or {})):
        _check_finite(_TITLES[name], some)
    epoch, history, reported, seconds = kept["epoch"], kept["history"], kept["reported"], kept["seconds"]
    if [row["epoch"] for row in history] != list(range(1, epoch + 1)) or seconds.keys() != trainer.seconds.keys():
        raise ValueError("the history of the checkpoint is not that of its epochs")
    started_at = datetime.datetime.fromisoformat(kept["started_at"])

    # From here on nothing can fail.
    for name, part in trainer.parts().items():
        part.load_state_dict(read["nets"][name])
    for name, module in trainer.stepper.modules.items():
        module.load_state_dict(read["modules"][name]["weights"])
        trainer.stepper.further[name].load_state_dict(read["modules"][name]["moments"])
    for optimiser, moments in zip(trainer.stepper.optimisers, read["optimisers"], strict=True):
        optimiser.load_state_dict(moments)
    with torch.no_grad():
        for name, tensor in trainer.stepper.tensors().items():
            tensor.copy_(read["method"][name])
    trainer.epoch, trainer.history, trainer.reported = epoch, history, reported
    trainer.seconds, trainer.best, trainer.started_at = seconds, kept["best"], started_at


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


_TITLES = {
    "nets": "networks",
    "optimisers": "moments of the optimisers",
    "method": "state of the method",
    "modules": "further networks of the method",
    "best": "reported network",
}


def _held(trainer: Trainer) -> dict[str, Any]:
    """Every tensor that changes with the steps, as a checkpoint names it."""
    stepper = trainer.stepper
    return {
        "nets": {name: part.state_dict() for name, part in trainer.parts().items()},
        "optimisers": [optimiser.state_dict() for optimiser in stepper.optimisers],
        "method": stepper.tensors(),
        "modules": {
            name: {"weights": module.state_dict(), "moments": stepper.further[name].state_dict()}
            for name, module in stepper.modules.items()
        },
    }


def _check_fits(title: str, given: Any, wanted: Any, path: str = "") -> None:
    """Compare names, shapes and dtypes, whatever the nesting.

    Raises:
        ValueError: What does not fit, and where.
    """
    where = f"the checkpoint does not fit: its {title}" + (f" at {path}" if path else "")
    if isinstance(wanted, Tensor):
        if not isinstance(given, Tensor) or given.shape != wanted.shape or given.dtype != wanted.dtype:
            raise ValueError(f"{where} must be {_words(wanted)}, but got {_words(given)}")
    elif isinstance(wanted, Mapping):
        if not isinstance(given, Mapping) or given.keys() != wanted.keys():
            raise ValueError(f"{where} must have the names {sorted(wanted)}, but got {_words(given)}")
        for name, value in wanted.items():
            _check_fits(title, given[name], value, f"{path}.{name}" if path else str(name))
    elif isinstance(wanted, list):
        if not isinstance(given, list) or len(given) != len(wanted):
            raise ValueError(f"{where} must be a list of {len(wanted)}, but got {_words(given)}")
        for number, (one, value) in enumerate(zip(given, wanted, strict=True)):
            _check_fits(title, one, value, f"{path}[{number}]")


def _words(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of the shape {list(value.shape)}"
    if isinstance(value, Mapping):
        return f"the names {sorted(value)}"
    return f"a list of {len(value)}" if isinstance(value, list) else f"a {type(value).__name__}"


def _check_finite(title: str, values: Any, path: str = "") -> None:
    """Refuse weights that no trial could have gone on with.

    Moments and a method's tensors may be infinite.

    Raises:
        ValueError: Where one is not finite.
    """
    if isinstance(values, Mapping):
        for name, value in values.items():
            if name != "moments":
                _check_finite(title, value, f"{path}.{name}" if path else str(name))
    elif isinstance(values, Tensor) and values.is_floating_point() and not bool(torch.isfinite(values).all()):
        raise ValueError(f"the checkpoint does not fit: its {title} must be finite, but at {path} are not")

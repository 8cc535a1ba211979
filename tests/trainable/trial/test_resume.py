"""A trial that goes on from a checkpoint computes what it would have computed undisturbed, bit for bit."""

from __future__ import annotations

import dataclasses
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from store.errors import InputError
from store.open import folder_at
from tests.trainable.same_trial import identical, unpacked
from trainable.spec import TrialSpec
from trainable.trial.open_trial import CHECKPOINT, trial_folder, write_checkpoint
from trainable.trial.trainer import Trainer
from trainable.tune_trainable import resume

MakeSpec = Callable[..., TrialSpec]


@pytest.mark.parametrize(
    "options",
    [
        {"method": "lnl"},
        {"method": "lnl", "optimizer": "sgd", "epoch": "best", "schedule": "step"},
        {"method": "blind_eye", "augmentation": ("flip", "shift"), "dataset_options": {"spatial": False}},
        {"method": "permuted_bias", "hyperparameters": {"pretrain_epochs": 2}, "epoch": "best"},
        {"method": "erm", "precision": "bf16", "phase": "confirm"},
    ],
)
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_resume_is_bit_identical(options: dict[str, Any], stop: int, tiny: MakeSpec) -> None:
    spec = tiny(epochs=4, **options)
    undisturbed = Trainer(spec, "cpu")
    for _ in range(4):
        undisturbed.train_epoch()

    interrupted = Trainer(spec, "cpu")
    for _ in range(stop):
        interrupted.train_epoch()
    saved = interrupted.state()
    torch.manual_seed(99)

    resumed = Trainer(TrialSpec.from_json(spec.to_json()), "cpu")
    resumed.load_state(saved)
    assert resumed.epoch == stop and len(resumed.history) == stop
    assert resumed.started_at == interrupted.started_at
    assert resumed.seconds == interrupted.seconds
    while not resumed.finished:
        resumed.train_epoch()
    assert identical(unpacked(undisturbed), unpacked(resumed))
    assert identical(undisturbed.finish().row, resumed.finish().row)


def test_finishing_leaves_the_state_as_it_was(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("lnl", epochs=3, epoch="best", phase="confirm"), "cpu")
    while not trainer.finished:
        trainer.train_epoch()
    before = unpacked(trainer)
    first = trainer.finish()
    assert identical(before, unpacked(trainer))
    assert identical(first.row, trainer.finish().row)


def test_a_checkpoint_of_another_trial_is_refused(tiny: MakeSpec) -> None:
    spec = tiny("lnl")
    state = Trainer(spec, "cpu").state()
    with pytest.raises(InputError, match="belongs to another trial"):
        Trainer(dataclasses.replace(spec, seed=6), "cpu").load_state(state)


def test_no_epoch_after_the_last(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny(epochs=1), "cpu")
    trainer.train_epoch()
    with pytest.raises(RuntimeError, match="has trained all its 1 epochs"):
        trainer.train_epoch()


def test_a_damaged_checkpoint_costs_its_epochs_and_no_number(tiny: MakeSpec, tmp_path: Path) -> None:
    spec = tiny("lnl", epochs=3)
    trainer = Trainer(spec, "cpu")
    place = trial_folder(folder_at(str(tmp_path)), spec.trial_id)
    trainer.train_epoch()
    write_checkpoint(place, trainer.state(), 1)
    file = tmp_path / "trials_open" / spec.trial_id / CHECKPOINT
    whole = file.read_bytes()
    draw = random.Random(0)
    for number in range(60):
        data = bytearray(whole)
        start = draw.randrange(len(data))
        # A bit, or 4 KiB, among the weights perhaps.
        data[start : start + 4096] = draw.randbytes(4096) if number % 2 else bytes([data[start] ^ 1])
        file.write_bytes(bytes(data[: len(whole)]))
        fresh = Trainer(spec, "cpu")
        before = unpacked(fresh)
        assert not resume(fresh, place) and identical(unpacked(fresh), before)
    file.write_bytes(whole)
    assert resume(Trainer(spec, "cpu"), place)


def test_a_state_that_does_not_fit_leaves_the_trial_as_it_was(tiny: MakeSpec) -> None:
    spec = tiny("lnl", epochs=3)
    trainer, fresh = Trainer(spec, "cpu"), Trainer(spec, "cpu")
    trainer.train_epoch()
    kept = unpacked(trainer)
    # f and g fit, h does not: they were loaded before it.
    kept["nets"]["h"] = {name: torch.zeros(7, 7, 7) for name in kept["nets"]["h"]}
    file = io.BytesIO()
    torch.save(kept, file)
    before = unpacked(fresh)
    with pytest.raises(Exception, match=r"its networks at h\.inner\.hidden\.weight must be"):
        fresh.load_state(file.getvalue())
    assert identical(unpacked(fresh), before) and fresh.epoch == 0


@pytest.mark.parametrize("part", ["h", "best", "optimisers", "history"])
def test_a_checkpoint_that_does_not_fit_lets_the_trial_begin_anew(part: str, tiny: MakeSpec, tmp_path: Path) -> None:
    """Whole and sealed, of the very trial: what is loaded last is wrong."""
    spec = tiny("lnl", epochs=3, epoch="best")
    trainer, fresh = Trainer(spec, "cpu"), Trainer(spec, "cpu")
    trainer.train_epoch()
    kept = unpacked(trainer)
    if part == "h":
        kept["nets"]["h"] = {name: torch.zeros(7, 7, 7) for name in kept["nets"]["h"]}
    elif part == "best":
        kept["best"]["g"] = {name: torch.zeros(7, 7, 7) for name in kept["best"]["g"]}
    elif part == "optimisers":
        kept["optimisers"] = kept["optimisers"][:1]
    else:
        del kept["history"]
    file = io.BytesIO()
    torch.save(kept, file)
    place = trial_folder(folder_at(str(tmp_path)), spec.trial_id)
    write_checkpoint(place, file.getvalue(), 1)
    before = unpacked(fresh)
    assert not resume(fresh, place)
    assert identical(unpacked(fresh), before) and fresh.epoch == 0
    # And from there it trains what it would have trained.
    fresh.train_epoch()
    assert fresh.history[0]["train_loss"] == trainer.history[0]["train_loss"]

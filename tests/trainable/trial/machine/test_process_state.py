"""State that a method leaves behind in its process neither fails nor changes the trial that comes after it."""

from __future__ import annotations

import gc
import locale
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainable.test_tune_trainable import config, to_the_end, untimed, worker
from trainable import train
from trainable.methods import base
from trainable.methods.base import Batch, Losses, Nets, register_method
from trainable.methods.erm import erm
from trainable.spec import TrialSpec
from trainable.trial.machine.process_state import Setting, State, put_back, take

MakeSpec = Callable[..., TrialSpec]
Hook = torch.nn.modules.module


def _matmul(value: str) -> None:
    # The new names, which torch lets nobody mix with the old ones.
    torch.backends.cuda.matmul.fp32_precision = value
    torch.backends.mkldnn.matmul.fp32_precision = value


def _into_a_folder_that_goes() -> None:
    place = Path("goes-away").absolute()
    place.mkdir()
    os.chdir(place)
    place.rmdir()


LEAVES: dict[str, Callable[[], object]] = {
    "default type": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "gradients": lambda: torch.set_grad_enabled(False),
    "deterministic": lambda: torch.set_deterministic_debug_mode("error"),
    "threads": lambda: torch.set_num_threads(4),
    "denormals": lambda: torch.set_flush_denormal(True),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "tf32": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "cudnn": lambda: (
        setattr(torch.backends.cudnn, "benchmark", True),
        setattr(torch.backends.cudnn, "enabled", False),
    ),
    "mkldnn": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "attention": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "hooks": lambda: Hook.register_module_forward_hook(lambda module, inputs, output: output * 2),
    "torch's seed": lambda: torch.manual_seed(1),
    "NumPy's seed": lambda: np.random.seed(1),
    "Python's seed": lambda: random.seed(1),
    "NumPy's errors": lambda: np.seterr(all="raise"),
    "warnings": lambda: warnings.simplefilter("error"),
    "folder": _into_a_folder_that_goes,
    "environment": lambda: (os.environ.update(LNL_LEFT="1"), os.environ.pop("HOME", None)),
    "umask": lambda: os.umask(0o777),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "collection": gc.disable,
    "recursion": lambda: sys.setrecursionlimit(500),
    "output": lambda: setattr(sys, "stdout", None),
}
if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
    LEAVES["precision, new names"] = lambda: _matmul("tf32")


@pytest.fixture(autouse=True)
def clean() -> Iterator[State]:
    state = take()
    yield state
    put_back(state)


@pytest.fixture
def leaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Makes ``leaves`` a method whose first step leaves something behind, and is its last."""
    monkeypatch.chdir(tmp_path)

    def register(leave: Callable[[], object]) -> None:
        def leaves(nets: Nets, batch: Batch, hyperparameters: Any, ramp: float) -> Losses:
            erm(nets, batch, hyperparameters, ramp)
            leave()
            raise SystemExit("enough")

        register_method("leaves", long_name="leaves", reference="none")(leaves)

    yield register
    base.METHODS.entries.pop("leaves", None)


def numbers(results: list[dict[str, Any]]) -> list[Any]:
    return [untimed(results[-1]["row"]), [untimed(entry) for result in results for entry in result["history"]]]


@pytest.fixture
def alone(tiny: MakeSpec) -> list[Any]:
    """Result that erm gives in a worker in which nothing else has run."""
    return numbers(to_the_end(worker(config(tiny(phase="confirm"), None))))


@pytest.mark.parametrize("name", LEAVES)
def test_the_next_trial_of_the_worker_is_that_of_a_new_one(
    name: str, tiny: MakeSpec, alone: list[Any], leaving: Callable[[Callable[[], object]], None], clean: State
) -> None:
    leaving(LEAVES[name])
    reused = worker(config(tiny("leaves", phase="confirm", trial_id="t-0"), None))
    assert reused.step()["row"]["error"] == "SystemExit: enough"
    assert reused.reset_config(config(tiny(phase="confirm"), None))
    results = to_the_end(reused)
    assert results[-1]["row"]["error"] is None
    assert numbers(results) == alone


def differing(state: State) -> list[str]:
    return [setting.name for setting, value in state if _value(setting) != value]


def _value(setting: Setting) -> Any:
    try:
        return setting.get()
    except (OSError, RuntimeError) as error:
        # Torch refuses an old name where a new one was used; a directory may be gone.
        return str(error)


@pytest.mark.parametrize("name", LEAVES)
def test_what_is_left_is_seen_and_set_back(
    name: str, clean: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = take()
    LEAVES[name]()
    # A machine may have what is set here from the start.
    assert differing(state) or name in ("locale", "threads")
    put_back(state)
    assert differing(state) == []


def test_a_setting_that_cannot_be_set_back_fails_the_trial_with_its_name(
    tiny: MakeSpec,
) -> None:
    reused = worker(config(tiny(), None))

    def refuse(value: Any) -> None:
        raise ValueError("frozen")

    stuck = Setting("the moon", lambda: object(), refuse)
    reused._clean = ((stuck, "full"), *reused._clean)
    torch.set_default_dtype(torch.float64)
    assert reused.reset_config(config(tiny(), None))
    row = reused.step()["row"]
    assert (row["status"], torch.get_default_dtype()) == ("failed", torch.float32)
    assert row["error"].endswith("cannot be set back: the moon (frozen)")


def test_train_leaves_the_process_as_it_was(tiny: MakeSpec, leaving: Any, tmp_path: Path) -> None:
    def run(method: str) -> Any:
        result = train("tiny", network="tiny_net", method=method, rho=0.9, epochs=2, batch_size=16, seed=3)
        return untimed(result.row), [untimed(entry) for entry in result.history]

    expected = run("erm")

    def all_of_them() -> None:
        for name in ("default type", "torch's seed", "NumPy's errors", "environment", "folder", "gradients"):
            LEAVES[name]()

    leaving(all_of_them)
    before = torch.get_rng_state(), dict(os.environ)
    with pytest.raises(SystemExit):
        run("leaves")
    assert torch.equal(torch.get_rng_state(), before[0]) and dict(os.environ) == before[1]
    assert Path.cwd() == tmp_path and torch.is_grad_enabled()
    assert run("erm") == expected

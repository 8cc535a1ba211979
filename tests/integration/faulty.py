"""Methods that misbehave, registered for one test only: some end the process that trains them.

The workers register them too, by ``worker_process_setup_hook`` of the test's Ray.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainable.methods import base
from trainable.methods.base import Batch, Losses, Nets, StepFunction, register_method
from trainable.methods.erm import erm

GROUP = Path("/sys/fs/cgroup/memory")
LIMIT = 200 * 2**20
PRINTED = 8_000_000


def raises(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    raise RuntimeError("made to fail")


def gives_nan(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    losses = erm(nets, batch, hyperparameters, ramp)
    return Losses(logits=losses.logits, label=losses.label * float("nan"))


def eats_memory(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    """Really ended by the kernel for its memory, but in a group of its own: nobody else on the machine suffers."""
    place = GROUP / f"lnl-sweep-{os.getpid()}"
    place.mkdir()
    (place / "memory.limit_in_bytes").write_text(str(LIMIT))
    with contextlib.suppress(OSError):
        (place / "memory.memsw.limit_in_bytes").write_text(str(LIMIT))
    (place / "cgroup.procs").write_text(str(os.getpid()))
    eaten = [bytearray(os.urandom(2**20)) * 16 for _ in range(100)]
    raise AssertionError(f"ate {sum(map(len, eaten))} bytes and lives")


def memory_can_be_limited() -> bool:
    """May we make a memory group, and does the kernel end what outgrows it?"""
    place = GROUP / f"lnl-sweep-try-{os.getpid()}"
    try:
        place.mkdir()
        place.rmdir()
    except OSError:
        return False
    return (GROUP / "memory.limit_in_bytes").exists()


def clear_groups() -> None:
    """Remove the groups of the processes that were ended."""
    for place in GROUP.glob("lnl-sweep-*"):
        with contextlib.suppress(OSError):
            place.rmdir()


def hangs(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    time.sleep(3600)
    raise AssertionError("woke up")


def raises_no_text(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    """A text as Python makes it of a file name that is not UTF-8, far too long, and after much that it prints."""
    for number in range(PRINTED // 100):
        print(f"{number:099}")
    os.write(1, b"x" * PRINTED)
    os.write(2, b"y" * PRINTED)
    raise RuntimeError("caf\udce9\x00\n" + "z" * 3_000_000)


def exits(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    sys.exit("no licence")


def vanishes(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    os._exit(3)


def crashes(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    ctypes.string_at(0)
    raise AssertionError("read what is nowhere")


STEPS: dict[str, StepFunction] = {
    step.__name__: step for step in (raises, gives_nan, raises_no_text, exits, vanishes, crashes, eats_memory, hangs)
}


def register() -> None:
    """Make them methods of this process."""
    for name, step in STEPS.items():
        register_method(name, long_name=name, reference="none")(step)


def forget() -> None:
    """Take them back: other tests train every method there is."""
    for name in STEPS:
        base.METHODS.entries.pop(name, None)

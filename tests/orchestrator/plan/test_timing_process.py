"""Timing in a process of its own: what a method does to that process is told in a sentence."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.config.sweep_file import parse_config
from orchestrator.plan import timing_process
from orchestrator.plan.estimate import Timing
from orchestrator.plan.plan import make_plan
from store.errors import InputError

SWEEP = """
dataset: {name: coloured_digits, bias: {color_variance: 0.1}}
methods: [erm, lnl]
"""
FINE = Timing(1.0, "a step", "cpu", 0.0, None)


def raising(plan: Any, cell: Any) -> Timing:
    """A method whose step raises."""
    raise RuntimeError("two\nlines")


def exiting(plan: Any, cell: Any) -> Timing:
    """Steps of which the second method's end the process."""
    if cell.label == "lnl":
        os._exit(3)
    return FINE


def crashing(plan: Any, cell: Any) -> Timing:
    """A method that crashes."""
    os.kill(os.getpid(), signal.SIGKILL)
    return FINE


@pytest.mark.parametrize(
    ("step", "named"),
    [
        (raising, "a trial of erm cannot be trained (RuntimeError: two lines)"),
        (exiting, "a trial of lnl cannot be trained (its process ended with exit code 3)"),
        (crashing, "a trial of erm cannot be trained (its process ended by SIGKILL)"),
    ],
)
def test_the_end_of_the_process_is_a_sentence(
    step: Callable[..., Timing], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fork takes the stand-ins along; a new process would import the package as it is.
    context = multiprocessing.get_context("fork")
    plan = make_plan(parse_config(SWEEP))
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)
    monkeypatch.setattr(timing_process, "make_plan", lambda config: plan)
    monkeypatch.setattr(timing_process, "time_cell", step)
    with pytest.raises(InputError) as refusal:
        timing_process.time_apart(plan, plan.cells)
    assert named in str(refusal.value) and "lnl-sweep check SWEEP.yaml" in str(refusal.value)


def test_a_process_of_its_own_times_the_steps() -> None:
    plan = make_plan(parse_config(SWEEP))
    found = timing_process.time_apart(plan, plan.cells[:1])
    assert found["erm"].seconds > 0 and "training step" in found["erm"].timed

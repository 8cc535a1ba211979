"""Timing of a few steps in a separate process, since a method's code may raise, end the process or crash it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from orchestrator.config.own_code import plugins_of
from orchestrator.config.sweep_file import validate
from orchestrator.plan.cells import Cell
from orchestrator.plan.estimate import Timing, time_cell
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.process.spawned import end_with_parent, how_ended
from store.errors import InputError
from trainable.plugins import Plugin, load_plugins
from trainable.texts import reason_of

_END_SECONDS = 10.0


class StepsFailed(RuntimeError):
    """Failure of a cell's steps in the other process.

    It replaces the exception itself, which may have classes that do not exist here.
    """


def time_apart(plan: Plan, cells: Sequence[Cell]) -> dict[str, Timing]:
    """Train a few steps of each cell in a new process.

    Args:
        plan: The resolved sweep.
        cells: A cell of each label.

    Returns:
        Label -> timing.

    Raises:
        InputError: A cell whose steps fail, or end the process.
    """
    # Not forked: threads of torch, and its use of a GPU, do not survive a fork.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    tree = plan.config.model_dump(mode="json", by_alias=True)
    process = context.Process(target=_serve, args=(there, tree, plugins_of(plan.config)), daemon=True)
    process.start()
    there.close()
    label = cells[0].label
    try:
        timings = {}
        for cell in cells:
            label = cell.label
            here.send(cell.id)
            answer = here.recv()
            if isinstance(answer, StepsFailed):
                raise InputError(f"a trial of {label} cannot be trained ({answer}): {_remedy(plan, cell)}") from answer
            timings[label] = answer
        return timings
    except (EOFError, OSError):
        process.join(_END_SECONDS)
        raise InputError(
            f"a trial of {label} cannot be trained (its process ended {how_ended(process.exitcode)}): "
            f"{_remedy(plan, cell)}"
        ) from None
    finally:
        here.close()
        process.kill()
        process.join(_END_SECONDS)


def _remedy(plan: Plan, cell: Cell) -> str:
    return "mend it, and try it with lnl-sweep check SWEEP.yaml, which trains a few images of each method"


def _serve(connection: Connection, tree: dict[str, Any], plugins: Sequence[Plugin]) -> None:
    """Answer ids of cells by their timing, or by the exception that prevented it, until the connection is closed."""
    # Ctrl-C is the driver's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    plan: Plan | None = None
    while True:
        try:
            name = connection.recv()
        except EOFError:
            return
        try:
            if plan is None:
                load_plugins(plugins)
                plan = make_plan(validate(tree))
            answer: Timing | StepsFailed = time_cell(plan, next(cell for cell in plan.cells if cell.id == name))
        except (Exception, SystemExit) as error:
            answer = StepsFailed(reason_of(error))
        connection.send(answer)

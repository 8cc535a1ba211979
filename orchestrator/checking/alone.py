"""The process of a check: it imports alone, as a worker on another machine does."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

from orchestrator.checking.task import Task
from orchestrator.process.own_packages import hold_names
from orchestrator.process.spawned import end_with_parent
from trainable.testing.findings import Finding, guarded


@dataclass(frozen=True)
class Doing:
    """Work that the process begins now, named where it ends or hangs.

    Attributes:
        what: What is looked at.
        doing: What is done.
    """

    what: str
    doing: str


def serve(connection: Connection, task: Task) -> None:
    """Do a check, and send what is begun and found.

    Args:
        connection: To the process that prints.
        task: What is checked.
    """
    # Ctrl-C is the other process's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    # Beside the trace, so that the process that kills this one removes it.
    empty = Path(task.trace).with_name("empty")
    empty.mkdir()
    with open(task.trace, "a") as trace:
        _record_ends(trace)
        _leave(empty, task.left_out)
        _silence()
        for message in _messages(task):
            connection.send(message)
        connection.send(None)


def _messages(task: Task) -> Iterator[Finding | Doing]:
    what = f"{task.kind} {Path(task.file).name}"
    yield Doing(what, "its import")

    def check() -> Iterator[Finding | Doing]:
        from orchestrator.checking.subjects import messages_of

        return messages_of(task)

    yield from guarded(what, check, "")  # type: ignore[arg-type]


def _record_ends(trace: TextIO) -> None:
    """Leave where this process is when it crashes, is asked, or ends itself."""
    faulthandler.enable(trace)
    faulthandler.register(signal.SIGUSR1, trace, all_threads=True)
    end = os._exit

    def recorded(code: int) -> None:
        for frame in reversed(traceback.extract_stack()[:-1]):
            trace.write(f'File "{frame.filename}", line {frame.lineno} in {frame.name}\n')
        trace.flush()
        end(code)

    os._exit = recorded  # type: ignore[assignment]


def _leave(folder: Path, left_out: tuple[str, ...]) -> None:
    """Go to an empty folder, and forget those that another machine does not have."""
    hold_names()
    os.chdir(folder)
    here = {str(Path(entry).resolve()) for entry in left_out}
    sys.path[:] = [entry for entry in sys.path if entry and str(Path(entry).resolve()) not in here]


def _silence() -> None:
    """Let nothing that the user's code prints come between the findings."""
    sink = os.open(os.devnull, os.O_WRONLY)
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(sink, number)

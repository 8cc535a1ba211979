"""A check in another process: what the user's code does to that process becomes one finding."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from orchestrator.checking.alone import Doing, serve
from orchestrator.checking.task import Task
from orchestrator.process.spawned import how_ended
from trainable.testing.findings import Finding, is_theirs

SILENT_SECONDS = 240.0
"""Longest time without a word from the process."""
_TRACE_SECONDS = 2.0
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def findings_apart(task: Task, silent_seconds: float = SILENT_SECONDS) -> Iterator[Finding]:
    """Yield the findings of a check that another process does, in which nothing of this one is imported.

    Args:
        task: What is checked.
        silent_seconds: Time without a word after which the process counts as hanging.
    """
    # Not forked: it must import alone, as a worker does.
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="lnl-sweep-check-") as folder:
        trace = Path(folder, "trace")
        trace.touch()
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, replace(task, trace=str(trace))), daemon=False)
        process.start()
        there.close()
        try:
            yield from _received(here, process, trace, silent_seconds)
        finally:
            here.close()
            process.kill()
            process.join()


def _received(here: Connection, process: BaseProcess, trace: Path, silent_seconds: float) -> Iterator[Finding]:
    doing = Doing("check", "its start")

    def failure(sentence: str) -> Finding:
        process.join(_TRACE_SECONDS)
        place = place_in(trace.read_text(errors="replace"))
        return Finding("FAIL", doing.what, f"{doing.doing} {sentence}", place)

    while True:
        if not here.poll(silent_seconds):
            if process.pid is not None:
                # It writes where it is.
                with contextlib.suppress(OSError):
                    os.kill(process.pid, signal.SIGUSR1)
            yield failure(f"has not ended after {silent_seconds:.0f} s: does it wait for something, or loop?")
            return
        try:
            message = here.recv()
        except (EOFError, OSError):
            process.join(_TRACE_SECONDS)
            yield failure(f"ended the process ({how_ended(process.exitcode)}): raise an exception instead")
            return
        if message is None:
            return
        if isinstance(message, Doing):
            doing = message
        else:
            yield message


def place_in(text: str) -> str:
    """The user's line in what Python writes of a process that crashes or hangs: ``file:line``, or "".

    Args:
        text: Frames, the innermost first.

    Example:
        >>> place_in('Thread 0x1 (most recent call first):\\n  File "/home/me/debias.py", line 12 in step\\n')
        '/home/me/debias.py:12'
    """
    places = [f"{file}:{line}" for file, line in _FRAME.findall(text) if is_theirs(file)]
    return places[0] if places else ""

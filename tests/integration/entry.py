"""``lnl-sweep`` in a process that is forked from one with all imports done, and an ``lnl-sweep`` that trains nothing.

Run as a module it is the second in a process of its own: ``python -m tests.integration.entry run SWEEP.yaml``.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Protocol

import pytest


@dataclass(frozen=True)
class Null:
    """Trials that train nothing, in place of those that train.

    Attributes:
        seconds: Length of an epoch: long enough for a test to see a trial run.
        constants: Values of module constants in the driver and in its workers, by ``module:NAME``: shorter waits.
    """

    seconds: float = 0.15
    constants: Mapping[str, float] = field(default_factory=dict)


_server: ForkServerContext | None = None


class Process(Protocol):
    """The part of ``subprocess.Popen`` that tests use."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...


class Forked:
    """A process that was forked; read like a ``subprocess.Popen``."""

    def __init__(self, process: ForkServerProcess, words: Sequence[str]) -> None:
        assert process.pid is not None
        self._process, self._words, self.pid = process, words, process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(list(self._words), timeout or 0)
        return self.returncode

    def kill(self) -> None:
        self._process.kill()


def fork(
    words: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    cwd: Path | None = None,
    null: Null | None = None,
    meeting: int | None = None,
) -> Forked:
    """Run ``lnl-sweep WORDS`` in a session of its own.

    Args:
        words: Its arguments.
        log: File for its output.
        environment: Its environment.
        cwd: Its current directory; None = that of the tests.
        null: In place of training; None = trials train.
        meeting: Port at which workers of several nodes wait for one another; None = they do not.

    Returns:
        The process.
    """
    arguments = (list(words), str(log), dict(environment), None if cwd is None else str(cwd), null, meeting)
    process = _started_server().Process(target=_child, args=arguments)
    process.start()
    return Forked(process, words)


def _started_server() -> ForkServerContext:
    """The process that children are forked from; it has imported what a driver imports, and done nothing else."""
    global _server
    if _server is None:
        _server = multiprocessing.get_context("forkserver")
        _server.set_forkserver_preload(["tests.integration.preloaded"])
        with pytest.MonkeyPatch.context() as patch:
            # Read by torch when it is imported.
            patch.setenv("OMP_NUM_THREADS", "1")
            from multiprocessing.forkserver import ensure_running

            ensure_running()
    return _server


def _child(
    words: list[str], log: str, environment: dict[str, str], cwd: str | None, null: Null | None, meeting: int | None
) -> None:
    os.setsid()
    with open(log, "ab") as file, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    if cwd is not None:
        os.chdir(cwd)
    sys.argv = ["lnl-sweep", *words]
    sys.exit(main(words, null, meeting))


def main(words: list[str], null: Null | None, meeting: int | None = None) -> int:
    """Run ``lnl-sweep WORDS`` in this process, which does nothing else.

    Args:
        words: Its arguments.
        null: In place of training; None = trials train.
        meeting: As of ``fork``.

    Returns:
        Its exit code.
    """
    from orchestrator import cli

    if null is not None:
        from orchestrator.cluster import tuning
        from tests.integration.null_trainable import processors, resumable

        for name, value in null.constants.items():
            module, _, constant = name.partition(":")
            setattr(importlib.import_module(module), constant, value)
        # The driver's own would bring its module, and with it torch, to the workers.
        tuning._places = processors()
        tuning.SweepTrainable = resumable(null.seconds, dict(null.constants))  # type: ignore[misc]
    if meeting is not None:
        from orchestrator.cluster import tuning
        from tests.integration.meeting import meeting_trainable

        tuning.SweepTrainable = meeting_trainable(meeting)  # type: ignore[misc]
    return cli.main(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Null()))

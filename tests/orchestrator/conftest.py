"""Makes ``tests.orchestrator.support`` importable, however pytest was started, and runs sweeps without Ray."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trainable.spec import TrialSpec

sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], list[TrialSpec]]:
    """Let the trials of a sweep end without Ray, with an error or with a value; returns a list that takes them."""

    from orchestrator import sweep
    from orchestrator.cluster.nodes import demands_of
    from orchestrator.cluster.session import Session
    from orchestrator.commands import run as commands
    from orchestrator.run import Run
    from tests.orchestrator.support import fake_history, fake_row

    def ending(error: str | None) -> list[TrialSpec]:
        ran: list[TrialSpec] = []

        def run(run: Run) -> None:
            two = replace(run, options=replace(run.options, slots=2))
            session = Session(two, demands_of(run.config, []))
            for number in range(1000):
                if session.suggest(str(number)) == "FINISHED":
                    break
                spec = session.specs[str(number)]
                ran.append(spec)
                if error is None:
                    values = [0.5] * spec.training.epochs
                    result = {"history": fake_history(values), "row": fake_row(spec, 0.5)}
                    session.result(str(number), result)
                session.ended(str(number), error=error)
            if session.limit_reached:
                print(f"no more trials are started: {session.limit_reached}")

        monkeypatch.setattr(sweep, "_run", run)
        monkeypatch.setattr(commands, "_finish", lambda directory: True)
        return ran

    return ending

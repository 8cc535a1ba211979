"""Makes ``tests.orchestrator.support`` importable, however pytest was started, and runs sweeps without Ray."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    from orchestrator.directory.writer import Writer
    from orchestrator.search.dispatch import Dispatcher
    from tests.orchestrator.support import fake_history, fake_row

    def ending(error: str | None) -> list[TrialSpec]:
        ran: list[TrialSpec] = []

        def run(config: Any, dispatcher: Dispatcher, writer: Writer, progress: Any, *_: Any) -> None:
            session = Session(config, dispatcher, writer, progress, demands_of(config, []), slots=2)
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

"""A signal that comes at a bad moment is not lost."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest

from orchestrator.interruption import Interruption


class _Signals:
    """Gets a signal in its destructor, where Python prints an exception and goes on."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def __del__(self) -> None:
        signal.raise_signal(self._number)


class _Broken:
    """Raises in its destructor."""

    def __del__(self) -> None:
        raise ValueError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts(number: signal.Signals) -> None:
    interruption = Interruption()
    with interruption.heard(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_swallowed_interrupts_at_the_next_step(number: signal.Signals) -> None:
    interruption = Interruption()
    with interruption.heard():
        interruption.check()
        _Signals(number)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()


def test_what_is_swallowed_is_not_printed_and_other_errors_are(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    def tell(entry: Any) -> None:
        told.append(entry.exc_type)

    monkeypatch.setattr(sys, "unraisablehook", tell)
    with Interruption().heard():
        _Signals(signal.SIGINT)
        _Broken()
    assert told == [ValueError] and sys.unraisablehook is tell


def test_the_handlers_before_it_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruption().heard():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_it_listens_again_where_somebody_else_has_taken_the_signals() -> None:
    interruption = Interruption()
    with interruption.heard():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        interruption.listen()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        interruption.check()

"""A signal that comes at a bad moment is not lost, and one that comes again does no harm."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import interruption as module
from orchestrator.interruption import SAME_SECONDS, Interruption

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _not_under_nohup() -> Iterator[None]:
    """The tests themselves may run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


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


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_interrupts(number: signal.Signals) -> None:
    interruption = Interruption()
    with interruption.heard(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


@pytest.mark.parametrize("number", NUMBERS)
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
    before = [signal.getsignal(number) for number in NUMBERS]
    with Interruption().heard():
        assert [signal.getsignal(number) for number in NUMBERS] != before
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_it_listens_again_where_somebody_else_has_taken_the_signals() -> None:
    interruption = Interruption()
    with interruption.heard():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        interruption.listen()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        interruption.check()


def test_under_nohup_it_goes_on_without_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        interruption = Interruption()
        with interruption.heard():
            interruption.listen()
            signal.raise_signal(signal.SIGHUP)
            interruption.check()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


class TestAgain:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_what_systems_send_twice_does_not_disturb_the_end(self, number: signal.Signals) -> None:
        with Interruption().heard():
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
            signal.raise_signal(number)

    def test_one_ctrl_c_that_comes_twice_is_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Interruption().heard():
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            monkeypatch.setattr(module, "SAME_SECONDS", 0.0)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    def test_what_ends_by_itself_is_not_disturbed_by_the_first(self) -> None:
        interruption = Interruption()
        with interruption.heard():
            with interruption.deferred():
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                interruption.check()


SCRIPT = """
import signal, subprocess, sys, time
from orchestrator.interruption import Interruption
interruption = Interruption("go on with: lnl-sweep resume DIR")
with interruption.heard():
    interruption.on_end_at_once(lambda: open(sys.argv[1], "w").close())
    child = subprocess.Popen(["sleep", "600"])
    try:
        print(child.pid, flush=True)
        time.sleep(600)
    finally:
        print("ending", flush=True)
        time.sleep(600)
"""


def _begin(mark: Path, **streams: Any) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", SCRIPT, str(mark)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root}, **streams)


def test_a_second_ctrl_c_ends_the_process_at_once_with_a_sentence(tmp_path: Path) -> None:
    process = _begin(tmp_path / "left", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"ending\n"
    time.sleep(SAME_SECONDS + 0.1)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130 and text == b"go on with: lnl-sweep resume DIR\n"
    assert (tmp_path / "left").exists()
    with pytest.raises(ProcessLookupError):
        # Nothing that it has started is left (a dead process may wait a moment for its new parent).
        for _ in range(100):
            os.kill(child, 0)
            time.sleep(0.1)


def test_a_terminal_that_is_gone_is_not_written_to(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = _begin(tmp_path / "left", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    assert os.read(ours, 100).strip().isdigit()
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    # It would end here with OSError at its next word.
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130

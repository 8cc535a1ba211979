"""Signals that end a sweep so that it can be resumed: Ctrl-C, SIGTERM, and SIGHUP of a closed terminal."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from orchestrator.process.log import passed_over
from orchestrator.process.running import descendants

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
"""Exit code of a process that was interrupted."""
SAME_SECONDS = 0.3
"""Seconds within which a second Ctrl-C counts as the first one.

A terminal and a wrapper (timeout, uv run) may each send the same one.
"""
LEAVE_SECONDS = 2.0
"""Longest time in seconds for giving back the lease where the process ends at once."""


class Interruption:
    """Request to end the sweep, by a signal.

    A signal raises ``KeyboardInterrupt`` wherever the main thread happens to be. In a destructor Python prints and
    drops it, and a callback of a compiled library may do the same. So the signal is recorded too, and looked up at
    each step.

    The first signal ends the sweep in order, which takes seconds. Later ones change nothing, since systems send
    several. The exception is a second Ctrl-C: it ends the process at once, or raises again without ``last_words``.

    Args:
        last_words: Text that the process prints when a second Ctrl-C ends it at once; None = the process is not ours to
            end, as in a notebook.
    """

    def __init__(self, last_words: str | None = None) -> None:
        self._last_words = last_words
        self._asked_at: float | None = None
        self._deferring = False
        self._terminals: list[int] = []
        self._leave: Callable[[], None] | None = None

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # Tune pickles its callbacks into its snapshots, which nothing here ever reads back.
        return type(None), ()

    def check(self) -> None:
        """Raise again an interruption that may have been lost.

        Raises:
            KeyboardInterrupt: A signal has come.
        """
        if self._asked_at is not None:
            raise KeyboardInterrupt

    def on_end_at_once(self, leave: Callable[[], None] | None) -> None:
        """Set the function that is called where a second Ctrl-C ends the process."""
        self._leave = leave

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Record a first signal within the block without raising it.

        The block must end by itself and soon. ``check`` raises the signal afterwards.
        """
        before, self._deferring = self._deferring, True
        try:
            yield
        finally:
            self._deferring = before

    def listen(self) -> None:
        """Treat the signals as interruptions from now on, also where another handler was set meanwhile."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # Under nohup a sweep goes on without its terminal.
                if not (number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN):
                    signal.signal(number, self._interrupt)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Treat the signals as interruptions within the block, in the main thread.

        Python does not print those that it drops: they are raised at the next step. A process that was interrupted ends
        after the block, and only a second Ctrl-C ends it sooner.
        """
        if threading.current_thread() is not threading.main_thread() or self._is_heard():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        report = sys.unraisablehook

        def tell_others(entry: sys.UnraisableHookArgs) -> None:
            if not (self._asked_at is not None and issubclass(entry.exc_type, KeyboardInterrupt)):
                report(entry)

        sys.unraisablehook = tell_others
        self._terminals = [number for number in (1, 2) if os.isatty(number)]
        if self._last_words is not None:
            # Registered before those of Ray, and so called after them.
            atexit.register(_ignore_ctrl_c)
        self.listen()
        try:
            yield
        finally:
            sys.unraisablehook = report
            ends = self._asked_at is not None and self._last_words is not None
            if not ends:
                atexit.unregister(_ignore_ctrl_c)
            for number, handler in before.items():
                if not ends:
                    signal.signal(number, handler or signal.SIG_DFL)
                elif number != signal.SIGINT:
                    signal.signal(number, signal.SIG_IGN)

    def _is_heard(self) -> bool:
        return signal.getsignal(signal.SIGINT) == self._interrupt

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number == signal.SIGHUP:
            self._forget_terminals()
        if self._asked_at is None:
            self._asked_at = now
            if self._deferring:
                return
        elif number != signal.SIGINT or now - self._asked_at < SAME_SECONDS:
            return
        elif self._last_words is not None:
            self._end_at_once(self._last_words)
        raise KeyboardInterrupt

    def _forget_terminals(self) -> None:
        # Each write to a terminal that is gone fails, that of the last sentence too.
        for number in self._terminals:
            if not os.isatty(number):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)

    def _end_at_once(self, words: str) -> None:
        # Neither Ray nor the interpreter can be ended at once without a traceback: the process ends like one that is
        # killed, and Ray's end with it.
        if self._leave is not None:
            thread = threading.Thread(target=_attempt, args=(self._leave,), daemon=True)
            thread.start()
            thread.join(LEAVE_SECONDS)
        if 2 in self._terminals:
            # The live display hides the cursor.
            words = f"\r\x1b[?25h{words}"
        with contextlib.suppress(OSError):
            os.write(2, f"{words}\n".encode())
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        os._exit(INTERRUPTED)


def _ignore_ctrl_c() -> None:
    # From here on Python would let it end the process as if nothing had been said.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _attempt(work: Callable[[], None]) -> None:
    with passed_over("the end at once"):
        work()

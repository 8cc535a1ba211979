"""Ctrl-C and SIGTERM both end a sweep in a state that can be resumed."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether somebody has asked for the end of the sweep.

    A signal raises ``KeyboardInterrupt`` wherever the main thread happens to be. In a destructor Python prints and
    forgets it, and a callback of a compiled library may do the same: so it is noted too, and asked for at each step.
    """

    def __init__(self) -> None:
        self._asked = False

    def check(self) -> None:
        """Raise again what may have been lost.

        Raises:
            KeyboardInterrupt: A signal has come.
        """
        if self._asked:
            raise KeyboardInterrupt

    def listen(self) -> None:
        """From now on SIGINT and SIGTERM are interruptions; again where somebody else has taken them meanwhile."""

        def interrupt(number: int, frame: FrameType | None) -> None:
            self._asked = True
            raise KeyboardInterrupt

        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, interrupt)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Within the block, in the main thread, SIGINT and SIGTERM are interruptions.

        Python does not print those that it forgets: they are raised at the next step.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        tell = sys.unraisablehook

        def tell_others(entry: sys.UnraisableHookArgs) -> None:
            if not (self._asked and issubclass(entry.exc_type, KeyboardInterrupt)):
                tell(entry)

        sys.unraisablehook = tell_others
        self.listen()
        try:
            yield
        finally:
            sys.unraisablehook = tell
            for number, handler in before.items():
                signal.signal(number, handler)

"""Processes that we start to run code of a user's: they end with us, and their end in words."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait


def end_with_parent() -> None:
    """End this process as soon as its parent has ended, by a signal too.

    A loop without an end in a user's code would otherwise go on for ever. In a process that ``multiprocessing`` did not
    start it does nothing.

    Example:
        >>> end_with_parent()
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int = parent.sentinel) -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def how_ended(code: int | None) -> str:
    """End of a process in words.

    Args:
        code: Its exit code as ``multiprocessing`` gives it: below 0 the number of a signal.

    Example:
        >>> how_ended(3), how_ended(-9)
        ('with exit code 3', 'by SIGKILL')
    """
    if code is None or code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"

"""End of a process of ours with the one that started it, whatever code of a user's it is running."""

from __future__ import annotations

import multiprocessing
import os
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

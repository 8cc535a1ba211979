"""Log of a sweep, ``driver.log``, which holds the traceback of every exception that was caught and passed over."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from store.object_store import CREDENTIALS

LOG = logging.getLogger("lnl_sweep")
# Without a handler of its own Python would print warnings on the standard error.
LOG.addHandler(logging.NullHandler())

LOG_FILE = "driver.log"
_SHORTEST_SECRET = 4
"""Smallest number of characters of a secret: a shorter value could stand in any text."""


def passed_over(what: str, *kinds: type[Exception]) -> contextlib.AbstractContextManager[None, bool]:
    """Block that an exception ends, while the sweep goes on.

    The traceback is left in the log.

    Args:
        what: What the block does, for the log.
        kinds: Exceptions that are passed over; none given = every ``Exception``.

    Example:
        >>> with passed_over("division"):
        ...     1 / 0
    """
    return _PassedOver(what, kinds or (Exception,))


@dataclass(frozen=True)
class _PassedOver:
    what: str
    kinds: tuple[type[Exception], ...]

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, self.kinds):
            return False
        LOG.warning("%s failed; the sweep goes on without it", self.what, exc_info=error)
        return True


class LogFile(logging.Handler):
    """Log file that is open only while it is written.

    Where it cannot be written, for example on a full disk, the record is left out.

    Args:
        path: The file. Its folder is made where only that is missing.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.setFormatter(_WithoutSecrets("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        with contextlib.suppress(OSError):
            text = self.format(record)
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{text}\n")


class _WithoutSecrets(logging.Formatter):
    """Formatter that replaces the values of credentials by stars."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for name in CREDENTIALS:
            secret = os.environ.get(name, "")
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text


@contextlib.contextmanager
def sweep_log(path: Path) -> Iterator[LogFile]:
    """Send, within the block, what is logged to a file, and nothing of it to the screen.

    Args:
        path: The file.

    Yields:
        Its handler, for loggers of others.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with sweep_log(Path(folder) / LOG_FILE) as log:
        ...         LOG.warning("a node has left")
        ...     log.path.read_text()[24:].strip()
        'WARNING lnl_sweep: a node has left'
    """
    file = LogFile(path)
    before = (LOG.level, LOG.propagate)
    LOG.addHandler(file)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    try:
        yield file
    finally:
        LOG.removeHandler(file)
        LOG.level, LOG.propagate = before
        file.close()

"""Log of a sweep, ``driver.log``: what was caught and passed over leaves its traceback there, nothing on the screen."""

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
"""Characters: a value that is shorter stands in any text."""


def passed_over(what: str, *kinds: type[Exception]) -> contextlib.AbstractContextManager[None, bool]:
    """Block that an exception ends without ending the sweep; its traceback is left in the log.

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
    """A log file that is open only while it is written; where it cannot be, on a full disk say, it is left out.

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
    """Formats records; the values of credentials become stars."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for name in CREDENTIALS:
            secret = os.environ.get(name, "")
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text


@contextlib.contextmanager
def sweep_log(path: Path) -> Iterator[LogFile]:
    """Within the block, what is logged goes to a file, and nothing of it to the screen.

    Args:
        path: The file.

    Yields:
        Its handler, for loggers of others.
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

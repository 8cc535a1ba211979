"""Write queue of the driver, whose content waits on the local disk until the directory has taken it.

Ray's event loop runs in the driver: while it waits for a request, no worker gets its next trial. With an object store
every piece of work is therefore queued, and done by a few threads with the retry budget of ``store.object_store``.
Pieces with the same key are done in their order.
"""

from __future__ import annotations

import queue
import threading
import time
import zlib
from collections.abc import Callable
from itertools import count
from typing import Protocol

from orchestrator.process.temporary import TemporaryFolder

LANES = 8
KEPT_BYTES = 2**16
"""Largest content in bytes that waits in memory, and not on the disk."""

Work = Callable[[], None]


class WriteQueue(Protocol):
    """Queue of everything that the driver writes."""

    def keep(self, data: bytes) -> Callable[[], bytes]:
        """Store content until it is sent."""
        ...

    def put(self, key: str, work: Work) -> None:
        """Do a piece of work after all earlier ones of the same key.

        Args:
            key: Pieces of work with the same key are done in their order.
            work: The piece of work.

        Raises:
            Exception: Error of this or of an earlier piece of work.
        """
        ...

    def put_latest(self, key: str, work: Work) -> None:
        """Do a piece of work in place of the one of the same key that still waits."""
        ...

    def put_last(self, work: Work) -> None:
        """Do a piece of work after everything that was given before."""
        ...

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until everything is done.

        Args:
            seconds: Longest time to wait; None = the store's retry budget.

        Returns:
            True where everything is done.

        Raises:
            Exception: Error of a piece of work.
        """
        ...

    def close(self) -> None:
        """Drop what still waits."""
        ...


class ImmediateWrites:
    """Queue of a local directory, which does everything at once."""

    def keep(self, data: bytes) -> Callable[[], bytes]:
        """Return the content itself."""
        return lambda: data

    def put(self, key: str, work: Work) -> None:
        """Do the work at once."""
        work()

    def put_latest(self, key: str, work: Work) -> None:
        """Do the work at once."""
        work()

    def put_last(self, work: Work) -> None:
        """Do the work at once."""
        work()

    def flush(self, seconds: float | None = None) -> bool:
        """Return True, since nothing waits."""
        return True

    def close(self) -> None:
        """Do nothing, since nothing waits."""


class ThreadedQueue:
    """Queue of an object store, whose work is done by threads."""

    def __init__(self) -> None:
        self._folder = TemporaryFolder()
        self._numbers = count()
        self._lanes: list[queue.SimpleQueue[Work | None]] = [queue.SimpleQueue() for _ in range(LANES)]
        self._changed = threading.Condition()
        self._waiting = 0
        self._newest: dict[str, Work] = {}
        self._error: BaseException | None = None
        self._closed = False
        for lane in self._lanes:
            threading.Thread(target=self._run, args=(lane,), name="write-queue", daemon=True).start()

    def keep(self, data: bytes) -> Callable[[], bytes]:
        """Write large content to the disk until it is sent."""
        if len(data) <= KEPT_BYTES:
            return lambda: data
        path = self._folder.path / str(next(self._numbers))
        path.write_bytes(data)

        def read() -> bytes:
            data = path.read_bytes()
            path.unlink()
            return data

        return read

    def put(self, key: str, work: Work) -> None:
        """Queue a piece of work behind those of the same key."""
        self._raise()
        self._enqueue(self._lanes[zlib.crc32(key.encode()) % LANES], work)

    def put_latest(self, key: str, work: Work) -> None:
        """Queue a piece of work in place of the one of this key that still waits."""
        with self._changed:
            known = key in self._newest
            self._newest[key] = work
        if not known:
            self.put(key, lambda: self._take(key)())

    def put_last(self, work: Work) -> None:
        """Queue a piece of work behind everything, so that each lane must have come to this point."""
        self._raise()
        left, reached = [LANES], threading.Lock()

        def arrive() -> None:
            with reached:
                left[0] -= 1
                last = left[0] == 0
            if last:
                work()

        for lane in self._lanes:
            self._enqueue(lane, arrive)

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until the queues are empty."""
        end = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while self._waiting and self._error is None:
                # In short steps, so that an interrupt is noticed.
                self._changed.wait(0.2)
                if end is not None and time.monotonic() > end:
                    return False
        self._raise()
        return True

    def close(self) -> None:
        """End the threads after their present work, and drop what still waits."""
        with self._changed:
            self._closed = True
        for lane in self._lanes:
            lane.put(None)
        self._folder.close()

    def _take(self, key: str) -> Work:
        with self._changed:
            return self._newest.pop(key)

    def _enqueue(self, lane: queue.SimpleQueue[Work | None], work: Work) -> None:
        with self._changed:
            self._waiting += 1
        lane.put(work)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self, lane: queue.SimpleQueue[Work | None]) -> None:
        while (work := lane.get()) is not None and not self._closed:
            try:
                # After a failure nothing more is written: a row must not come before what it rests on.
                if self._error is None:
                    work()
            except BaseException as error:
                self._error = self._error or error
            with self._changed:
                self._waiting -= 1
                self._changed.notify_all()

"""What the driver writes to an object store: in order for each trial, nothing lost, never in the driver's way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from orchestrator.directory.write_queue import KEPT_BYTES, LANES, ImmediateWrites, ThreadedQueue


@pytest.fixture
def spool() -> Iterator[ThreadedQueue]:
    found = ThreadedQueue()
    yield found
    found.close()


def test_work_of_one_key_is_done_in_order(spool: ThreadedQueue) -> None:
    done: dict[str, list[int]] = {f"t{i}": [] for i in range(20)}
    for number in range(30):
        for key in done:
            spool.put(key, lambda key=key, number=number: done[key].append(number))  # type: ignore[misc]
    assert spool.flush()
    assert all(numbers == list(range(30)) for numbers in done.values())


def test_giving_work_waits_for_nothing(spool: ThreadedQueue) -> None:
    gate = threading.Event()
    done = []
    for number in range(50):
        spool.put(str(number), lambda number=number: (gate.wait(10), done.append(number)))  # type: ignore[misc]
    assert done == [] and not spool.flush(0.3)
    gate.set()
    assert spool.flush(10) and sorted(done) == list(range(50))


def test_the_last_word_replaces_those_that_wait(spool: ThreadedQueue) -> None:
    gate, done = threading.Event(), []
    spool.put("status", lambda: gate.wait(10) and None)
    for number in range(20):
        spool.put_latest("status", lambda number=number: done.append(number))  # type: ignore[misc]
    gate.set()
    assert spool.flush(10) and done == [19]
    spool.put_latest("status", lambda: done.append(20))
    assert spool.flush(10) and done == [19, 20]


def test_after_all_waits_for_every_lane(spool: ThreadedQueue) -> None:
    gate, done = threading.Event(), []
    for number in range(3 * LANES):
        spool.put(str(number), lambda: (gate.wait(10), done.append("before")))  # type: ignore[misc]
    spool.put_last(lambda: done.append("merge"))
    gate.set()
    assert spool.flush(10) and done == ["before"] * (3 * LANES) + ["merge"]


def test_a_failure_stops_everything_and_is_told(spool: ThreadedQueue) -> None:
    done = []

    def fail() -> None:
        raise ValueError("denied")

    spool.put("a", fail)
    with pytest.raises(ValueError, match="denied"):
        spool.flush(10)
    with pytest.raises(ValueError, match="denied"):
        spool.put("b", lambda: done.append(1))
    assert done == []


def test_content_is_kept_whole(spool: ThreadedQueue) -> None:
    small, large = b"x", b"y" * (KEPT_BYTES + 1)
    assert spool.keep(small)() == small and spool.keep(large)() == large and ImmediateWrites().keep(large)() == large


def test_closing_does_not_wait_for_a_store_that_is_away(spool: ThreadedQueue) -> None:
    gate = threading.Event()
    spool.put("a", lambda: gate.wait(30) and None)
    begin = time.monotonic()
    spool.close()
    assert time.monotonic() - begin < 5
    gate.set()

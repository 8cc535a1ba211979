"""Lease on a sweep's directory, which one driver holds at a time.

It needs no conditional write, so NFS and S3 serve alike.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.process.log import passed_over
from orchestrator.process.running import process_identity, same_boot, still_runs
from store.errors import InputError, Unreachable
from store.folder import Folder
from store.open import read_small
from store.parts import part_generation
from store.sealed import seal_json

FILE = "driver.json"
HEARTBEAT_SECONDS = 10.0
EXPIRES_SECONDS = 60.0
WATCHED_HEARTBEATS = 3
"""Number of heartbeat intervals without a heartbeat after which a driver counts as gone, where clocks differ."""
CLOCK_SECONDS = 5.0
"""Seconds by which the clocks of two hosts may differ without a wait."""
SETTLE_SECONDS = 0.3
READ_AGAIN_SECONDS = 0.2
RELEASE_SECONDS = 10.0
LOOK_SECONDS = 2.0
"""Longest time in seconds that Ray's event loop may wait for one reading of the lease."""


class LeaseLost(RuntimeError):
    """Error of a driver whose directory another driver has taken over.

    It must write nothing more.
    """


@dataclass
class Lease:
    """Lease of this driver on a sweep's directory.

    Its generation stands in the name of every part: rows of a replaced driver are never preferred.

    Attributes:
        folder: The sweep's directory.
        id: Identifier of this driver.
        generation: Higher than that of every driver before.
    """

    folder: Folder
    id: str
    generation: int

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lost = False
        self._beaten = self._asked = time.monotonic()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def start(self) -> None:
        """Start the heartbeat."""
        self._thread.start()

    def check(self, wait: bool = False) -> None:
        """Raise where the lease is lost.

        Args:
            wait: True = wait for an object store that is unavailable, as a thread does that is about to write. Else a
                store that does not answer at once is passed over: what is queued is checked again before it is written.

        Raises:
            LeaseLost: Another driver holds it.
        """
        # A process that was stopped for long wakes up with its heartbeat still asleep: it must look for itself.
        heard = self._beaten if wait else max(self._beaten, self._asked)
        if not self._lost and time.monotonic() - heard > EXPIRES_SECONDS / 2:
            if wait or self.folder.local is not None:
                self._look(self.folder)
            else:
                self._look_quickly()
        if self._lost:
            raise LeaseLost("another driver has taken over this directory; this one stops without writing")

    def _look(self, folder: Folder) -> bool:
        holder = _holder(folder)
        # A lower generation is the late write of a driver that hung while this one took over.
        if holder.get("id") not in (None, self.id) and holder["generation"] >= self.generation:
            self._lost = True
        self._beaten = time.monotonic()
        return self._lost

    def _look_quickly(self) -> None:
        def look() -> None:
            with passed_over("a look at the lease", OSError, InputError):
                self._look(self.folder.patiently(0.0))

        # A single request may still hang for minutes.
        thread = threading.Thread(target=look, name="lease-look", daemon=True)
        thread.start()
        thread.join(LOOK_SECONDS)
        self._asked = time.monotonic()

    def keep(self, folder: Folder) -> None:
        """Use ``folder`` from now on, which writes only while the directory is there."""
        self.folder = folder

    def release(self) -> None:
        """Give the lease back, so that the next driver need not wait."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(HEARTBEAT_SECONDS)
        folder = self.folder.patiently(RELEASE_SECONDS)
        # A store that is unavailable must not hide how the sweep ended. The lease expires by itself.
        with passed_over("the release of the lease", Unreachable, InputError):
            if not self._lost and _holder(folder).get("id") == self.id:
                folder.write(FILE, _record(self, released=True))

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            # A heartbeat that comes late is worth nothing: it is tried once.
            folder = self.folder.patiently(0.0)
            with passed_over("a heartbeat", OSError, InputError):
                if self._look(folder):
                    return
                folder.write(FILE, _record(self))
                self._beaten = time.monotonic()


def acquire(folder: Folder, report: Callable[[str], None] | None = None) -> Lease:
    """Take the lease on a directory.

    Args:
        folder: The sweep's directory.
        report: Receives a sentence where the lease takes longer.

    Returns:
        The lease, its heartbeat running.

    Raises:
        InputError: Another driver is at work there.
    """
    holder = _holder(folder)
    if _is_alive(folder, holder, report):
        raise InputError(
            f"{folder.uri} is in use by another driver (pid {holder['pid']} on {_host(holder)}): "
            "wait for it, stop it, or choose another --out"
        )
    parts = [part_generation(name) for name in folder.child("trials").names()]
    # The parts count too: where driver.json was lost, rows of this driver must still be preferred to older ones.
    lease = Lease(folder, secrets.token_hex(4), 1 + max([holder.get("generation", 0), *parts]))
    folder.write(FILE, _record(lease))
    lease.keep(folder.kept())
    try:
        # Of two drivers that start in the same instant the last one to write stays.
        time.sleep(SETTLE_SECONDS)
        if _holder(folder).get("id") != lease.id:
            raise InputError(
                f"{folder.uri} was taken by another driver in the same moment: run again when it has ended"
            )
        lease.start()
    except BaseException:
        # Interrupted: the next driver, on another machine perhaps, need not wait for the lease to end.
        lease.release()
        raise
    return lease


def _record(lease: Lease, released: bool = False) -> bytes:
    entry = {
        "id": lease.id,
        "generation": lease.generation,
        **process_identity(),
        "heartbeat": time.time(),
        "released": released,
    }
    return seal_json(entry)


def _holder(folder: Folder) -> dict[str, Any]:
    """Entry of the driver that holds the lease.

    Empty where there is no entry, or none that can be read.
    """
    for _ in range(3):
        try:
            entry = json.loads(read_small(folder, FILE))
            pid, generation, heartbeat = int(entry["pid"]), int(entry["generation"]), float(entry["heartbeat"])
            if pid > 0 and generation >= 0 and math.isfinite(heartbeat):
                return {**entry, "pid": pid, "generation": generation, "heartbeat": heartbeat}
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
            return {}
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
            pass
        # An object store may give bytes of two heartbeats: the next reading is whole.
        time.sleep(READ_AGAIN_SECONDS)
    return {}


def _host(holder: dict[str, Any]) -> str:
    return str(holder.get("host") or "a host without a name")


def _is_alive(folder: Folder, holder: dict[str, Any], report: Callable[[str], None] | None) -> bool:
    """Tell if the holder still works.

    By its process, where that can be seen from here, else by its heartbeat.
    """
    if not holder or holder.get("released"):
        return False
    runs = still_runs(holder)
    if runs is not None:
        return runs
    age = time.time() - holder["heartbeat"]
    if -CLOCK_SECONDS < age < EXPIRES_SECONDS:
        return True
    # The clock of another host may be slow or fast by any time; that of another container is the same.
    if age >= EXPIRES_SECONDS and (same_boot(holder) or not _written_lately(folder)):
        return False
    return _sends_heartbeats(folder, holder, report)


def _written_lately(folder: Folder) -> bool:
    """Tell if the entry was written within the life of a heartbeat, by the clock of the directory itself."""
    probe = f".clock-{secrets.token_hex(4)}"
    folder.write(probe, b"clock", durable=False)
    try:
        return folder.modified(probe) - folder.modified(FILE) < EXPIRES_SECONDS
    except FileNotFoundError:
        return False
    finally:
        folder.remove(probe)


def _sends_heartbeats(folder: Folder, holder: dict[str, Any], report: Callable[[str], None] | None) -> bool:
    """Tell if the entry changes while this process measures the time by its own clock."""
    seconds = WATCHED_HEARTBEATS * HEARTBEAT_SECONDS
    if report is not None:
        report(
            f"{folder.uri} was last used by a driver on {_host(holder)}, whose clock differs from the one here: "
            f"waiting {seconds:.0f} s for a sign of life"
        )
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(HEARTBEAT_SECONDS / 10)
        now = _holder(folder)
        if now.get("released"):
            return False
        if now and (now.get("id"), now["heartbeat"]) != (holder.get("id"), holder["heartbeat"]):
            return True
    return False

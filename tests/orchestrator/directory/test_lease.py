"""One driver at a time, and what becomes of the one that was taken for dead."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.directory import lease as lease_module
from orchestrator.directory.lease import EXPIRES_SECONDS, FILE, Lease, LeaseLost, acquire
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.writer import Writer
from orchestrator.process import running
from orchestrator.process.running import process_identity
from store.errors import InputError, Unreachable
from store.folder import Folder, LocalFolder
from store.open import folder_at, open_folder
from store.parts import read_parts
from store.sealed import seal_json
from tests.orchestrator.support import fake_row, sweep_cells, sweep_config


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(lease_module, "SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(lease_module, "READ_AGAIN_SECONDS", 0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return folder_at(tmp_path / "sweep")


@pytest.fixture
def held(folder: Folder) -> Iterator[Lease]:
    lease = acquire(folder)
    yield lease
    lease.release()


def entry(folder: Folder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(folder.read(FILE))
    return found


def leave(folder: Folder, **changes: Any) -> None:
    """What a driver on another host left behind, its last heartbeat a second ago."""
    left = {
        "id": "other",
        "generation": 7,
        "host": "elsewhere",
        "pid": 1,
        "process_started": "1",
        "heartbeat": time.time() - 1,
        "released": False,
    }
    folder.write(FILE, json.dumps({**left, **changes}).encode())


def wait_until(done: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def started_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]


def test_a_second_driver_is_refused_and_told_who_is_there(folder: Folder, held: Lease) -> None:
    with pytest.raises(InputError, match=f"pid {os.getpid()} on {socket.gethostname()}"):
        acquire(folder)
    held.check()


def test_a_refused_driver_changes_nothing(folder: Folder) -> None:
    leave(folder)
    before = folder.read(FILE)
    with pytest.raises(InputError):
        acquire(folder)
    assert folder.read(FILE) == before and folder.names() == [FILE]


def test_a_released_directory_is_free_at_once(folder: Folder) -> None:
    acquire(folder).release()
    acquire(folder).release()


def test_a_driver_elsewhere_that_sends_heartbeats_is_alive(folder: Folder) -> None:
    leave(folder)
    with pytest.raises(InputError, match="pid 1 on elsewhere"):
        acquire(folder)


def test_a_driver_elsewhere_without_heartbeat_is_gone(folder: Folder) -> None:
    leave(folder, heartbeat=time.time() - EXPIRES_SECONDS - 1)
    lease = acquire(folder)
    assert lease.generation == 8
    lease.release()


def namespaces_can_be_made() -> bool:
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


def identity_of(pid: int) -> dict[str, Any]:
    """The entry of a process of this boot and pid namespace."""
    return {**process_identity(), "pid": pid, "process_started": started_of(pid)}


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="pid namespaces are told by Linux's /proc")
class TestSameProcessTable:
    def test_a_living_process_holds_however_old_its_heartbeat(
        self, folder: Folder, child: subprocess.Popen[bytes]
    ) -> None:
        leave(folder, heartbeat=time.time() - 10 * EXPIRES_SECONDS, **identity_of(child.pid))
        with pytest.raises(InputError, match=f"pid {child.pid}"):
            acquire(folder)

    @pytest.mark.parametrize("asked_for", [True, False], ids=["gone", "zombie"])
    def test_a_dead_process_does_not_hold_however_fresh_its_heartbeat(
        self, asked_for: bool, folder: Folder, child: subprocess.Popen[bytes]
    ) -> None:
        leave(folder, heartbeat=time.time(), **identity_of(child.pid))
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | (0 if asked_for else os.WNOWAIT))
        acquire(folder).release()

    def test_another_process_of_the_same_pid_does_not_hold(self, folder: Folder) -> None:
        leave(folder, **{**identity_of(os.getpid()), "process_started": "1", "heartbeat": time.time()})
        acquire(folder).release()

    @pytest.mark.parametrize("other", ["boot", "pid_namespace", "both unknown"])
    def test_a_pid_of_another_boot_or_namespace_says_nothing(self, other: str, folder: Folder) -> None:
        gone = {**process_identity(), "process_started": "1", other: "another"}
        if other == "both unknown":
            gone = {name: value for name, value in gone.items() if name not in ("boot", "pid_namespace")}
        leave(folder, **gone)
        with pytest.raises(InputError, match="in use"):
            acquire(folder)
        leave(folder, **gone, heartbeat=time.time() - EXPIRES_SECONDS - 1)
        acquire(folder).release()

    def test_a_process_that_proc_hides_is_judged_by_its_heartbeat(
        self, folder: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = process_identity()
        monkeypatch.setattr(running, "_look", lambda pid: None)
        leave(folder, **here)
        with pytest.raises(InputError, match="in use"):
            acquire(folder)

    @pytest.mark.skipif(not namespaces_can_be_made(), reason="needs unshare and the right to make pid namespaces")
    def test_containers_of_one_host_name_do_not_take_each_others_directory(self, folder: Folder) -> None:
        """Real pid namespaces: each driver has a pid that is another process, or none, in the other's."""
        script = (
            "import sys; from orchestrator.directory.lease import acquire; from store.open import folder_at\n"
            f"lease = acquire(folder_at({folder.uri!r}))\nprint('held', flush=True)\n"
            "if sys.stdin.read(1): lease.release()"
        )
        root = str(Path(__file__).parents[3])
        command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script]

        def container() -> subprocess.Popen[str]:
            pipe = subprocess.PIPE
            return subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env={**os.environ, "PYTHONPATH": root}
            )

        lease = acquire(folder)
        inside = container()
        _, text = inside.communicate(timeout=60)
        assert inside.returncode != 0 and f"in use by another driver (pid {os.getpid()}" in text
        lease.release()
        inside = container()
        assert inside.stdout is not None and inside.stdout.readline() == "held\n"
        assert entry(folder)["host"] == socket.gethostname() and entry(folder)["pid"] != inside.pid
        with pytest.raises(InputError, match="in use by another driver"):
            acquire(folder)
        inside.communicate("x", timeout=60)
        acquire(folder).release()


class TestClocksThatDiffer:
    """The heartbeat of a driver on another host, whose clock is an hour fast or slow."""

    @pytest.fixture(params=[3600, -3600], ids=["fast", "slow"])
    def skew(self, request: pytest.FixtureRequest) -> float:
        return float(request.param)

    def test_one_that_goes_on_sending_is_alive(self, skew: float, folder: Folder) -> None:
        done = threading.Event()

        def send() -> None:
            while not done.wait(0.01):
                leave(folder, heartbeat=time.time() + skew)

        leave(folder, heartbeat=time.time() + skew)
        thread = threading.Thread(target=send)
        thread.start()
        told: list[str] = []
        try:
            with pytest.raises(InputError, match="pid 1 on elsewhere"):
                acquire(folder, told.append)
        finally:
            done.set()
            thread.join()
        (sentence,) = told
        assert "driver on elsewhere" in sentence and "sign of life" in sentence

    def test_one_that_does_not_is_gone(self, skew: float, folder: Folder) -> None:
        leave(folder, heartbeat=time.time() + skew)
        lease = acquire(folder)
        assert lease.generation == 8
        lease.release()

    def test_one_that_gives_the_lease_back_meanwhile_is_gone(self, skew: float, folder: Folder) -> None:
        leave(folder, heartbeat=time.time() + skew)
        acquire(folder, lambda text: leave(folder, heartbeat=time.time() + skew, released=True)).release()


def test_an_entry_that_is_old_by_the_clock_of_the_directory_too_is_free_at_once(folder: Folder) -> None:
    leave(folder, heartbeat=time.time() - EXPIRES_SECONDS - 1)
    assert folder.local is not None
    old = time.time() - EXPIRES_SECONDS - 1
    os.utime(folder.local / FILE, (old, old))
    told: list[str] = []
    acquire(folder, told.append).release()
    assert told == [] and list(folder.local.glob(".clock*")) == []


def test_a_holder_without_host_is_named_all_the_same(folder: Folder) -> None:
    leave(folder, host=None, id=["x"], boot=3, pid_namespace={}, process_started=1.5)
    with pytest.raises(InputError, match="pid 1 on a host without a name"):
        acquire(folder)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"id": "x"}', b'{"host": "a", "heartbeat": "soon"}',
                                  b'{"pid": Infinity, "generation": 1, "heartbeat": 1}',
                                  b'{"pid": 1, "generation": 1, "heartbeat": NaN}',
                                  b'{"pid": -1, "generation": 1, "heartbeat": 1e300}', b"[" * 100_000])  # fmt: skip
def test_a_damaged_entry_holds_nobody_up(folder: Folder, text: bytes) -> None:
    folder.write(FILE, text)
    acquire(folder).release()


def test_an_entry_that_is_torn_once_is_read_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(folder)
    whole = folder.read(FILE)
    readings = [whole[:20], whole]
    monkeypatch.setattr(LocalFolder, "read", lambda self, name: readings.pop(0))
    with pytest.raises(InputError, match="in use by another driver"):
        acquire(folder)


def test_the_heartbeat_goes_on(folder: Folder, held: Lease) -> None:
    first = entry(folder)["heartbeat"]
    wait_until(lambda: entry(folder)["heartbeat"] > first)
    assert entry(folder)["id"] == held.id


def test_each_driver_has_a_higher_generation(folder: Folder) -> None:
    generations = []
    for _ in range(3):
        lease = acquire(folder)
        generations.append(lease.generation)
        lease.release()
    assert generations == [1, 2, 3]


def test_a_lost_entry_does_not_lower_the_generation(folder: Folder) -> None:
    folder.child("trials").write("cell.0041-abc-000001.parquet", b"")
    lease = acquire(folder)
    assert lease.generation == 42
    lease.release()


class TestSuperseded:
    def test_it_notices_and_stops(self, folder: Folder, held: Lease) -> None:
        held.check()
        leave(folder)

        def lost() -> bool:
            try:
                held.check()
            except LeaseLost:
                return True
            return False

        wait_until(lost)

    def test_a_late_heartbeat_of_the_driver_before_it_is_written_over(self, folder: Folder) -> None:
        leave(folder, generation=7, heartbeat=time.time() - EXPIRES_SECONDS - 1)
        lease = acquire(folder)
        leave(folder, generation=7)  # the request that hung while it was taken for dead
        wait_until(lambda: entry(folder)["id"] == lease.id)
        lease.check()
        lease.release()

    def test_it_does_not_write_any_more(self, folder: Folder, held: Lease) -> None:
        leave(folder)
        wait_until(lambda: not held._thread.is_alive())
        writer = Writer(SweepDirectory(folder.uri), held)
        row = some_row()
        for work in (lambda: writer.append("trials", "cell", [row]), lambda: writer.drop("x"),
                     lambda: writer.compact("cell"), lambda: writer.note_change({})):  # fmt: skip
            with pytest.raises(LeaseLost):
                work()
        assert folder.names() == [FILE] and folder.folders() == []

    def test_a_process_that_slept_looks_for_itself_before_it_writes(
        self, folder: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lease = Lease(folder, "slept", 1)
        folder.write(FILE, b'{"id": "other", "pid": 1, "generation": 2, "heartbeat": 0}')
        lease.check()
        for clock in ("_beaten", "_asked"):
            monkeypatch.setattr(lease, clock, time.monotonic() - EXPIRES_SECONDS)
        with pytest.raises(LeaseLost):
            lease.check()

    def test_it_does_not_release_what_is_no_longer_its_own(self, folder: Folder, held: Lease) -> None:
        leave(folder)
        held.release()
        assert (entry(folder)["id"], entry(folder)["released"]) == ("other", False)

    @pytest.mark.parametrize("late_first", [False, True])
    def test_what_it_writes_late_never_wins(self, folder: Folder, late_first: bool) -> None:
        directory = SweepDirectory(folder.uri)
        folder.write("sweep.yaml", b"")
        old = Lease(folder, "ffffffff", 1)
        new = Lease(folder, "00000000", 2)
        row = some_row()
        late, good = {**row, "val_biased": 0.1}, {**row, "val_biased": 0.9}
        writers = [(Writer(directory, old), late), (Writer(directory, new), good)]
        for _ in range(5):
            writers[0][0].append("splits", "x", [{"seed": 1, "image": "i"}])  # a high sequence number does not help
        for writer, values in writers if late_first else writers[::-1]:
            writer.append("trials", row["cell"], [values])
        table = read_parts(open_folder(folder.uri), "trials")
        assert table["val_biased"].to_pylist() == [0.9]


@dataclass
class AwayStore:
    """An object store that gives no answer to whoever asks once, and the holder of the lease to whoever waits."""

    hangs: bool
    patience: float = 900.0
    local: None = None
    uri: str = "s3://away"
    asked: list[float] = field(default_factory=list)
    back: threading.Event = field(default_factory=threading.Event)

    def patiently(self, seconds: float) -> AwayStore:
        return replace(self, patience=seconds)

    def read(self, name: str) -> bytes:
        self.asked.append(self.patience)
        if self.patience:
            return seal_json({"id": "other", "pid": 1, "generation": 2, "heartbeat": 0.0})
        if self.hangs:
            self.back.wait(60)
        raise Unreachable("no answer")


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
def test_a_store_that_is_away_does_not_hold_up_the_driver(hangs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "LOOK_SECONDS", 0.1)
    store = AwayStore(hangs)
    lease = Lease(cast(Folder, store), "first", 1)
    late = time.monotonic() - EXPIRES_SECONDS
    monkeypatch.setattr(lease, "_beaten", late)
    monkeypatch.setattr(lease, "_asked", late)
    begin = time.monotonic()
    for _ in range(50):
        lease.check()
    # It looks once in a while, not for each trial.
    assert time.monotonic() - begin < 5 and store.asked == [0.0]
    # Whoever is about to write waits for the answer.
    with pytest.raises(LeaseLost):
        lease.check(wait=True)
    assert store.asked == [0.0, 900.0]
    store.back.set()


def some_row() -> dict[str, Any]:
    from orchestrator.plan.identity import at_place, trial_spec
    from store.names import Place

    config = sweep_config()
    cell = sweep_cells(config)[0]
    spec = trial_spec(config, cell, "search", f"{cell.id}-r0-000", {"lr": 1e-3}, 0)
    return fake_row(at_place(spec, Place(0, None, 0)), 0.5)


def test_an_interruption_while_it_is_taken_gives_it_back(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        acquire(folder)
    assert json.loads(folder.read("driver.json"))["released"] is True

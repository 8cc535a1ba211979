"""The driver's pen on a real S3 server that goes away: nothing waits for it, and every row arrives."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.directory import lease as lease_module
from orchestrator.directory.lease import acquire
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.writer import Writer
from orchestrator.plan.identity import at_place, trial_spec
from store import object_store
from store.names import Place
from store.open import folder_at, read_small
from store.sealed import is_whole, seal_json, seal_yaml
from tests.integration.s3_server import BUCKET, Server, seaweed
from tests.orchestrator.support import fake_history, fake_row, histories_in, sweep_cells, sweep_config
from trainable.spec import TrialSpec

AWAY_SECONDS = 8.0
EXPIRES_SECONDS = 6.0
"""The outage is longer: the driver has reason to doubt that it still holds its lease."""
CELL = sweep_cells(sweep_config())[0]

pytestmark = pytest.mark.slow


@pytest.fixture
def store() -> Iterator[Server]:
    """A SeaweedFS server that this process uses."""
    with (
        tempfile.TemporaryDirectory(prefix="lw", dir="/tmp") as place,
        seaweed(Path(place, "w")) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in server.variables.items():
            patch.setenv(name, value)
        yield server


def spec_of(number: int) -> TrialSpec:
    spec = trial_spec(sweep_config(), CELL, "search", f"{CELL.id}-r0-{number:03d}", {"lr": 1e-3}, 0)
    return at_place(spec, Place(number, None, 0))


def run_trial(writer: Writer, number: int) -> None:
    spec = spec_of(number)
    writer.issue(spec)
    writer.finish(fake_row(spec, number / 100), fake_history([0.1, number / 100]))


@pytest.mark.parametrize("how", ["stopped", "hanging"])
def test_rows_wait_in_the_spool_and_none_is_lost(how: str, store: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # Shorter than the outage: a request that hangs is given up, and made again.
    monkeypatch.setattr(object_store, "REQUEST_SECONDS", 2.0)
    monkeypatch.setattr(object_store, "READ_SECONDS", 4.0)
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 1.0)
    monkeypatch.setattr(lease_module, "EXPIRES_SECONDS", EXPIRES_SECONDS)
    directory = SweepDirectory(f"s3://{BUCKET}/{how}")
    directory.folder.check_usable()
    lease = acquire(directory.folder)
    directory.folder.write("sweep.yaml", seal_yaml("name: fake\n"))
    writer = Writer(directory, lease)
    try:
        for number in range(5):
            run_trial(writer, number)
        assert writer.flush(60) and len(directory.rows("trials")) == 5

        store.stop() if how == "stopped" else store.hang()
        begin = time.monotonic()
        for number in range(5, 25):
            run_trial(writer, number)
        writer.compact(CELL.id)
        run_trial(writer, 25)
        given = time.monotonic() - begin
        time.sleep(AWAY_SECONDS)
        assert not writer.flush(0.1)
        late = time.monotonic()
        for number in range(26, 36):
            run_trial(writer, number)
        given_late = time.monotonic() - late
        store.restart() if how == "stopped" else store.go_on()
        away = time.monotonic() - begin

        assert writer.flush(300)
        assert max(given, given_late) < away / 2, "the driver waited for its store"
        rows = {row["trial_id"]: row["val_biased"] for row in directory.rows("trials")}
        assert rows == {spec_of(number).trial_id: number / 100 for number in range(36)}
        assert {len(history) for history in histories_in(directory).values()} == {2}
        assert directory.open_trials() == []
        # 25 trials in one part, and each that was given after the merging in another.
        assert len(directory.folder.child("trials").names()) <= 12
        lease.check()
    finally:
        writer.queue.close()
        lease.release()


def test_a_reader_of_a_file_that_is_rewritten_all_the_time_sees_whole_versions(store: Server) -> None:
    folder, stop, readings = folder_at(f"s3://{BUCKET}/torn"), threading.Event(), {"torn": 0, "whole": 0}

    def entry(number: int) -> bytes:
        return seal_json({"n": number, "text": "x" * (200 + 400 * (number % 7))})

    folder.write("status.json", entry(0))

    def rewrite() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            folder.write("status.json", entry(number))

    thread = threading.Thread(target=rewrite, daemon=True)
    thread.start()
    try:
        for _ in range(60):
            readings["whole" if is_whole("status.json", folder.read("status.json")) else "torn"] += 1
            assert is_whole("status.json", read_small(folder, "status.json"))
    finally:
        stop.set()
        thread.join(60)
    # Otherwise the checksum would have been tested on nothing.
    assert readings["torn"], readings

"""A whole sweep whose directory is in an object store, on servers that are stopped, that hang, and that refuse."""

from __future__ import annotations

import re
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import analysis
from orchestrator.directory.reader import SweepDirectory
from store.errors import InputError
from store.open import folder_at
from store.sealed import is_whole
from tests.integration.s3_server import BUCKET, KEY, READ_KEY, READ_SECRET, Server, lnl_sweep, moto, seaweed
from tests.integration.support import SEARCHED, assert_same_results, differences, null_driver, rows

pytestmark = pytest.mark.slow

EPOCH = 0.4
"""Seconds of an epoch: long enough for a reader to load a sweep that runs more than once."""
SHORTER = 5.0
WAITS = {
    "store.object_store:REQUEST_SECONDS": 30.0 / SHORTER,
    "store.object_store:READ_SECONDS": 300.0 / SHORTER,
    "orchestrator.directory.lease:HEARTBEAT_SECONDS": 10.0 / SHORTER,
    "orchestrator.directory.lease:EXPIRES_SECONDS": 60.0 / SHORTER,
}
"""The waits of driver and workers where a server is away: a fifth, and so is the outage."""


@pytest.fixture
def store(request: pytest.FixtureRequest, short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A SeaweedFS server that this process uses too."""
    with seaweed(short_tmp / f"weed-{time.monotonic_ns()}") as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield server


class Reader:
    """Loads a sweep over and over, as somebody at another machine would."""

    def __init__(self, out: str) -> None:
        self._out = out
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.loads = self.away = 0
        self.wrong: list[str] = []

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(120)

    def _run(self) -> None:
        seen: set[str] = set()
        while not self._stop.is_set():
            # Without a rest it would take a processor from the sweep.
            time.sleep(0.2)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    trials = analysis.load(self._out)
                    history = analysis.load_history(self._out)
            except InputError as error:
                text = str(error)
                if "cannot be used" in text or "cannot be read" in text:
                    self.away += 1
                elif "is not a sweep" not in text and "has finished yet" not in text:
                    self.wrong.append(text)
                continue
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}")
                continue
            self.loads += 1
            ids = set(trials["trial_id"])
            if not trials["trial_id"].is_unique or history.duplicated(["trial_id", "epoch"]).any():
                self.wrong.append("a key stands twice")
            if seen - ids:
                self.wrong.append(f"rows are gone: {seen - ids}")
            seen |= ids


def finished(text: str) -> bool:
    counts = re.search(r"planned = (\d+), finished = (\d+)", text)
    return counts is not None and counts[1] == counts[2]


def command(short_tmp: Path, server: Server, *words: object, **changes: str) -> tuple[int, str]:
    """Run ``lnl-sweep WORDS`` against a server."""
    return lnl_sweep(server, *words, cwd=short_tmp, **changes)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with moto() as found:
        yield found


@pytest.fixture(scope="module")
def out(server: Server, short_tmp: Path, sweep_file: Path, cluster: Any) -> str:
    """A sweep on moto."""
    address = f"s3://{BUCKET}/deep/er"
    words = ("run", sweep_file, "--out", address, "--address", cluster.address)
    with null_driver(short_tmp, address, *words, variables=server.variables) as running:
        assert running.wait(1500) == 0, running.text()
        assert finished(running.text()) and f"report: {address}/report.html" in running.text()
    return address


class TestWholeSweep:
    """On moto: every command that takes a directory."""

    @pytest.fixture(autouse=True)
    def _here(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)

    def test_its_results_are_those_of_a_local_sweep(self, out: str, null_run: Path) -> None:
        assert_same_results(out, null_run)

    def test_what_lies_in_the_bucket(self, out: str) -> None:
        folder = folder_at(out)
        assert {"sweep.yaml", "driver.json", "status.json", "report.html"} <= set(folder.names())
        assert b"workers write their logs to" in folder.child("ray").read("driver.log")
        for name in ("sweep.yaml", "driver.json", "status.json"):
            assert is_whole(name, folder.read(name))
        cells = {row["cell"] for row in rows(out).values()}
        for table in ("trials", "history", "predictions"):
            assert len(folder.child(table).names()) == len(cells)
        assert SweepDirectory(out).open_trials() == [] and folder.child("trials_open").folders() == []
        assert not [name for name in folder.names() if "probe" in name]

    def test_status_report_and_pack(self, out: str, server: Server, short_tmp: Path) -> None:
        code, text = command(short_tmp, server, "status", out)
        assert code == 0 and "state: finished" in text
        folder_at(out).remove("report.html")
        code, text = command(short_tmp, server, "report", out)
        assert code == 0 and text.strip() == f"{out}/report.html"
        assert b"</html>" in folder_at(out).read("report.html")
        code, text = command(short_tmp, server, "pack", out, "-o", short_tmp / "packed.zip")
        assert code == 0, text
        assert len(analysis.load(short_tmp / "packed.zip")) == len(analysis.load(out))

    def test_it_is_extended_by_resume(self, out: str, server: Server, short_tmp: Path, cluster: Any) -> None:
        before = rows(out)
        words = ("resume", out, "--set", "confirm.seeds=2", "--address", cluster.address)
        with null_driver(short_tmp, out, *words, variables=server.variables) as running:
            assert running.wait(1500) == 0, running.text()
        after = rows(out)
        assert differences(before, after) == [] and len(after) == len(before) + 4
        assert is_whole("changes.jsonl", folder_at(out).read("changes.jsonl"))

    @pytest.mark.parametrize("words", ["run", "resume", "status", "report"])
    def test_a_wrong_bucket_is_refused_in_one_sentence(
        self, words: str, server: Server, short_tmp: Path, sweep_file: Path
    ) -> None:
        address = "s3://no-such-bucket/x"
        arguments = (words, sweep_file, "--out", address) if words == "run" else (words, address)
        code, text = command(short_tmp, server, *arguments)
        assert code == 2 and text.count("\n") == 1 and "no-such-bucket" in text, text

    def test_a_server_that_is_not_there_is_refused_in_one_sentence(
        self, server: Server, short_tmp: Path, sweep_file: Path
    ) -> None:
        for words in (("run", sweep_file, "--out", f"s3://{BUCKET}/x"), ("status", f"s3://{BUCKET}/x")):
            code, text = command(short_tmp, server, *words, AWS_ENDPOINT_URL="http://127.0.0.1:9")
            assert code == 2 and text.count("\n") == 1 and BUCKET in text, text


@pytest.mark.parametrize(
    ("key", "secret"),
    [(READ_KEY, READ_SECRET), (KEY, "wrong"), ("AKIDUNKNOWN", "wrong")],
    ids=["reads", "secret", "key"],
)
def test_a_denied_write_is_refused_before_any_trial(
    store: Server, short_tmp: Path, sweep_file: Path, key: str, secret: str
) -> None:
    out = f"s3://{BUCKET}/denied"
    code, text = command(
        short_tmp, store, "run", sweep_file, "--out", out, AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret
    )
    assert code == 2 and text.count("\n") == 1 and "cannot write to" in text, text
    assert folder_at(out).names() == [] and folder_at(out).folders() == []


@pytest.mark.parametrize(("how", "seconds"), [("stopped", 60 / SHORTER), ("hanging", 30 / SHORTER)])
def test_a_server_that_is_away_costs_time_and_loses_nothing(
    how: str, seconds: float, store: Server, short_tmp: Path, sweep_file: Path, null_run: Path, cluster: Any
) -> None:
    out = f"s3://{BUCKET}/{how}"
    words = ("run", sweep_file, "--out", out, "--address", cluster.address)
    with (
        null_driver(short_tmp, out, *words, variables=store.variables, seconds=EPOCH, constants=WAITS) as running,
        Reader(out) as reader,
    ):
        running.wait_for_rows(3)
        store.stop() if how == "stopped" else store.hang()
        time.sleep(seconds)
        assert running.process.poll() is None, running.text()
        store.restart() if how == "stopped" else store.go_on()
        assert running.wait(1500) == 0, running.text()
    assert finished(running.text()), running.text()
    assert_same_results(out, null_run)
    assert {row["preemptions"] for row in rows(out).values()} == {0}
    assert reader.wrong == [] and reader.loads > 5


def test_a_killed_driver_is_resumed(
    store: Server, short_tmp: Path, sweep_file: Path, null_run: Path, cluster: Any
) -> None:
    out, there = f"s3://{BUCKET}/killed", ("--address", cluster.address)
    with Reader(out) as reader:
        words = ("run", sweep_file, "--out", out, *there)
        with null_driver(short_tmp, out, *words, variables=store.variables, seconds=EPOCH) as running:
            running.wait_for_rows(4)
            running.wait_for(lambda: bool(checkpoints(out)), "a checkpoint")
            running.kill(signal.SIGKILL)
            assert running.wait() == -signal.SIGKILL
        before = rows(out)
        assert 4 <= len(before) < SEARCHED
        with null_driver(short_tmp, out, "resume", out, *there, variables=store.variables) as resumed:
            assert resumed.wait(1500) == 0, resumed.text()
    assert finished(resumed.text())
    assert differences(before, rows(out)) == []
    assert_same_results(out, null_run)
    assert reader.wrong == [] and reader.loads > 5


def checkpoints(out: str) -> list[Any]:
    place = folder_at(out).child("trials_open")
    return [name for trial in place.folders() for name in place.child(trial).names() if name.startswith("checkpoint-")]

"""Temporary folders: removed by the next process where theirs was killed, and never while it lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.directory.write_queue import KEPT_BYTES, ThreadedQueue
from orchestrator.process import temporary
from orchestrator.process.temporary import PREFIX, TemporaryFolder, remove_abandoned

HOLDER = """
from orchestrator.directory.write_queue import ThreadedQueue
from orchestrator.process.temporary import TemporaryFolder
folder, spool = TemporaryFolder(), ThreadedQueue()
(folder.path / "deep").mkdir()
(folder.path / "deep" / "rows").write_bytes(b"rows")
taken = spool.keep(bytes(100_000))
print("ready", flush=True)
input()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def holder(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process with two folders of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        env={**os.environ, "TMPDIR": str(place)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def folders(place: Path) -> list[Path]:
    return sorted(place.glob(f"{PREFIX}*"))


def test_what_a_killed_process_left_the_next_one_removes(place: Path) -> None:
    with holder(place) as process:
        left = folders(place)
        assert len(left) == 2
        remove_abandoned()
        with TemporaryFolder() as own:
            assert folders(place) == sorted([*left, own])
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert folders(place) == left
        with TemporaryFolder() as own:
            assert folders(place) == [own]
    assert folders(place) == []


def test_nothing_else_is_removed(place: Path) -> None:
    # An earlier version's, which locks nothing; a file; a link to what is not ours to remove.
    (place / "lnl-sweep-abcd1234").mkdir()
    (place / f"{PREFIX}file").touch()
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "kept").touch()
    (place / f"{PREFIX}link").symlink_to(place / "elsewhere")
    before = sorted(place.rglob("*"))
    remove_abandoned()
    assert sorted(place.rglob("*")) == before


def test_without_locks_nothing_is_removed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    (place / f"{PREFIX}of-somebody").mkdir()

    def unknown(*_: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with TemporaryFolder() as own:
        assert own.is_dir() and len(folders(place)) == 2
    assert len(folders(place)) == 1


def test_a_folder_that_is_taken_for_abandoned_before_it_is_locked_is_not_used(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = temporary._lock
    gone = place / f"{PREFIX}gone"

    def late(path: Path) -> int | None:
        if path == gone:
            path.rmdir()
        return lock(path)

    with holder(place):
        # One that another process holds while it removes it, and one that is gone already.
        names = iter([folders(place)[0], gone, place / f"{PREFIX}good"])

        def make(prefix: str) -> str:
            path = next(names)
            path.mkdir(exist_ok=True)
            return str(path)

        monkeypatch.setattr(tempfile, "mkdtemp", make)
        monkeypatch.setattr(temporary, "_lock", late)
        with TemporaryFolder() as own:
            assert own == place / f"{PREFIX}good" and own.is_dir()


def test_large_content_lies_in_the_spools_folder(place: Path) -> None:
    spool = ThreadedQueue()
    take = spool.keep(b"x" * (KEPT_BYTES + 1))
    assert [path.stat().st_size for path in folders(place)[0].iterdir()] == [KEPT_BYTES + 1]
    assert take() == b"x" * (KEPT_BYTES + 1)
    spool.close()
    assert folders(place) == []

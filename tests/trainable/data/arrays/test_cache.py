"""Real processes that want the same thing at the same time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trainable.data.arrays import folder as array_folder
from trainable.data.arrays.cache import locked
from trainable.data.arrays.folder import cached_arrays, checksum, load_arrays, save_arrays

PROCESSES = 4
START = """
import os, sys, time
from pathlib import Path
import numpy as np
from trainable.data.arrays.folder import cached_arrays

place, seconds = Path(sys.argv[1]), float(sys.argv[2])

def build():
    with open(place / "built", "ab", buffering=0) as file:
        file.write(b"x")
    time.sleep(seconds)
    return {"a": np.arange(1000), "b": np.ones((3, 4), dtype=np.uint8)}

(place / f"ready-{os.getpid()}").touch()
while not (place / "go").exists():
    time.sleep(0.001)
arrays, digest = cached_arrays("thing", build)
assert isinstance(arrays["a"], np.memmap) and arrays["a"].sum() == 499500
print(digest)
"""


def start(place: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", START, str(place), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(done: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield tmp_path


def test_of_several_processes_that_start_at_once_one_builds(place: Path) -> None:
    processes = [start(place, 0.5) for _ in range(PROCESSES)]
    wait_until(lambda: len(list(place.glob("ready-*"))) == PROCESSES)
    (place / "go").touch()
    told = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES, told
    assert len({out for out, _ in told}) == 1
    assert (place / "built").read_bytes() == b"x"


def test_a_holder_that_is_killed_keeps_nobody_out_and_leaves_no_draft(place: Path) -> None:
    (place / "go").touch()
    holder = start(place, 600)
    wait_until((place / "built").exists)
    draft = place / "cache" / ".thing.abc.part"
    draft.mkdir()
    other = place / "cache" / ".thing-2.abc.part"
    other.mkdir()
    waiting = start(place, 0)
    wait_until(lambda: len(list(place.glob("ready-*"))) == 2)
    time.sleep(0.5)
    assert waiting.poll() is None and (place / "built").read_bytes() == b"x"
    holder.kill()
    holder.communicate()
    out, error = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, error
    assert (place / "built").read_bytes() == b"xx" and not draft.exists() and other.exists()
    found = load_arrays(place / "cache" / "thing")
    assert found is not None and found[1] == out.strip()


@pytest.mark.parametrize("why", ["no folder can be made", "no locks here"])
def test_without_a_lock_the_work_goes_on(why: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "no locks here":
        import fcntl

        def refuse(descriptor: int, operation: int) -> None:
            raise OSError(37, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
    else:
        (place / "cache").write_text("a file")
    with locked(place / "cache" / "thing") as alone:
        assert not alone
    arrays, digest = cached_arrays("thing", lambda: {"a": np.arange(5)})
    assert arrays["a"].tolist() == [0, 1, 2, 3, 4] and digest == checksum(arrays)


def test_an_error_of_the_work_is_not_swallowed_and_frees_the_lock(place: Path) -> None:
    with pytest.raises(OSError, match="mine"), locked(place / "x"):
        raise OSError("mine")
    with locked(place / "x") as alone:
        assert alone


def test_whoever_reads_while_a_folder_is_replaced_gets_one_of_the_two(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place / "thing"
    old, new = ({name: np.full(4, value) for name in "ab"} for value in (1, 2))
    save_arrays(folder, old)
    real, times = array_folder.np.load, []

    def load(path: Path, **options: object) -> object:
        found = real(path, **options)
        if not times:
            times.append(1)
            save_arrays(folder, new, replace=True)
        return found

    monkeypatch.setattr(array_folder.np, "load", load)
    found = load_arrays(folder)
    assert found is not None and found[1] == checksum(new) == checksum(found[0])
    assert [path.name for path in place.iterdir() if "thing" in path.name] == ["thing"]

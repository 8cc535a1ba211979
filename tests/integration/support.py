"""A small sweep and the processes that run it; what two runs of one sweep must agree on."""

from __future__ import annotations

import glob
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from store.errors import InputError
from store.open import open_folder
from store.parts import read_parts
from tests.integration.entry import Null, Process, fork

# 2 bias values x 2 methods x (3 search + 1 confirm) trials. The sampler does not learn and nothing is stopped early:
# whatever happens to the driver, the same trials must come out of it, bit for bit.
SWEEP = """
name: small
dataset: {name: coloured_digits, bias: {color_variance: [0.02, 0.4]}}
network: {name: pixel_front}
methods: [erm, {name: lnl, fixed: {lr: 2e-2, lr_bias: 2e-2}}]
search: {trials: 3, sampler: qmc, early_stopping: off}
confirm: {seeds: 1}
training: {epochs: 2, batch_size: 64}
limits: {checkpoint_seconds: 0}
"""
SEARCHED = 2 * 2 * 3

CIRCUMSTANCES = frozenset(
    [
        *("train_seconds", "images_per_second", "peak_memory_mb", "seconds", "node", "device_name", "attempts"),
        *("preemptions", "started_at", "finished_at", "ray_version", "git_commit"),
    ]
)
"""Columns that say when, where and how fast, not what."""
KEYS = {"trials": ("trial_id",), "history": ("trial_id", "epoch"), "predictions": ("trial_id", "variant", "image")}

NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
"""A node of the cluster that the tests share."""

Row = dict[str, Any]
Rows = dict[tuple[Any, ...], Row]


def rows(folder: Path | str, table: str = "trials") -> Rows:
    """The rows of a table by their key; none where the folder holds no sweep yet."""
    try:
        place = open_folder(folder)
    except InputError:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_parts(place, table).to_pylist()
    return {tuple(row[name] for name in KEYS[table]): row for row in found}


def results(folder: Path | str, table: str) -> Rows:
    """The rows of a table without the circumstances."""
    return {
        key: {name: value for name, value in row.items() if name not in CIRCUMSTANCES}
        for key, row in rows(folder, table).items()
    }


def assert_same_results(one: Path | str, other: Path | str) -> None:
    """Every number of both sweeps is the same, to the last bit."""
    for table in KEYS:
        first, second = results(one, table), results(other, table)
        assert first.keys() == second.keys() and first
        assert not differences(first, second), table


def differences(first: Rows, second: Rows) -> list[tuple[Any, str, Any, Any]]:
    """(key, column, value, value) wherever the rows of ``first`` differ in ``second``; NaN is equal to itself."""
    return [
        (key, name, value, second.get(key, {}).get(name))
        for key, row in first.items()
        for name, value in row.items()
        if repr(value) != repr(second.get(key, {}).get(name))
    ]


def decoys(folder: Path) -> Path:
    """Fill a folder with what a user may have there: folders, a package and a file with the names of our packages."""
    for name in ("analysis", "sweeps", "orchestrator"):
        (folder / name).mkdir(parents=True)
        (folder / name / "notes.txt").touch()
    (folder / "store").mkdir()
    (folder / "store" / "__init__.py").write_text("raise SystemExit('the wrong store was imported')\n")
    (folder / "trainable.py").write_text("raise SystemExit('the wrong trainable was imported')\n")
    return folder


def open_marks(out: Path | str, pattern: str = "") -> list[Path]:
    """Files of this name in the folders of open trials; without a name, the folders."""
    # Path.glob fails where the driver removes a folder in the same moment.
    return [Path(out, found) for found in glob.glob(f"trials_open/*/{pattern}", root_dir=out)]  # noqa: PTH207


@dataclass
class Driver:
    """An ``lnl-sweep`` process in a session of its own."""

    process: Process
    out: Path | str
    log: Path

    def wait(self, seconds: float = 600) -> int:
        return self.process.wait(seconds)

    def wait_for_open(self, seconds: float = 600) -> None:
        """Wait until a trial has been started."""
        self.wait_for(lambda: bool(open_marks(self.out, "started-*")), "a trial that has begun", seconds)

    def kill(self, number: int) -> None:
        """Send a signal to the driver alone, as a terminal, a batch system or a failing machine would."""
        os.kill(self.process.pid, number)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for_rows(self, wanted: int, seconds: float = 600) -> Rows:
        """Wait until so many trials have their row, while the driver still runs."""
        self.wait_for(lambda: len(rows(self.out)) >= wanted, f"{wanted} rows", seconds)
        return rows(self.out)

    def wait_for(self, done: Callable[[], bool], what: str, seconds: float = 600) -> None:
        """Wait for something that must happen while the driver runs."""
        end = time.monotonic() + seconds
        while not done():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.text()}"
            assert time.monotonic() < end, f"no sign of {what} after {seconds} s:\n{self.text()}"
            time.sleep(0.05)


@dataclass
class Witness:
    """A local sweep that nothing happened to, and what it left.

    Attributes:
        out: Its directory.
        ray: Folder in which its Ray wrote.
        home: Its user's home.
        temporary: Folder for its temporary files.
        listening: What its processes listened on when it ran: (program, address) -> ports.
        text: What it printed.
    """

    out: Path
    ray: Path
    home: Path
    temporary: Path
    listening: Mapping[tuple[str, str], list[int]]
    text: str

    @property
    def places(self) -> list[Path]:
        """Everywhere that it and Ray wrote."""
        return [self.out, self.ray, self.home, self.temporary]


@contextmanager
def driver(
    temporary: Path,
    out: Path | str,
    *words: object,
    variables: Mapping[str, str] | None = None,
    null: Null | None = None,
    meeting: int | None = None,
) -> Iterator[Driver]:
    """Start ``lnl-sweep WORDS``, on a Ray of its own where no address is given; at the end nothing of it is left.

    Args:
        temporary: Folder for its output and for the files of its Ray.
        out: Directory of its sweep.
        words: Its arguments.
        variables: Environment variables, besides those of the tests.
        null: In place of training; None = trials train.
        meeting: Port at which workers of several nodes wait for one another; None = they do not.

    Yields:
        The driver, forked from a process that has its imports.
    """
    log = temporary / f"driver-{time.monotonic_ns()}.log"
    log.touch()
    process = fork(driver_words(words), log, driver_environment(temporary, variables), null=null, meeting=meeting)
    with ended(process):
        yield Driver(process, out, log)


@contextmanager
def null_driver(
    temporary: Path,
    out: Path | str,
    *words: object,
    variables: Mapping[str, str] | None = None,
    seconds: float = Null.seconds,
    constants: Mapping[str, float] | None = None,
) -> Iterator[Driver]:
    """A ``driver`` whose trials train nothing; their values are a function of their specifications.

    Args:
        temporary: As of ``driver``.
        out: As of ``driver``.
        words: As of ``driver``.
        variables: As of ``driver``.
        seconds: Length of an epoch.
        constants: Values of module constants, by ``module:NAME``: shorter waits.

    Yields:
        The driver.
    """
    with driver(temporary, out, *words, variables=variables, null=Null(seconds, constants or {})) as running:
        yield running


@contextmanager
def installed_driver(
    temporary: Path, out: Path | str, *words: object, variables: Mapping[str, str] | None = None, cwd: Path
) -> Iterator[Driver]:
    """A ``driver`` that is the installed program in a fresh process, started in a folder."""
    log = temporary / f"driver-{time.monotonic_ns()}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("lnl-sweep")), *driver_words(words)],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=cwd,
            env=driver_environment(temporary, variables),
        )
    with ended(process):
        yield Driver(process, out, log)


def driver_words(words: Sequence[object]) -> list[str]:
    """Arguments, with the number of processors where a Ray of one's own is started."""
    return [*map(str, words), *(() if "--address" in words else ("--cpus", "2"))]


def driver_environment(temporary: Path, variables: Mapping[str, str] | None) -> dict[str, str]:
    """Environment of a driver: no cluster of anybody else, one thread."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return {**environment, "RAY_TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", **(variables or {})}


@contextmanager
def ended(process: Process) -> Iterator[None]:
    """At the end of the block neither the process lives nor any other of its session."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        end_session(process.pid)


def lnl_sweep_in(
    variables: Mapping[str, str], *words: object, cwd: Path | None = None, seconds: float = 300
) -> tuple[int, str]:
    """Run ``lnl-sweep WORDS`` with environment variables, forked; its exit code and what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with tempfile.NamedTemporaryFile(prefix="lnl-printed-") as log:
        process = fork(list(map(str, words)), Path(log.name), {**environment, **variables}, cwd)
        with ended(process):
            code = process.wait(seconds)
        return code, Path(log.name).read_text(errors="replace")


@contextmanager
def own_cluster(
    place: Path, head: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], **variables: str
) -> Iterator[Any]:
    """A Ray cluster that the test itself starts and ends; its files lie in a folder of their own."""
    import ray
    from ray.cluster_utils import Cluster

    from orchestrator.cluster.ray_private import slow_agents_awaited

    place.mkdir()
    own = {"RAY_TMPDIR": str(place), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", **variables}
    with pytest.MonkeyPatch.context() as patch, slow_agents_awaited():
        patch.delenv("RAY_ADDRESS", raising=False)
        for name, value in own.items():
            patch.setenv(name, value)
        # Ray itself would give each half a minute, which is too short on a busy machine.
        started = Cluster(initialize_head=True, head_node_args={**head, "wait": False})
        try:
            for node in nodes:
                started.add_node(**node, wait=False)
            started.wait_for_nodes(180)
            yield started
        finally:
            ray.shutdown()
            started.shutdown()


def session_members(session: int) -> list[int]:
    """Living processes of a session that we started (field 6 of /proc/PID/stat), zombies left out."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(place.parent.name))
    return found


def workers_of(raylet: int) -> list[int]:
    """Processes of a node that run trials: children of its raylet, as Ray names them."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
            # Ray names it after its class, and while it works after what it does.
            title = (place / "cmdline").read_bytes()
            if parent == raylet and (b"ray::Sweep_" in title or b"ray::ResourceTrainable." in title):
                found.append(int(place.name))
        except OSError:
            continue
    return found


def in_a_step(worker: int) -> bool:
    """Whether a worker is training an epoch of a trial just now, and is not being started or given another trial."""
    try:
        return b"ray::ResourceTrainable.train" in Path(f"/proc/{worker}/cmdline").read_bytes()
    except OSError:
        return False


def freeze_in_a_step(running: Driver, raylet: int) -> int:
    """Stop a worker of a node in the middle of a trial: not between two, nor after the row of one is written."""
    frozen: list[int] = []

    def look() -> bool:
        # A step of a small sweep takes a tenth of a second: who looks seldom may see none.
        workers, end = workers_of(raylet), time.monotonic() + 0.5
        while time.monotonic() < end:
            for worker in filter(in_a_step, workers):
                os.kill(worker, signal.SIGSTOP)
                opened = {(place.name,) for place in open_marks(running.out)}
                if in_a_step(worker) and opened.isdisjoint(rows(running.out)):
                    frozen.append(worker)
                    return True
                os.kill(worker, signal.SIGCONT)
            time.sleep(0.001)
        return False

    running.wait_for(look, "a trial that trains on the node")
    return frozen[0]


def raylet_of(node: Any) -> int:
    """Process of a node's raylet."""
    return int(node.all_processes["raylet"][0].process.pid)


def end_session(session: int, seconds: float = 10) -> None:
    """Wait until Ray has noticed that its driver is gone; end what is left of its session by pid."""
    end = time.monotonic() + seconds
    while session_members(session) and time.monotonic() < end:
        time.sleep(0.1)
    for pid in session_members(session):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue

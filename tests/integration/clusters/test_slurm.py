"""clusters/slurm.sh under a Slurm that is played by three small programs; the Ray nodes and the sweep are real."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.support import assert_same_results, differences, end_session, rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SCRIPT = Path(__file__).parents[3] / "clusters" / "slurm.sh"

# srun runs its step here; on a signal it ends the step, as Slurm does. A step may use the processors that its node has:
# n1 and n2 have one each, where there are two, and n3 has all.
SRUN = """#!{python}
import os, signal, subprocess, sys
words = sys.argv[1:]
node = next(word.split("=", 1)[1] for word in words if word.startswith("--nodelist="))
while words[0].startswith("--"):
    words.pop(0)
print(node, *words, "cpus=" + os.environ.get("SRUN_CPUS_PER_TASK", "all"), file=open({log!r}, "a"))
cores = sorted(os.sched_getaffinity(0))
own = {{"n1": cores[:1], "n2": cores[-1:]}}.get(node, cores)
step = subprocess.Popen(["taskset", "-c", ",".join(map(str, own)), *words], start_new_session=True)
def end(number, frame):
    try:
        os.killpg(step.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
signal.signal(signal.SIGTERM, end)
code = step.wait()
try:
    os.killpg(step.pid, signal.SIGKILL)
except ProcessLookupError:
    pass
sys.exit(code)
"""
SCONTROL = """#!/bin/sh
case "$1 $2" in
    "show hostnames") echo "$3" | tr , '\\n' ;;
    requeue*) echo "$2" >> {requeued} ;;
    *) exit 64 ;;
esac
"""


PROGRAM = """#!/bin/sh
exec env PYTHONPATH={root}:"$PYTHONPATH" {words} "$@"
"""


@dataclass
class Job:
    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Slurm:
    place: Path
    programs: Path

    @property
    def steps(self) -> list[str]:
        return (self.place / "steps").read_text().splitlines()

    @property
    def requeued(self) -> list[str]:
        file = self.place / "requeued"
        return file.read_text().split() if file.exists() else []

    @contextmanager
    def null_batch(self, number: int, nodes: str, *words: object) -> Iterator[Job]:
        """A job in an environment whose ``lnl-sweep`` trains nothing."""
        programs = self.place / "null" / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        for name, command in {
            "python": sys.executable,
            "ray": str(Path(sys.executable).with_name("ray")),
            "lnl-sweep": f"{sys.executable} -m tests.integration.entry",
        }.items():
            (programs / name).write_text(PROGRAM.format(root=SCRIPT.parents[1], words=command))
            (programs / name).chmod(0o755)
        with self.batch(number, nodes, *words, LNL_SWEEP_ENV=str(programs.parent)) as job:
            yield job

    @contextmanager
    def batch(self, number: int, nodes: str, *words: object, **variables: str) -> Iterator[Job]:
        """What sbatch does: the script on the first node, with what it is told about its job."""
        log = self.place / f"job-{number}.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= {
            "PATH": f"{self.programs}:{environment['PATH']}",
            "SLURM_JOB_ID": str(number),
            "SLURM_JOB_NODELIST": nodes,
            "LNL_SWEEP_ENV": str(Path(sys.executable).parents[1]),
            "LNL_SWEEP_TMP": str(self.place),
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        with log.open("ab") as file:
            process = subprocess.Popen(
                ["bash", str(SCRIPT), *map(str, words)],
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
            )
        try:
            yield Job(process, log)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            end_session(process.pid, 5)


@pytest.fixture
def slurm(short_tmp: Path) -> Slurm:
    if not shutil.which("taskset"):
        pytest.skip("taskset (util-linux) gives a step its processors")
    place = short_tmp / f"s{len(list(short_tmp.glob('s[0-9]*')))}"
    programs = place / "bin"
    programs.mkdir(parents=True)
    (programs / "srun").write_text(SRUN.format(python=sys.executable, log=str(place / "steps")))
    (programs / "scontrol").write_text(SCONTROL.format(requeued=place / "requeued"))
    for program in programs.iterdir():
        program.chmod(0o755)
    return Slurm(place, programs)


@pytest.mark.lab
def test_two_nodes_run_a_sweep_and_leave_nothing(slurm: Slurm, sweep_file: Path, undisturbed: Path) -> None:
    out = slurm.place / "out"
    with slurm.batch(4711, "n1,n2", sweep_file, out, SLURM_CPUS_PER_TASK="1") as job:
        assert job.process.wait(700) == 0, job.text()
    # One processor each: the step's, not the machine's.
    assert "2 nodes, 2 processors, 0 GPUs" in job.text()
    assert sorted(step.split()[0] for step in slurm.steps if "ray start" in step) == ["n1", "n2"]
    counts = re.search(r"planned = (\d+), finished = (\d+)", job.text())
    assert counts and counts[1] == counts[2] == str(len(rows(out)))
    assert_same_results(out, undisturbed)
    assert {step.split()[-1] for step in slurm.steps} == {"cpus=1"}
    # Job 4712 on the same node begins at 29424.
    assert any(s.startswith("n1 ") and "--port=29422 --ray-client-server-port=29423 " in s for s in slurm.steps)
    assert not (slurm.place / "r4711").exists() and slurm.requeued == []
    assert [step for step in slurm.steps if " rm " in step] == [f"n2 rm -rf {slurm.place / 'r4711'} cpus=1"]


def test_at_the_time_limit_it_is_queued_again_and_resumes(slurm: Slurm, sweep_file: Path, null_run: Path) -> None:
    out = slurm.place / "out"
    with slurm.null_batch(4712, "n3", sweep_file, out) as job:
        end = time.monotonic() + 600
        while len(rows(out)) < 3:
            assert job.process.poll() is None and time.monotonic() < end, job.text()
            time.sleep(0.1)
        # --signal=B:TERM: to the batch script alone, not to its steps.
        os.kill(job.process.pid, signal.SIGTERM)
        assert job.process.wait(200) == 130, job.text()
    before = rows(out)
    assert slurm.requeued == ["4712"] and 3 <= len(before) < len(rows(null_run))
    with slurm.null_batch(4712, "n3", sweep_file, out) as again:
        assert again.process.wait(700) == 0, again.text()
    assert differences(before, rows(out)) == []
    assert_same_results(out, null_run)
    assert slurm.requeued == ["4712"]


@pytest.mark.parametrize("begun", ["step", "head"])
def test_a_signal_while_ray_starts_queues_the_job_again(begun: str, slurm: Slurm, sweep_file: Path) -> None:
    out, place = slurm.place / "out", slurm.place / "r4714"

    def ready() -> bool:
        if begun == "head":
            return any(place.glob("session_*/logs/gcs_server.*"))
        return (slurm.place / "steps").exists() and any("ray start" in step for step in slurm.steps)

    with slurm.batch(4714, "n3,n2" if begun == "head" else "n3", sweep_file, out) as job:
        end = time.monotonic() + 120
        while not ready():
            assert job.process.poll() is None and time.monotonic() < end, job.text()
            time.sleep(0.02)
        os.kill(job.process.pid, signal.SIGTERM)
        assert job.process.wait(120) == 130, job.text()
    assert slurm.requeued == ["4714"] and {step.split()[-1] for step in slurm.steps} == {"cpus=all"}
    assert not out.exists() and not place.exists()


def test_the_code_of_a_process_that_ends_at_the_signal_is_not_lost(tmp_path: Path) -> None:
    text, ready = SCRIPT.read_text(), tmp_path / "ready"
    wait = text[text.index('waiting="" requeue=no') : text.index("\nmapfile")]
    # The trap takes so long that the process is gone before the script waits for it again.
    wait = wait.replace("|| true' TERM", "|| true; sleep 0.5' TERM")
    script = f"""set -euo pipefail
    {wait}
    bash -c 'trap "exit 7" TERM; echo ready; touch {ready}; while :; do sleep 0.05; done' &
    process=$!
    (until sleep 0.2; [ -e {ready} ]; do :; done; kill -TERM $$) &
    await $process
    echo "$requeue $code" """
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.split() == ["ready", "yes", "7"]


def test_a_job_without_a_sweep_says_what_it_needs(slurm: Slurm) -> None:
    with slurm.batch(4713, "n1") as job:
        assert job.process.wait(60) == 1
    assert "give a sweep file: sbatch clusters/slurm.sh SWEEP.yaml DIR" in job.text()

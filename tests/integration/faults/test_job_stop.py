"""``ray job submit``, then ``ray job stop`` in the middle: the sweep goes on where it stood."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.process.ports import free_ports
from tests.integration.hosts import wait_until
from tests.integration.planted import PLANTED, holding
from tests.integration.support import Rows, assert_same_results, decoys, differences, driver, end_session, rows

pytestmark = pytest.mark.slow


@dataclass
class Story:
    """A sweep that was stopped once and resumed."""

    out: Path
    state: str
    logs: str
    finished: Rows
    code: int
    text: str
    refused: str
    holding: list[Path]


def environment() -> dict[str, str]:
    """That of the head and of who talks to it: no other cluster, and no token on the loopback."""
    own = {**PLANTED, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
    return {**{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}, **own}


@contextmanager
def head_with_dashboard(place: Path, port: int, *others: int) -> Iterator[None]:
    """``ray start --head``, whose jobs may be submitted to a port; its files and its processes are its own."""
    place.mkdir()
    options = {
        "port": others[0], "dashboard-port": port, "ray-client-server-port": others[1], "num-cpus": 1,
        "dashboard-agent-listen-port": others[2], "temp-dir": place, "object-store-memory": 100 * 2**20,
    }  # fmt: skip
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats"]
    with (place / "head.log").open("wb") as log:
        process = subprocess.Popen(
            command + [f"--{name}={value}" for name, value in options.items()],
            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            env=environment(),
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
        end_session(process.pid)


@pytest.fixture(scope="module")
def story(short_tmp: Path, sweep_file: Path) -> Story:
    out, (port, *others) = short_tmp / "job", free_ports(4)
    working = decoys(short_tmp / "working")
    programs = Path(sys.executable).parent

    def job(action: str, *words: object) -> str:
        command = [programs / "ray", "job", action, "--address", f"http://127.0.0.1:{port}", *words]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, env=environment())
        return done.stdout + done.stderr

    def state() -> str:
        text = job("status", "small").upper()
        return next((word for word in ("STOPPED", "SUCCEEDED", "FAILED") if word in text), "")

    with head_with_dashboard(short_tmp / "j", port, *others):
        # The dashboard answers a little later than the cluster stands.
        # The plug-in lies in the working directory, which is a copy of the head's.
        (working / "notes_of_a_test.py").write_text("SIDE = 224\n")
        sweep = programs / "lnl-sweep", "run", sweep_file, "--plugin", "notes_of_a_test.py", "--out", out
        submit = "--no-wait", "--submission-id", "small", "--working-dir", working, "--", *sweep
        wait_until(lambda: "submitted successfully" in job("submit", *submit), "job", 120)
        # Beside it one whose user hands the secret to Ray, which by then has written it down.
        told = "--runtime-env-json", json.dumps({"env_vars": {"AWS_SECRET_ACCESS_KEY": "toldtoray"}})
        other = "--no-wait", "--submission-id", "telling", *told, "--", *sweep[:3], "--out", short_tmp / "telling"
        job("submit", *other)
        wait_until(lambda: len(rows(out)) >= 3 or state(), "three rows", 240, 0.2)
        job("stop", "--no-wait", "small")
        wait_until(state, "end of the job", 180)
        ended, logs, finished, refused = state(), job("logs", "small"), rows(out), job("logs", "telling")
    with driver(short_tmp, out, "resume", out) as running:
        code = running.wait()
    found = holding([short_tmp / "j", out], PLANTED.values())
    return Story(out, ended, logs, finished, code, running.text(), refused, found)


def test_the_job_is_stopped_in_the_middle(story: Story, undisturbed: Path) -> None:
    assert story.state == "STOPPED", story.logs
    assert 3 <= len(story.finished) < len(rows(undisturbed))


def test_the_plugin_of_the_jobs_working_directory_is_part_of_the_sweep(story: Story) -> None:
    (stored,) = (story.out / "plugins").iterdir()
    assert stored.read_text() == "SIDE = 224\n"


def test_no_file_of_ray_or_of_the_sweep_holds_what_stands_in_the_heads_environment(story: Story) -> None:
    assert story.holding == []


def test_credentials_in_the_jobs_runtime_environment_are_refused(story: Story) -> None:
    assert "must not stand in a runtime environment" in story.refused, story.refused
    assert "Traceback" not in story.refused and not (story.out.parent / "telling" / "trials").exists()


def test_resume_completes_the_sweep(story: Story, undisturbed: Path) -> None:
    assert story.code == 0, story.text
    assert f"planned = {len(rows(undisturbed))}, finished = {len(rows(undisturbed))}" in story.text


def test_no_finished_trial_ran_again_and_the_results_are_those_of_an_undisturbed_run(
    story: Story, undisturbed: Path
) -> None:
    assert differences(story.finished, rows(story.out)) == []
    assert_same_results(story.out, undisturbed)

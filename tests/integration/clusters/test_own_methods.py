"""Methods of one's own on two nodes that share no disk: the sweep is killed, and goes on at another machine."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.open import folder_at
from tests.integration.clusters.apart import NAME, two_disks
from tests.integration.meeting import meeting
from tests.integration.s3_server import BUCKET, Server, seaweed
from tests.integration.support import Driver, assert_same_results, driver, rows
from trainable.trial.open_trial import checkpoint_names, trial_folder

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
METHODS = ("own_group_dro", "own_jtt")
# Both keep something from epoch to epoch: what is lost of it shows in every later number.
SWEEP = """
name: own
plugins: [own_group_dro.py, lab/own_jtt.py]
dataset: {name: brain_phantom, image_size: 32, patients: 60, bias: {rho: [0.5, 0.9, 1]}}
network: {name: small_cnn}
methods: [own_group_dro, own_jtt]
search: {trials: 2, sampler: qmc, early_stopping: off}
confirm: {seeds: 2}
training: {epochs: 8, batch_size: 16}
limits: {checkpoint_seconds: 0}
"""
CELLS = 5
"""Group DRO has no groups to weigh where every image is aligned."""
PLANNED = CELLS * (2 + 2)


def study(folder: Path) -> Path:
    """The sweep file with its plug-ins, one beside it and one in a folder, in a new folder."""
    (folder / "lab").mkdir(parents=True)
    shutil.copy(EXAMPLES / "own_group_dro.py", folder)
    shutil.copy(EXAMPLES / "own_jtt.py", folder / "lab")
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder / "sweep.yaml"


def home(folder: Path) -> dict[str, str]:
    """Environment of a user who has run nothing yet."""
    folder.mkdir()
    return {"HOME": str(folder), "RAY_AUTH_MODE": "disabled"}


@pytest.fixture(scope="module")
def whole(short_tmp: Path) -> Path:
    """The sweep on one machine, to which nothing happened."""
    out, variables = short_tmp / "methods-whole", home(short_tmp / "methods-home")
    words = ("run", study(short_tmp / "methods-study"), "--out", out)
    with driver(short_tmp, out, *words, variables=variables) as running:
        assert running.wait() == 0, running.text()
    return out


@pytest.fixture(scope="module")
def store(short_tmp: Path) -> Iterator[Server]:
    with seaweed(short_tmp / "weed-methods") as server:
        yield server


@pytest.fixture(scope="module")
def nodes(short_tmp: Path) -> Iterator[Any]:
    with two_disks(short_tmp / "two-m") as cluster:
        yield cluster


def in_the_middle_of_a_trial(running: Driver) -> bool:
    """True where some trials are finished and another has a checkpoint; the driver is stopped then, and stays so."""
    if len(rows(running.out)) < 3:
        return False
    running.kill(signal.SIGSTOP)
    done, folder = {key[0] for key in rows(running.out)}, folder_at(running.out)
    for name in {entry[0].partition("/")[0] for entry in folder.child("trials_open").entries()} - done:
        if checkpoint_names(trial_folder(folder, name)):
            return True
    running.kill(signal.SIGCONT)
    return False


def test_a_sweep_goes_on_at_another_machine(
    short_tmp: Path, whole: Path, store: Server, nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in store.variables.items():
        monkeypatch.setenv(name, value)
    out, sweep = f"s3://{BUCKET}/methods", study(short_tmp / "methods-killed")
    mine, both = home(short_tmp / "methods-mine"), {socket.gethostname(), NAME}
    words: tuple[object, ...] = ("run", sweep, "--out", out, "--address", nodes.address)
    with meeting(*both) as port, driver(short_tmp, out, *words, variables=mine, meeting=port) as running:
        running.wait_for(lambda: in_the_middle_of_a_trial(running), "a checkpoint")
        running.kill(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
    before = rows(out)
    assert 3 <= len(before) < PLANNED

    shutil.rmtree(sweep.parent)
    theirs = home(short_tmp / "methods-theirs")
    words = ("resume", out, "--address", nodes.address)
    with driver(short_tmp, out, *words, variables=theirs) as refused:
        assert refused.wait() == 2 and "--trust-plugins" in refused.text(), refused.text()
    words = (*words, "--trust-plugins")
    with meeting(*both) as port, driver(short_tmp, out, *words, variables=theirs, meeting=port) as resumed:
        assert resumed.wait() == 0, resumed.text()

    found = rows(out)
    assert len(found) == PLANNED and any(row["preemptions"] for row in found.values())
    assert {row["node"] for key, row in found.items() if key not in before} == both
    assert_same_results(out, whole)

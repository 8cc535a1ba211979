"""One undisturbed run of the small sweep, which all tests of this folder compare theirs with, and one Ray cluster."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.integration.planted import PLANTED, listening
from tests.integration.support import (
    NODE,
    SWEEP,
    Witness,
    decoys,
    installed_driver,
    null_driver,
    own_cluster,
    session_members,
)

# The machine of the tests may be busy: Ray's own half a minute for a start is then too short.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")


@pytest.fixture(scope="session")
def short_tmp() -> Iterator[Path]:
    """A folder with a short path: those of Ray's sockets may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="lnl", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sweep_file(short_tmp: Path) -> Path:
    path = short_tmp / "small.yaml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="session")
def witness(short_tmp: Path, sweep_file: Path) -> Witness:
    """A sweep that nothing happened to, with secrets in its environment that a local sweep does not need.

    It is started in a folder with modules of our packages' names, which are none of ours.
    """
    out = short_tmp / "undisturbed"
    own = {"RAY_TMPDIR": short_tmp / "u", "HOME": short_tmp / "home", "TMPDIR": short_tmp / "t"}
    for folder in own.values():
        folder.mkdir()
    variables = {**PLANTED, **{name: str(folder) for name, folder in own.items()}}
    current = decoys(short_tmp / "current")
    words = ("run", sweep_file, "--out", out)
    with installed_driver(short_tmp, out, *words, variables=variables, cwd=current) as running:
        running.wait_for_rows(1)
        found = listening(session_members(running.process.pid))
        assert running.wait() == 0, running.text()
    return Witness(out, *own.values(), found, running.text())


@pytest.fixture(scope="session")
def undisturbed(witness: Witness) -> Path:
    """The directory of a sweep that nothing happened to."""
    return witness.out


@pytest.fixture(scope="session")
def null_run(short_tmp: Path, sweep_file: Path, cluster: Any) -> Path:
    """The directory of the small sweep with trials that train nothing, to which nothing happened."""
    out = short_tmp / "null"
    with null_driver(short_tmp, out, "run", sweep_file, "--out", out, "--address", cluster.address) as running:
        assert running.wait() == 0, running.text()
    return out


@pytest.fixture(scope="session")
def cluster(short_tmp: Path) -> Iterator[Any]:
    """Two nodes with one processor each; Ray's files lie in a folder of our own."""
    # A node that is gone is missed after seconds instead of a minute; and on a busy machine a minute of silence is no
    # reason to end the test's own process, which Ray would do.
    variables = {
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "5",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
        # As in a Ray of our own.
        "RAY_ROTATION_MAX_BYTES": str(4 * 2**20),
        "RAY_ROTATION_BACKUP_COUNT": "1",
    }
    with own_cluster(short_tmp / "c", NODE, [NODE], **variables) as started:
        yield started

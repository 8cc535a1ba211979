"""One undisturbed run of the small sweep, which all tests of this folder compare theirs with."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.integration.support import SWEEP, driver


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
def undisturbed(short_tmp: Path, sweep_file: Path) -> Path:
    """The directory of a sweep that nothing happened to."""
    out = short_tmp / "undisturbed"
    with driver(short_tmp, out, "run", sweep_file, "--out", out) as running:
        assert running.wait() == 0, running.text()
    return out

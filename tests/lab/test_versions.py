"""Oldest and newest allowed version of everything, on each Python: the fast tests pass and a small sweep runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.support import SWEEP

pytestmark = [pytest.mark.versions, pytest.mark.slow, pytest.mark.timeout(3 * 3600)]

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
RESOLUTIONS = ("lowest-direct", "highest")
FAST = (
    "tests/store",
    "tests/trainable",
    "tests/analysis",
    "tests/orchestrator",
    "tests/test_house.py",
    "tests/bad_input",
)


def interpreter(version: str) -> str | None:
    """A Python of this version on the search path or from pyenv; None where there is none that starts."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))]
    # A shim of pyenv is there also for versions that are not switched on.
    return next((path for path in found if path and _ends_well([path, "-c", ""])), None)


def _ends_well(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


@dataclass(frozen=True)
class Environment:
    """A virtual environment outside the checkout, and how commands run in it: on the checkout's code."""

    place: Path
    variables: Mapping[str, str]

    def run(self, *words: str) -> str:
        """Run Python with these words; the test fails where that does."""
        command = [str(self.place / "bin" / "python"), *words]
        done = subprocess.run(
            command, cwd=ROOT, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout[-20_000:]}"
        return done.stdout


@pytest.fixture(scope="module", params=[(p, r) for p in PYTHONS for r in RESOLUTIONS], ids=lambda p: "-".join(p))
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment with such versions of what pyproject.toml names, removed after its tests: it takes gigabytes."""
    version, resolution = request.param
    python, uv = interpreter(version), shutil.which("uv")
    if uv is None:
        pytest.skip("versions are resolved by uv, which is not installed")
    if python is None:
        pytest.skip(f"there is no Python {version}, on the search path or from pyenv")
    place = tmp_path_factory.mktemp(f"{version}-{resolution}") / "venv"
    variables = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "RAY_ADDRESS")}
    variables |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    environment = Environment(place, variables)
    install = [uv, "pip", "install", "--quiet", "--python", str(place / "bin" / "python")]
    try:
        for command in (
            [uv, "venv", "--quiet", "--python", python, str(place)],
            # Read from the file, the requirements are direct ones, which those of a package would not be.
            [*install, "--resolution", resolution, "--upgrade", "-r", "pyproject.toml", "--extra", "test"],
            # Its metadata alone: the code is that of the checkout.
            [*install, "--no-deps", "--editable", "."],
        ):
            done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        yield environment
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_a_small_sweep_runs(environment: Environment, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP)
    out = tmp_path / "out"
    words = ("-m", "orchestrator.cli", "run", str(sweep), "--smoke", "--cpus", "2", "--out", str(out))
    text = environment.run(*words, "--set", "dataset.bias=[{color_variance: 0.02}]", "--set", "methods=[erm]")
    assert "planned = 2, finished = 2" in text and (out / "report.html").exists()


def test_the_fast_tests_pass(environment: Environment) -> None:
    text = environment.run("-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *FAST)
    assert " passed" in text

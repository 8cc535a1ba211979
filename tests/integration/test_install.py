"""Wheel, sdist and editable install, in environments of their own and beside a user's folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import analysis
from tests.integration.support import SWEEP, decoys, rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGES = ("store", "trainable", "orchestrator", "analysis", "sweeps")


def build(source: Path, target: str, out: Path) -> Path:
    """Build a wheel or an sdist; the one file that comes out."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    made = build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))
    with tarfile.open(made) as archive:
        archive.extractall(made.parent, filter="data")
    return made.with_name(made.name.removesuffix(".tar.gz"))


def content(wheel: Path) -> tuple[set[str], Mapping[str, bytes]]:
    """Names of the files that a wheel installs, and its metadata by their names."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = [name for name in names if ".dist-info/" in name]
        return set(names) - set(about), {name.split("/", 1)[1]: archive.read(name) for name in about}


def in_git(*folders: str) -> set[str]:
    done = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}


def test_the_wheel_holds_all_files_of_the_packages_and_nothing_else(wheel: Path) -> None:
    files, about = content(wheel)
    expected = {name for name in in_git("lnl_sweep.py", *PACKAGES) if not name.startswith("analysis/notebooks/")}
    # A file that has just been made is in the wheel before git knows it.
    assert expected <= files
    assert {name for name in files - expected if not name.endswith(".py")} == set()
    assert {"analysis/py.typed", "orchestrator/plan/prices.yaml", "sweeps/brain_phantom.yaml"} <= files
    assert {"LICENSE", "analysis/report/vendor/plotly-cartesian.LICENSE"} <= {
        name.removeprefix("licenses/") for name in about if name.startswith("licenses/")
    }
    assert b"License-Expression: Apache-2.0 AND MIT" in about["METADATA"]
    assert b"lnl-sweep = lnl_sweep:main" in about["entry_points.txt"]


def test_the_sdist_makes_the_same_wheel_and_holds_tests_and_documents(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    assert content(build(sdist, "wheel", tmp_path / "again"))[0] == content(wheel)[0]
    for name in (
        "LICENSE",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "uv.lock",
        "docs/architecture.md",
        "tests/test_house.py",
    ):
        assert (sdist / name).is_file(), name


@dataclass(frozen=True)
class Installed:
    """An environment with lnl-sweep in it, and a folder of a user's to run it in."""

    python: Path
    current: Path
    variables: Mapping[str, str]

    def run(self, *words: object, code: int = 0) -> str:
        done = subprocess.run(
            list(map(str, words)), cwd=self.current, env=self.variables, capture_output=True, text=True, timeout=840
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def command(self) -> Path:
        return self.python.with_name("lnl-sweep")


def installed(place: Path, what: Path, *options: str) -> Installed:
    """An empty environment that shares the other packages of this one, which are gigabytes, and gets ours."""
    uv = shutil.which("uv")
    venv.create(place / "venv", symlinks=True, with_pip=uv is None)
    python = place / "venv" / "bin" / "python"
    shared = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    (site,) = (place / "venv" / "lib").glob("python*/site-packages")
    # A folder that is named so has its own .pth files not read: an editable install of ours there does not count.
    (site / "shared.pth").write_text("\n".join(shared) + "\n")
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}
    install = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install", "--no-index"]
    # Without a build environment of its own, which would come from a network.
    words = [*install, "--quiet", "--no-deps", "--no-build-isolation", *options, what]
    done = subprocess.run(list(map(str, words)), env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    variables |= {"RAY_TMPDIR": str(place), "OMP_NUM_THREADS": "1"}
    return Installed(python, decoys(place / "current"), variables)


def test_a_wheel_runs_the_demo_among_other_packages_of_our_names(wheel: Path, short_tmp: Path) -> None:
    environment = installed(short_tmp / "w", wheel)
    current = environment.current
    # As in the working directory of a submitted job, which is on the path of the driver and of all workers.
    for name in ("orchestrator", "analysis"):
        (current / name / "__init__.py").write_text(f"raise SystemExit('the wrong {name} was imported')\n")
    environment = Installed(environment.python, current, {**environment.variables, "PYTHONPATH": str(current)})
    text = environment.run(environment.command, "run", "--smoke", "--cpus", 2)
    assert "report: file://" in text, text
    out = current / "results" / "brain_phantom-smoke"
    assert (out / "report.html").stat().st_size > 10**6
    found = rows(out)
    assert found and {row["status"] for row in found.values()} == {"completed"}
    # Not this checkout's: the commit of a checkout stands in its rows.
    assert {row["git_commit"] for row in found.values()} == {None}


def test_an_editable_install_is_not_hidden_by_folders_in_the_current_directory(short_tmp: Path) -> None:
    environment = installed(short_tmp / "e", ROOT, "--editable")
    current, python = environment.current, environment.python
    (current / "small.yaml").write_text(SWEEP)
    tiny = ("--smoke", "--cpus", 2, "--set", "dataset.bias=[{color_variance: 0.02}]", "--set", "methods=[erm]")
    # With -m the current directory is the first on the path.
    text = environment.run(python, "-m", "orchestrator.cli", "run", "small.yaml", *tiny, "--out", "tiny")
    assert "planned = 2, finished = 2" in text and "report: file://" in text
    shutil.copytree(Path(analysis.__file__).parent / "example", current / "example")
    assert "report.html" in environment.run(environment.command, "report", "example")
    # A program of a user's: a package or a file of our names hides ours, a folder does not.
    (current / "store" / "__init__.py").unlink()
    (current / "trainable.py").unlink()
    (current / "trainable").mkdir()
    assert environment.run(python, "-c", "import analysis; print(len(analysis.load('tiny')))").strip() == "2"
    assert environment.run(python, "-c", "import sweeps; print(sweeps.__file__)").strip().startswith(str(ROOT))

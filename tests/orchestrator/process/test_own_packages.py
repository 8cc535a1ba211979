"""Our packages are found in spite of a user's folders, packages and files that have their names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.process.own_packages import NAMES, ROOT

HIDING = {
    "folders": {f"{name}/notes.txt": "" for name in NAMES},
    "packages": {f"{name}/__init__.py": "raise SystemExit('another package')\n" for name in NAMES},
    "files": {f"{name}.py": "raise SystemExit('another file')\n" for name in NAMES},
}


@pytest.fixture(params=sorted(HIDING))
def current(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A current directory with other things of our packages' names."""
    for name, text in HIDING[request.param].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(current: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python there, as a job in its working directory does: that is on the path before our packages."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(current), str(ROOT)])}
    return subprocess.run(
        [sys.executable, *words], cwd=current, env=variables, capture_output=True, text=True, timeout=240
    )


def test_a_command_reads_its_own_sweep_files_and_modules(current: Path) -> None:
    done = run(current, "-m", "lnl_sweep", "run", "coloured_digits", "--set", "nonsense=1")
    assert done.returncode == 2 and "error: coloured_digits.yaml: unknown key 'nonsense'" in done.stderr, done.stderr
    code = "import lnl_sweep, store.errors, trainable.texts, analysis.selection, sweeps; print(analysis.__file__)"
    done = run(current, "-c", code)
    assert done.stdout.strip() == str(ROOT / "analysis" / "__init__.py"), done.stderr


def test_a_module_run_by_its_name_finds_the_others(tmp_path: Path) -> None:
    # Python itself finds the module that it runs: of its package nothing may lie in the current directory.
    (tmp_path / "trainable.py").write_text(HIDING["files"]["trainable.py"])
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "__init__.py").write_text(HIDING["packages"]["store/__init__.py"])
    (tmp_path / "orchestrator").mkdir()
    done = run(tmp_path, "-m", "orchestrator.cli", "run", "coloured_digits", "--set", "nonsense=1")
    assert done.returncode == 2 and "error: coloured_digits.yaml: unknown key 'nonsense'" in done.stderr, done.stderr


def test_a_program_that_imports_us_keeps_its_own_names(tmp_path: Path) -> None:
    (tmp_path / "sweeps.py").write_text("mine = True\n")
    done = run(tmp_path, "-c", "import orchestrator.reporting, sweeps; print(sweeps.mine)")
    assert done.stdout.strip() == "True", done.stderr

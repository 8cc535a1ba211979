"""Command ``lnl-sweep bench``: runs the benchmarks of a checkout, each against its peers in the same run."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from store.errors import InputError, unknown_name

FOLDER = Path(__file__).parents[2] / "benchmarks"
PREFIX = "bench_"
VERSIONS = ("ray", "optuna", "torch", "pandas", "pyarrow")


def bench(options: argparse.Namespace) -> int:
    """Run the named benchmarks, or all.

    Their tables are Markdown, to be kept in ``benchmarks/RESULTS.md``.
    """
    known = {path.stem.removeprefix(PREFIX): path for path in sorted(FOLDER.glob(f"{PREFIX}*.py"))}
    if not known:
        raise InputError(f"the benchmarks are not part of an installed package: run this in a checkout ({FOLDER})")
    for name in options.names:
        if name not in known:
            raise unknown_name("benchmark", name, known)
    print(_circumstances(), flush=True)
    failed = []
    for name in options.names or known:
        print(f"\n## {name}\n", flush=True)
        if subprocess.run([sys.executable, known[name]], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _circumstances() -> str:
    """Machine and versions of the measurement.

    A load above the number of processors means a shared machine.
    """
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=FOLDER, capture_output=True, text=True, check=False
    ).stdout.strip()
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), load average {load}, Python {platform.python_version()}, "
        f"{versions}, commit {commit or 'unknown'}"
    )

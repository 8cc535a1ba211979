"""A machine that is busy with other things: Ray's own helpers take longer to be there than Ray waits for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LATE = """
import pathlib, sys, time
if any(name in " ".join(sys.orig_argv) for name in ("dashboard/agent.py", "runtime_env/agent/main.py")):
    pathlib.Path(__file__).with_name("late").touch()
    time.sleep(20)
"""
START = """
import ray
from orchestrator.cluster.nodes import start_ray
start_ray(None, 1)
print(ray.get(ray.remote(lambda: "trained").remote(), timeout=100))
ray.shutdown()
"""


def test_ray_starts_although_its_agents_begin_20_s_late(short_tmp: Path) -> None:
    place = short_tmp / "agents"
    place.mkdir()
    (place / "sitecustomize.py").write_text(LATE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_"))}
    paths = [str(place), str(Path(__file__).parents[3])]
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(place)}
    done = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True, timeout=240)
    assert done.stdout.strip() == "trained", done.stderr
    assert (place / "late").exists(), "no agent was slow"

"""Processes of ours end with the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
_PARENT = """
import multiprocessing, os, sys, time
from orchestrator.process.spawned import end_with_parent

def loop():
    end_with_parent()
    print(os.getpid(), flush=True)
    while True:
        pass

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=loop).start()
    time.sleep(60)
"""


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_loop_without_an_end_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 30
    while runs(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not runs(child)
    parent.stdout.close()

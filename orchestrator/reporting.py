"""Report that is rebuilt while the sweep runs, in a process of its own so that no worker waits for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

from orchestrator.process.log import LOG
from orchestrator.process.own_packages import ROOT

EVERY_SECONDS = 300.0
"""Least seconds between two reports.

They are longer where a report would else take more than a twentieth of the time.
"""
_SHARE = 20
NICENESS = 10


class ReportKeeper:
    """Rebuilds ``report.html`` as cells end.

    Args:
        directory: The sweep's address.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._began = time.monotonic()
        self._next = self._began + EVERY_SECONDS
        self._due = False

    def ended(self, cell: bool) -> None:
        """Record the end of a trial, and start a rebuild where one is due.

        Args:
            cell: True where its cell's search, or the whole cell, has ended, so that the curve may have a new point.
        """
        self._due = self._due or cell
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            if code:
                LOG.warning("a report while the sweep runs ended with exit code %d", code)
            self._process = None
            self._next = now + max(EVERY_SECONDS, _SHARE * (now - self._began))
        if not self._due or now < self._next:
            return
        self._due, self._began = False, now
        # By its file, and without that file's folder on the path: with -m the current directory would come first.
        command = [sys.executable, "-P", str(ROOT / "lnl_sweep.py"), "report", self._directory]
        # A report that fails costs nothing but itself: the one at the end says why.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A Ctrl-C in the terminal is meant for the driver, which ends this process by itself.
            start_new_session=True,
        )
        # From here and not in the child before it starts: this process has threads, and the child could hang.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)

    def stop(self) -> None:
        """End a rebuild that runs, since the last report is about to be written."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process = None

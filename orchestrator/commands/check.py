"""Command ``lnl-sweep check``: what a sweep, a plug-in or a table would fail on, before it runs."""

from __future__ import annotations

import argparse
import time

from store.errors import InputError


def check(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep check``: print one line a finding, without Ray and in another process.

    Returns:
        0, or 2 where something failed.
    """
    from orchestrator.checking.apart import SILENT_SECONDS, findings_apart
    from orchestrator.checking.task import task_of

    if options.seconds <= 0:
        raise InputError(f"--seconds takes a number above 0, but got {options.seconds:g}")
    task = task_of(options.file, options.set, options.plugin, options.trust_plugins, options.seconds)
    began, counts = time.monotonic(), {"ok": 0, "warn": 0, "FAIL": 0}
    for finding in findings_apart(task, max(SILENT_SECONDS, options.seconds)):
        counts[finding.level] += 1
        print(finding, flush=True)
    words = ", ".join(f"{number} {level}" for level, number in counts.items())
    print(f"{words} in {time.monotonic() - began:.0f} s")
    return 2 if counts["FAIL"] else 0

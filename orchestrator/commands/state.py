"""Commands ``lnl-sweep status`` and ``lnl-sweep verify``, which change nothing in a sweep's directory."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from orchestrator.directory.damage import Survey
from store.errors import DamagedFile, InputError

LATE_SECONDS = 60
UNCUT_COLUMNS = 500


def status(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep status``: print the progress, by the rows that can be read and by what the driver wrote."""
    from orchestrator.commands.run import READ_RETRY_SECONDS
    from orchestrator.directory.damage import survey
    from orchestrator.directory.lease import CLOCK_SECONDS
    from orchestrator.directory.reader import SweepDirectory
    from orchestrator.progress import STATUS_FILE, cell_table, status_line
    from orchestrator.search.dispatch import CellStatus
    from orchestrator.sweep import resume_config
    from store.open import read_small

    directory = SweepDirectory(options.dir)
    directory.folder = directory.folder.patiently(READ_RETRY_SECONDS)
    resume_config(directory)
    # Of a store only the rows are fetched: predictions may be gigabytes, and verify reads them.
    surveyed = survey(directory, whole=directory.folder.local is not None)
    try:
        written = json.loads(read_small(directory.folder, STATUS_FILE))
        if written.get("sweep") != directory.identity():
            raise DamagedFile(f"{STATUS_FILE} is that of another sweep")
        snapshot = _by_the_rows(written, surveyed)
        cells, line = [CellStatus(**_renamed(cell)) for cell in snapshot["cells"]], status_line(snapshot)
    except FileNotFoundError:
        raise InputError(f"{directory.uri} has no {STATUS_FILE} yet: the sweep is starting, ask again") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # It is made anew every few seconds while a sweep runs; the rows are what is true.
        print(f"{directory.uri}/{STATUS_FILE} is damaged, or another sweep's, so only rows are counted")
        for cell, count in sorted(Counter(row["cell"] for row in surveyed.rows).items()):
            print(f"finished in {cell}: {count}")
        print(f"finished in all: {len(surveyed.rows)}")
        _print_damage(options.dir, surveyed)
        return 0
    console = Console()
    # In a pipe or a file a table may be as wide as it is.
    console.print(cell_table(cells), width=None if console.is_terminal else UNCUT_COLUMNS, crop=console.is_terminal)
    print(line)
    state, age = snapshot["state"], time.time() - snapshot["heartbeat"]
    if state == "running" and age > LATE_SECONDS:
        print(f"no sign of life for {age:.0f} s: if its driver is gone, run lnl-sweep resume {options.dir}")
    elif state == "running" and age < -CLOCK_SECONDS:
        print(f"state: running, by a clock {-age:.0f} s ahead of the one here: ask again to see whether it goes on")
    else:
        print(f"state: {state}")
    for line in (*snapshot.get("errors", ()), *snapshot.get("not_applicable", ())):
        print(line)
    for line in snapshot["failed"]:
        print(f"failed: {line}")
    _print_damage(options.dir, surveyed)
    return 0


def _renamed(cell: Mapping[str, Any]) -> dict[str, Any]:
    # Earlier versions named the weight after one method's: a finished sweep keeps the file that they wrote.
    return {"best_pressure" if name == "best_lambda" else name: value for name, value in cell.items()}


def _by_the_rows(snapshot: Mapping[str, Any], surveyed: Survey) -> dict[str, Any]:
    """Snapshot in which a trial counts as finished only where its rows can be read."""
    readable = Counter((row["cell"], row["repeat"]) for row in surveyed.rows if row["trial_id"] not in surveyed.lost)
    cells = [
        {**cell, "finished": min(cell["finished"], readable[cell["cell"], cell["repeat"]])}
        for cell in snapshot["cells"]
    ]
    finished = min(snapshot["finished"], sum(cell["finished"] for cell in cells))
    return {**snapshot, "cells": cells, "finished": finished}


def _print_damage(directory: str, surveyed: Survey) -> None:
    for part in surveyed.left_out:
        print(f"damaged: {part.table}/{part.name}: {part.reason}")
    for name, reason in sorted(surveyed.lost.items()):
        print(f"lost: {name}: {reason}")
    if surveyed.left_out or surveyed.lost:
        print(f"what is lost is trained again by lnl-sweep resume {directory}")


def verify(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep verify``: check every file against its checksum, and print what a resume would do."""
    from orchestrator.directory.sheet import SWEEP_FILE
    from orchestrator.directory.verify import verify as verified

    verdict = verified(options.dir)
    for path, reason in sorted(verdict.damaged.items()):
        print(f"damaged: {path}: {reason}")
    for name, reason in sorted(verdict.lost.items()):
        print(f"lost: {name}: {reason}")
    print(f"{verdict.checked} files checked, {len(verdict.damaged)} damaged, {len(verdict.lost)} trials not whole")
    for line in verdict.resume:
        print(line)
    if SWEEP_FILE in verdict.damaged:
        print(f"nothing can go on without {SWEEP_FILE}: restore it before a resume", file=sys.stderr)
    elif not verdict.whole and not verdict.refused:
        print(f"lnl-sweep resume {options.dir} leaves damaged parts out and trains again what is lost", file=sys.stderr)
    return 0 if verdict.whole else 1

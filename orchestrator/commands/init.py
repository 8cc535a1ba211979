"""Command ``lnl-sweep init``: proposes a sweep file for a table of images, or for published data."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from store.errors import InputError
from store.folder import explained, replacing
from store.local import expanded

_LONG = 4 * 3600.0
"""Seconds of computing from which on the output says what makes a sweep shorter."""


def init(options: argparse.Namespace) -> int:
    """Write a sweep file for a table or a published data set, and print what was guessed.

    Args:
        options: ``table`` (path or address; of a published data set its folder), ``source`` (its name, or None),
            ``out``, ``force``, and ``path``, ``label``, ``attribute``, ``group`` and ``split`` (column or None).

    Returns:
        Exit code.

    Raises:
        InputError: The table or its images cannot be used, a column cannot be guessed, or the file is there already.
    """
    from orchestrator.proposal.propose import propose
    from trainable.data.table.reading.columns import ROLES

    target = expanded(options.out)
    _check_target(target, options.force)
    given = {role: getattr(options, role) for role in ROLES if getattr(options, role) is not None}
    if options.source is not None:
        return _init_published(options, target, given)
    _write(propose(options.table, given, target.parent), target, options.out)
    return 0


def _init_published(options: argparse.Namespace, target: Path, given: Mapping[str, str]) -> int:
    from orchestrator.proposal.propose import propose_published
    from orchestrator.proposal.published.sources import read_published, table_text, table_written

    if given:
        raise InputError(
            f"--{next(iter(given))} names a column of a table, but --from {options.source} knows its own: leave it out"
        )
    data = read_published(options.source, options.table)
    file = target.absolute().with_name(f"{options.source}.csv")
    with table_written(file, table_text(data, file.parent), options.force):
        _write(propose_published(file, data), target, options.out)
    return 0


def _write(text: str, target: Path, out: str) -> None:
    """Write a sweep file that can be planned, with its time, and print it."""
    from orchestrator.config.sweep_file import read_config
    from orchestrator.plan.plan import make_plan
    from orchestrator.progress import duration

    with explained("write", str(target)), replacing(target) as file:
        file.write(text.encode())
        file.flush()
        # Read as it will be read: what does not fit a sweep must not be left to the next command.
        plan = make_plan(read_config(file.name))
        needed = _estimate(plan)
        time = f"at most {duration(needed['seconds'])} of computing for {needed['trials']} trials on this machine"
        at = text.index("\nname: ") + 1
        file.seek(0)
        file.write(f"{text[:at]}#\n# Time: {time}, divided by the number that run at once.\n{text[at:]}".encode())
    print("\n".join(line.removeprefix("#").removeprefix(" ") for line in text[:at].splitlines()))
    print(f"\nTime: {time}\n{_shorter(needed['seconds'])}Rule: {plan.config.search.rule}, {plan.rule_reason}\n")
    named = shlex.quote(out)
    print(f"{target}\nnext: lnl-sweep check {named}, lnl-sweep run {named} --dry-run, lnl-sweep run {named}")


def _check_target(target: Path, force: bool) -> None:
    if target.is_dir():
        raise InputError(f"-o must name a sweep file to write, but {target} is a folder: add a name")
    if target.exists() and not force:
        raise InputError(f"{target} is there already: choose another name with -o, or replace it with --force")
    if not target.parent.is_dir():
        raise InputError(f"-o must name a file in a folder that exists, but {target.parent} does not: make it first")


def _shorter(seconds: float) -> str:
    """Advice for a sweep that takes long, else ""."""
    if seconds < _LONG:
        return ""
    return (
        "  shorter: a smaller image_size with network: {name: small_cnn}, fewer search.trials, training.epochs, "
        "methods or values of rho, or a GPU\n"
    )


def _estimate(plan: Any) -> dict[str, Any]:
    from orchestrator.plan.estimate import estimate
    from orchestrator.plan.timing_process import time_apart

    return estimate(plan, (), time_apart)

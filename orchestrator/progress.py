"""Display of a sweep that runs: a live table in a terminal, plain lines elsewhere, and ``status.json``."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console, Group, OverflowMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.budget import Budget
from orchestrator.directory.write_queue import ImmediateWrites, WriteQueue
from orchestrator.plan.applicable import places_in_words
from orchestrator.plan.prices import read_prices
from orchestrator.process.log import passed_over
from orchestrator.search.dispatch import CellStatus, Dispatcher
from store.errors import InputError
from store.folder import Folder
from store.sealed import seal_json

STATUS_FILE = "status.json"
WRITE_SECONDS = 5.0
LAST_WRITE_SECONDS = 10.0
"""Retry budget of the last write, where an object store is unavailable."""
PLAIN_SECONDS = 15.0
COST_SHOWN = 0.01
"""Smallest cost that is shown."""


@dataclass(frozen=True)
class StatusFile:
    """File ``status.json`` in a sweep's directory.

    Attributes:
        folder: The directory.
        queue: Write queue of the directory.
        sweep: Identity of the sweep, which stands in it.
    """

    folder: Folder
    queue: WriteQueue = field(default_factory=ImmediateWrites)
    sweep: str | None = None


class Progress:
    """Shows and writes a sweep's progress.

    Args:
        dispatcher: What is planned and done.
        console: Console that shows it; the standard error by default.
        status: File to write it to; None writes nothing.

    Attributes:
        budget: Time and money that the sweep may use, and has used.
        awaits_node: True where no node of the cluster that is there can hold a trial.
    """

    def __init__(
        self, dispatcher: Dispatcher, console: Console | None = None, status: StatusFile | None = None
    ) -> None:
        self._dispatcher = dispatcher
        self._console = console or Console(stderr=True)
        self._status = status
        now = time.monotonic()
        self._prices = read_prices()
        limits = dispatcher.config.limits
        self.budget = Budget(limits, self._prices.of_trial, now, dispatcher.totals()[2])
        self.awaits_node = False
        self._last_write = 0.0
        self._last_line = now
        self._live: Live | None = None
        self._state = "running"
        self._errors_shown: list[str] = []

    def start(self, slots: int) -> None:
        """Begin to show the progress.

        Args:
            slots: Trials that run at once.
        """
        self.budget.use_slots(slots, time.monotonic())
        if self._console.is_terminal:
            live = Live(console=self._console, refresh_per_second=2, transient=True, get_renderable=self._render)
            self._live = live
            self._show(live.start)
        self.update(force=True)

    def update(self, force: bool = False) -> None:
        """Refresh ``status.json`` and the plain lines, each where its interval is over.

        Args:
            force: True = write ``status.json`` now.
        """
        now = time.monotonic()
        if force or now - self._last_write >= WRITE_SECONDS:
            self._last_write = now
            self._write()
        if self._live is None and now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            snapshot = self.snapshot()
            lines = [status_line(snapshot)]
            if snapshot["errors"] != self._errors_shown:
                self._errors_shown = snapshot["errors"]
                lines += self._errors_shown
            self._show(lambda: self._console.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False))

    def stop(self, state: str) -> None:
        """End the display, and write ``status.json`` for the last time.

        Args:
            state: Its last state: finished, stopped, interrupted or failed.
        """
        self._state = state
        if self._live is not None:
            self._show(self._live.stop)
            self._live = None
        with passed_over(f"the last {STATUS_FILE}", OSError, InputError):
            if self._status is not None:
                folder = self._status.folder.patiently(LAST_WRITE_SECONDS)
                folder.write(STATUS_FILE, seal_json(self.snapshot()))

    def _show(self, work: Callable[[], object]) -> None:
        # Nobody looks at a terminal or a pipe that is gone (rich answers a broken pipe with SystemExit): no reason to
        # end the sweep.
        with contextlib.suppress(OSError, SystemExit):
            work()

    def snapshot(self) -> dict[str, Any]:
        """Content of ``status.json``."""
        planned, exact, finished = self._dispatcher.totals()
        budget, now = self.budget, time.monotonic()
        busy = budget.busy_share(now)
        return {
            "name": self._dispatcher.config.name,
            "sweep": None if self._status is None else self._status.sweep,
            "state": self._state,
            "heartbeat": time.time(),
            "planned": planned,
            "planned_is_exact": exact,
            "finished": finished,
            "running": self._dispatcher.running,
            "awaits_node": self.awaits_node,
            "slots": budget.slots,
            "seconds": round(budget.seconds(now), 1),
            "eta_seconds": budget.eta_seconds(planned, finished, now),
            "busy": None if busy is None else round(busy, 3),
            "cost": None if budget.cost is None else round(budget.cost, 4),
            "currency": self._prices.currency,
            "cost_in_words": None if budget.cost is None else self._prices.words(budget.cost),
            "failed": self._dispatcher.problems(),
            "errors": self._dispatcher.failures().lines(),
            "not_applicable": places_in_words(self._dispatcher.not_applicable),
            "cells": [asdict(cell) for cell in self._dispatcher.status()],
        }

    def _write(self) -> None:
        if self._status is not None:
            folder, content = self._status.folder, seal_json(self.snapshot())
            self._status.queue.put_latest(STATUS_FILE, lambda: folder.write(STATUS_FILE, content))

    def _render(self) -> Group:
        snapshot = self.snapshot()
        lines = [status_line(snapshot), *snapshot["errors"]]
        return Group(cell_table([CellStatus(**cell) for cell in snapshot["cells"]]), *map(Text, lines))


def status_line(snapshot: Mapping[str, Any]) -> str:
    """Line with finished and running trials, time and ETA, busy share of the slots, and cost.

    Example:
        >>> counts = {"finished": 3, "planned": 8, "planned_is_exact": True, "running": 2}
        >>> status_line({"name": "demo", **counts, "seconds": 90.0, "eta_seconds": 150.0})
        'demo: 3 of 8 trials finished, 2 running, 1 min 30 s, about 2 min 30 s to go'
    """
    bound = "" if snapshot["planned_is_exact"] else "<= "
    eta = snapshot["eta_seconds"]
    counts = {word: sum(cell[word] for cell in snapshot.get("cells", ())) for word in ("pruned", "failed")}
    now = "waiting for a node that can run them" if snapshot.get("awaits_node") else "running"
    ended = "".join(f", {count} {word}" for word, count in counts.items() if count)
    rest = "" if eta is None else f", about {duration(eta)} to go"
    if snapshot.get("busy"):
        rest += f", slots busy {snapshot['busy']:.0%}"
    if snapshot.get("cost", 0.0) is None:
        rest += ", cost unknown (a GPU without a price)"
    elif snapshot.get("cost", 0.0) >= COST_SHOWN:
        rest += f", {snapshot['cost_in_words']}"
    return (
        f"{snapshot['name']}: {snapshot['finished']} of {bound}{snapshot['planned']} trials finished, "
        f"{snapshot['running']} {now}{ended}, {duration(snapshot['seconds'])}{rest}"
    )


def cell_table(cells: list[CellStatus]) -> Table:
    """Table of the cells: planned, finished, running, pruned and failed trials, and the best value so far.

    Example:
        >>> cell = CellStatus("demo-erm", "erm", 0.9, 8, True, 3, 1, 0, 0, 0.71, None, searching=True)
        >>> [column.header for column in cell_table([cell]).columns][:4]
        ['method', 'bias value', 'phase', 'finished']
    """
    table = Table(box=None, pad_edge=False)
    counts = Counter((cell.label, cell.bias_value) for cell in cells)
    # With a second parameter, folds or repeats the bias value alone would stand for several rows.
    ambiguous = any(count > 1 for count in counts.values())
    position = "cell" if ambiguous else "bias value"
    for heading in ("method", position, "phase", "finished", "running", "pruned", "failed", "best", "weight"):
        # Where a terminal is narrow, a name goes on in the next line: cut short it would be the same in every row.
        overflow: OverflowMethod = "fold" if heading in ("method", "cell") else "ellipsis"
        table.add_column(heading, justify="left" if heading in ("method", "phase") else "right", overflow=overflow)
    names = _names(cells) if ambiguous else [f"{cell.bias_value:g}" for cell in cells]
    for cell, name in zip(cells, names, strict=True):
        bound = "" if cell.exact else "<="
        before = "search" if cell.like is None else f"waits for {cell.like}"
        phase = before if cell.searching else "confirm" if cell.finished < cell.planned else "done"
        table.add_row(
            cell.label,
            name,
            phase,
            f"{cell.finished}/{bound}{cell.planned}",
            str(cell.running),
            str(cell.pruned),
            str(cell.failed),
            "" if cell.best is None else f"{cell.best:.3f}",
            "" if cell.best_pressure is None else f"{cell.best_pressure:.3g}",
        )
    return table


def _names(cells: list[CellStatus]) -> list[str]:
    """Names by which the rows differ: ids without the method, which has a column, and without common parts."""
    parts = [cell.cell.removesuffix(f"-{cell.label}").split("-") for cell in cells]
    for end in (0, -1):
        while all(len(names) > 1 for names in parts) and len({names[end] for names in parts}) == 1:
            for names in parts:
                del names[end]
    repeated = any(cell.repeat for cell in cells)
    return [
        "-".join([*names, *([f"r{cell.repeat}"] if repeated else [])]) for names, cell in zip(parts, cells, strict=True)
    ]


def duration(seconds: float) -> str:
    """Seconds in words, such as ``45 s``, ``3 min 20 s`` or ``2 h 05 min``.

    Args:
        seconds: Time in seconds, at least 0.

    Example:
        >>> duration(200), duration(7500)
        ('3 min 20 s', '2 h 05 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

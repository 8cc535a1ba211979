"""What the user sees while a sweep runs: a live table in a terminal, plain lines elsewhere, and ``status.json``."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console, Group, OverflowMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.directory.write_queue import Direct, Post
from orchestrator.plan.prices import read_prices
from orchestrator.search.dispatch import CellStatus, Dispatcher
from store.errors import InputError
from store.folder import Folder
from store.sealed import seal_json

STATUS_FILE = "status.json"
WRITE_SECONDS = 5.0
LAST_WRITE_SECONDS = 10.0
"""For so long an object store may be away when the last word is said."""
PLAIN_SECONDS = 15.0
COST_SHOWN = 0.01
"""Less than a cent is not worth a word."""


class Progress:
    """Shows and writes a sweep's progress.

    Args:
        name: Name of the sweep.
        folder: Its directory, for ``status.json``; None writes nothing.
        dispatcher: What is planned and done.
        console: Where it is shown; the standard error by default.
        post: How ``status.json`` is written.
        sweep: Identity of the sweep, which stands in it.
    """

    def __init__(
        self,
        name: str,
        folder: Folder | None,
        dispatcher: Dispatcher,
        console: Console | None = None,
        post: Post | None = None,
        sweep: str | None = None,
    ) -> None:
        self._name = name
        self._sweep = sweep
        self._folder = folder
        self._dispatcher = dispatcher
        self._console = console or Console(stderr=True)
        self._post = post or Direct()
        self._started = time.monotonic()
        self._finished_before = dispatcher.totals()[2]
        self._train_seconds = 0.0
        self._since: dict[str, float] = {}
        self._prices = read_prices()
        self._cost: float | None = 0.0
        self._slots = 0
        self._slots_since = self._started
        self._slot_seconds = 0.0
        self._last_write = 0.0
        self._last_line = self._started
        self._live: Live | None = None
        self._state = "running"
        self._errors_shown: list[str] = []

    def start(self, slots: int) -> None:
        """Begin to show; ``slots`` trials run at once."""
        self.grow(slots)
        if self._console.is_terminal:
            live = Live(console=self._console, refresh_per_second=2, transient=True, get_renderable=self._render)
            self._live = live
            self._show(live.start)
        self.update(force=True)

    def grow(self, slots: int) -> None:
        """Take note of how many trials run at once from now on."""
        if self._slots:
            now = time.monotonic()
            self._slot_seconds += self._slots * (now - self._slots_since)
            self._slots_since = now
        self._slots = slots

    def count_earlier(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count what the trials of earlier drivers cost."""
        for row in rows:
            self._add_cost(row)

    @property
    def cost(self) -> float | None:
        """What the sweep has cost so far; None where the table of prices lacks a GPU that was used."""
        return self._cost

    def _add_cost(self, row: Mapping[str, Any]) -> None:
        price = self._prices.of_trial(row)
        self._cost = None if price is None or self._cost is None else self._cost + price

    def trial_started(self, name: str) -> None:
        """Take note of a trial that begins to run; ``name`` is any name that it has while it runs."""
        self._since[name] = time.monotonic()

    def trial_left(self, name: str) -> None:
        """Take note of a trial that runs no more, whatever became of it."""
        self._since.pop(name, None)

    def trial_ended(self, row: Mapping[str, Any]) -> None:
        """Count a trial's time and cost, and show that it ended."""
        self._train_seconds += float(row.get("train_seconds") or 0.0)
        self._add_cost(row)
        self.update()

    def update(self, force: bool = False) -> None:
        """Refresh ``status.json`` and the plain lines, each no more often than it should be."""
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
        """End the display; ``state`` (finished, interrupted, failed) goes into ``status.json``."""
        self._state = state
        if self._live is not None:
            self._show(self._live.stop)
            self._live = None
        with contextlib.suppress(OSError, InputError):
            if self._folder is not None:
                self._folder.patiently(LAST_WRITE_SECONDS).write(STATUS_FILE, seal_json(self.snapshot()))

    def _show(self, work: Callable[[], object]) -> None:
        # Nobody looks at a terminal or a pipe that is gone (rich answers a broken pipe with SystemExit): no reason to
        # end the sweep.
        with contextlib.suppress(OSError, SystemExit):
            work()

    def eta_seconds(self) -> float | None:
        """Seconds to go, from the rate so far; None before the first trials have ended."""
        planned, _, finished = self._dispatcher.totals()
        done = finished - self._finished_before
        if done < max(2, self._slots):
            return None
        return (planned - finished) * (time.monotonic() - self._started) / done

    def snapshot(self) -> dict[str, Any]:
        """The content of ``status.json``."""
        planned, exact, finished = self._dispatcher.totals()
        elapsed = max(time.monotonic() - self._started, 1e-6)
        return {
            "name": self._name,
            "sweep": self._sweep,
            "state": self._state,
            "heartbeat": time.time(),
            "planned": planned,
            "planned_is_exact": exact,
            "finished": finished,
            "running": self._dispatcher.running,
            "slots": self._slots,
            "seconds": round(elapsed, 1),
            "eta_seconds": self.eta_seconds(),
            "busy": self._busy(),
            "cost": None if self._cost is None else round(self._cost, 4),
            "currency": self._prices.currency,
            "cost_in_words": None if self._cost is None else self._prices.words(self._cost),
            "failed": self._dispatcher.problems(),
            "errors": self._dispatcher.failures().lines(),
            "cells": [asdict(cell) for cell in self._dispatcher.status()],
        }

    def _busy(self) -> float | None:
        if not self._slots:
            return None
        # Long trials that still run count too.
        now = time.monotonic()
        running = sum(now - since for since in self._since.values())
        whole = self._slot_seconds + self._slots * max(now - self._slots_since, 1e-6)
        return round(min(1.0, (self._train_seconds + running) / whole), 3)

    def _write(self) -> None:
        folder = self._folder
        if folder is not None:
            content = seal_json(self.snapshot())
            self._post.latest(STATUS_FILE, lambda: folder.write(STATUS_FILE, content))

    def _render(self) -> Group:
        snapshot = self.snapshot()
        lines = [status_line(snapshot), *snapshot["errors"]]
        return Group(cell_table([CellStatus(**cell) for cell in snapshot["cells"]]), *map(Text, lines))


def status_line(snapshot: Mapping[str, Any]) -> str:
    """One line: trials done of planned, running, time and ETA, share of the slots' time spent training, cost."""
    bound = "" if snapshot["planned_is_exact"] else "<= "
    eta = snapshot["eta_seconds"]
    counts = {word: sum(cell[word] for cell in snapshot.get("cells", ())) for word in ("pruned", "failed")}
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
        f"{snapshot['running']} running{ended}, {duration(snapshot['seconds'])}{rest}"
    )


def cell_table(cells: list[CellStatus]) -> Table:
    """The table of cells: what is planned, done, running, pruned and failed, and the best value so far."""
    table = Table(box=None, pad_edge=False)
    places = Counter((cell.label, cell.bias_value) for cell in cells)
    # With a second parameter, folds or repeats the bias value alone would stand for several rows.
    several = any(count > 1 for count in places.values())
    place = "cell" if several else "bias value"
    for heading in ("method", place, "phase", "finished", "running", "pruned", "failed", "best", "lambda"):
        # Where a terminal is narrow, a name goes on in the next line: cut short it would be the same in every row.
        overflow: OverflowMethod = "fold" if heading in ("method", "cell") else "ellipsis"
        table.add_column(heading, justify="left" if heading in ("method", "phase") else "right", overflow=overflow)
    names = _names(cells) if several else [f"{cell.bias_value:g}" for cell in cells]
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
            "" if cell.best_lambda is None else f"{cell.best_lambda:.3g}",
        )
    return table


def _names(cells: list[CellStatus]) -> list[str]:
    """Names by which the rows differ: ids without the method, which has a column, and without what all share."""
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
    """Seconds in words: ``45 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

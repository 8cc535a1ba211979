"""Budget of a sweep: its bounds on time and money, and what its trials have used.

Pure: knows neither Ray nor files nor a clock. The caller gives every time, in seconds of one monotonic clock.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.config.sweep_config import LimitsConfig

MAX_FAILURES = 2
"""Number of restarts of a trial whose process died, before the trial counts as failed."""

Row = Mapping[str, Any]
Price = Callable[[Row], float | None]
"""Function from a trial's row to the cost of the trial, or None where the cost is not known."""


@dataclass(frozen=True)
class Exhausted:
    """Bound of a sweep that has been reached, so that no more trials are started.

    Attributes:
        reason: The bound, in words.
    """

    reason: str

    def __str__(self) -> str:
        return self.reason


class Budget:
    """Counts what a sweep uses, against the bounds in its file.

    Args:
        limits: The bounds.
        price: Gives the cost of a trial.
        now: Time at which this driver began.
        finished: Number of trials that had their row at that time.

    Attributes:
        slots: Trials that run at once.
        cost: Cost of all trials that have ended; None where that of one is not known.

    Example:
        >>> budget = Budget(LimitsConfig(max_cost=1.0), lambda row: 0.6, now=0.0)
        >>> budget.trial_ended({"train_seconds": 60.0}), budget.exhausted(now=60.0)
        (None, None)
        >>> budget.trial_ended({"train_seconds": 60.0}), str(budget.exhausted(now=120.0))
        (None, 'limits.max_cost = 1 is spent')
    """

    def __init__(self, limits: LimitsConfig, price: Price, now: float, finished: int = 0) -> None:
        self._limits = limits
        self._price = price
        self._began = self._hours_from = now
        self._finished_before = finished
        self.slots = 0
        self.cost: float | None = 0.0
        self._slots_since = now
        self._slot_seconds = 0.0
        self._train_seconds = 0.0
        self._running: dict[str, float] = {}

    def start_hours(self, now: float) -> None:
        """Count ``limits.max_hours`` from now on, without the start of the cluster."""
        self._hours_from = now

    def use_slots(self, slots: int, now: float) -> None:
        """Record the number of trials that run at once from now on."""
        if self.slots:
            self._slot_seconds += self.slots * (now - self._slots_since)
            self._slots_since = now
        self.slots = slots

    def count_earlier(self, rows: Iterable[Row]) -> None:
        """Count the cost of trials of earlier drivers."""
        for row in rows:
            self._add_cost(row)

    def trial_started(self, name: str, now: float) -> None:
        """Record the start of a trial.

        Args:
            name: Any name that the trial has while it runs.
            now: The time.
        """
        self._running[name] = now

    def trial_left(self, name: str) -> None:
        """Record that a trial runs no more, whatever its result."""
        self._running.pop(name, None)

    def trial_ended(self, row: Row) -> None:
        """Count the time and the cost of a trial that has its row."""
        self._train_seconds += float(row.get("train_seconds") or 0.0)
        self._add_cost(row)

    def _add_cost(self, row: Row) -> None:
        cost = self._price(row)
        self.cost = None if cost is None or self.cost is None else self.cost + cost

    def exhausted(self, now: float) -> Exhausted | None:
        """Bound that has been reached, or None where more trials may be started."""
        hours, most = self._limits.max_hours, self._limits.max_cost
        if hours is not None and now > self._hours_from + 3600 * hours:
            return Exhausted("limits.max_hours is over")
        if most is None:
            return None
        if self.cost is None:
            # The bound is a promise: a cost that is not known could already lie above it.
            return Exhausted("limits.max_cost counts as spent, since the table of prices lacks a GPU that was used")
        return Exhausted(f"limits.max_cost = {most:g} is spent") if self.cost >= most else None

    def is_overdue(self, started: float, now: float) -> bool:
        """Tell if a trial that started at ``started`` has run for longer than ``limits.trial_minutes``."""
        minutes = self._limits.trial_minutes
        return minutes is not None and now - started >= 60 * minutes

    def seconds(self, now: float) -> float:
        """Seconds since this driver began."""
        return max(now - self._began, 1e-6)

    def eta_seconds(self, planned: int, finished: int, now: float) -> float | None:
        """Seconds to go, from the rate so far.

        None before as many trials have ended as run at once, and at least two.
        """
        done = finished - self._finished_before
        # In the first round trials have used time and few have ended: the rate would be far too low.
        if done < max(2, self.slots):
            return None
        return (planned - finished) * (now - self._began) / done

    def busy_share(self, now: float) -> float | None:
        """Share of the slots' time in which trials trained, in [0, 1].

        None before there are slots.
        """
        if not self.slots:
            return None
        # Long trials that still run count too.
        running = sum(now - since for since in self._running.values())
        whole = self._slot_seconds + self.slots * max(now - self._slots_since, 1e-6)
        return min(1.0, (self._train_seconds + running) / whole)


class Retries:
    """Counts deaths of trials' processes, and decides which trials are started again.

    Each start costs an import of torch. Where the trials of a method all die in the same way,
    each of them is therefore started only once.

    Example:
        >>> retries = Retries()
        >>> [retries.died("trial-1", "lnl", "exit code 137") for _ in range(3)], retries.deaths("trial-1")
        ([False, False, True], 3)
    """

    def __init__(self) -> None:
        self._deaths: Counter[str] = Counter()
        self._alike: Counter[tuple[str, str]] = Counter()
        self._given_up: set[tuple[str, str]] = set()

    def died(self, trial_id: str, label: str, death: str) -> bool:
        """Count a death of a trial's process.

        Args:
            trial_id: The trial.
            label: Label of its method.
            death: Description of the end of its process. Two that differ in numbers alone count as the same.

        Returns:
            True where the trial is not started again.
        """
        self._deaths[trial_id] += 1
        deaths, kind = self._deaths[trial_id], (label, re.sub(r"\d+", "#", death))
        self._alike[kind] += 1
        # One death may be of what ran beside it, so that a trial is started once more even where others died alike.
        if deaths > MAX_FAILURES or (deaths > 1 and self._alike[kind] > MAX_FAILURES + 1):
            self._given_up.add(kind)
        return deaths > MAX_FAILURES or kind in self._given_up

    def deaths(self, trial_id: str) -> int:
        """Number of deaths of a trial's processes."""
        return self._deaths[trial_id]

    def trained(self, label: str) -> None:
        """Record that a process of this method has trained a trial to its end."""
        self._given_up = {kind for kind in self._given_up if kind[0] != label}
        self._alike = Counter({kind: count for kind, count in self._alike.items() if kind[0] != label})

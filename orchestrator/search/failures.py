"""Failed trials in words: the number that diverged, and the commonest error of the others.

Pure: knows neither Ray nor files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trainable.texts import bounded

LONGEST_SHOWN = 300
"""Largest number of characters of an error on the screen.

The trial's row holds the whole text.
"""

# The sentences of ``Trainer._fail_unless_finite``; rows keep nothing of an exception but its text.
# Terms and further networks of a method have names of a user's.
_DIVERGED = re.compile(r"TrialFailed: epoch \d+: (?:.+ is (?:nan|-?inf)|a parameter of .+ is not a finite number)$")
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Failures:
    """Numbers of failed trials of a sweep.

    Attributes:
        diverged: Search trials whose losses or parameters were not finite.
        failed: Trials of both phases that failed for another reason.
        error: Commonest error of those; None where there are none.
        alike: Number of trials that failed with it.
    """

    diverged: int = 0
    failed: int = 0
    error: str | None = None
    alike: int = 0

    def lines(self) -> list[str]:
        """Sentences for the screen: the commonest error first, then the trials that diverged.

        Example:
            >>> Failures(1, 3, "OSError: no such file", 2).lines()[0]
            '3 trials failed, 2 of them with: OSError: no such file'
        """
        lines = []
        if self.error is not None:
            those = f", {self.alike} of them" if self.alike < self.failed else ""
            lines.append(f"{_trials(self.failed)} failed{those} with: {bounded(self.error, LONGEST_SHOWN)}")
        if self.diverged:
            lines.append(f"{_trials(self.diverged, 'search ')} diverged (counted, never selected)")
        return lines


def failures_of(rows: Iterable[Row]) -> Failures:
    """Count the failed trials among rows.

    Args:
        rows: Trial rows of both phases.

    Example:
        >>> row = {"trial_id": "a-1", "cell": "a", "phase": "search", "status": "failed", "error": "OSError: no file 7"}
        >>> failures_of([row, {**row, "status": "completed"}])
        Failures(diverged=0, failed=1, error='OSError: no file 7', alike=1)
    """
    counts: Counter[str] = Counter()
    example: dict[str, str] = {}
    diverged = 0
    for row in rows:
        if row["status"] != "failed":
            continue
        if has_diverged(row):
            # A confirm trial that diverged is named among the sweep's problems.
            diverged += row["phase"] == "search"
            continue
        kind = error_kind(row)
        counts[kind] += 1
        example.setdefault(kind, str(row["error"] or "no reason"))
    if not counts:
        return Failures(diverged)
    ((kind, alike),) = counts.most_common(1)
    return Failures(diverged, sum(counts.values()), example[kind], alike)


def has_diverged(row: Row) -> bool:
    """Tell if a row is that of a trial whose losses or parameters were not finite.

    Example:
        >>> has_diverged({"status": "failed", "error": "TrialFailed: epoch 3: label_loss is nan"})
        True
    """
    return row["status"] == "failed" and _DIVERGED.match(str(row["error"])) is not None


def error_kind(row: Row) -> str:
    """Error of a failed trial without its names and numbers, which differ between trials that fail alike.

    Example:
        >>> error_kind({"trial_id": "a-1", "cell": "a", "error": "OSError: a-1 needs 7 files"})
        'OSError: TRIAL needs # files'
    """
    text = str(row["error"] or "no reason")
    for name in (row["trial_id"], row["cell"]):
        text = text.replace(str(name), "TRIAL")
    return _NUMBERS.sub("#", text)


@dataclass(frozen=True)
class SameFailure:
    """First trials of a sweep, all of which failed with one error.

    Attributes:
        count: Number of trials.
        error: The error.
    """

    count: int
    error: str

    def __str__(self) -> str:
        return f"the first {self.count} trials all failed alike ({bounded(self.error, LONGEST_SHOWN)})"


class AlikeCheck:
    """Check for first trials of a sweep that all fail alike, as the next ones would do too.

    Trials that diverged do not count: other hyperparameters may train.

    Args:
        least: Number of trials that must have failed before ``failure`` is set.
        earlier: Rows that the sweep has already. One that did not fail means that trials can succeed.
    """

    def __init__(self, least: int, earlier: Iterable[Row] = ()) -> None:
        self._least = least
        self._kind: str | None = None
        self._count = 0
        self._over = any(row["status"] != "failed" or has_diverged(row) for row in earlier)
        self.failure: SameFailure | None = None

    def ended(self, row: Row) -> None:
        """Add the row of a trial that ended, and set ``failure`` once enough trials have failed alike."""
        if self._over or self.failure is not None:
            return
        if row["status"] != "failed" or has_diverged(row) or self._kind not in (None, error_kind(row)):
            self._over = True
            return
        self._kind = error_kind(row)
        self._count += 1
        if self._count >= self._least:
            self.failure = SameFailure(self._count, str(row["error"]))


def _trials(count: int, phase: str = "") -> str:
    return f"{count} {phase}trial{'s' if count > 1 else ''}"

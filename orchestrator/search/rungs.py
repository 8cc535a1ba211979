"""Early stopping by asynchronous successive halving (Li et al. 2018, arXiv 1810.05934), within each cell.

Trials of different cells are never compared: at the strongest bias the best trial is worse than the worst without
bias, so shared rungs would stop whole cells.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field

from orchestrator.config.sweep_config import EarlyStopping


@dataclass
class Rungs:
    """Rungs of one cell.

    Attributes:
        levels: Epochs of the rungs, ascending. There is no rung at the last epoch, where nothing is left to save.
        reduction_factor: One trial in this many goes on.

    Example:
        >>> rungs = Rungs(levels=(2, 6), reduction_factor=3)
        >>> [rungs.report(name, 2, value) for name, value in {"a": 0.5, "b": 0.7, "c": 0.6}.items()]
        [True, True, False]
    """

    levels: tuple[int, ...]
    reduction_factor: int
    _records: dict[int, dict[str, float]] = field(default_factory=dict)
    _ranked: dict[int, list[float]] = field(default_factory=dict)

    def report(self, trial_id: str, epoch: int, value: float) -> bool:
        """Record a value and decide whether the trial goes on.

        A rung stops nobody before it holds ``reduction_factor`` records: with fewer, the first trials to arrive would
        be stopped by one another. A repeated report of the same epoch (after a resume) changes nothing.

        Args:
            trial_id: The trial.
            epoch: Epochs done.
            value: Its objective, larger = better; NaN counts as the worst.

        Returns:
            False where the trial is to be stopped.
        """
        if epoch not in self.levels:
            return True
        records = self._records.setdefault(epoch, {})
        ranked = self._ranked.setdefault(epoch, [])
        if trial_id not in records:
            records[trial_id] = -math.inf if math.isnan(value) else value
            bisect.insort(ranked, records[trial_id])
        if len(ranked) < self.reduction_factor:
            return True
        promoted = max(1, len(ranked) // self.reduction_factor)
        return records[trial_id] >= ranked[-promoted]


def build_rungs(stopping: EarlyStopping | str, epochs: int) -> Rungs:
    """Make rungs at min_epochs, min_epochs x factor, min_epochs x factor^2 and so on.

    There are none where early stopping is off.

    Args:
        stopping: The resolved ``search.early_stopping``.
        epochs: Epochs of a trial.

    Returns:
        Rungs at epochs below ``epochs``.

    Example:
        >>> build_rungs(EarlyStopping(min_epochs=4, reduction_factor=3), epochs=40).levels
        (4, 12, 36)
    """
    if isinstance(stopping, str):
        return Rungs((), 2)
    levels = []
    level = stopping.min_epochs
    while level < epochs:
        levels.append(level)
        level *= stopping.reduction_factor
    return Rungs(tuple(levels), stopping.reduction_factor)

"""Search of a cell: its candidates, each trained with one or several search seeds, and the best of them.

Pure: knows neither Ray nor files.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.search.rungs import Rungs
from orchestrator.search.study import CellStudy
from store.rules import Ended, Rule, best, mean, objective, values_of

Row = Mapping[str, Any]
Place = tuple[int, int]
"""Search number of a candidate, and index of the search seed."""


@dataclass(frozen=True)
class Pick:
    """Choice of one rule in one cell."""

    hyperparameters: Mapping[str, Any]
    number: int
    value: float


@dataclass
class Search:
    """Search of a cell: a study, its rungs and its rows.

    A candidate's first seed is judged by the rungs. Where it completes, the candidate is trained with the other seeds
    too, to their end; where it is stopped early or fails, the candidate is given up. Its value is the mean over the
    seeds that completed, and counts once all have ended.

    Attributes:
        rule: Selection rule that the study and the early stopping follow.
        per_rule: True where only this rule chooses among its trials (``search.per_rule``).
        study: Proposes hyperparameters and learns from the rows.
        rungs: Early stopping of its trials.
        rows: Rows by candidate and seed.
        unissued: Trials that were never issued and may be issued now, in order.
        proposed: Hyperparameters of each candidate that was issued.
        sources: Cell from which a candidate's hyperparameters come, where they come from a neighbour.
        epochs: Epochs of a trial.
    """

    rule: Rule
    per_rule: bool
    study: CellStudy
    rungs: Rungs
    unissued: deque[Place] = field(default_factory=deque)
    rows: dict[Place, Row] = field(default_factory=dict)
    proposed: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    sources: dict[int, str] = field(default_factory=dict)
    epochs: int = 1
    _issued: set[Place] = field(default_factory=set)
    _first_epochs: dict[int, Sequence[tuple[int, float]]] = field(default_factory=dict)
    _best: dict[Rule, tuple[int, Pick | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unissued.extend((number, 0) for number in range(self.study.cell.trials))

    @property
    def candidates(self) -> int:
        """Number of candidates planned."""
        return self.study.cell.trials

    @property
    def seeds(self) -> int:
        """Number of search seeds of each candidate that is not given up."""
        return self.study.cell.search_seeds

    @property
    def trials(self) -> int:
        """Number of trials planned.

        It is an upper bound until the first seed of every candidate has ended.
        """
        if self.seeds == 1:
            return self.candidates
        given_up = len([1 for (_, seed), row in self.rows.items() if seed == 0 and row["status"] != "completed"])
        return self.candidates * self.seeds - given_up * (self.seeds - 1)

    @property
    def finished(self) -> list[Row]:
        """Rows of planned trials, by candidate and seed."""
        if self.seeds == 1:
            return list(self.rows.values())
        return [row for (number, seed), row in self.rows.items() if seed == 0 or self._goes_on(number)]

    @property
    def n_finished(self) -> int:
        """Number of rows of planned trials."""
        return len(self.rows) if self.seeds == 1 else len(self.finished)

    @property
    def ended(self) -> bool:
        """True where every planned trial has a row."""
        return self.n_finished >= self.trials

    @property
    def n_ended(self) -> int:
        """Number of candidates whose first seed has ended."""
        return sum(seed == 0 for _, seed in self.rows)

    def holds(self, position: Place) -> bool:
        """Tell if a trial belongs to the search as it is planned now."""
        number, seed = position
        return number < self.candidates and seed < self.seeds

    def put_back(self, position: Place, hyperparameters: Mapping[str, Any], source: str | None) -> None:
        """Restore a trial that an earlier driver issued."""
        number, _ = position
        if number not in self.proposed:
            self.study.restore(number, hyperparameters)
            self.proposed[number] = hyperparameters
        if source:
            self.sources[number] = source
        self._take(position)

    def next(self) -> Place | None:
        """Next trial to issue, which counts as issued from now on."""
        if not self.unissued:
            return None
        position = self.unissued[0]
        self._take(position)
        return position

    def _take(self, position: Place) -> None:
        self._issued.add(position)
        if position in self.unissued:
            self.unissued.remove(position)

    def propose(self, number: int, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Hyperparameters of a candidate, the same for each of its seeds."""
        if number not in self.proposed:
            self.proposed[number] = self.study.propose(number, given)
        return self.proposed[number]

    def file(self, position: Place, row: Row, history: Sequence[Row]) -> None:
        """Add the row of a trial, and report a candidate that has ended to the study."""
        number, seed = position
        self.rows[position] = row
        if seed == 0:
            self._first_epochs[number] = [(int(entry["epoch"]), objective(self.rule, entry)) for entry in history]
            if row["status"] == "completed":
                more = [(number, k) for k in range(1, self.seeds) if (number, k) not in self._issued]
                # Before new candidates, so that what is known of this one is known when the next is proposed.
                self.unissued.extendleft(reversed(more))
        first = self.rows.get((number, 0))
        if first is None or not self._has_all(number):
            return
        value = self.value(number, self.rule)
        self.study.tell(number, first["status"], value, self._first_epochs.pop(number, ()))

    def value(self, number: int, rule: Rule) -> float:
        """Mean of a rule's objective over a candidate's completed seeds.

        NaN where the candidate does not count, or does not count yet.
        """
        places = [(seed, self.rows[number, seed]) for seed in range(self.seeds) if (number, seed) in self.rows]
        trials = [Ended(seed, row["status"] == "completed", objective(rule, row)) for seed, row in places]
        return mean(values_of(trials, self.seeds))

    def best(self, rule: Rule) -> Pick | None:
        """Candidate with the highest value of a rule at its reported epoch.

        Of equal values the candidate with the lower number is chosen.
        """
        # The display asks again and again; rows are only ever added.
        known = self._best.get(rule)
        if known is not None and known[0] == len(self.rows):
            return known[1]
        numbers = [number for number, seed in self.rows if seed == 0]
        values = [self.value(number, rule) for number in numbers]
        position = best(numbers, values)
        pick: Pick | None = None
        if position is not None:
            number = numbers[position]
            pick = Pick(json.loads(self.rows[number, 0]["hyperparameters"]), number, values[position])
        self._best[rule] = (len(self.rows), pick)
        return pick

    def replay(self, trial_id: str, position: Place, history: Sequence[Row]) -> None:
        """Report the epochs of an earlier trial to the rungs, which judge the first seed of each candidate."""
        if position[1] == 0:
            for entry in history:
                self.report(trial_id, position[0], int(entry["epoch"]), objective(self.rule, entry))

    def report(self, trial_id: str, number: int, epoch: int, value: float) -> bool:
        """Record an epoch's objective in the rungs.

        An epoch before the last stage of a method is that of a network which nobody judges.

        Args:
            trial_id: The trial.
            number: Number of its candidate.
            epoch: Epochs done.
            value: Its objective.

        Returns:
            False where the trial is to be stopped.
        """
        if epoch <= self.study.cell.judged_after(self.proposed.get(number, {}), self.epochs):
            return True
        return self.rungs.report(trial_id, epoch, value)

    def _goes_on(self, number: int) -> bool:
        first = self.rows.get((number, 0))
        return first is not None and first["status"] == "completed"

    def _has_all(self, number: int) -> bool:
        seeds = self.seeds if self._goes_on(number) else 1
        return all((number, seed) in self.rows for seed in range(seeds))

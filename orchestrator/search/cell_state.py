"""State of one cell: its searches, the choices of the selection rules, and the confirm trials that are wanted.

Pure: knows neither Ray nor files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.cells import Cell
from orchestrator.plan.identity import at_place, confirm_seed, in_repeat, search_seed, trial_spec
from orchestrator.search.cell_search import Pick, Row, Search
from orchestrator.search.rungs import build_rungs
from orchestrator.search.study import CellStudy
from store.columns import PRESSURES
from store.names import Place, confirm_id, search_id
from store.rules import Rule
from trainable.methods.base import get_method
from trainable.spec import TrialSpec

__all__ = ["CellState", "CellStatus", "Pick", "Row", "Search"]


@dataclass(frozen=True)
class CellStatus:
    """Progress of one cell, for the display and ``status.json``."""

    cell: str
    label: str
    bias_value: float
    planned: int
    exact: bool
    finished: int
    running: int
    pruned: int
    failed: int
    best: float | None
    best_pressure: float | None
    searching: bool
    repeat: int = 0
    like: str | None = None


class CellState:
    """State of one cell in one repeat of the sweep.

    Args:
        config: The resolved configuration.
        cell: The cell.
        repeat: Number of the repetition of search and confirm, from 0.

    Attributes:
        source: State of the cell whose search chooses for this one, which then has none of its own.
    """

    def __init__(self, config: SweepConfig, cell: Cell, repeat: int = 0) -> None:
        assert config.search.rule is not None
        self.config = config
        self.source: CellState | None = None
        self.cell = cell
        self.repeat = repeat
        self._seeds = config.confirm.seeds_of()
        rules: list[Rule] = [config.search.rule]
        per_rule = config.search.per_rule
        if per_rule:
            rules += [rule for rule in self._seeds if rule not in rules]
        self.searches = [] if cell.like else [self._search(rule, per_rule) for rule in rules]
        self.confirm: dict[str, Row] = {}
        self.running: set[str] = set()
        self.picks: dict[Rule, Pick] | None = None
        self.wanted: dict[str, tuple[Mapping[str, Any], int, int | None]] = {}

    def _search(self, rule: Rule, per_rule: bool) -> Search:
        study = CellStudy(
            self.cell, self.config.search.sampler, self.config.seed, self.repeat, rule if per_rule else None
        )
        rungs = build_rungs(self.config.search.early_stopping, self.config.training.epochs)
        return Search(rule, per_rule, study, rungs, epochs=self.config.training.epochs)

    def search_of(self, rule: Rule | None) -> Search | None:
        """Search of a rule, or the search of all rules for None.

        None where the sweep has no such search, or no longer has it.
        """
        return next((s for s in self.searches if (s.rule if s.per_rule else None) == rule), None)

    @property
    def planned(self) -> tuple[int, bool]:
        """Pair of the number of trials planned, and True where that number is exact.

        The number is an upper bound until the searches end.
        """
        searches = sum(search.trials for search in self.searches)
        if self.picks is None:
            return searches + sum(self._seeds.values()) * self.config.confirm.splits, False
        return searches + len(self.wanted), True

    @property
    def finished(self) -> int:
        """Number of planned trials that have their row."""
        return sum(s.n_finished for s in self.searches) + sum(name in self.confirm for name in self.wanted)

    def rows(self) -> Iterator[Row]:
        """Rows of the planned trials that have ended."""
        for search in self.searches:
            yield from search.finished
        yield from (self.confirm[name] for name in self.wanted if name in self.confirm)

    def finished_ids(self) -> Iterator[str]:
        """Identifiers of the planned trials that have ended."""
        return (str(row["trial_id"]) for row in self.rows())

    @property
    def share(self) -> float:
        """Share of the plan that is finished or running, in [0, 1]."""
        # Nothing is planned where the search it waited for has chosen nothing.
        return (self.finished + len(self.running)) / max(1, self.planned[0])

    def restore_row(self, row: Row, history: Sequence[Row]) -> None:
        """Add a row that the directory holds."""
        if row["phase"] == "search":
            search, position = self.search_of(row["search_rule"]), (row["search_number"], row["seed_number"])
            if search is None or not search.holds(position):
                return
            search.put_back(position, json.loads(row["hyperparameters"]), row.get("enqueued_from"))
            search.replay(str(row["trial_id"]), position, history)
        self._file(row, history)

    def restore_open(self, spec: TrialSpec, history: Sequence[Row]) -> bool:
        """Add a trial that was issued and has no row.

        False where it no longer belongs to the sweep.
        """
        if spec.phase == "search":
            if spec.search_number is None or spec.seed_number is None:
                return False
            search, position = self.search_of(spec.search_rule), (spec.search_number, spec.seed_number)
            if search is None or not search.holds(position):
                return False
            search.put_back(position, spec.hyperparameters, spec.enqueued_from)
            search.replay(spec.trial_id, position, history)
        else:
            self.choose()
            if spec.trial_id not in self.wanted:
                return False
        self.running.add(spec.trial_id)
        return True

    def next(self, neighbours: Sequence[CellState] = ()) -> TrialSpec | None:
        """Next trial of this cell, or None where nothing can be issued now."""
        spec = self._next_search(neighbours) or self._next_confirm()
        if spec is not None:
            self.running.add(spec.trial_id)
        return spec

    def record(self, row: Row, history: Sequence[Row]) -> bool:
        """Add the row of a trial that ended.

        True where this ended the cell's search.
        """
        self.running.discard(str(row["trial_id"]))
        self._file(row, history)
        return row["phase"] == "search" and self.choose()

    def report(self, spec: TrialSpec, epoch: int, value: float) -> bool:
        """Record an epoch's objective in the rungs.

        False where the trial is to be stopped.
        """
        search = self.search_of(spec.search_rule) if spec.phase == "search" and spec.seed_number == 0 else None
        if search is None or spec.search_number is None:
            return True
        return search.report(spec.trial_id, spec.search_number, epoch, value)

    def choose(self) -> bool:
        """Let the rules choose, once, when the searches have ended.

        True where they chose now.
        """
        if self.picks is not None:
            return False
        if self.cell.like is not None:
            if self.source is None or (self.source.picks is None and not self.source.choose()):
                return False
            chosen = self.source.picks or {}
            self.picks = {
                rule: replace(pick, hyperparameters=self.cell.like.of(pick.hyperparameters))
                for rule, pick in chosen.items()
            }
        elif all(search.ended for search in self.searches):
            best = {rule: self._searched_for(rule).best(rule) for rule in self._seeds}
            self.picks = {rule: pick for rule, pick in best.items() if pick is not None}
        else:
            return False
        # By id: a configuration that two rules chose is trained once, for the larger number of seeds.
        self.wanted = {
            confirm_id(self.cell.id, pick.hyperparameters, k, self.repeat, split): (pick.hyperparameters, k, split)
            for rule, pick in self.picks.items()
            for split in self.config.confirm.places()
            for k in range(self._seeds[rule])
        }
        return True

    def best(self) -> Pick | None:
        """Best hyperparameters so far by the search's rule.

        None without a search of its own.
        """
        return None if self.cell.like else self.searches[0].best(self.searches[0].rule)

    def status(self) -> CellStatus:
        """Progress of the cell."""
        rows = [row for search in self.searches for row in search.finished] + list(self.confirm.values())
        best, (planned, exact) = self.best(), self.planned
        pressures = get_method(self.cell.method).anchor or PRESSURES
        return CellStatus(
            cell=self.cell.id,
            label=self.cell.label,
            bias_value=self.cell.bias_value,
            planned=planned,
            exact=exact,
            finished=self.finished,
            running=len(self.running),
            pruned=sum(row["status"] == "pruned" for row in rows),
            failed=sum(row["status"] == "failed" for row in rows),
            best=best.value if best else None,
            best_pressure=next((best.hyperparameters[n] for n in pressures if n in best.hyperparameters), None)
            if best
            else None,
            searching=self.picks is None,
            repeat=self.repeat,
            like=None if self.cell.like is None else self.cell.like.label,
        )

    def _searched_for(self, rule: Rule) -> Search:
        return next((search for search in self.searches if search.per_rule and search.rule == rule), self.searches[0])

    def _file(self, row: Row, history: Sequence[Row]) -> None:
        if row["phase"] == "confirm":
            self.confirm[str(row["trial_id"])] = row
            return
        search = self.search_of(row["search_rule"])
        assert search is not None
        search.file((row["search_number"], row["seed_number"]), row, history)

    def _next_search(self, neighbours: Sequence[CellState]) -> TrialSpec | None:
        waiting = [search for search in self.searches if search.unissued]
        if not waiting:
            return None
        # The one with most left, so that they end together: the rules choose when all have ended.
        search = max(waiting, key=lambda s: len(s.unissued))
        position = search.next()
        assert position is not None
        number, k = position
        rule = search.rule if search.per_rule else None
        given = None if number in search.proposed else self._from_neighbour(search, number, neighbours)
        name = search_id(self.cell.id, self.repeat, number, rule, k)
        seed = search_seed(self.config.seed, self.repeat, k)
        spec = trial_spec(self.config, self.cell, "search", name, search.propose(number, given), seed)
        spec = replace(spec, rule=search.rule, enqueued_from=search.sources.get(number))
        return in_repeat(at_place(spec, Place(number, rule, k)), self.config.seed, self.repeat)

    def _from_neighbour(self, search: Search, number: int, neighbours: Sequence[CellState]) -> Mapping[str, Any] | None:
        if not self.config.search.neighbours or (number == 0 and self.cell.anchor is not None):
            return None
        for other in neighbours:
            if other.cell.id in search.sources.values() or 2 * other.searches[0].n_ended < other.cell.trials:
                continue
            best = other.best()
            if best is not None and search.study.holds(best.hyperparameters):
                search.sources[number] = other.cell.id
                return best.hyperparameters
        return None

    def _next_confirm(self) -> TrialSpec | None:
        for name, (hyperparameters, k, split) in self.wanted.items():
            if name not in self.confirm and name not in self.running:
                seed = confirm_seed(self.config.seed, k, self.repeat, split)
                spec = trial_spec(self.config, self.cell, "confirm", name, hyperparameters, seed)
                return in_repeat(at_place(spec, Place(seed=k)), self.config.seed, self.repeat, split)
        return None

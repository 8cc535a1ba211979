"""Which trial runs next: slots are shared by all cells, and a cell's confirm trials start when its own search ends.

Pure: knows neither Ray nor files. It is rebuilt from rows, histories and open trials, and fed with the end of each
trial; so it serves a fresh sweep, a resumed one and a simulated one alike.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna

from orchestrator.cells import Cell
from orchestrator.config import SweepConfig
from orchestrator.identity import confirm_id, confirm_seed, search_id, search_number, search_seed, trial_spec
from orchestrator.scheduler import Rungs, build_rungs
from orchestrator.search import CellStudy
from trainable.spec import Rule, TrialSpec, objective

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Pick:
    """What one rule chose in one cell."""

    hyperparameters: Mapping[str, Any]
    number: int
    value: float


@dataclass
class _Progress:
    """Everything known about one cell."""

    cell: Cell
    study: CellStudy
    rungs: Rungs
    search: dict[int, Row] = field(default_factory=dict)
    confirm: dict[str, Row] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    picks: dict[Rule, Pick] | None = None
    wanted: dict[str, tuple[Mapping[str, Any], int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unissued = deque(range(self.cell.trials))


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
    best_lambda: float | None
    searching: bool


class Dispatcher:
    """Holds every cell's study, rungs and rows, and decides what runs next.

    Args:
        config: The resolved configuration.
        cells: The grid.
    """

    def __init__(self, config: SweepConfig, cells: list[Cell]) -> None:
        assert config.search.rule is not None
        self.config = config
        self.rule: Rule = config.search.rule
        self._cells: dict[str, _Progress] = {
            cell.id: _Progress(
                cell,
                CellStudy(cell, config.search.sampler, config.seed),
                build_rungs(config.search.early_stopping, config.training.epochs),
            )
            for cell in cells
        }
        self._waiting: list[TrialSpec] = []

    @property
    def cells(self) -> list[Cell]:
        """The grid."""
        return [progress.cell for progress in self._cells.values()]

    def study(self, cell_id: str) -> CellStudy:
        """The study of a cell."""
        return self._cells[cell_id].study

    def studies(self) -> list[optuna.Study]:
        """The Optuna studies of all cells."""
        return [progress.study.study for progress in self._cells.values()]

    def restore(
        self, rows: Iterable[Row], histories: Mapping[str, Sequence[Row]], open_trials: Iterable[TrialSpec]
    ) -> list[TrialSpec]:
        """Rebuild studies, rungs and progress from what a directory holds.

        Args:
            rows: Trial rows, one for each key. Rows of cells that are not in the grid are left alone.
            histories: History rows of each trial, in the order of the epochs, of open trials too.
            open_trials: Trials that were issued and have no row: they go on first.

        Returns:
            Open trials that no longer belong to the sweep.
        """
        known = [row for row in rows if row["cell"] in self._cells]
        for row in sorted(known, key=_search_order):
            progress = self._cells[row["cell"]]
            history = histories.get(row["trial_id"], [])
            if row["phase"] == "search":
                number = search_number(row["trial_id"])
                if number >= progress.cell.trials:
                    continue
                progress.study.restore(number, json.loads(row["hyperparameters"]))
                progress.unissued.remove(number)
                self._replay(progress, str(row["trial_id"]), history)
            self._file(progress, row, history)
        stale = []
        for spec in open_trials:
            owner = self._cells.get(spec.cell)
            if owner is None or not self._belongs(owner, spec):
                stale.append(spec)
                continue
            if spec.phase == "search":
                number = search_number(spec.trial_id)
                owner.study.restore(number, spec.hyperparameters)
                owner.unissued.remove(number)
                self._replay(owner, spec.trial_id, histories.get(spec.trial_id, []))
            owner.running.add(spec.trial_id)
            self._waiting.append(spec)
        for progress in self._cells.values():
            self._choose(progress)
        return stale

    def next(self) -> TrialSpec | None:
        """The next trial to run, or None where nothing can be issued now."""
        if self._waiting:
            return self._waiting.pop(0)
        # Furthest behind first: the share of its plan that is finished or running.
        order = sorted(self._cells.values(), key=lambda p: self._started(p) / self._planned(p)[0])
        for progress in order:
            spec = self._next_search(progress) or self._next_confirm(progress)
            if spec is not None:
                progress.running.add(spec.trial_id)
                return spec
        return None

    def report(self, spec: TrialSpec, epoch: int, value: float) -> bool:
        """Record an epoch's objective in the cell's rungs; False where the trial is to be stopped."""
        if spec.phase != "search":
            return True
        return self._cells[spec.cell].rungs.report(spec.trial_id, epoch, value)

    def rung_epochs(self, spec: TrialSpec) -> tuple[int, ...]:
        """Epochs at which a checkpoint of the trial is forced."""
        known = spec.phase == "search" and spec.cell in self._cells
        return self._cells[spec.cell].rungs.levels if known else ()

    def record(self, row: Row, history: Sequence[Row]) -> bool:
        """Take in the row of a trial that ended.

        Returns:
            True where this ended the search of its cell.
        """
        progress = self._cells[row["cell"]]
        progress.running.discard(str(row["trial_id"]))
        self._file(progress, row, history)
        return row["phase"] == "search" and self._choose(progress)

    @property
    def running(self) -> int:
        """Number of trials that were issued and have not ended."""
        return sum(len(progress.running) for progress in self._cells.values())

    @property
    def finished(self) -> bool:
        """True where every planned trial has its row."""
        return all(self._done(p) == self._planned(p)[0] and self._planned(p)[1] for p in self._cells.values())

    def totals(self) -> tuple[int, bool, int]:
        """(planned, whether that is exact, finished) over all cells."""
        plans = [self._planned(progress) for progress in self._cells.values()]
        done = sum(self._done(progress) for progress in self._cells.values())
        return sum(n for n, _ in plans), all(exact for _, exact in plans), done

    def picks(self, cell_id: str) -> dict[Rule, Pick]:
        """What each rule chose in a cell; empty while its search runs."""
        return dict(self._cells[cell_id].picks or {})

    def problems(self) -> list[str]:
        """What makes the sweep end with exit code 1, a line each."""
        lines = []
        for progress in self._cells.values():
            if progress.picks is not None and not progress.picks:
                lines.append(f"{progress.cell.id}: no search trial completed")
            rows = [progress.confirm[name] for name in progress.wanted if name in progress.confirm]
            lines += [f"{row['trial_id']}: {row['error']}" for row in rows if row["status"] == "failed"]
        return lines

    def failed_search_trials(self) -> int:
        """Number of search trials that diverged or raised."""
        return sum(row["status"] == "failed" for p in self._cells.values() for row in p.search.values())

    def status(self) -> list[CellStatus]:
        """Progress of every cell."""
        return [self._status(progress) for progress in self._cells.values()]

    def _status(self, progress: _Progress) -> CellStatus:
        rows = [*progress.search.values(), *progress.confirm.values()]
        best = _best(progress.search, self.rule)
        planned, exact = self._planned(progress)
        return CellStatus(
            cell=progress.cell.id,
            label=progress.cell.label,
            bias_value=progress.cell.bias_value,
            planned=planned,
            exact=exact,
            finished=self._done(progress),
            running=len(progress.running),
            pruned=sum(row["status"] == "pruned" for row in rows),
            failed=sum(row["status"] == "failed" for row in rows),
            best=best.value if best else None,
            best_lambda=best.hyperparameters.get("lambda_") if best else None,
            searching=progress.picks is None,
        )

    def _file(self, progress: _Progress, row: Row, history: Sequence[Row]) -> None:
        if row["phase"] == "confirm":
            progress.confirm[str(row["trial_id"])] = row
            return
        number = search_number(row["trial_id"])
        progress.search[number] = row
        values = [(int(entry["epoch"]), objective(self.rule, entry)) for entry in history]
        progress.study.tell(number, row["status"], objective(self.rule, row), values)

    def _replay(self, progress: _Progress, trial_id: str, history: Sequence[Row]) -> None:
        for entry in history:
            progress.rungs.report(trial_id, int(entry["epoch"]), objective(self.rule, entry))

    def _belongs(self, progress: _Progress, spec: TrialSpec) -> bool:
        if spec.phase == "search":
            return search_number(spec.trial_id) < progress.cell.trials
        self._choose(progress)
        return spec.trial_id in progress.wanted

    def _choose(self, progress: _Progress) -> bool:
        if progress.picks is not None or len(progress.search) < progress.cell.trials:
            return False
        picks = {rule: _best(progress.search, rule) for rule in self.config.confirm.seeds_of()}
        progress.picks = {rule: pick for rule, pick in picks.items() if pick is not None}
        progress.wanted = self._wanted(progress)
        return True

    def _wanted(self, progress: _Progress) -> dict[str, tuple[Mapping[str, Any], int]]:
        """Confirm trials by id; a configuration that two rules chose is trained once."""
        seeds = self.config.confirm.seeds_of()
        return {
            confirm_id(progress.cell.id, pick.hyperparameters, k): (pick.hyperparameters, k)
            for rule, pick in (progress.picks or {}).items()
            for k in range(seeds[rule])
        }

    def _planned(self, progress: _Progress) -> tuple[int, bool]:
        if progress.picks is None:
            return progress.cell.trials + sum(self.config.confirm.seeds_of().values()), False
        return progress.cell.trials + len(progress.wanted), True

    def _done(self, progress: _Progress) -> int:
        return len(progress.search) + sum(name in progress.confirm for name in progress.wanted)

    def _started(self, progress: _Progress) -> int:
        return self._done(progress) + len(progress.running)

    def _next_search(self, progress: _Progress) -> TrialSpec | None:
        if not progress.unissued:
            return None
        number = progress.unissued.popleft()
        name, seed = search_id(progress.cell.id, 0, number), search_seed(self.config.seed)
        return trial_spec(self.config, progress.cell, "search", name, progress.study.propose(number), seed)

    def _next_confirm(self, progress: _Progress) -> TrialSpec | None:
        for name, (hyperparameters, k) in progress.wanted.items():
            if name not in progress.confirm and name not in progress.running:
                seed = confirm_seed(self.config.seed, k)
                return trial_spec(self.config, progress.cell, "confirm", name, hyperparameters, seed)
        return None


def _best(rows: Mapping[int, Row], rule: Rule) -> Pick | None:
    best: Pick | None = None
    for number in sorted(rows):
        value = objective(rule, rows[number])
        if rows[number]["status"] != "completed" or not math.isfinite(value):
            continue
        if best is None or value > best.value:
            best = Pick(json.loads(rows[number]["hyperparameters"]), number, value)
    return best


def _search_order(row: Row) -> tuple[str, int]:
    return str(row["cell"]), search_number(row["trial_id"]) if row["phase"] == "search" else -1

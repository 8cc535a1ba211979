"""Dispatch of trials: all cells share the slots, and a cell's confirm trials start when its own search ends.

Pure: knows neither Ray nor files. It is rebuilt from rows, histories and open trials, and receives the end of each
trial. So it serves a new sweep, a resumed one and a simulated one alike.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import optuna

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.cells import Cell
from orchestrator.search.cell_state import CellState, CellStatus, Pick, Row
from orchestrator.search.failures import Failures, failures_of
from store.rules import Rule
from trainable.spec import TrialSpec

__all__ = ["CellStatus", "Dispatcher", "Pick"]


class Dispatcher:
    """Holds every cell's state, and decides which trial runs next.

    Args:
        config: The resolved configuration.
        cells: The grid, or the part of it that is to run. Cells in which a method is not applicable have no trials.

    Attributes:
        config: The configuration.
        rule: The rule that the search follows.
        cells: Those that have trials.
        not_applicable: The others.
    """

    def __init__(self, config: SweepConfig, cells: list[Cell]) -> None:
        assert config.search.rule is not None
        self.config = config
        self.rule: Rule = config.search.rule
        self.not_applicable = [cell for cell in cells if cell.not_applicable is not None]
        self.cells = cells = [cell for cell in cells if cell.not_applicable is None]
        self._states = _states_of(config, cells)
        self._followers: dict[tuple[str, int], list[CellState]] = {}
        for state in self._states.values():
            if state.source is not None:
                self._followers.setdefault((state.source.cell.id, state.repeat), []).append(state)
        self._waiting: list[TrialSpec] = []
        self._cells = {cell.id: cell for cell in cells}
        # With thousands of cells no answer may look at all of them: the order of the cells is a heap whose entries
        # are outdated by the next one of the same cell. One heap for each label, since trials of different methods may
        # need different places.
        self._keys = {key: i for i, key in enumerate(self._states)}
        self._orders: dict[str, list[tuple[float, int, int, CellState]]] = {cell.label: [] for cell in cells}
        self._version = dict.fromkeys(self._states, 0)
        self._unfinished = set(self._states)
        for state in self._states.values():
            self._changed(state)
        self._neighbours = self._find_neighbours() if config.search.neighbours else {}

    def _changed(self, state: CellState) -> None:
        key = (state.cell.id, state.repeat)
        self._version[key] += 1
        heapq.heappush(self._orders[state.cell.label], (state.share, self._keys[key], self._version[key], state))
        if state.planned == (state.finished, True):
            self._unfinished.discard(key)
        else:
            self._unfinished.add(key)

    def _find_neighbours(self) -> dict[tuple[str, int], list[CellState]]:
        lines: dict[object, list[CellState]] = {}
        for state in self._states.values():
            others = tuple((k, v) for k, v in state.cell.bias.items() if k != state.cell.bias_axis)
            lines.setdefault((state.cell.label, state.cell.fold, state.repeat, others), []).append(state)
        neighbours: dict[tuple[str, int], list[CellState]] = {}
        for line in lines.values():
            line.sort(key=lambda state: state.cell.bias_value)
            for i, state in enumerate(line):
                neighbours[state.cell.id, state.repeat] = [line[j] for j in (i - 1, i + 1) if 0 <= j < len(line)]
        return neighbours

    def studies(self) -> list[optuna.Study]:
        """Optuna studies of all cells."""
        return [search.study.study for state in self._states.values() for search in state.searches]

    def restore(
        self, rows: Iterable[Row], histories: Mapping[str, Sequence[Row]], open_trials: Iterable[TrialSpec]
    ) -> list[TrialSpec]:
        """Rebuild studies, rungs and progress from what a directory holds.

        Args:
            rows: Trial rows, one for each key. Rows of cells that are not in the grid are left alone.
            histories: History rows of each trial, in the order of the epochs, of open trials too.
            open_trials: Trials that were issued and have no row: they go on first.

        Returns:
            Open trials of these cells that no longer belong to the sweep; those of other cells are left alone.
        """
        known = [row for row in rows if (row["cell"], row["repeat"]) in self._states]
        for row in sorted(known, key=_search_order):
            self._states[row["cell"], row["repeat"]].restore_row(row, histories.get(row["trial_id"], []))
        stale = []
        for spec in open_trials:
            state = self._states.get((spec.cell, spec.repeat))
            if state is None:
                continue
            if state.restore_open(spec, histories.get(spec.trial_id, [])):
                self._waiting.append(spec)
            else:
                stale.append(spec)
        for state in self._states.values():
            state.choose()
            self._changed(state)
        return stale

    def next(self, takes: Callable[[str], bool] = lambda label: True) -> TrialSpec | None:
        """Next trial to run.

        Args:
            takes: Tells if there is a slot for a trial of the method of this label.

        Returns:
            The trial, or None where nothing can be issued now.
        """
        taken = [label for label in self._orders if takes(label)]
        for i, waiting in enumerate(self._waiting):
            if waiting.label in taken:
                return self._waiting.pop(i)
        # Furthest behind first: the share of its plan that is finished or running.
        while (state := self._furthest_behind(taken)) is not None:
            heapq.heappop(self._orders[state.cell.label])
            spec = state.next(self._neighbours.get((state.cell.id, state.repeat), ()))
            # A cell that has nothing to issue now will have something when one of its trials ends, not before.
            if spec is not None:
                self._changed(state)
                return spec
        return None

    def _furthest_behind(self, labels: Iterable[str]) -> CellState | None:
        best: tuple[float, int, int, CellState] | None = None
        for order in (self._orders[label] for label in labels):
            while order and order[0][2] != self._version[order[0][3].cell.id, order[0][3].repeat]:
                heapq.heappop(order)
            if order and (best is None or order[0] < best):
                best = order[0]
        return None if best is None else best[3]

    def requeue(self, spec: TrialSpec) -> None:
        """Put an issued trial that is to be started again at the head of the queue."""
        self._waiting.insert(0, spec)

    def report(self, spec: TrialSpec, epoch: int, value: float) -> bool:
        """Record an epoch's objective in the cell's rungs.

        False where the trial is to be stopped.
        """
        return self._states[spec.cell, spec.repeat].report(spec, epoch, value)

    def rung_epochs(self, spec: TrialSpec) -> tuple[int, ...]:
        """Epochs at which a checkpoint of the trial is forced."""
        state = self._states.get((spec.cell, spec.repeat))
        if state is None or spec.phase != "search" or spec.seed_number != 0:
            return ()
        search = state.search_of(spec.search_rule)
        return () if search is None else search.rungs.levels

    def record(self, row: Row, history: Sequence[Row]) -> bool:
        """Add the row of a trial that ended.

        Returns:
            True where this ended the search of its cell.
        """
        state = self._states[row["cell"], row["repeat"]]
        ended = state.record(row, history)
        self._changed(state)
        for follower in self._followers.get((row["cell"], row["repeat"]), ()) if ended else ():
            follower.choose()
            self._changed(follower)
        return ended

    @property
    def running(self) -> int:
        """Number of trials that were issued and have not ended."""
        return sum(len(state.running) for state in self._states.values())

    @property
    def finished(self) -> bool:
        """True where every planned trial has its row."""
        return not self._unfinished

    def cell(self, cell_id: str) -> Cell:
        """Cell of this identifier."""
        return self._cells[cell_id]

    def cell_is_done(self, cell_id: str) -> bool:
        """True where every planned trial of a cell has its row, in all repeats."""
        return not any((cell_id, repeat) in self._unfinished for repeat in range(self.config.search.repeats))

    def totals(self) -> tuple[int, bool, int]:
        """Numbers of trials planned and finished over all cells.

        Returns:
            (planned, True where that is exact, finished).
        """
        plans = [state.planned for state in self._states.values()]
        done = sum(state.finished for state in self._states.values())
        return sum(n for n, _ in plans), all(exact for _, exact in plans), done

    def finished_ids(self) -> set[str]:
        """Identifiers of the planned trials that have their row."""
        return {name for state in self._states.values() for name in state.finished_ids()}

    def problems(self) -> list[str]:
        """Reasons for which the sweep ends with exit code 1, a line each."""
        lines = []
        for state in self._states.values():
            if state.picks is not None and not state.picks:
                like = state.cell.like
                lines.append(f"{state.cell.id}: no search trial {f'of {like.cell} ' if like else ''}completed")
            rows = [state.confirm[name] for name in state.wanted if name in state.confirm]
            lines += [f"{row['trial_id']}: {row['error']}" for row in rows if row["status"] == "failed"]
        return lines

    def rows(self) -> Iterator[Row]:
        """Rows of the planned trials that have ended."""
        for state in self._states.values():
            yield from state.rows()

    def failures(self) -> Failures:
        """Trials that diverged, and those that failed for another reason."""
        return failures_of(self.rows())

    def status(self) -> list[CellStatus]:
        """Progress of every cell."""
        return [state.status() for state in self._states.values()]


def _states_of(config: SweepConfig, cells: Iterable[Cell]) -> dict[tuple[str, int], CellState]:
    """A state for each cell and repeat, in the order of the cells."""
    cells = list(cells)
    pairs = [(cell, repeat) for repeat in range(config.search.repeats) for cell in cells]
    states = {(cell.id, repeat): CellState(config, cell, repeat) for cell, repeat in pairs}
    for (_, repeat), state in states.items():
        if state.cell.like is not None:
            state.source = states[state.cell.like.cell, repeat]
    return states


def _search_order(row: Row) -> tuple[str, int, int]:
    # By number: a study is then rebuilt in one order, whatever the order in which the parts were read.
    number, seed = (row["search_number"], row["seed_number"]) if row["phase"] == "search" else (-1, 0)
    return str(row["cell"]), number, seed

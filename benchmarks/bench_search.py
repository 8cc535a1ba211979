"""Quality of the search at equal trial-epochs, on recorded real curves (benchmarks/data): regret for each cell.

    python benchmarks/bench_search.py               # 100 repeats: the rare search that fails must count
    python benchmarks/bench_search.py --repeats 20  # a look

A proposal is answered with the curve of the nearest recorded configuration. Each cell may spend BUDGET trial-epochs;
what a search then chose (the completed trial with the highest last value) is compared with the best one recorded.
Regret is in points of counterfactual validation accuracy; 95 % t intervals over repeats.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import optuna
from scipy import stats

from benchmarks.record_curves import EPOCHS, FILE, SEARCHED, VALUES
from orchestrator.config.sweep_config import EarlyStopping
from orchestrator.config.sweep_file import validate
from orchestrator.plan.cells import build_cells, load_checked, resolve
from orchestrator.search.dispatch import Dispatcher
from orchestrator.search.rungs import Rungs, build_rungs
from tests.orchestrator.support import Simulation
from trainable.methods.base import Range, get_method
from trainable.spec import TrialSpec

TRIALS = 16
BUDGET = TRIALS * EPOCHS
"""Trial-epochs of a cell: those of 16 whole trials."""
SLOTS = 4
STOPPING = EarlyStopping(min_epochs=math.ceil(1.3 * 0.3 * EPOCHS), reduction_factor=3)
LONGER = 24
"""Number of search trials where early stopping makes them cheaper, of which those beyond the budget do not count."""
SPACE: dict[str, Range] = {name: get_method("lnl").space[name] for name in SEARCHED}  # type: ignore[misc]


class Table:
    """The recorded curves."""

    def __init__(self) -> None:
        with FILE.open() as file:
            rows = list(csv.DictReader(file))
        self.points = {v: np.array([self.place(r) for r in rows if float(r["color_variance"]) == v]) for v in VALUES}
        self.curves = {
            v: [
                [float(r[f"epoch_{i + 1}"] or "nan") for i in range(EPOCHS)]
                for r in rows
                if float(r["color_variance"]) == v
            ]
            for v in VALUES
        }

    @staticmethod
    def place(hyperparameters: Mapping[str, Any]) -> list[float]:
        """Position in the unit cube, logarithmic like the ranges, where the anchor's zeros lie at the lower ends."""
        found = []
        for name, entry in SPACE.items():
            value = max(float(hyperparameters[name]), entry.low)
            found.append(math.log(value / entry.low) / math.log(entry.high / entry.low))
        return found

    def value(self, cell: float, hyperparameters: Mapping[str, Any], epoch: int) -> float:
        nearest = int(np.argmin(((self.points[cell] - self.place(hyperparameters)) ** 2).sum(axis=1)))
        return self.curves[cell][nearest][epoch - 1]

    def best(self, cell: float) -> float:
        return float(np.nanmax([curve[-1] for curve in self.curves[cell]]))


class Search(Protocol):
    """Search of one cell (or of all), which proposes, receives every epoch, and may stop a trial."""

    def ask(self) -> tuple[Any, dict[str, float]]: ...

    def report(self, handle: Any, epoch: int, value: float) -> bool: ...

    def end(self, handle: Any, epoch: int, value: float, complete: bool) -> None: ...


@dataclass
class OptunaSearch:
    """Plain Optuna study, whose trials are stopped where it has ``rungs``."""

    study: optuna.Study
    rungs: Rungs = field(default_factory=lambda: build_rungs("off", EPOCHS))

    def ask(self) -> tuple[Any, dict[str, float]]:
        trial = self.study.ask()
        return trial, {n: trial.suggest_float(n, entry.low, entry.high, log=True) for n, entry in SPACE.items()}

    def report(self, handle: Any, epoch: int, value: float) -> bool:
        handle.report(value, epoch)
        return self.rungs.report(str(handle.number), epoch, value)

    def end(self, handle: Any, epoch: int, value: float, complete: bool) -> None:
        state = optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.PRUNED
        self.study.tell(handle, value if complete else None, state=state)


class RaySearch:
    """Ray's own OptunaSearch and ASHA, one pair for each cell."""

    def __init__(self, seed: int) -> None:
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch as Theirs

        space = {name: tune.loguniform(entry.low, entry.high) for name, entry in SPACE.items()}
        self._search = Theirs(space=space, metric="value", mode="max", seed=seed)
        self._scheduler = ASHAScheduler(
            time_attr="epoch", metric="value", mode="max", max_t=EPOCHS, grace_period=STOPPING.min_epochs,
            reduction_factor=STOPPING.reduction_factor,
        )  # fmt: skip
        self._asked = 0

    def ask(self) -> tuple[Any, dict[str, float]]:
        self._asked += 1
        trial = _RayTrial(str(self._asked))
        found = self._search.suggest(trial.trial_id)
        assert isinstance(found, dict)
        self._scheduler.on_trial_add(None, trial)
        return trial, found

    def report(self, handle: Any, epoch: int, value: float) -> bool:
        result = {"value": value, "epoch": epoch, "training_iteration": epoch}
        self._search.on_trial_result(handle.trial_id, result)
        return bool(self._scheduler.on_trial_result(None, handle, result) == "CONTINUE")

    def end(self, handle: Any, epoch: int, value: float, complete: bool) -> None:
        result = {"value": value, "epoch": epoch, "training_iteration": epoch}
        self._scheduler.on_trial_complete(None, handle, result)
        self._search.on_trial_complete(handle.trial_id, result)


@dataclass(eq=False)
class _RayTrial:
    trial_id: str


Regrets = list[float]


def replay(table: Table, search: Search, cells: list[float]) -> Regrets:
    """Run a search on its cells in turn until each has spent its budget, and return the regret of each."""
    spent, chosen = dict.fromkeys(cells, 0), dict.fromkeys(cells, -math.inf)
    running: list[list[Any]] = []
    turn = 0
    while True:
        while len(running) < SLOTS * len(cells):
            open_cells = [c for c in cells if spent[c] + sum(1 for r in running if r[0] == c) < BUDGET]
            if not open_cells:
                break
            cell = open_cells[turn % len(open_cells)]
            turn += 1
            handle, hyperparameters = search.ask()
            running.append([cell, handle, hyperparameters, 0])
        running = [r for r in running if spent[r[0]] < BUDGET]
        if not running:
            return [table.best(cell) - chosen[cell] for cell in cells]
        for entry in list(running):
            cell, handle, hyperparameters, _ = entry
            if spent[cell] >= BUDGET:
                continue
            entry[3] += 1
            spent[cell] += 1
            value = table.value(cell, hyperparameters, entry[3])
            last = entry[3] == EPOCHS
            if search.report(handle, entry[3], value) and not last:
                continue
            running.remove(entry)
            search.end(handle, entry[3], value, last)
            if last:
                chosen[cell] = max(chosen[cell], value)


def ours(table: Table, seed: int, sampler: str = "tpe", stopping: bool = True, neighbours: bool = False) -> Regrets:
    """Regrets of the real dispatcher, studies and rungs, where the anchor's epochs count too."""
    config = validate(
        {
            "seed": seed,
            "dataset": {"name": "coloured_digits", "bias": {"color_variance": list(VALUES)}},
            "methods": [{"name": "lnl", "fixed": {"lr_bias": 2e-2, "weight_decay": 5e-4}}],
            "search": {
                "trials": LONGER if stopping else TRIALS,
                "sampler": sampler,
                "early_stopping": STOPPING.model_dump() if stopping else "off",
                "neighbours": neighbours,
            },
            "confirm": {"seeds": 1},
            "training": {"epochs": EPOCHS},
        }
    )
    data = load_checked("coloured_digits", {})
    config = resolve(config, data)

    def curve(spec: TrialSpec, epoch: int) -> float:
        return table.value(spec.bias["color_variance"], spec.hyperparameters, epoch)

    done = Simulation(Dispatcher(config, build_cells(config, data)), SLOTS * len(VALUES), curve).run()
    spent, chosen = dict.fromkeys(VALUES, 0), dict.fromkeys(VALUES, -math.inf)
    for row in done.rows.values():
        cell = row["bias_color_variance"]
        if row["phase"] != "search" or spent[cell] >= BUDGET:
            continue
        spent[cell] += len(done.histories[row["trial_id"]])
        if spent[cell] <= BUDGET and row["status"] == "completed":
            chosen[cell] = max(chosen[cell], row["val_counterfactual"])
    return [table.best(cell) - chosen[cell] for cell in VALUES]


def study(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=sampler)


def each_cell(table: Table, make: Callable[[int], Search], seed: int) -> Regrets:
    return [regret for i, c in enumerate(VALUES) for regret in replay(table, make(1000 * seed + i), [c])]


def random_study(seed: int) -> Search:
    return OptunaSearch(study(optuna.samplers.RandomSampler(seed)))


def tpe_study(seed: int) -> Search:
    return OptunaSearch(study(optuna.samplers.TPESampler(seed=seed)))


def shared(table: Table, seed: int) -> Regrets:
    search = OptunaSearch(study(optuna.samplers.TPESampler(seed=seed)), build_rungs(STOPPING, EPOCHS))
    return replay(table, search, list(VALUES))


SEARCHES: dict[str, Callable[[Table, int], Regrets]] = {
    "ours: TPE and rungs in each cell": lambda table, seed: ours(table, seed),
    "ours, with search.neighbours": lambda table, seed: ours(table, seed, neighbours=True),
    f"ours, qmc, {TRIALS} whole trials (auto)": lambda table, seed: ours(table, seed, "qmc", stopping=False),
    "ours, qmc, with search.neighbours": lambda table, seed: ours(table, seed, "qmc", False, True),
    "random search": lambda table, seed: each_cell(table, random_study, seed),
    "Optuna TPE without pruning": lambda table, seed: each_cell(table, tpe_study, seed),
    "one shared study and one set of rungs": shared,
    "Ray's OptunaSearch + ASHA in each cell": lambda table, seed: each_cell(table, RaySearch, seed),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = Table()
    heads = " | ".join(f"{value:g}" for value in VALUES)
    print(f"| regret, points, {BUDGET} trial-epochs a cell | {heads} | all cells | minus the first |")
    print("|---" * (len(VALUES) + 3) + "|")
    base: np.ndarray | None = None
    for name, search in SEARCHES.items():
        regrets = 100 * np.array([search(table, seed) for seed in range(options.repeats)])
        cells = " | ".join(interval(regrets[:, i]) for i in range(len(VALUES)))
        less = "" if base is None else interval(regrets.mean(axis=1) - base.mean(axis=1))
        print(f"| {name} | {cells} | {interval(regrets.mean(axis=1))} | {less} |", flush=True)
        base = regrets if base is None else base


def interval(values: np.ndarray) -> str:
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean():.2f} ± {half:.2f}"


if __name__ == "__main__":
    main()

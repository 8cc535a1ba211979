"""Overhead of our side of Ray Tune on a real Ray: a null trial, its growth, and the busy share of the slots.

    python benchmarks/bench_ray.py                 # 1,000 null trials; 8 slots
    python benchmarks/bench_ray.py --trials 200    # a look

Peers in the same run: plain Ray Tune in its best setting (reused actors, no loggers, no searcher) and
``optuna.optimize`` in one process. Trials train nothing (benchmarks/replay.py). Times are those between the trials,
after the workers are up.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.replay import SECONDS, skew

WARM = 20
CELLS = 10
Span = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--busy-trials", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=1.5, help="mean seconds of a trial for the busy share")
    options = parser.parse_args()
    print("| measured | value | wanted |\n|---|---|---|")
    with started_ray(2, 0.0):
        plain = ends(plain_tune(options.trials, 0.0, 2))
        ours = ends(sweep(options.trials, 2))
        drawn = ends(sweep(options.trials, 2, "random"))
    alone = optuna_alone(options.trials)
    each, peer = per_trial(ours), per_trial(plain)
    print(f"| null trial, ours, ms (2 slots, {len(ours):,} trials) | {1e3 * each:.1f} | |")
    print(f"| null trial, plain Ray Tune, ms | {1e3 * peer:.1f} | |")
    print(f"| ours / plain Ray Tune | {each / peer:.2f} | |")
    print(f"| null trial, optuna.optimize in one process, TPE, {CELLS} studies, ms | {1e3 * alone:.1f} | |")
    print(f"| ours / optuna.optimize | {each / alone:.2f} | |")
    tenth = len(ours) // 10
    for name, found in (("ours", ours), ("ours, sampler random", drawn), ("plain Ray Tune", plain)):
        growth = per_trial(found[-tenth:], 0) / per_trial(found[WARM : WARM + tenth], 0)
        print(f"| {name}, last {tenth} trials / first {tenth} after the start | {growth:.2f} | |", flush=True)
    few = per_trial(ends(sweep_alone(options.trials // 10)))
    print(f"| ours, {len(ours):,} trials / {options.trials // 10} trials | {each / few:.2f} | <= 1.3 |", flush=True)
    with started_ray(8, options.seconds):
        theirs = busy_share(plain_tune(options.busy_trials, options.seconds, 8), 8)
        own = busy_share(sweep(options.busy_trials, 8), 8)
    print(f"| busy share of 8 slots, skewed trials of {options.seconds:g} s, ours | {own:.3f} | |")
    print(f"| the same, plain Ray Tune | {theirs:.3f} | |")
    print(f"| ours / plain Ray Tune | {own / theirs:.3f} | |")


class started_ray:
    """Ray on this machine with a number of logical processors, whose workers replay curves."""

    def __init__(self, slots: int, seconds: float) -> None:
        self._slots, self._seconds = slots, seconds

    def __enter__(self) -> None:
        import ray

        self._place = tempfile.TemporaryDirectory(prefix="lnl", dir="/tmp")
        os.environ.update(RAY_TMPDIR=self._place.name, RAY_USAGE_STATS_ENABLED="0", OMP_NUM_THREADS="1")
        os.environ.update(TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1", RAY_AIR_NEW_OUTPUT="0")
        os.environ["TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S"] = "0"
        environment = {SECONDS: str(self._seconds), "PYTHONPATH": str(ROOT)}
        hook = {"worker_process_setup_hook": "benchmarks.replay.register", "env_vars": environment}
        ray.init(
            address="local", num_cpus=self._slots, runtime_env=hook, include_dashboard=False, log_to_driver=False,
            logging_level="error", object_store_memory=200 * 2**20,
        )  # fmt: skip

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()
        self._place.cleanup()


def plain_tune(trials: int, seconds: float, slots: int) -> list[Span]:
    """Start and end of each trial of plain Ray Tune."""
    from ray import tune

    spans: list[Span] = []

    class Null(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.begin = time.time()

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.config = new_config
            self.begin = time.time()
            return True

        def step(self) -> dict[str, Any]:
            if seconds:
                time.sleep(seconds * skew(str(self.config["i"])))
            return {"value": 0.0, "begin": self.begin, "end": time.time(), "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> None: ...

        def load_checkpoint(self, checkpoint: Any) -> None: ...

    class Note(tune.Callback):
        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
            spans.append((result["begin"], result["end"]))

    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots + 1)
    with tempfile.TemporaryDirectory() as place:
        tune.Tuner(
            Null,
            param_space={"i": tune.grid_search(list(range(trials)))},
            tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id),
            run_config=tune.RunConfig(
                storage_path=place, verbose=0, callbacks=[Note()],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()  # fmt: skip
    return spans


def sweep(trials: int, slots: int, sampler: str = "tpe") -> list[Span]:
    """Start and end of each trial of our sweep, whose trials have one epoch."""
    from rich.console import Console

    from orchestrator.config.sweep_file import validate
    from orchestrator.directory.reader import SweepDirectory
    from orchestrator.sweep import Options, run_sweep

    per_cell = trials // CELLS
    seeds = max(1, per_cell // 5)
    config = validate(
        {
            "dataset": {"name": "coloured_digits", "bias": {"color_variance": [0.02 + 0.01 * i for i in range(CELLS)]}},
            "methods": ["erm"],
            "search": {"trials": per_cell - seeds, "sampler": sampler},
            "confirm": {"seeds": seeds, "keep_models": False},
            "training": {"epochs": 1},
        }
    )
    with tempfile.TemporaryDirectory() as place:
        done = run_sweep(config, place, Options(console=Console(file=io.StringIO())))
        assert done.complete, done.problems
        rows = SweepDirectory(place).rows("trials")
    return [(row["started_at"].timestamp(), row["finished_at"].timestamp()) for row in rows]


def sweep_alone(trials: int) -> list[Span]:
    """Start and end of each trial of our sweep on a Ray of its own, as for the longer one."""
    with started_ray(2, 0.0):
        return sweep(trials, 2)


def optuna_alone(trials: int) -> float:
    """Seconds for each trial of ``optuna.optimize`` in this process, with as many studies as the sweep has cells."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    begin = time.perf_counter()
    for seed in range(CELLS):
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        study.optimize(null_objective, n_trials=trials // CELLS)
    return (time.perf_counter() - begin) / trials


def null_objective(trial: Any) -> float:
    found: float = trial.suggest_float("lr", 1e-4, 1e-1, log=True) + trial.suggest_float("weight_decay", 1e-6, 1e-2)
    return found


def ends(spans: list[Span]) -> list[float]:
    return sorted(end for _, end in spans)


def per_trial(times: list[float], skip: int = WARM) -> float:
    """Mean seconds between the ends of two trials."""
    return (times[-1] - times[skip]) / (len(times) - skip - 1)


def busy_share(spans: list[Span], slots: int) -> float:
    """Share of the slots that are busy, after the first fifth of the trials, until the last ``slots`` trials start."""
    spans = sorted(spans)
    first, last = spans[len(spans) // 5][0], spans[-slots][0]
    busy = sum(max(0.0, min(end, last) - max(start, first)) for start, end in spans)
    return busy / (slots * (last - first))


if __name__ == "__main__":
    main()

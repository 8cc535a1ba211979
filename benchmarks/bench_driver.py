"""Time of searcher, scheduler and driver per trial, and the busy share of many slots, on a simulated clock.

    python benchmarks/bench_driver.py                       # 100, 1,000 and 10,000 trials; 64 slots
    python benchmarks/bench_driver.py --trials 100 1000     # a look in seconds

Nothing is trained; searcher, scheduler, recorder, dispatcher and writer are the real ones (benchmarks/simulated.py).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.simulated import Executor, simulate, skewed_seconds, smooth_curve
from orchestrator.directory.reader import SweepDirectory
from tests.orchestrator.support import sweep_cells, sweep_config

SEARCH, CONFIRM, EPOCHS = 20, 5, 10
SLOTS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--sampler", default="tpe")
    options = parser.parse_args()
    what = f"{SEARCH} search and {CONFIRM} confirm trials a cell, sampler {options.sampler}"
    print(f"| measured ({what}) | value | wanted |")
    print("|---|---|---|")
    least = options.trials[0]
    for trials in options.trials:
        # The same work takes a third more or less from one minute to the next: the peer is run before and after.
        before = several(least, options.sampler)
        cells = trials // (SEARCH + CONFIRM)
        seconds, done = timed(cells, options.sampler, min(8, trials))
        each, peer = seconds / len(done.runs), statistics.median(before + several(least, options.sampler))
        print(f"| driver, ms a trial, {len(done.runs):,} trials in {cells} cells | {1e3 * each:.2f} | |")
        print(f"| the same / {least} trials, run before and after | {each / peer:.2f} | <= 1.3 |", flush=True)
    _, busy = timed(40, options.sampler, SLOTS)
    what = f"busy share of {SLOTS} slots, skewed trial times, {len(busy.runs):,} trials"
    print(f"| {what} | {busy.busy_share():.4f} | >= 0.95 |")


def several(trials: int, sampler: str) -> list[float]:
    """Seconds for each trial of six short sweeps."""
    cells = trials // (SEARCH + CONFIRM)
    return [timed(cells, sampler, 8)[0] / (cells * (SEARCH + CONFIRM)) for _ in range(6)]


def timed(cells: int, sampler: str, slots: int) -> tuple[float, Executor]:
    """Run a simulated sweep of ``cells`` cells, and measure its seconds of processor time."""
    config = sweep_config(
        dataset={"name": "fake", "bias": {"rho": [i / max(1, cells - 1) for i in range(cells)]}},
        methods=["erm"],
        search={"trials": SEARCH, "sampler": sampler, "early_stopping": {"min_epochs": 3}},
        confirm={"seeds": CONFIRM},
        training={"epochs": EPOCHS},
    )
    with tempfile.TemporaryDirectory() as place:
        executor = simulate(config, sweep_cells(config), SweepDirectory(place), slots, smooth_curve, skewed_seconds)
        begin = time.process_time()
        done = executor.run()
        seconds = time.process_time() - begin
    assert done.session.dispatcher.finished
    return seconds, done


if __name__ == "__main__":
    main()

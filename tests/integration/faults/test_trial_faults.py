"""Trials that raise, exit, crash, give NaN or hang: their row says so, and no other trial suffers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cluster.nodes import LOG_BYTES
from orchestrator.config.sweep_file import validate
from tests.integration import faulty
from tests.integration.support import SWEEP, Row, differences, results, rows

pytestmark = pytest.mark.slow
needs_groups = pytest.mark.skipif(not faulty.memory_can_be_limited(), reason="needs root and memory groups (cgroup v1)")
METHODS = [name for name in faulty.STEPS if name != "eats_memory" or faulty.memory_can_be_limited()]

SECONDS = 20
BIAS = 0.4


@dataclass
class Swept:
    out: Path
    result: Any
    logs: Path

    def row(self, label: str) -> Row:
        (row,) = [row for row in rows(self.out).values() if row["label"] == label]
        return row


@pytest.fixture(scope="module")
def swept(short_tmp: Path, cluster: Any) -> Iterator[Swept]:
    """The small sweep with more methods that misbehave."""
    import ray

    from orchestrator import budget
    from orchestrator.cluster.ray_private import logs_here
    from orchestrator.sweep import Options, run_sweep

    tree = yaml.safe_load(SWEEP)
    tree["dataset"]["bias"]["color_variance"] = [BIAS]
    tree["methods"] = [
        *({"name": name, "fixed": {"lr": 1e-3, "weight_decay": 0.0}} for name in METHODS),
        "erm",
    ]
    tree["limits"]["trial_minutes"] = SECONDS / 60
    out = short_tmp / "misbehaving"
    root = str(Path(__file__).parents[3])
    hook = {"worker_process_setup_hook": "tests.integration.faulty.register", "env_vars": {"PYTHONPATH": root}}
    ray.init(address=cluster.address, runtime_env=hook, log_to_driver=False, logging_level="error")
    faulty.register()
    try:
        with pytest.MonkeyPatch.context() as patch:
            # A start less for each trial that ends its process.
            patch.setattr(budget, "MAX_FAILURES", 1)
            result = run_sweep(validate(tree), str(out), Options(address=cluster.address))
        logs = logs_here()
        assert logs is not None
        yield Swept(out, result, logs)
    finally:
        faulty.forget()
        ray.shutdown()
        faulty.clear_groups()


def test_every_planned_trial_has_its_row(swept: Swept) -> None:
    assert swept.result.planned == swept.result.finished == len(rows(swept.out)) == len(METHODS) + 4
    assert list((swept.out / "trials_open").iterdir()) == []


def test_the_sweep_says_which_cells_have_no_trial(swept: Swept) -> None:
    assert not swept.result.complete and swept.result.failures.diverged == 1
    assert swept.result.failures.failed == len(METHODS) - 1
    assert len(swept.result.problems) == len(METHODS)
    assert all(problem.endswith("no search trial completed") for problem in swept.result.problems)


@pytest.mark.parametrize(
    ("name", "attempts", "error"),
    [
        ("raises", 1, "RuntimeError: made to fail"),
        ("gives_nan", 1, "TrialFailed: epoch 1: train_loss is nan"),
        ("raises_no_text", 1, "RuntimeError: caf\\udce9\\x00 zzzz"),
        ("exits", 1, "SystemExit: no licence"),
        ("vanishes", 2, "the worker process died 2 times (ActorDiedError: Worker unexpectedly exits"),
        ("crashes", 2, "Segmentation fault in string_at (__init__.py, line"),
        pytest.param("eats_memory", 2, "the worker process died 2 times", marks=needs_groups),
        ("hangs", 1, f"took longer than limits.trial_minutes = {SECONDS / 60:g}"),
    ],
)
def test_the_row_says_what_happened(swept: Swept, name: str, attempts: int, error: str) -> None:
    row = swept.row(name)
    assert row["status"] == "failed" and error in row["error"]
    assert (row["attempts"], row["preemptions"]) == (attempts, 0)
    assert len(row["error"]) < 1300 and row["error"].isprintable()


def test_what_a_method_prints_is_bounded_in_the_logs(swept: Swept) -> None:
    logs = [path for path in swept.logs.glob("worker-*") if path.suffix in (".out", ".err") or ".out." in path.name]
    assert max(path.stat().st_size for path in logs) > LOG_BYTES // 2
    # As many files as there are workers, each with one older one.
    assert all(path.stat().st_size <= LOG_BYTES + 2**17 for path in logs)


def test_the_other_trials_are_those_of_the_undisturbed_run(swept: Swept, undisturbed: Path) -> None:
    for table in ("trials", "history", "predictions"):
        erm = {key: row for key, row in results(swept.out, table).items() if "pixel_front-erm" in str(key[0])}
        assert erm and differences(erm, results(undisturbed, table)) == []

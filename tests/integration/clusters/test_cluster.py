"""A real Ray cluster of two nodes on this machine, and a trial through Ray against the same trial without it."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster import tuning
from orchestrator.config.sweep_file import read_config, validate
from orchestrator.plan.identity import at_place, place_of, trial_spec
from orchestrator.plan.plan import make_plan
from store.errors import InputError
from tests.integration.null_trainable import null_trainable
from tests.integration.support import CIRCUMSTANCES, NODE, assert_same_results, null_driver, open_marks, rows
from trainable.spec import TrialSpec

pytestmark = pytest.mark.slow

OF_THE_DRIVER = {"bias_axis", "bias_value", "gpu_share"}


@pytest.fixture(scope="module")
def swept(cluster: Any, short_tmp: Path, sweep_file: Path) -> tuple[Path, Any]:
    from orchestrator.sweep import Options, run_sweep

    out = short_tmp / "clustered"
    result = run_sweep(read_config(sweep_file), str(out), Options(address=cluster.address))
    return out, result


def test_planned_is_finished(swept: tuple[Path, Any]) -> None:
    out, result = swept
    assert result.complete and result.planned == result.finished == len(rows(out))


def test_both_nodes_did_work(cluster: Any, swept: tuple[Path, Any]) -> None:
    out, _ = swept
    assert len(cluster.list_all_nodes()) == 2
    assert json.loads((out / "status.json").read_text())["slots"] == 2
    times = sorted((row["started_at"], row["finished_at"]) for row in rows(out).values())
    together = [(one, other) for one, other in itertools.pairwise(times) if other[0] < one[1]]
    # A trial takes one processor and a node has one: two trials at the same time are on two nodes.
    assert len(together) >= len(times) // 2


def test_a_cluster_gives_the_same_results_as_one_machine(swept: tuple[Path, Any], undisturbed: Path) -> None:
    assert_same_results(swept[0], undisturbed)


def test_workers_with_other_code_are_refused_before_they_train(
    cluster: Any, short_tmp: Path, sweep_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.cluster import same_code
    from orchestrator.sweep import Options, run_sweep

    monkeypatch.setattr(same_code, "read_code", lambda: ("/elsewhere/trainable", "0123", "laptop"))
    with pytest.raises(InputError, match=r"on node .* is not that of /elsewhere/trainable on laptop: install"):
        run_sweep(read_config(sweep_file), str(short_tmp / "other"), Options(address=cluster.address))
    assert not (short_tmp / "other").exists()


def test_a_worker_that_starts_late_is_used_although_trials_end_meanwhile(
    cluster: Any, short_tmp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.sweep import Options, run_sweep

    # Tune by itself throws a worker that is being started away whenever another trial ends.
    late = null_trainable(0.1, late=8.0, place=str(tmp_path))
    monkeypatch.setattr(tuning, "SweepTrainable", late)
    config = validate(
        {
            "name": "late",
            "dataset": {"name": "coloured_digits", "bias": {"color_variance": 0.02}},
            "methods": ["erm"],
            "search": {"trials": 80, "sampler": "random", "early_stopping": "off"},
            "confirm": {"seeds": 1},
            "training": {"epochs": 3},
        }
    )
    result = run_sweep(config, str(short_tmp / "late"), Options(address=cluster.address))
    found = list(rows(short_tmp / "late").values())
    assert result.complete and len(found) == 81
    assert len({row["node"] for row in found}) == 2


def test_a_node_that_joins_a_running_sweep_takes_trials(cluster: Any, short_tmp: Path, sweep_file: Path) -> None:
    out = short_tmp / "grown"
    words = ("run", sweep_file, "--set", "training.epochs=200", "--out", out, "--address", cluster.address)
    with null_driver(short_tmp, out, *words) as running:
        running.wait_for_open()
        assert json.loads((out / "status.json").read_text())["slots"] == 2
        joined = cluster.add_node(**NODE)
        try:
            # A trial that only waits for a place has not been started.
            running.wait_for(lambda: len(open_marks(out, "started-*")) == 3, "three trials at once")
            running.wait_for(lambda: json.loads((out / "status.json").read_text())["slots"] == 3, "its slot")
            running.kill(signal.SIGINT)
            assert running.wait() == 130
        finally:
            cluster.remove_node(joined)


@pytest.fixture(scope="module", params=["search", "confirm"])
def pair(request: pytest.FixtureRequest, undisturbed: Path, sweep_file: Path) -> tuple[TrialSpec, dict[str, Any]]:
    """The specification and the row of one trial of ``lnl``, which ran through Ray."""
    plan = make_plan(read_config(sweep_file))
    cell = next(cell for cell in plan.cells if cell.label == "lnl")
    row = next(
        row
        for _, row in sorted(rows(undisturbed).items(), reverse=True)
        if row["cell"] == cell.id and row["phase"] == request.param
    )
    hyperparameters = json.loads(row["hyperparameters"])
    assert hyperparameters["lambda_"] > 0 or request.param == "confirm"
    spec = trial_spec(plan.config, cell, request.param, row["trial_id"], hyperparameters, row["seed"])
    return at_place(spec, place_of(row)), row


def test_a_trial_through_ray_is_the_trial_without_it(pair: tuple[TrialSpec, dict[str, Any]], undisturbed: Path) -> None:
    from trainable.trial.trainer import Trainer

    spec, row = pair
    trainer = Trainer(spec)
    while not trainer.finished:
        trainer.train_epoch()
    outcome = trainer.finish()

    left_out = CIRCUMSTANCES | OF_THE_DRIVER
    assert {n: v for n, v in row.items() if n in outcome.row and n not in left_out} == {
        n: v for n, v in outcome.row.items() if n not in left_out
    }
    history = [entry for key, entry in sorted(rows(undisturbed, "history").items()) if key[0] == spec.trial_id]
    assert len(history) == len(outcome.history) == spec.training.epochs
    for through_ray, alone in zip(history, outcome.history, strict=True):
        assert {n: v for n, v in through_ray.items() if n != "seconds"} == {
            n: alone.get(n) for n in through_ray if n != "seconds"
        }
    predictions = {key: p for key, p in rows(undisturbed, "predictions").items() if key[0] == spec.trial_id}
    assert bool(predictions) == (spec.phase == "confirm") == (outcome.predictions is not None)
    if outcome.predictions is not None:
        columns = outcome.predictions
        for i, image in enumerate(columns["image"]):
            found = predictions[spec.trial_id, columns["variant"][i], image]
            assert found["predicted"] == int(columns["predicted"][i])
            assert found["p_0"] == float(columns["p_0"][i])
        assert len(predictions) == len(columns["image"])

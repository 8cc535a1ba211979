"""A cross-validated sweep of the phantom: a search in each fold, pooled predictions, one replicate a seed; extended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis import accuracy_vs_bias, load, load_predictions, load_splits
from tests.integration.support import driver, rows

pytestmark = pytest.mark.slow

SWEEP = """
name: folded
dataset: {name: brain_phantom, bias: {rho: [0.5, 1]}, folds: all, patients: 45, slices: 2, image_size: 32}
network: {name: small_cnn, width: 4}
methods: [ceiling, {name: lnl, fixed: {lr: 1e-3, lr_bias: 1e-3, weight_decay: 0}}]
search: {trials: 2}
confirm: {seeds: 2, keep_models: false}
training: {epochs: 1, batch_size: 16}
"""


@pytest.fixture(scope="module")
def swept(short_tmp: Path, cluster: Any) -> tuple[Path, Path]:
    file, out = short_tmp / "folded.yaml", short_tmp / "folded"
    file.write_text(SWEEP)
    with driver(short_tmp, out, "run", file, "--out", out, "--address", cluster.address) as running:
        assert running.wait(800) == 0, running.text()
    return file, out


def test_every_patient_is_tested_once_and_folds_are_no_seeds(swept: tuple[Path, Path]) -> None:
    _, out = swept
    trials = load(out)
    assert sorted(trials["fold"].unique()) == [0, 1, 2, 3, 4]
    # One ceiling a fold serves the axis; lnl searches at both bias values of every fold.
    assert trials["cell"].nunique() == 5 * (1 + 2)
    predictions = load_predictions(out)
    curve = accuracy_vs_bias(trials, predictions)
    assert set(curve["n_seeds"]) == {2}
    assert set(curve["n_patients"]) == {45}
    assert set(curve["n_test"]) == {90}
    assert set(curve.loc[curve["method"] == "ceiling", "bias_value"]) == {0.5, 1.0}
    tested = load_splits(out).query("split == 'test'").drop_duplicates(["fold", "patient"])
    assert len(tested) == 45 == tested["patient"].nunique()


def test_more_trials_than_the_sampler_was_chosen_for_extend_the_same_search(
    swept: tuple[Path, Path], short_tmp: Path, cluster: Any
) -> None:
    file, out = swept
    before = {key: row["hyperparameters"] for key, row in rows(out).items() if row["phase"] == "search"}
    # 30 trials alone would make the sampler tpe; the sweep began with qmc, and goes on with it.
    words = ("--set", "search.trials=30", "--only", "method=lnl,rho=1,fold=0")
    with driver(short_tmp, out, "run", file, *words, "--out", out, "--address", cluster.address) as running:
        assert running.wait(800) == 0, running.text()
    after = {key: row["hyperparameters"] for key, row in rows(out).items() if row["phase"] == "search"}
    assert before.items() <= after.items()
    assert len(after) - len(before) == 28

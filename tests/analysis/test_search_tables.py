from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import analysis


@pytest.fixture(scope="module")
def trials(sweep_dir: Path) -> pd.DataFrame:
    return analysis.load(sweep_dir)


def test_the_map_holds_every_candidate_and_marks_the_chosen_one(trials: pd.DataFrame) -> None:
    rows = analysis.lambda_map(trials, "lnl")
    assert len(rows) == 4 * 12
    assert list(rows["bias_value"].unique()) == [0.4, 0.1, 0.05, 0.02]
    assert rows["chosen"].sum() == 4
    best = rows.loc[rows.groupby("bias_value")["validation"].idxmax(), "trial_id"]
    assert set(best) == set(rows.loc[rows["chosen"], "trial_id"])
    assert (rows["lambda_"] == 0).sum() == 4, "the anchor is among them"


def test_methods_without_a_weight_are_left_out(trials: pd.DataFrame) -> None:
    assert set(analysis.lambda_map(trials)["label"]) == {"lnl", "grl"}


def test_expected_validation_ends_at_the_best_value(trials: pd.DataFrame) -> None:
    rows = analysis.expected_validation(trials)
    assert len(rows) == 4 * 4 * 12
    line = rows[(rows["label"] == "erm") & (rows["bias_value"] == 0.02)]
    assert line["expected"].is_monotonic_increasing
    assert line["expected"].iloc[-1] < 0.9 < line["expected"].iloc[-1] + 0.01
    search = trials[(trials["phase"] == "search") & (trials["cell"] == "digits-color_variance=0.02-erm")]
    assert line["expected"].iloc[0] == pytest.approx(search["val_counterfactual"].mean())


def test_one_trial_has_no_budget_curve(trials: pd.DataFrame) -> None:
    assert analysis.expected_validation(trials[trials["trial_id"].str.endswith("-003")]).empty


def test_cost_counts_shares_of_a_device(trials: pd.DataFrame) -> None:
    rows = trials.assign(gpu_share=0.25, train_seconds=3600.0)
    table = analysis.cost(rows, price_per_hour=2.0)
    assert (table["device_hours"] == table["hours"] / 4).all()
    assert (table["price"] == table["hours"] / 2).all()
    assert "price" not in analysis.cost(trials)
    assert (analysis.cost(trials)["device_hours"] == analysis.cost(trials)["hours"]).all()

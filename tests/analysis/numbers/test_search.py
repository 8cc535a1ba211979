from __future__ import annotations

import re
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
    assert len(rows) == 4 * (2 * 12 + 2 * 11), "lnl and grl without the anchor"
    line = rows[(rows["label"] == "erm") & (rows["bias_value"] == 0.02)]
    assert line["expected"].is_monotonic_increasing
    assert line["expected"].iloc[-1] < 0.9 < line["expected"].iloc[-1] + 0.01
    search = trials[(trials["phase"] == "search") & (trials["cell"] == "digits-color_variance=0.02-erm")]
    assert line["expected"].iloc[0] == pytest.approx(search["val_counterfactual"].mean())


def test_the_anchor_is_no_draw_of_the_search(trials: pd.DataFrame) -> None:
    own = (trials["label"] == "lnl") & (trials["phase"] == "search")
    anchors = own & (trials["lambda_"] == 0)
    better = trials.assign(val_counterfactual=trials["val_counterfactual"].mask(anchors, 2.0))
    rows = analysis.expected_validation(better).query("label == 'lnl'")
    assert rows["n"].max() == 11 and rows["expected"].max() < 1
    assert rows["caption"].str.contains("the anchor, plain training, is left out").all()
    plain = better.assign(**{name: better[name].mask(own, 0.0) for name in ("lambda_", "mu")})
    assert analysis.expected_validation(plain).query("label == 'lnl'")["n"].max() == 12, "fixed at 0: no anchor"


def test_one_trial_has_no_budget_curve(trials: pd.DataFrame) -> None:
    assert analysis.expected_validation(trials[trials["trial_id"].str.endswith("-003")]).empty


def test_rules_with_searches_of_their_own_have_their_own_candidates(trials: pd.DataFrame) -> None:
    # Of each cell's twelve search trials the odd ones are val_biased's own, the even ones val_counterfactual's.
    number = trials["trial_id"].str.extract(r"-r0-(\d+)$", expand=False).fillna("0").astype(int)
    rule = number.map(lambda n: "val_biased" if n % 2 else "val_counterfactual")
    own = trials.assign(
        trial_id=[re.sub(r"-r0-(\d+)$", rf"-r0.{r}-\1", t) for t, r in zip(trials["trial_id"], rule, strict=True)],
        search_rule=rule.where(trials["phase"] == "search", None),
    )
    for name in ("val_biased", "val_counterfactual"):
        rows = analysis.lambda_map(own, "lnl", name)
        assert len(rows) == 4 * 6 and rows["trial_id"].str.contains(name, regex=False).all()
        assert rows["chosen"].sum() == 4
        assert analysis.expected_validation(own, name)["n"].max() == 6
        marks = analysis.plot_lambda_map(own, "lnl", rule=name).data[0]
        assert len(marks.x) == 4 * 6 and sum(width > 1 for width in marks.marker.line.width) == 4
    selected = analysis.selected_hyperparameters(own)
    kept = selected[selected["rule"].isin(["val_biased", "val_counterfactual"])]
    assert len(kept) and set(kept["candidates"]) == {6}
    assert (kept["rule"] == kept["trial_id"].str.extract(r"\.(val_[a-z]+)-", expand=False)).all()


def test_a_trial_is_chosen_in_its_own_sweep_alone(trials: pd.DataFrame) -> None:
    # The same identifiers in two sweeps, in the second of which the last candidate is the best.
    number = trials["trial_id"].str.extract(r"(\d+)$", expand=False).fillna("0").astype(int)
    second = trials.assign(sweep="second", val_counterfactual=number / 100)
    both = pd.concat([trials, second], ignore_index=True)
    for sweep, alone in (("synthetic", trials), ("second", second)):
        expected = analysis.lambda_map(alone, "lnl")
        rows = analysis.lambda_map(both, "lnl")
        rows = rows[rows["sweep"] == sweep].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, expected)
    rings = analysis.plot_lambda_map(both, "lnl").data[0].marker.line.width
    assert sum(width > 1 for width in rings) == 2 * 4


def test_cost_counts_shares_of_a_device(trials: pd.DataFrame) -> None:
    rows = trials.assign(gpu_share=0.25, train_seconds=3600.0)
    table = analysis.cost(rows, price_per_hour=2.0)
    assert (table["device_hours"] == table["hours"] / 4).all()
    assert (table["price"] == table["hours"] / 2).all()
    assert "price" not in analysis.cost(trials)
    assert (analysis.cost(trials)["device_hours"] == analysis.cost(trials)["hours"]).all()

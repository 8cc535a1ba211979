"""Differences between a method chosen by one rule and by another."""

from __future__ import annotations

import math

import pandas as pd
import pytest

import analysis
from analysis.many.rule_costs import COLUMNS, rule_costs
from store.errors import InputError


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    return analysis.example()


def chosen(trials: pd.DataFrame, label: str, rule: str, value: float) -> pd.Series:
    rows = trials[(trials["phase"] == "confirm") & (trials["label"] == label) & (trials["bias_gamma"] == 0)]
    rows = rows[(rows["bias_value"] == value) & rows["rules"].map(lambda rules: rule in rules)]
    return rows.set_index("seed_number")["test_accuracy"]


def test_each_bias_value_is_the_mean_of_the_differences_of_seeds(trials: pd.DataFrame) -> None:
    table = rule_costs(trials)
    assert list(table.columns) == list(COLUMNS) and set(table["against"]) == {"val_counterfactual"}
    rows = table[(table["label"] == "lnl") & (table["facet"] == "gamma = 0") & (table["rule"] == "val_biased")]
    for row in rows[rows["at"] != "area"].to_dict("records"):
        one, other = (chosen(trials, "lnl", rule, row["bias_value"]) for rule in ("val_biased", "val_counterfactual"))
        difference = (one - other).dropna()
        assert row["difference"] == pytest.approx(difference.mean()) and row["n_seeds"] == len(difference)
        assert row["low"] <= row["difference"] <= row["high"] or row["same"]


def test_the_area_is_the_difference_of_the_areas(trials: pd.DataFrame) -> None:
    # Two seeds more were trained for the headline rule than for the other.
    paired = trials[(trials["phase"] == "search") | (trials["seed_number"] < 3)]
    table, areas = rule_costs(trials), analysis.areas(paired)
    for label in ("lnl", "erm"):
        area = areas[(areas["label"] == label) & (areas["facet"] == "gamma = 0")].set_index("rule")["area"]
        row = table.query(f"label == '{label}' and facet == 'gamma = 0' and rule == 'val_biased' and at == 'area'")
        assert float(row["difference"].iloc[0]) == pytest.approx(area["val_biased"] - area["val_counterfactual"])
        assert math.isnan(row["bias_value"].iloc[0])


def test_against_another_rule_the_sign_turns(trials: pd.DataFrame) -> None:
    here, there = rule_costs(trials), rule_costs(trials, against="val_biased")
    query = "label == 'lnl' and at == '1' and facet == 'gamma = 0'"
    one = here.query(f"{query} and rule == 'val_biased'")["difference"].iloc[0]
    assert one == pytest.approx(-there.query(f"{query} and rule == 'val_counterfactual'")["difference"].iloc[0])


def test_an_unknown_rule_is_refused(trials: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="val_biassed"):
        rule_costs(trials, against="val_biassed")

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from analysis.selection import candidates_of, mark, picks
from store.rules import rule_name


def frame(
    synthetic: ModuleType, search: list[dict[str, Any]], confirm: list[dict[str, Any]] | None = None
) -> pd.DataFrame:
    rows = []
    for number, more in enumerate(search):
        values = {"hyperparameters": json.dumps({"lr": number}), **more}
        rows.append(synthetic.search_row("erm", 0.1, number, **values))
    for k, more in enumerate(confirm or []):
        rows.append(synthetic.confirm_row("erm", 0.1, k, seed=k, **more))
    return pd.DataFrame(rows)


def chosen(trials: pd.DataFrame, rule: str) -> list[str]:
    found = picks(trials, [rule])
    return [text[-3:] for text in found["trial_id"]]


def test_the_highest_completed_value_wins(synthetic: ModuleType) -> None:
    trials = frame(
        synthetic,
        [
            {"val_biased": 0.5},
            {"val_biased": 0.9, "status": "pruned"},
            {"val_biased": 0.95, "status": "failed"},
            {"val_biased": None},
            {"val_biased": 0.7},
        ],
    )
    assert chosen(trials, "val_biased") == ["004"]


def test_ties_go_to_the_lower_number_not_to_the_lower_text(synthetic: ModuleType) -> None:
    trials = frame(synthetic, [{"val_biased": 0.1}, {"val_biased": 0.8}, {"val_biased": 0.8}])
    trials["trial_id"] = ["a-r0-900", "a-r0-1000", "a-r0-999"]
    trials["search_number"] = [900, 1000, 999]
    assert picks(trials, ["val_biased"])["trial_id"].tolist() == ["a-r0-999"]


def test_reweighted_counts_its_standard_error(synthetic: ModuleType) -> None:
    trials = frame(
        synthetic,
        [{"val_reweighted": 0.90, "val_reweighted_se": 0.10}, {"val_reweighted": 0.85, "val_reweighted_se": 0.01}],
    )
    assert chosen(trials, "val_reweighted") == ["001"]


def test_a_rule_without_values_chooses_nothing(synthetic: ModuleType) -> None:
    assert chosen(frame(synthetic, [{"val_biased": 0.5}]), "val_unbiased") == []


def test_each_repeat_has_its_own_pick(synthetic: ModuleType) -> None:
    trials = frame(synthetic, [{"val_biased": 0.5}, {"val_biased": 0.9}, {"val_biased": 0.7, "repeat": 1}])
    assert chosen(trials, "val_biased") == ["001", "002"]


def test_confirm_rows_know_their_rules_and_superseded_ones_are_marked(synthetic: ModuleType) -> None:
    search = [{"val_biased": 0.9, "val_unbiased": 0.1}, {"val_biased": 0.1, "val_unbiased": 0.9}, {"val_biased": 0.2}]
    confirm = [{"hyperparameters": json.dumps({"lr": number})} for number in range(3)]
    confirm[1]["status"] = "failed"
    marked = mark(frame(synthetic, search, confirm), ["val_unbiased", "val_biased"])
    rows = marked[marked["phase"] == "confirm"]
    assert rows["rules"].tolist() == [("val_biased",), ("val_unbiased",), ()]
    assert rows["superseded"].tolist() == [False, False, True]
    assert not marked.loc[marked["phase"] == "search", "superseded"].any()


def test_a_configuration_of_two_rules_stands_once_with_both(synthetic: ModuleType) -> None:
    search = [{"val_biased": 0.9, "val_unbiased": 0.9}]
    confirm = [{"hyperparameters": '{"lr":  0}'}]
    marked = mark(frame(synthetic, search, confirm), ["val_unbiased", "val_biased"])
    assert marked["rules"].tolist()[-1] == ("val_unbiased", "val_biased")


def test_rules_that_the_sweep_does_not_name_choose_nothing(synthetic: ModuleType) -> None:
    confirm = [{"hyperparameters": '{"lr": 0}'}]
    marked = mark(frame(synthetic, [{"val_biased": 0.9}], confirm), ["val_unbiased"])
    assert marked["superseded"].tolist()[-1]


@pytest.mark.parametrize(("rule", "name"), [("val_unbiased", "oracle"), ("val_biased", "biased validation")])
def test_names(rule: str, name: str) -> None:
    assert rule_name(rule) == name


def test_a_search_of_its_own_serves_its_rule_alone(synthetic: ModuleType) -> None:
    values = {"val_biased": 0.5, "val_unbiased": 0.5}
    trials = frame(synthetic, [values, {**values, "val_biased": 0.9}, {**values, "val_unbiased": 0.9}])
    trials["trial_id"] = ["a-r0.val_biased-000", "a-r0.val_unbiased-000", "a-r0.val_biased-001"]
    trials["search_rule"], trials["search_number"] = ["val_biased", "val_unbiased", "val_biased"], [0, 0, 1]
    assert picks(trials, ["val_biased"])["trial_id"].tolist() == ["a-r0.val_biased-000"]
    assert picks(trials, ["val_unbiased"])["trial_id"].tolist() == ["a-r0.val_unbiased-000"]


def test_candidates_are_completed_search_trials_of_the_rule(synthetic: ModuleType) -> None:
    trials = frame(synthetic, [{}, {"status": "pruned"}, {}, {}], [{"hyperparameters": "{}"}])
    assert candidates_of(trials, "val_biased").tolist() == [True, False, True, True, False]
    trials["search_rule"] = ["val_biased", "val_biased", "val_unbiased", None, None]
    assert candidates_of(trials, "val_biased").tolist() == [True, False, False, True, False]


def test_a_confirm_row_counts_for_the_repeat_that_chose_its_configuration(synthetic: ModuleType) -> None:
    lr = [json.dumps({"lr": number}) for number in range(2)]
    search = [{"val_biased": 0.9}, {"val_biased": 0.1}, {"val_biased": 0.1, "repeat": 1, "hyperparameters": lr[0]}]
    search.append({"val_biased": 0.9, "repeat": 1, "hyperparameters": lr[1]})
    confirm = [{"hyperparameters": lr[i], "repeat": repeat} for i, repeat in ((0, 0), (1, 1), (0, 1))]
    marked = mark(frame(synthetic, search, confirm), ["val_biased"])
    assert marked.loc[marked["phase"] == "confirm", "superseded"].tolist() == [False, False, True]


def test_search_trials_beyond_the_plan_do_not_count(synthetic: ModuleType) -> None:
    search = [{"val_biased": value} for value in (0.1, 0.5, 0.3, 0.9)]
    confirm = [{"hyperparameters": json.dumps({"lr": number})} for number in (1, 3)]
    trials = frame(synthetic, search, confirm)
    (cell,) = trials["cell"].unique()
    marked = mark(trials, ["val_biased"], {cell: 3})
    assert marked["superseded"].tolist() == [False, False, False, True, False, True]
    assert marked["rules"].tolist() == [(), ("val_biased",), (), (), ("val_biased",), ()]
    assert mark(trials, ["val_biased"], {"another": 1})["superseded"].tolist() == [False] * 4 + [True, False]

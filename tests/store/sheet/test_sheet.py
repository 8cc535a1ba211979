"""``sweep.yaml`` as a typed object: what a sheet says, what an older one leaves out, and what nonsense says."""

from __future__ import annotations

import math
from typing import Any

import pytest

from store.rules import RULES
from store.sheet.sheet import Like, Sheet
from store.sheet.traits import Traits

LIKE = Like("lnl", "c-lnl", ("lambda_", "mu"), {"lr": 0.1})
SHEET: dict[str, Any] = {
    "methods": ["erm", {"name": "lnl", "label": "lnl_2"}, {"name": "own"}],
    "methods_info": {
        "lnl_2": {"method": "lnl", "long_name": "Long"},
        "own": Traits("own", "Own", "me", ceiling=True, pressures=("alpha",)).content(),
    },
    "search": {"rule": "val_biased", "repeats": 2},
    "confirm": {"seeds": 5, "splits": 3, "rules": ["val_unbiased", {"rule": "val_biased", "seeds": 8}]},
    "dataset_info": {"axes": [{"name": "size", "stronger": "smaller", "low": 0, "default": 1.5}, "odd"]},
    "cells": [
        {"cell": "c-erm", "label": "erm", "method": "erm", "bias": {"size": 2}, "bias_value": 2, "trials": 4},
        {"cell": "c-control", "label": "permuted_bias", "method": "permuted_bias", "like": LIKE.content()},
    ],
}


def test_what_a_sheet_says() -> None:
    sheet = Sheet(SHEET)
    assert sheet.rules == ("val_biased", "val_unbiased")
    assert sheet.seeds_of_rules == {"val_unbiased": 5.0, "val_biased": 8.0}
    assert (sheet.splits, sheet.repeats, sheet.one_split) == (3, 2, False)
    assert sheet.search_trials == {"c-erm": 4} and sheet.search_seeds == {"c-erm": 1, "c-control": 1}
    assert sheet.likes == {"c-control": LIKE}
    assert LIKE.of({"lambda_": 1, "mu": 2, "lr": 9, "weight_decay": 0}) == {"lr": 0.1, "lambda_": 1, "mu": 2}
    assert sheet.stronger("size") == "smaller" and sheet.axes["size"].default == 1.5 and list(sheet.axes) == ["size"]


def test_traits_stand_in_the_sheet_and_come_from_one_table_for_an_older_one() -> None:
    sheet = Sheet(SHEET)
    assert sheet.traits("own", "own") == Traits("own", "Own", "me", ceiling=True, pressures=("alpha",))
    assert sheet.traits("lnl_2", "lnl") == Traits("lnl", "Long", debiasing=True, pressures=("lambda_", "mu"))
    assert sheet.traits("permuted_bias", "").control and sheet.traits("gone", "ceiling").ceiling
    assert sheet.traits("erm", "erm") == Traits("erm")
    said = {"own": ("alpha",), "lnl_2": ("lambda_", "mu"), "permuted_bias": ("lambda_", "mu")}
    assert {label: names for label, names in sheet.pressures.items() if label in said} == said
    assert "erm" not in sheet.pressures, "an older sheet does not say it"
    assert Sheet({}).stronger("color_variance") == "smaller" and Sheet({}).stronger("rho") == "larger"


@pytest.mark.parametrize("content", [{}, {"methods": 3, "cells": "c", "confirm": [], "dataset_info": {"axes": 1}}])
def test_nonsense_says_nothing(content: dict[str, Any]) -> None:
    sheet = Sheet(content)
    assert sheet.rules == RULES and sheet.splits == sheet.repeats == 1
    assert (sheet.cells, sheet.methods, sheet.axes, sheet.likes) == ((), {}, {}, {})


def test_seeds_that_are_not_named_are_missing() -> None:
    assert math.isnan(Sheet({"confirm": {"rules": ["val_biased"]}}).seeds_of_rules["val_biased"])

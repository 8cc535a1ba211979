"""Points gathered once: every number computed from them is the one that the public functions return."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis.results import Results

RULE = "val_counterfactual"


@pytest.fixture(scope="module")
def trials(sweep_dir: Path) -> pd.DataFrame:
    return analysis.mark_seeds_added(analysis.load(sweep_dir), sweep_dir)


def test_points_are_gathered_once(trials: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    results = Results(trials)
    monkeypatch.delattr("analysis.results.collect")
    monkeypatch.delattr("analysis.results.collect_columns")
    assert len(results.curve()) == len(results.points) > 0
    assert not results.won_back(RULE).empty and not results.areas(RULE).empty and not results.breaking(RULE).empty
    assert results.primary(("lnl", "erm"), RULE).n_seeds == 5
    assert list(results.table(RULE).index)[:4] == ["ceiling", "erm", "grl", "lnl"]


def test_several_columns_at_once_are_the_same_as_one_by_one(trials: pd.DataFrame) -> None:
    columns = ["test_accuracy", "flip_rate"]
    for column, together in Results.by_column(trials, None, columns).items():
        pd.testing.assert_frame_equal(together.curve(), analysis.accuracy_vs_bias(trials, column=column))
        pd.testing.assert_frame_equal(together.areas(RULE), analysis.areas(trials, column=column, rule=RULE))


def test_seeds_added_late_stand_in_the_points(trials: pd.DataFrame) -> None:
    late = Results(trials.assign(seeds_added=3))
    assert {point.n_added for point in late.points} == {3}
    assert {point.n_added for point in Results(trials.assign(seeds_added=9)).points} == {5}
    for table in (late.curve(), late.won_back(), late.areas(), late.breaking()):
        assert set(table["n_added"]) == {3}

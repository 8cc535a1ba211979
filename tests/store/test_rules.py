"""The one way in which a rule values a trial and chooses among candidates."""

from __future__ import annotations

import math

import pytest

from store.rules import Ended, best, mean, objective, values_of


def test_the_standard_error_is_taken_off_where_there_is_one() -> None:
    values = {"val_reweighted": 0.9, "val_reweighted_se": 0.1, "val_biased": 0.9}
    assert objective("val_reweighted", values) == 0.9 - 0.1 and objective("val_biased", values) == 0.9
    for missing in (None, math.nan):
        assert objective("val_reweighted", {"val_reweighted": 0.9, "val_reweighted_se": missing}) == 0.9
    assert math.isnan(objective("val_reweighted", {"val_reweighted": None})) and math.isnan(objective("val_biased", {}))


@pytest.mark.parametrize(
    ("trials", "seeds", "values"),
    [
        ([(0, True, 0.5)], 1, [0.5]),
        ([(0, True, 0.5)], 2, []),
        ([(0, True, 0.5), (1, True, 0.7)], 2, [0.5, 0.7]),
        ([(0, True, 0.5), (1, False, 0.7)], 2, [0.5]),
        ([(0, False, 0.5), (1, True, 0.7)], 2, []),
        ([(0, True, math.nan), (1, True, 0.7)], 2, [0.7]),
        ([], 1, []),
    ],
)
def test_a_candidate_counts_once_all_its_seeds_have_ended_if_its_first_completed(
    trials: list[tuple[int, bool, float]], seeds: int, values: list[float]
) -> None:
    assert values_of([Ended(*trial) for trial in trials], seeds) == values


def test_the_mean_of_none_is_missing() -> None:
    assert mean([0.25, 0.75]) == 0.5 and math.isnan(mean([]))


def test_the_highest_wins_and_ties_go_to_the_lower_number() -> None:
    assert best([5, 3, 4], [0.9, 0.9, 0.1]) == 1
    assert best([0, 1], [math.nan, 0.1]) == 1 and best([0, 1], [-math.inf, math.nan]) is None and best([], []) is None

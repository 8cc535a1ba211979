from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.bootstrap import crossed_variance, draw_weights, percentile_interval, resample
from store.errors import InputError

CELLS = np.array([[1, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
ONE_CLASS = np.zeros(4)


def test_variance_by_full_enumeration() -> None:
    found = crossed_variance(CELLS)
    assert found.total == pytest.approx(0.03125, abs=1e-12)
    assert found.seeds == pytest.approx(0.004629629630, abs=1e-11)
    assert found.patients == pytest.approx(0.013888888889, abs=1e-11)
    assert found.interaction == pytest.approx(0.012731481481, abs=1e-11)


def test_random_draws_agree_with_the_enumeration() -> None:
    weights = draw_weights(3, ONE_CLASS, 40_000, np.random.default_rng(0))
    draws = resample(CELLS[None], np.ones((1, 4)), weights)
    assert draws.mean() == pytest.approx(CELLS.mean(), abs=0.005)
    assert draws.var() == pytest.approx(0.03125, rel=0.03)


def test_the_same_draws_make_a_comparison_paired() -> None:
    weights = draw_weights(3, ONE_CLASS, 100, np.random.default_rng(0))
    both = [resample(cells[None], np.ones((1, 4)), weights) for cells in (CELLS, CELLS + 0.1)]
    assert both[1] - both[0] == pytest.approx(np.full(100, 0.1))


def test_a_class_without_images_in_a_draw_does_not_count() -> None:
    hits, sizes = np.array([[[2.0, 0.0]], [[0.0, 1.0]]]), np.array([[2.0, 0.0], [0.0, 2.0]])
    weights = draw_weights(1, np.zeros(2), 200, np.random.default_rng(0))
    assert set(np.round(resample(hits, sizes, weights), 6)) == {1.0, 0.75, 0.5}


def test_patients_are_drawn_within_classes() -> None:
    strata = np.array([0, 1, 0, 1, 1])
    weights = draw_weights(3, strata, 100, np.random.default_rng(0))
    assert (weights.patients[:, strata == 0].sum(axis=1) == 2).all()
    assert (weights.patients[:, strata == 1].sum(axis=1) == 3).all()
    assert (weights.seeds.sum(axis=1) == 3).all()
    assert len(np.unique(weights.patients, axis=0)) > 1


def test_percentiles_keep_censored_ends() -> None:
    assert percentile_interval([0.1] * 90 + [float("inf")] * 10) == (0.1, float("inf"))


def test_enumeration_refuses_what_is_too_long() -> None:
    with pytest.raises(InputError, match="K=5, P=9"):
        crossed_variance(np.zeros((5, 9)))

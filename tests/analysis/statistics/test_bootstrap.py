from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.statistics.bootstrap import draw_weights, percentile_interval, resample

CELLS = np.array([[1, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
ONE_CLASS = np.zeros(4)


def all_counts(n: int) -> np.ndarray:
    """How often each of n is taken, in every one of the n^n draws."""
    draws = np.array(list(itertools.product(range(n), repeat=n)))
    return (draws[:, :, None] == np.arange(n)).sum(axis=1)


def test_random_draws_agree_with_the_enumeration() -> None:
    every = all_counts(3) / 3 @ CELLS @ all_counts(4).T / 4
    assert every.var() == pytest.approx(0.03125, abs=1e-12)
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

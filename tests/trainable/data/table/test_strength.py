"""Strength of a bias, with values computed by hand, and the bias as it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainable.data.table.strength import (
    independence_weights,
    joint_law,
    natural_bias,
    strength,
    unbiased_share,
)

OWN = np.array([0, 1])


def test_strength_of_a_symmetric_law_is_one_minus_the_binary_entropy() -> None:
    counts = np.array([[90, 10], [20, 80]])
    for rho in (0.5, 0.75, 0.9, 1.0):
        entropy = -sum(p * math.log2(p) for p in (rho, 1 - rho) if p)
        assert strength(joint_law(counts, OWN, np.full(2, rho))) == pytest.approx(1 - entropy, abs=1e-12)


def test_the_law_keeps_class_shares_and_the_proportions_of_the_others() -> None:
    counts = np.array([[60, 10, 30], [5, 15, 80], [20, 30, 50]])
    law = joint_law(counts, np.array([0, 2, 1]), np.array([0.8, 0.8, 0.8]))
    assert law.sum(axis=1) == pytest.approx(np.ones(3) / 3)
    assert law[0] * 3 == pytest.approx([0.8, 0.05, 0.15])
    assert law[1] * 3 == pytest.approx([0.05, 0.15, 0.8])


def test_the_unbiased_share() -> None:
    assert unbiased_share(np.array([[90, 10], [20, 80]]), OWN) == 0.5
    # Two classes of three may share an attribute.
    assert unbiased_share(np.array([[90, 10], [20, 80], [7, 5]]), np.array([0, 1, 1])) == 0.5
    # Conflicting images in equal parts: 1/3 of each.
    assert unbiased_share(np.array([[90, 5, 5], [8, 80, 8], [9, 9, 80]]), np.arange(3)) == pytest.approx(1 / 3)
    assert unbiased_share(np.array([[90, 5, 6], [8, 80, 8], [9, 9, 80]]), np.arange(3)) is None


def test_weights_make_the_attribute_independent_of_the_class() -> None:
    rng = np.random.default_rng(0)
    labels, attribute = rng.integers(0, 3, 500), rng.integers(0, 4, 500)
    attribute[(labels == 0) & (attribute == 1)] = 0
    weights = independence_weights(labels, attribute, 3, 4)
    assert weights is not None and weights.mean() == pytest.approx(1)
    # Attribute 1 is one that class 0 lacks.
    assert not weights[attribute == 1].any() and weights[attribute != 1].all()
    mass = np.array([[weights[(labels == y) & (attribute == b)].sum() for b in range(4)] for y in range(3)]) / 500
    assert mass.sum(axis=1) == pytest.approx(np.bincount(labels) / 500)
    assert mass == pytest.approx(np.outer(mass.sum(axis=1), mass.sum(axis=0)))
    assert independence_weights(np.array([0, 1]), np.array([0, 1]), 2, 2) is None


def test_the_natural_interval_is_that_of_patients() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 50)
    aligned = rng.random(100) < 0.8
    b = np.where(aligned, y, 1 - y)
    varies = np.array([True, True])
    one = natural_bias(y, b, np.arange(100), OWN, varies)
    # Ten images a patient, all alike: ten times the images say no more.
    ten = natural_bias(np.repeat(y, 10), np.repeat(b, 10), np.repeat(np.arange(100), 10), OWN, varies)
    assert ten.rho == pytest.approx(one.rho) == pytest.approx(aligned.mean())
    assert ten.interval == pytest.approx(one.interval, abs=1e-9)
    assert ten.strength_interval == pytest.approx(one.strength_interval, abs=1e-9)
    lone = natural_bias(np.repeat(y, 10), np.repeat(b, 10), np.arange(1000), OWN, varies)
    assert lone.interval[1] - lone.interval[0] < 0.4 * (one.interval[1] - one.interval[0])
    # Of the class alone whose share rho is.
    first = natural_bias(y, b, np.arange(100), OWN, np.array([True, False]))
    assert first.rho == pytest.approx(aligned[:50].mean())


def test_without_exceptions_the_interval_is_wilsons_over_patients() -> None:
    y = np.repeat([0, 1], 30)
    found = natural_bias(y, y, np.repeat(np.arange(20), 3), OWN, np.array([True, True]))
    assert found.rho == 1 and found.strength == 1
    assert found.interval[0] == pytest.approx(1 / (1 + 1.959963984540054**2 / 20)) and found.interval[1] == 1


@pytest.mark.parametrize("rho", [0.6, 0.85])
def test_coverage_of_the_natural_interval(rho: float) -> None:
    rng = np.random.default_rng(1)
    within = []
    for _ in range(300):
        n_images = rng.integers(1, 6, 120)
        y = np.repeat([0, 1], 60)
        # The share varies from patient to patient.
        of_patient = rng.beta(rho * 2, (1 - rho) * 2, 120)
        patient = np.repeat(np.arange(120), n_images)
        b = np.where(rng.random(len(patient)) < of_patient[patient], y[patient], 1 - y[patient])
        low, high = natural_bias(y[patient], b, patient, OWN, np.array([True, True])).interval
        within.append(low <= rho <= high)
    assert 0.9 <= np.mean(within) <= 0.985

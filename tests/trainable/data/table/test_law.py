"""The law of a chosen training set: sizes against brute force, nested choices, refusals that help."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trainable.data.table.law import (
    LEAST_OF_CLASS,
    Span,
    apportion,
    choose,
    counts_of,
    feasible_sizes,
    fits,
    kinds,
    n_aligned,
    nearest_rho,
)
from trainable.data.table.refusal import Wanted, check_possible
from trainable.errors import InputError

OWN = np.array([0, 1])
AXIS = (0.5, 0.6, 0.75, 0.9, 0.95, 1.0)


def each(rho: float, n: int = 2) -> np.ndarray:
    return np.full(n, rho)


def test_sizes_of_a_hand_made_table() -> None:
    counts = np.array([[90, 10], [20, 80]])
    # At rho = .5 ten conflicting images allow a class of 21 (11 aligned, halves up), and the classes are equal.
    assert feasible_sizes(counts, OWN, Span(each(0.5), each(1.0))).tolist() == [21, 21]
    # From .9 on the 80 aligned images of class 1 limit it at rho = 1; an odd one goes to the lower class.
    assert feasible_sizes(counts, OWN, Span(each(0.9), each(1.0))).tolist() == [81, 80]
    # At .9 alone class 1 can have 89 images: 80.1 are 80 aligned ones.
    assert feasible_sizes(counts, OWN, Span(each(0.9), each(0.9))).tolist() == [90, 89]
    assert feasible_sizes(counts, OWN, Span(each(0.5), each(1.0)), size=30).tolist() == [15, 15]
    assert feasible_sizes(np.array([[90, 0], [20, 80]]), OWN, Span(each(0.25), each(0.25))).tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(30))
def test_the_largest_size_is_that_of_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_classes, n_attributes = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    counts = rng.integers(0, 25, (n_classes, n_attributes)) + 1
    own = rng.integers(0, n_attributes, n_classes)
    low, high = sorted(rng.choice(AXIS, 2))
    span = Span(each(low, n_classes), each(high, n_classes))
    # Brute force: every size, and every rho of a fine grid of the span.
    grid = np.linspace(low, high, 41)
    of_class = counts.sum(axis=1)
    possible = [
        n
        for n in range(1, int(counts.sum()) + 1)
        if apportion(n, of_class).all()
        and all(fits(counts, own, apportion(n, of_class), each(rho, n_classes)) for rho in grid)
    ]
    found = feasible_sizes(counts, own, span)
    assert int(found.sum()) == max(possible, default=0)
    if possible:
        assert found.tolist() == apportion(max(possible), of_class).tolist()


@pytest.mark.parametrize("seed", range(10))
def test_choices_are_nested_keep_the_law_and_use_no_image_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, attribute = rng.integers(0, 3, 600), rng.integers(0, 3, 600)
    own, u = np.array([0, 1, 2]), rng.random(600)
    counts = counts_of(labels, attribute, 3, 3)
    sizes = feasible_sizes(counts, own, Span(each(0.4, 3), each(1.0, 3)))
    aligned_before, conflicting_before = set(), None
    for rho in (0.4, 0.5, 0.8, 0.95, 1.0):
        chosen = choose(u, labels, attribute, own, sizes, each(rho, 3))
        assert len(set(chosen.tolist())) == len(chosen) == sizes.sum()
        is_own = attribute[chosen] == own[labels[chosen]]
        assert np.bincount(labels[chosen], minlength=3).tolist() == sizes.tolist()
        wanted = n_aligned(each(rho, 3), sizes)
        assert np.bincount(labels[chosen][is_own], minlength=3).tolist() == wanted.tolist()
        aligned, conflicting = set(chosen[is_own].tolist()), set(chosen[~is_own].tolist())
        assert aligned_before <= aligned
        assert conflicting_before is None or conflicting <= conflicting_before
        aligned_before, conflicting_before = aligned, conflicting
        # The conflicting images of a class keep their proportions, to one image.
        for k in range(3):
            rest = chosen[(labels[chosen] == k) & ~is_own]
            others = np.delete(counts[k], own[k])
            expected = len(rest) * others / others.sum()
            there = np.delete(np.bincount(attribute[rest], minlength=3), own[k])
            assert np.abs(there - expected).max() <= 1


def test_other_draws_choose_other_images_and_the_same_draws_the_same() -> None:
    rng = np.random.default_rng(0)
    labels, attribute = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
    sizes = np.array([40, 40])
    first, again, other = (
        choose(np.random.default_rng(seed).random(300), labels, attribute, OWN, sizes, each(0.5)) for seed in (1, 1, 2)
    )
    assert first.tolist() == again.tolist() != other.tolist()


def test_halves_are_rounded_up_whatever_the_rounding_error() -> None:
    for rho, n in itertools.product((0.05, 0.15, 0.35, 0.7, 0.95), range(1, 400)):
        exact = math.floor(round(rho * 100) * n / 100 + 0.5)
        assert n_aligned(np.array([rho]), np.array([n])).tolist() == [exact]


def test_the_nearest_rho_works_and_none_is_nearer() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        counts = rng.integers(5, 60, (2, 2))
        sizes = apportion(int(rng.integers(20, 60)), counts.sum(axis=1))
        rho = float(rng.random())
        near = nearest_rho(counts, OWN, sizes, rho, np.array([True, True]))
        possible = [r for r in np.linspace(0, 1, 1001) if fits(counts, OWN, sizes, each(r))]
        if near is None:
            # What only rounding allows is not proposed.
            assert all(
                abs(a / n - r) <= 1 / n for r in possible for a, n in zip(n_aligned(each(r), sizes), sizes, strict=True)
            )
            continue
        assert fits(counts, OWN, sizes, each(near))
        assert abs(near - rho) <= min(abs(r - rho) for r in possible) + 1 / sizes.min()


def wanted(size: int | None, rho: float, low: float, high: float) -> Wanted:
    return Wanted(
        "x_ray", ("none", "pneu"), size, Span(each(low), each(high)), rho, each(rho), np.array([True, True]), seed=7
    )


def test_what_cannot_be_drawn_is_refused_with_what_can() -> None:
    counts = np.array([[90, 10], [20, 80]])
    check_possible(counts, OWN, wanted(None, 0.5, 0.5, 1.0))
    check_possible(counts, OWN, wanted(80, 0.9, 0.5, 1.0))
    with pytest.raises(
        InputError,
        match=r"^x_ray cannot give 80 training images at rho = 0.5 \(split 7: class none has 10 conflicting images of "
        r"20\); the largest possible size there is 42: set dataset.size to at most 42, or take rho = 0.75, the nearest "
        r"that works$",
    ):
        check_possible(counts, OWN, wanted(80, 0.5, 0.5, 1.0))
    # A rho outside the span from which the size follows.
    with pytest.raises(InputError, match=r"must hold every rho .* but rho = 0.5 is outside \[0.9, 1\]: leave span out"):
        check_possible(counts, OWN, wanted(None, 0.5, 0.9, 1.0))
    with pytest.raises(InputError, match=r"too few|class none has 0 conflicting images of 4.* take rho = 1, the"):
        check_possible(np.array([[90, 0], [20, 80]]), OWN, wanted(None, 0.5, 0.5, 1.0))
    assert LEAST_OF_CLASS == 8 and kinds(counts, OWN)[1].tolist() == [10, 20]

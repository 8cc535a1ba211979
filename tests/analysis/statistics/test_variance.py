"""The one variance: check values on a finished demo's rows, hand calculations, and what it must not depend on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.along_axis import normalised_area
from analysis.statistics.fieller import recovery
from analysis.statistics.intervals import t_interval, wilson
from analysis.statistics.variance import (
    NO_VARIANCE,
    Sample,
    clustered_wilson,
    interval_of,
    share_one_test_set,
    stand_in,
    strata_of,
    variance_of,
)
from store.errors import InputError

CASE: dict[str, Any] = json.loads((Path(__file__).parent / "phantom_180x8.json").read_text())
"""Hits of five seeds on 27 patients of eight images, three classes: rows of a finished sweep."""


def accuracy(hits: Any, sizes: Any, strata: Any) -> Sample:
    """``hits`` ``[K, P]``, ``sizes`` ``[P]``."""
    h, n = np.asarray(hits, dtype=float), np.asarray(sizes, dtype=float)
    out = stand_in(np.stack([h, np.broadcast_to(n, h.shape)], axis=-1), strata)
    return Sample(h.sum(axis=1) / n.sum(), out[..., 0] / out[..., 1], np.asarray(strata))


def balanced(hits: Any, sizes: Any, strata: Any) -> Sample:
    h, n = np.asarray(hits, dtype=float), np.asarray(sizes, dtype=float)
    own = np.eye(int(np.max(strata)) + 1)[np.asarray(strata)]
    sums = np.concatenate([h[..., None] * own, np.broadcast_to(n[:, None] * own, (*h.shape, own.shape[1]))], axis=-1)

    def figure(x: np.ndarray) -> np.ndarray:
        top, bottom = np.split(x, 2, axis=-1)
        return np.asarray((top / bottom).mean(axis=-1))

    return Sample(figure(sums.sum(axis=1)), figure(stand_in(sums, strata)), np.asarray(strata))


def case(cell: str) -> Sample:
    return accuracy(CASE["hits"][cell], [CASE["images_a_patient"]] * 27, CASE["classes"])


def area(method: str) -> Sample:
    samples, grid = [case(f"{method} {rho}") for rho in ("0.5", "0.9", "1")], [0.5, 0.9, 1.0]
    outs = [s.left_out for s in samples if s.left_out is not None]
    return Sample(
        normalised_area(grid, np.stack([s.values for s in samples], axis=-1)),
        normalised_area(grid, np.stack(outs, axis=-1)),
        samples[0].strata,
    )


class TestCheckValues:
    def test_erm_at_full_bias(self) -> None:
        assert variance_of(case("erm 1")).half() == pytest.approx(0.061, abs=5e-4)

    def test_difference_at_full_bias(self) -> None:
        found = interval_of(case("lnl 1").minus(case("erm 1")))
        assert (found.low, found.high) == pytest.approx((0.139, 0.256), abs=5e-4)

    def test_difference_of_areas(self) -> None:
        difference = area("lnl").minus(area("erm"))
        found = interval_of(difference)
        # The upper end is .08948.
        assert (found.low, found.high) == pytest.approx((0.005, 0.090), abs=6e-4)
        assert variance_of(difference).p(difference.mean) == pytest.approx(0.032, abs=5e-4)

    @pytest.mark.parametrize(("rho", "ratio", "low", "high"), [("1", 0.75, 0.54, 0.97), ("0.9", 0.48, -0.36, 0.81)])
    def test_won_back(self, rho: str, ratio: float, low: float, high: float) -> None:
        """Inside the interval of the sum t^2 s^2 / K + 1.96^2 V_p, which counts the interaction twice."""
        method, erm, ceiling = case(f"lnl {rho}"), case(f"erm {rho}"), case("ceiling 0")
        found = recovery(method, erm, ceiling)
        assert found.ratio == pytest.approx(ratio, abs=5e-3)
        assert low - 0.005 < found.low < found.ratio < found.high < high + 0.005
        gain, gap = method.minus(erm), ceiling.minus(erm)
        for end in (found.low, found.high):
            contrast = gain.minus(gap, end)
            assert abs(contrast.mean) == pytest.approx(variance_of(contrast).half(), abs=1e-9)


def test_seeds_alone_are_students_t() -> None:
    values = [0.80, 0.82, 0.87, 0.85, 0.81]
    found = interval_of(Sample(np.array(values)))
    assert found.half == pytest.approx(t_interval(values).half)
    assert variance_of(Sample(np.array(values))).df == 4


def test_one_seed_has_no_interval() -> None:
    assert variance_of(Sample(np.array([0.8]))) is NO_VARIANCE
    assert math.isnan(interval_of(Sample(np.array([0.8]))).low)
    assert math.isnan(NO_VARIANCE.p(0.1))


def test_by_hand() -> None:
    """Two seeds, one class of two patients with one image each: every number can be written down."""
    sample = accuracy([[1, 0], [1, 1]], [1, 1], [0, 0])
    assert sample.left_out is not None and sample.left_out.tolist() == [[0, 1], [1, 1]]
    found = variance_of(sample)
    # values .5 and 1; means over seeds with one left out .5 and 1; deviations of the seeds from it -+.5, 0.
    assert found.seeds == pytest.approx(0.125 / 2)
    assert found.patients == pytest.approx(1 / 2 * 2 * 0.25**2)
    assert found.interaction == pytest.approx(1 / 2 * 4 * 0.25**2 / (2 * 1))
    assert found.total == pytest.approx(0.0625)
    df = found.total**2 / (0.0625**2 / 1 + 0.0625**2 / 1 + 0.0625**2 / 1)
    assert found.df == pytest.approx(df)


def test_one_class_alone_is_the_plain_jackknife() -> None:
    rng = np.random.default_rng(0)
    n = rng.integers(1, 9, 12)
    h = rng.binomial(n, 0.6, (5, 12))
    sample = accuracy(h, n, np.zeros(12, dtype=int))
    plain = np.stack([(h.sum(axis=1) - h[:, p]) / (n.sum() - n[p]) for p in range(12)], axis=1)
    assert sample.left_out == pytest.approx(plain)
    mean = plain.mean(axis=0)
    assert variance_of(sample).patients == pytest.approx(11 / 12 * ((mean - mean.mean()) ** 2).sum())


def test_equal_classes_and_patients_give_accuracy_and_balanced_accuracy_one_band() -> None:
    rng = np.random.default_rng(1)
    strata, n = np.arange(30) % 3, np.full(30, 4)
    h = rng.binomial(4, np.array([0.9, 0.1, 0.8])[strata], (5, 30))
    first, second = (interval_of(figure(h, n, strata)) for figure in (accuracy, balanced))
    assert (first.mean, first.low, first.high) == pytest.approx((second.mean, second.low, second.high), abs=1e-12)


def test_interval_and_p_agree_on_zero() -> None:
    rng, sides = np.random.default_rng(2), set()
    for _ in range(1000):
        k, per = int(rng.integers(2, 8)), int(rng.integers(2, 7))
        strata, n = np.repeat([0, 1, 2], per), rng.integers(1, 6, 3 * per)
        a, b = (accuracy(rng.binomial(n, p, (k, 3 * per)), n, strata) for p in (0.6, 0.6 - 0.3 * rng.random()))
        difference = a.minus(b)
        found, p = interval_of(difference), variance_of(difference).p(difference.mean)
        assert (found.low <= 0 <= found.high) == (p >= 0.05)
        sides.add(p >= 0.05)
    assert sides == {True, False}


def test_the_order_of_seeds_classes_and_patients_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    strata, n = np.repeat([0, 1, 2], [9, 5, 7]), rng.integers(1, 9, 21)
    h = rng.binomial(n, 0.7, (4, 21))
    found = variance_of(accuracy(h, n, strata))
    order = rng.permutation(21)
    moved = variance_of(accuracy(h[rng.permutation(4)][:, order], n[order], np.array([2, 0, 1])[strata][order]))
    for name in ("total", "df", "seeds", "patients", "interaction"):
        assert getattr(moved, name) == pytest.approx(getattr(found, name), abs=1e-12)


def test_variance_is_never_below_that_of_the_seeds_or_of_the_patients() -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        n = np.ones(6)
        found = variance_of(accuracy(rng.integers(0, 2, (3, 6)), n, np.repeat([0, 1], 3)))
        assert found.total >= max(found.seeds, found.patients)


def test_components_are_those_of_an_analysis_of_variance() -> None:
    """One image a patient, one class: V_s and V_sp are mean squares of a crossed table over K P."""
    rng = np.random.default_rng(5)
    x = rng.integers(0, 2, (4, 9)).astype(float)
    found = variance_of(accuracy(x, np.ones(9), np.zeros(9, dtype=int)))
    rows, columns = x.mean(axis=1, keepdims=True), x.mean(axis=0, keepdims=True)
    residual = ((x - rows - columns + x.mean()) ** 2).sum() / (3 * 8)
    assert found.seeds == pytest.approx(x.mean(axis=1).var(ddof=1) / 4)
    assert found.patients == pytest.approx(x.mean(axis=0).var(ddof=1) / 9)
    assert found.interaction == pytest.approx(residual / 36)


def test_least_difference() -> None:
    found = variance_of(Sample(np.array([0.1, 0.2, 0.15, 0.12, 0.18])))
    expected = (stats.t.ppf(0.975, 4) + stats.t.ppf(0.8, 4)) * math.sqrt(found.total)
    assert found.least_difference() == pytest.approx(expected)


class TestNearTheEnds:
    def test_nine_patients_without_a_hit(self) -> None:
        sample = accuracy(np.zeros((5, 9)), np.full(9, 8), np.zeros(9, dtype=int))
        found = interval_of(sample, (0, 1), proportion=True)
        assert (found.low, found.high) == pytest.approx(wilson(0, 9))
        assert found.high > 0.28

    def test_n_eff_is_what_the_variance_is_worth(self) -> None:
        sample = case("erm 1")
        found = variance_of(sample)
        n = sample.mean * (1 - sample.mean) / found.total
        assert clustered_wilson(sample.mean, found, 27) == pytest.approx(
            wilson(sample.mean * n, n, float(stats.t.ppf(0.975, found.df)))
        )

    def test_an_interval_that_stays_inside_is_left_alone(self) -> None:
        plain = interval_of(case("erm 1"))
        assert interval_of(case("erm 1"), (0, 1), proportion=True) == plain

    def test_a_difference_is_never_wilsons(self) -> None:
        found = interval_of(case("lnl 1").minus(case("lnl 1")))
        assert (found.low, found.high) == (0, 0)


class TestStrata:
    def test_a_patient_belongs_to_the_class_of_most_of_its_images(self) -> None:
        labels, groups = [0, 1, 1, 0, 1, 2, 2, 2, 2], [0, 0, 0, 1, 1, 2, 2, 3, 3]
        found = strata_of(labels, groups, 4)
        assert found is not None
        # Patient 1 has one image of each: the lower class; it is then alone in it, and joins the smallest other one.
        assert found.tolist() == [1, 1, 2, 2] or found.tolist()[2:] == [2, 2]

    def test_a_class_of_one_patient_joins_the_smallest_other(self) -> None:
        found = strata_of([0, 0, 0, 1, 1, 2], [0, 1, 2, 3, 4, 5], 6)
        assert found is not None and found.tolist() == [0, 0, 0, 1, 1, 1]

    def test_of_a_tie_all_smallest_classes_are_joined_so_that_their_numbers_decide_nothing(self) -> None:
        labels = np.array([0, 1, 1, 2, 2, 3, 3, 3])
        found = [strata_of(x, np.arange(8), 8) for x in (labels, np.array([2, 3, 0, 1])[labels])]
        same = [[a == b for a in f for b in f] for f in found if f is not None]
        assert same[0] == same[1] and len(same) == 2

    def test_of_a_tie_a_patient_is_of_the_larger_class(self) -> None:
        labels, groups = np.array([0, 1, 1, 1, 1, 0, 0]), np.array([0, 0, 1, 2, 3, 4, 5])
        for number in ([0, 1], [1, 0]):
            found = strata_of(np.array(number)[labels], groups, 6)
            assert found is not None and found[0] == found[1] == found[2]

    def test_two_classes_of_one_patient_each_are_one(self) -> None:
        found = strata_of([0, 1], [0, 1], 2)
        assert found is not None and len(set(found.tolist())) == 1

    def test_one_patient_has_none(self) -> None:
        assert strata_of([0, 0], [0, 0], 1) is None

    def test_a_class_of_one_patient_is_refused(self) -> None:
        with pytest.raises(InputError, match="class 1 has 1"):
            variance_of(Sample(np.array([0.5, 0.6]), np.zeros((2, 3)), np.array([0, 0, 1])))

    def test_test_sets_that_differ_are_not_paired(self) -> None:
        first, second = case("erm 1"), Sample(case("erm 1").values)
        assert share_one_test_set([first, first]) and not share_one_test_set([first, second])


def test_two_seeds_that_contradict_one_another_in_every_image() -> None:
    # One seed calls every image benign and the other none: each is right in half of them, whatever the patient.
    strata = np.repeat([0, 1], 15)
    right = np.stack([strata == 0, strata == 1]).astype(float)
    left_out = np.stack([[np.delete(one, p).mean() for p in range(30)] for one in right])
    for epsilon in (0.0, 1e-17, 1e-13):
        sample = Sample(np.array([0.5, 0.5 + epsilon]), left_out, strata)
        interval = interval_of(sample, (0.0, 1.0), proportion=True)
        assert 0 <= interval.low < 0.5 < interval.high <= 1

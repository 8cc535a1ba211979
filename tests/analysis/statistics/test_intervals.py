"""Check values to float64; where a number is not obvious the calculation stands beside it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.statistics.fieller import Recovery, recovery
from analysis.statistics.intervals import (
    expected_maximum,
    holm,
    paired_test,
    sign_flip_p,
    t_interval,
    t_quantile,
    wilson,
)
from analysis.statistics.variance import Sample, interval_of
from store.errors import InputError

A, B = [0.90, 0.92, 0.88, 0.91, 0.93], [0.85, 0.90, 0.86, 0.84, 0.88]


@pytest.mark.parametrize(("df", "value"), [(2, 4.302652729749), (4, 2.776445105198), (9, 2.262157162798)])
def test_t_quantile(df: int, value: float) -> None:
    # Versions of scipy differ in the eleventh digit.
    assert t_quantile(df) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "half"),
    [([0.80, 0.82, 0.87], 0.089566858950), ([0.80, 0.82, 0.87, 0.85, 0.81], 0.036200415215)],
)
def test_t_interval(values: list[float], half: float) -> None:
    interval = t_interval(values)
    assert interval.mean == pytest.approx(0.83)
    assert interval.half == pytest.approx(half, abs=1e-11)


def test_paired_test() -> None:
    test = paired_test(A, B)
    assert test.difference == pytest.approx(0.042)
    assert test.half == pytest.approx(0.026918634023, abs=1e-11)
    assert test.t == pytest.approx(4.331969234287, abs=1e-10)
    assert test.p == pytest.approx(0.012330582493, abs=1e-11)
    assert test.sign_flip_p == 0.0625
    assert test.smallest_sign_flip_p == 0.0625


def test_paired_test_is_symmetric() -> None:
    assert paired_test(B, A).p == paired_test(A, B).p
    assert paired_test(B, A).difference == -paired_test(A, B).difference


def test_sign_flip_reaches_its_minimum_at_six_pairs_only() -> None:
    assert sign_flip_p([0.1] * 5) == 2 / 32 > 0.05
    assert sign_flip_p([0.1] * 6) == 2 / 64 < 0.05
    assert math.isnan(sign_flip_p([0.1] * 21))


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    expected = [0.007, 0.12, 0.12, 0.05, 0.4, 0.03, 0.5]
    assert holm([0.001, 0.04, 0.03, 0.01, 0.2, 0.005, 0.5]) == pytest.approx(expected)
    assert holm([]) == []


def won_back(*accuracies: list[float]) -> Recovery:
    return recovery(*(Sample(np.array(values)) for values in accuracies))


def test_fieller() -> None:
    found = won_back(A, [0.68, 0.66, 0.70, 0.67, 0.69], [0.95, 0.96, 0.955, 0.95, 0.965])
    assert found.ratio == pytest.approx(0.826086956522, abs=1e-11)
    assert found.low == pytest.approx(0.738494899018, abs=1e-11)
    assert found.high == pytest.approx(0.903747712640, abs=1e-11)
    assert found.g == pytest.approx(0.005413944511, abs=1e-11)
    assert found.bounded


def test_fieller_is_unbounded_where_the_gap_is_not_significant() -> None:
    weak = won_back(
        [0.95, 0.951, 0.949, 0.952, 0.948], [0.945, 0.955, 0.95, 0.94, 0.957], [0.955, 0.95, 0.957, 0.952, 0.949]
    )
    assert weak.g == pytest.approx(12.451272, abs=1e-6)
    assert not weak.bounded
    assert math.isnan(weak.low)


def test_fieller_with_patients_holds_the_ratios_whose_interval_contains_zero() -> None:
    rng = np.random.default_rng(0)
    strata = np.arange(40) % 2
    m, e, c = (
        Sample(v, v[:, None] + 0.001 * rng.standard_normal((5, 40)), strata)
        for v in (np.array(A), np.array([0.68, 0.66, 0.70, 0.67, 0.69]), np.array([0.95, 0.96, 0.955, 0.95, 0.965]))
    )
    found = recovery(m, e, c)
    for ratio, inside in ((found.low + 1e-6, True), (found.low - 1e-6, False), (found.high + 1e-6, False)):
        band = interval_of(m.minus(e).minus(c.minus(e), ratio))
        assert (band.low <= 0 <= band.high) is inside


def test_a_ratio_without_any_variance_has_no_interval() -> None:
    found = won_back([0.8, 0.8], [0.6, 0.6], [0.9, 0.9])
    assert found.ratio == pytest.approx(2 / 3) and not found.bounded


def test_a_method_as_good_as_the_ceiling_in_every_seed_has_a_ratio_without_an_interval() -> None:
    found = won_back([0.8, 0.9], [0.6, 0.6], [0.8, 0.9])
    assert found.ratio == 1.0 and math.isnan(found.low) and math.isnan(found.high)


def test_recovery_of_the_seed_study_at_rho_1() -> None:
    found = won_back([0.923, 0.923], [0.674, 0.674], [0.957, 0.957])
    assert found.ratio == pytest.approx(0.879858657244, abs=1e-11)


def test_expected_maximum() -> None:
    assert expected_maximum([0.5, 0.6, 0.9]) == pytest.approx([0.666666666667, 0.755555555556, 0.807407407407])


def test_wilson() -> None:
    assert wilson(414, 460) == pytest.approx((0.869185639620, 0.924188891704), abs=1e-11)


@pytest.mark.parametrize(
    "call",
    [
        lambda: t_interval([]),
        lambda: paired_test([0.1], [0.2]),
        lambda: paired_test([0.1, 0.2], [0.2, 0.3, 0.4]),
        lambda: won_back([0.1], [0.1], [0.2]),
        lambda: wilson(3, 2),
    ],
)
def test_bad_input_is_one_sentence(call: object) -> None:
    with pytest.raises(InputError, match=r"but got"):
        call()  # type: ignore[operator]

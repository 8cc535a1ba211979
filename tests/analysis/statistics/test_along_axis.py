from __future__ import annotations

import numpy as np
import pytest

from analysis.numbers.published import KIM_2019, published_numbers
from analysis.statistics.along_axis import crossing, normalised_area, signed_position
from store.errors import InputError

RHO = [0, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
SEED_STUDY = [0.957, 0.957, 0.959, 0.945, 0.911, 0.839, 0.674]


def kim(method: str) -> tuple[list[float], list[float]]:
    rows = published_numbers("coloured_digits")
    rows = rows[(rows["method"] == method) & (rows["source"] == KIM_2019)]
    return list(rows["bias_value"]), list(rows["accuracy"])


def test_area_of_the_seed_study() -> None:
    assert normalised_area(RHO, SEED_STUDY) == pytest.approx(0.92545, abs=1e-12)


@pytest.mark.parametrize(
    ("method", "area"),
    [("erm", 0.649891666667), ("blind_eye", 0.812066666667), ("grayscale", 0.911583333333), ("lnl", 0.919325)],
)
def test_area_of_kim_2019(method: str, area: float) -> None:
    assert normalised_area(*kim(method)) == pytest.approx(area, abs=1e-11)


def test_area_per_seed_and_any_order() -> None:
    y = np.array([SEED_STUDY, SEED_STUDY])
    assert normalised_area(RHO[::-1], y[:, ::-1]) == pytest.approx([0.92545, 0.92545])
    y[0, 3] = np.nan
    assert np.isnan(normalised_area(RHO, y)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("threshold", "value", "text"),
    [(0.9, 0.815277777778, "0.815"), (0.95, 0.664285714286, "0.664"), (0.5, None, "> 1"), (0.96, None, "< 0")],
)
def test_breaking_point_of_the_seed_study(threshold: float, value: float | None, text: str) -> None:
    found = crossing(RHO, SEED_STUDY, threshold)
    assert found.text == text
    assert found.value == (None if value is None else pytest.approx(value, abs=1e-11))


@pytest.mark.parametrize(("method", "value"), [("erm", 0.045283018868), ("blind_eye", 0.031828125), ("lnl", None)])
def test_breaking_point_on_variance(method: str, value: float | None) -> None:
    found = crossing(*kim(method), 0.8, stronger="smaller")
    assert found.value == (None if value is None else pytest.approx(value, abs=1e-11))
    if value is None:
        assert (found.censored, found.text) == ("beyond", "< 0.02")


def test_breaking_point_takes_the_first_of_several_crossings() -> None:
    assert crossing([0, 1, 2, 3], [1.0, 0.0, 1.0, 0.0], 0.5).value == 0.5


def test_breaking_point_against_a_threshold_that_varies() -> None:
    assert crossing([0, 1], [0.9, 0.7], [0.8, 0.8]).value == pytest.approx(0.5)
    assert crossing([0, 1], [0.9, 0.9], [0.8, 1.0]).value == pytest.approx(0.5)


def test_censored_positions_sort_beyond_the_axis() -> None:
    assert signed_position(crossing([0, 1], [1, 1], 0.5)) == float("inf")
    assert signed_position(crossing([0, 1], [0, 0], 0.5)) == float("-inf")


def test_bad_input() -> None:
    with pytest.raises(InputError, match="two or more different bias values"):
        normalised_area([0.5], [0.5])
    with pytest.raises(InputError, match="one is missing"):
        crossing([0, 1], [0.5, np.nan], 0.4)
    with pytest.raises(InputError, match="coloured_digits, but got 'mri'"):
        published_numbers("mri")

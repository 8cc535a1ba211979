"""Windows of values of more than 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainable.data.table.reading.window import Window, WindowRule, measured, sample_of
from trainable.errors import InputError


def test_percentiles_by_hand() -> None:
    # 0, 1, ..., 99 of one image: 1 % of the values are at most 0, 99 % at most 98.
    values = np.arange(100, dtype=np.float64)
    assert measured(WindowRule(percentiles=(1, 99)), [values], "t.csv") == Window(0, 98)


def test_images_of_different_sizes_count_alike() -> None:
    large, small = np.zeros(9000), np.full(10, 5.0)
    # Half of all images lie at 5, though a thousandth of all pixels does.
    assert measured(WindowRule(percentiles=(40, 60)), [large, small], "t.csv") == Window(0, 5)


def test_a_window_is_clipped_and_not_wrapped() -> None:
    pixels = np.array([[0, 1000], [3000, 65535]], np.uint16)
    assert Window(1000, 3000).apply(pixels).tolist() == [[0, 0], [255, 255]]
    assert Window(-1, 1).apply(np.array([-2.0, 0.0, 2.0])).tolist() == [0, 127.5, 255]


def test_a_sample_covers_the_image() -> None:
    pixels = np.arange(3000 * 2000).reshape(3000, 2000)
    sample = sample_of(pixels)
    assert 5_000 < sample.size <= 32_768
    assert sample.max() > 0.98 * pixels.max()
    assert sample_of(np.zeros((8, 4))).size == 32


def test_images_without_contrast() -> None:
    with pytest.raises(InputError, match=r"must differ in their values.*are both 7: give window: \{low"):
        measured(WindowRule(), [np.full(10, 7.0)], "t.csv")


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"percentile": [0, 1]}, "did you mean 'percentiles'"),
        ({"percentiles": [99, 1]}, "ascending numbers in"),
        ({"percentiles": [-1, 99]}, "ascending numbers in"),
        ({"percentiles": [1]}, "window must be"),
        ({"percentiles": "all"}, "window must be"),
        ({"percentiles": [0, 1], "low": 0}, "window must be"),
        ({"low": 5}, "window must be"),
        ({"low": 5, "high": 5}, "low of window must be smaller than high"),
        ({"low": float("nan"), "high": 5}, "window must be"),
        ({}, "window must be"),
        ([0, 1], "window must be"),
    ],
)
def test_windows_that_are_none(option: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        WindowRule.of(option)

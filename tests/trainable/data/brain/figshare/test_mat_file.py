"""Slices of figshare article 1512427: what a MATLAB file may hold, and the pixels that are made of it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trainable.figshare_files import (
    in_cells,
    label_of,
    patient_of,
    slice_file,
)
from trainable.data.brain.figshare.mat_file import read_slice, to_grey
from trainable.data.brain.resize import area_resize


def test_a_file_is_read_as_it_was_drawn() -> None:
    for side in (512, 256):
        one = read_slice(slice_file(3, side))
        assert (one.label, one.patient, one.image.shape) == (label_of(3) - 1, patient_of(3), (side, side))
        rows, columns = np.nonzero(one.mask)
        assert (columns.mean() + 0.5) / side == pytest.approx(0.6, abs=0.002)
        assert (rows.mean() + 0.5) / side == pytest.approx(0.35, abs=0.002)
        assert one.image[one.mask].mean() > one.image[~one.mask].mean() + 500
        assert one.outline.mean(axis=0) == pytest.approx([0.6, 0.35], abs=0.002)


@pytest.mark.parametrize("field", ["label", "PID", "tumorBorder", "image", "tumorMask"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_cell_of_one_thing_is_that_thing(field: str, depth: int) -> None:
    plain = read_slice(slice_file(3, 256))
    data = slice_file(3, 256)
    for _ in range(depth):
        data = in_cells(data, field)
    one = read_slice(data)
    assert (one.label, one.patient) == (plain.label, plain.patient)
    assert np.array_equal(one.image, plain.image) and np.array_equal(one.outline, plain.outline)


def test_whole_numbers_are_read_as_they_are_whatever_their_type() -> None:
    plain = read_slice(slice_file(3, 256))
    assert plain.image.dtype == np.int16  # of these bytes the published images' hashes are made
    for kind in (np.uint8, np.uint16, np.int64, np.float32, np.float64):
        image = (plain.image // 40 if kind is np.uint8 else plain.image).astype(kind)
        one = read_slice(slice_file(3, 256, image=image.T))
        assert one.image.dtype == np.int16 and np.array_equal(one.image, image.astype(np.int16))
    # Beyond 32,767 nothing wraps.
    bright = (plain.image.astype(np.int64) * 40).astype(np.uint16)
    assert bright.max() > 40_000
    one = read_slice(slice_file(3, 256, image=bright.T))
    assert np.array_equal(one.image, bright)
    assert np.abs(to_grey(one.image).astype(int) - to_grey(plain.image)).max() <= 1


def test_a_patient_may_be_named_by_a_text() -> None:
    assert read_slice(slice_file(3, 256, PID="MR017260A")).patient == "MR017260A"


def test_an_outline_that_names_rows_first_is_turned() -> None:
    one = read_slice(slice_file(3))
    border = one.outline * 512 + 0.5
    turned = read_slice(slice_file(3, tumorBorder=border[:, ::-1].reshape(1, -1)))
    assert turned.outline == pytest.approx(one.outline)


def test_intensities_are_stretched_between_the_percentiles() -> None:
    image = np.arange(512 * 512, dtype=np.int64).reshape(512, 512) // 20
    image[0, 0], image[-1, -1] = -30000, 30000
    grey = to_grey(image.astype(np.int16))
    assert (grey.min(), grey.max()) == (0, 255)
    assert 120 < grey[256, 0] < 135
    assert (grey == 0).mean() == pytest.approx(0.006, abs=0.003)
    assert np.array_equal(to_grey((image // 2).astype(np.int16))[::97, ::89] // 8, grey[::97, ::89] // 8)


def test_area_resize_is_the_mean_and_exact() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 256, 256), dtype=np.uint8)
    halves = images.reshape(3, 128, 2, 128, 2).astype(np.int64).sum(axis=(2, 4))
    assert np.array_equal(area_resize(images, 128), (halves + 2) // 4)
    assert area_resize(images, 256) is not None
    odd = area_resize(np.full((1, 256, 256), 77, dtype=np.uint8), 100)
    assert (odd == 77).all()
    assert area_resize(images, 100).mean() == pytest.approx(images.mean(), abs=0.6)

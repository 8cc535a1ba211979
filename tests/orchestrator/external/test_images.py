"""Images of an external test set: columns, classes, windows and attributes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.external.images import SweepImages, columns_for, read_external
from store.errors import InputError
from tests.table_files import write_csv

COLUMNS = {"path": "file", "label": "kind"}
SWEEP = SweepImages(("a", "b"), ("x", "y"), 16)


def write(folder: Path, kind: Any, rows: list[list[Any]] | None = None, header: tuple[str, ...] = ()) -> Path:
    """Twelve pictures of one value each, 0, 100, 200 ..., and a table of them."""
    for number in range(12):
        values = np.full((20, 20), 100 * number if kind is np.uint16 else 20 * number, kind)
        values[0, 0] += 1 + number
        Image.fromarray(values).save(folder / f"{number}.png")
    default = [[f"{number}.png", "ab"[number % 2], "xyz"[number % 3], 30 + number] for number in range(12)]
    return write_csv(folder / "t.csv", header or ("file", "kind", "mark", "age"), rows or default)


def test_eight_bits_stay_as_they_are(tmp_path: Path) -> None:
    made = read_external("t", str(write(tmp_path, np.uint8)), SWEEP, COLUMNS)
    assert made.images.shape == (12, 1, 16, 16) and made.images.dtype == np.uint8
    assert made.images[:, 0, 8, 8].tolist() == [20 * number for number in range(12)]
    assert made.labels.tolist() == [0, 1] * 6 and made.patients is None and made.attribute == [None] * 12
    assert made.sheet.images == {"a": 6, "b": 6} and not made.sheet.patients and not made.sheet.note


def test_more_bits_are_scaled_by_the_window_of_the_sweep(tmp_path: Path) -> None:
    table = str(write(tmp_path, np.uint16))
    with pytest.raises(InputError, match=r"12 of 12 images of t\.csv have more than 8 bits"):
        read_external("t", table, SWEEP, COLUMNS)
    scaled = read_external("t", table, replace(SWEEP, window=(0.0, 2550.0)), COLUMNS)
    assert scaled.images[:, 0, 8, 8].tolist() == [10 * number for number in range(12)]
    other = read_external("t", table, replace(SWEEP, window=(0.0, 2550.0)), COLUMNS, (0.0, 510.0))
    assert other.images[:, 0, 8, 8].tolist() == [0, 50, 100, 150, 200, 250, *[255] * 6]
    assert other.sheet.note == "window 0 to 510 given by hand"


def test_eight_bits_are_scaled_where_the_sweep_scales_them(tmp_path: Path) -> None:
    sweep = replace(SWEEP, window=(0.0, 510.0), everywhere=True)
    made = read_external("t", str(write(tmp_path, np.uint8)), sweep, COLUMNS)
    assert made.images[:, 0, 8, 8].tolist() == [10 * number for number in range(12)]


def test_attributes_and_classes_are_numbered_by_the_sweep(tmp_path: Path) -> None:
    table = str(write(tmp_path, np.uint8))
    turned = replace(SWEEP, classes=("b", "a"), attributes=("z", "x"))
    made = read_external("t", table, turned, {**COLUMNS, "attribute": "mark"})
    assert made.labels.tolist() == [1, 0] * 6
    assert made.attribute == [1, None, 0] * 4 and made.sheet.note == "attributes that the sweep does not have: y"
    # A number is cut where the sweep has cut it.
    cut = replace(SWEEP, columns={"attribute": {"column": "age", "bins": [36]}}, attributes=("age < 36", "age >= 36"))
    assert read_external("t", table, cut, COLUMNS).attribute == [0] * 6 + [1] * 6


def test_the_order_of_the_rows_changes_no_checksum(tmp_path: Path) -> None:
    table = write(tmp_path, np.uint8)
    first = read_external("t", str(table), SWEEP, COLUMNS).sheet.data_checksum
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *lines[:0:-1]]))
    assert read_external("t", str(table), SWEEP, COLUMNS).sheet.data_checksum == first
    table.write_text("\n".join([*lines[:-1], lines[-1].replace(",b,", ",a,")]))
    assert read_external("t", str(table), SWEEP, COLUMNS).sheet.data_checksum != first


def test_classes_that_do_not_agree(tmp_path: Path) -> None:
    table = str(write(tmp_path, np.uint8))
    with pytest.raises(InputError, match=r"unknown class of t\.csv 'b': .*leave those rows out$"):
        read_external("t", table, replace(SWEEP, classes=("a", "c")), COLUMNS)
    with pytest.raises(InputError, match=r"\(a, b, third\), but has none of third"):
        read_external("t", table, replace(SWEEP, classes=("a", "b", "third")), COLUMNS)


def test_columns_of_the_sweep_and_those_given() -> None:
    own = {"path": "p", "label": "l", "group": None, "split": "s"}
    assert columns_for(own, {"group": "g"}) == {"path": "p", "label": "l", "group": "g"}
    with pytest.raises(InputError, match="must name the column of the label, since the sweep's data set is no table"):
        columns_for({}, {"path": "p"})

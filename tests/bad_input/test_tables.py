"""Tables of one's own images: what is wrong is one sentence before anything starts, and what only looks odd works."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image

from orchestrator.cli import main
from tests.bad_input.support import Refuse
from tests.table_files import ALIGNED, COLUMNS, write_csv, write_pngs
from trainable.data import base

N = 48
Rows = list[list[str]]
Change = Callable[[Path, Rows], Any]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pngs(tmp_path_factory.mktemp("written"), N).parent


@pytest.fixture
def folder(written: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> Path:
    """A folder of 48 images with its table; the cache lies elsewhere."""
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path_factory.mktemp("cache")))
    shutil.copytree(written, tmp_path / "set")
    # Of the same name in every test.
    base._load.cache_clear()
    return tmp_path / "set"


def changed(folder: Path, change: Change) -> None:
    base._load.cache_clear()
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if change(folder, rows) is None:
        write_csv(folder / "labels.csv", rows[0], rows[1:])


def preview(**options: Any) -> list[str]:
    given = {"file": "set/labels.csv", "columns": COLUMNS, "aligned": ALIGNED, **options}
    words = [word for name, value in given.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    return ["data", "preview", "table", "--bias", "rho=0.5,1", "--out", "sheet.png", *words]


def cell(row: int, column: int, text: str) -> Change:
    def change(folder: Path, rows: Rows) -> None:
        rows[row][column] = text

    return change


def column(column: int, text: Callable[[int], str]) -> Change:
    def change(folder: Path, rows: Rows) -> None:
        for k, row in enumerate(rows[1:]):
            row[column] = text(k)

    return change


def image(k: int, content: bytes | np.ndarray[Any, Any] | None) -> Change:
    def change(folder: Path, rows: Rows) -> None:
        path = folder / rows[k + 1][0]
        if content is None:
            path.unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(folder / f"{k}.npy", content)
            rows[k + 1][0] = f"{k}.npy"

    return change


def copy(source: int, target: int) -> Change:
    def change(folder: Path, rows: Rows) -> None:
        shutil.copy(folder / rows[source + 1][0], folder / rows[target + 1][0])

    return change


def as_text(text: bytes) -> Change:
    return lambda folder, rows: (folder / "labels.csv").write_bytes(text)


def several_arrays(folder: Path, rows: Rows) -> None:
    np.savez(folder / "images" / "a.npz", np.zeros((3, 3)))
    (folder / "images" / "a.npz").rename(folder / "images" / "0005.npy")
    rows[6][0] = "images/0005.npy"


NOT_FINITE = np.full((72, 64), 1500, np.float32)
NOT_FINITE[3, 4] = np.nan


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (cell(3, 0, "images/9999.png"), {}, "1 of 48 are not there: "),
        (image(4, None), {}, "images/0004.png (line 6)"),
        (cell(7, 1, "rare"), {}, "'rare' has 1 (line 8)"),
        (cell(7, 2, "tube"), {}, "'tube' has 1 (line 8)"),
        (cell(1, 0, "images/0001.png"), {}, "line 3 names that of line 2 again"),
        (copy(0, 3), {}, "1 have the pixels of another one and another class: line 5 is line 2"),
        (copy(0, 6), {}, "1 have the pixels of another one and another patient: line 8 is line 2"),
        (image(5, NOT_FINITE), {}, "holds 1 values that are not finite"),
        (image(6, b"no picture"), {}, "1 of 48 images of labels.csv cannot be used"),
        (image(6, b""), {}, "is empty (line 8)"),
        (image(5, np.full((72, 64), 1e300)), {}, "holds 4608 values that are not finite"),
        (several_arrays, {}, "0005.npy must hold one array, but is an archive of several (.npz)"),
        (column(1, lambda k: "no\nne" if k % 2 else "yes"), {}, "must be one line of text, but line 3 holds 'no\\nne'"),
        (column(1, lambda k: "none"), {}, "two classes or more"),
        (column(1, lambda k: ""), {}, "no row that can be used"),
        (column(1, lambda k: f"{k / 7:.3f}"), {}, "48 different numbers in 48 lines: cut them"),
        (cell(3, 1, "no  ne"), {}, "'no  ne' has 1 (line 4)"),
        (column(3, lambda k: ("7", "7.0", "07")[k] if k < 3 else f"P{k // 3}"), {}, "patient has one (line 2) and"),
        (column(2, lambda k: "drain"), {}, "two attributes or more"),
        (as_text(b""), {}, "labels.csv is empty"),
        (as_text(b"path,label,bias,patient\na.png,none,drain\n"), {}, "has 3 cells, but the header has 4: add the mis"),
        (as_text(b"path,label,bias,patient\na.png,none,drain,P,1\n"), {}, "put a text with a delimiter in it between"),
        (as_text(b"path,label,bias,patient\n"), {}, "no row that can be used (it has none at all)"),
        (
            as_text(b'path,label,bias,patient\n"a.png,none,a,b\n'),
            {},
            "line 2 of labels.csv cannot be read as CSV",
        ),
        (as_text(b"path,label,bias,patient\nM\xfcller.png,a,b,c\n"), {}, "line 2 holds the byte 0xfc"),
        (as_text("path,label\n".encode("utf-16")), {}, "must be text in UTF-8"),
        (None, {"file": "set/label.csv"}, "there is no table "),
        (None, {"file": "set"}, "it is a folder: give the path of a CSV, TSV or Parquet"),
        (None, {"file": 3}, "file must be the path of a table, e.g. labels.csv, but is 3"),
        (None, {"file": ""}, "file must be the path of a table, e.g. labels.csv, but is ''"),
        (None, {"file": "s3://bucket"}, "a file in an object store is s3://BUCKET/KEY, but got s3://bucket"),
        (None, {"span": 3}, "span must be two values in [0, 1], the lower one first, but got 3"),
        (None, {"span": ["low", 1]}, "span must be two values in [0, 1]"),
        (None, {"share_images": "maybe"}, "share_images of a table must be true or false, but is 'maybe'"),
        (None, {"paint": 3}, "paint of table must be a function, e.g. file.py:draw, but is 3"),
        (None, {"paint": "torch:zeros"}, "paint of table fails on image "),
        (None, {"columns": {**COLUMNS, "label": "lable"}}, "no column 'lable': did you mean 'label'?"),
        (None, {"columns": {**COLUMNS, "lable": "label"}}, "did you mean 'label'?"),
        (None, {"columns": {"path": "path", "label": "label"}}, "must name the column of the attribute"),
        (None, {"columns": {**COLUMNS, "split": "age"}}, "must say train, val or test, but line 2 says '20'"),
        (None, {"columns": {**COLUMNS, "attribute": {"column": "age", "bins": "old"}}}, "must be ascending numbers"),
        (None, {"columns": {**COLUMNS, "attribute": {"column": "patient", "bins": [4]}}}, "line 2 holds 'P000'"),
        (None, {"aligned": None}, "add e.g. aligned: {none: no_drain, pneumothorax: drain}"),
        (None, {"aligned": {**ALIGNED, "none": "no_drian"}}, "did you mean 'no_drain'?"),
        (None, {"aligned": {**ALIGNED, "nine": "drain"}}, "did you mean 'none'?"),
        (None, {"image_size": 3}, "image_size must be a whole number of 8 pixels or more, but is 3"),
        (None, {"image_size": "large"}, "is 'large'"),
        (None, {"fit": "padd"}, "unknown fit 'padd': did you mean 'pad'?"),
        (None, {"window": {"percentiles": [99, 1]}}, "ascending numbers in [0, 100]"),
        (None, {"window": {"lo": 1}}, "did you mean 'low'?"),
        (None, {"imagesize": 32}, "'imagesize'"),
        (None, {"file": "s3://KEY:SECRET@bucket/labels.csv"}, "must not hold credentials, but 's3://...@bucket"),
    ],
)
def test_tables_that_are_refused(
    refuse: Refuse, folder: Path, change: Change | None, options: dict[str, Any], sentence: str
) -> None:
    if change is not None:
        changed(folder, change)
    assert sentence in refuse(*preview(**options))


def test_a_split_with_leaks(refuse: Refuse, folder: Path) -> None:
    def parted(folder: Path, rows: Rows) -> None:
        rows[0].append("part")
        for k, row in enumerate(rows[1:]):
            row.append(("train", "val", "test")[k // 3 // 2 % 3])

    changed(folder, parted)
    words = preview(columns={**COLUMNS, "split": "part"})
    assert main(words) == 0
    Path("sheet.png").unlink()
    changed(folder, cell(2, 5, "test"))
    assert "line 2 of labels.csv says train and line 3, of the same patient, test" in refuse(*words)
    changed(folder, cell(2, 5, "holdout"))
    assert "line 3 says 'holdout'" in refuse(*words)
    changed(folder, cell(2, 5, "train"))
    changed(folder, copy(0, 6))
    assert "1 have the pixels of another one and another part of the split: line 8 is line 2" in refuse(*words)


def test_a_sweep_and_a_trial_are_refused_in_the_same_words(refuse: Refuse, folder: Path, tmp_path: Path) -> None:
    changed(folder, image(4, None))
    options = f"file: set/labels.csv, columns: {json.dumps(COLUMNS)}, aligned: {json.dumps(ALIGNED)}"
    text = f"dataset: {{name: table, bias: {{rho: [0.5, 1]}}, {options}}}\nmethods: [erm]\n"
    (tmp_path / "own.yaml").write_text(text)
    train = ["train", "table", "--rho", "1", "--set", "dataset.file=set/labels.csv"]
    columns = ["--set", f"dataset.columns={json.dumps(COLUMNS)}", "--set", f"dataset.aligned={json.dumps(ALIGNED)}"]
    for words in (["run", "own.yaml", "--out", "out"], ["run", "own.yaml", "--dry-run"], [*train, *columns]):
        assert "1 of 48 are not there: " in refuse(*words)


def works(**options: Any) -> None:
    assert main(preview(**options)) == 0
    assert Image.open("sheet.png").size[0] > 300


def with_mark(folder: Path, rows: Rows) -> int:
    text = "\r\n".join(";".join([f'"{row[0]}"', *row[1:]]) for row in rows)
    return (folder / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())


def in_quotes(folder: Path, rows: Rows) -> None:
    (folder / rows[1][0]).rename(folder / "images" / "a, b.png")
    rows[1][0] = "images/a, b.png"
    for row in rows:
        row.append('a note, "quoted"\nover two lines')


def wide_table(folder: Path, rows: Rows) -> None:
    for k, row in enumerate(rows):
        row[:0] = [f"c{i}" if not k else str(i * k) for i in range(100)]


def mixed_paths(folder: Path, rows: Rows) -> None:
    for k, row in enumerate(rows[1:]):
        row[0] = (row[0], f"{folder}/{row[0]}", f"./images/../{row[0]}", f"file://{folder}/{row[0]}")[k % 4]


def mixed_kinds(folder: Path, rows: Rows) -> None:
    rng = np.random.default_rng(0)
    for k, row in enumerate(rows[1:]):
        array = rng.integers(0, 255, (60, 50, 4), np.uint8)
        array[:, :, 3] = 255
        picture = Image.fromarray(array) if k % 3 == 0 else Image.fromarray(array[:, :, k % 3])
        picture.save(folder / row[0])


def numbers(folder: Path, rows: Rows) -> None:
    for row in rows[1:]:
        row[1], row[2] = "01" if row[1] == "none" else "2", "0" if row[2] == "no_drain" else "1"


def some_missing(folder: Path, rows: Rows) -> None:
    rows[1][1], rows[2][2], rows[40][3] = "", "NA", "nan"


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (with_mark, {}),
        (in_quotes, {}),
        (wide_table, {}),
        (mixed_paths, {}),
        (mixed_kinds, {}),
        (numbers, {"aligned": {"01": "0", "2": "1"}}),
        (some_missing, {}),
        (None, {"columns": {key: name for key, name in COLUMNS.items() if key != "group"}}),
        (
            None,
            {
                "columns": {**COLUMNS, "attribute": {"column": "age", "bins": [50]}},
                "aligned": {"none": "age < 50", "pneumothorax": "age >= 50"},
            },
        ),
        (None, {"image_size": 32, "fit": "crop", "window": {"low": 0, "high": 4095}}),
    ],
)
def test_tables_that_only_look_odd(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change | None, options: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    if change is not None:
        changed(folder, change)
    works(**options)


def test_parquet_in_place_of_csv(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(folder / "labels.csv"), folder / "labels.parquet")
    (folder / "labels.csv").unlink()
    works(file="set/labels.parquet")

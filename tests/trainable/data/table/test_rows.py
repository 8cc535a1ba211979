"""Rows of a table: what is left out, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.table_files import ALIGNED, COLUMNS, write_csv
from trainable.data.table.aligned import aligned_of
from trainable.data.table.rows import TableRows, read_rows
from trainable.errors import InputError

HEADER = ("path", "label", "bias", "patient")


def row(k: int, **changes: str) -> dict[str, str]:
    usual = {"path": f"{k}.png", "label": ("none", "pneumothorax")[k % 2], "bias": ("no_drain", "drain")[k // 2 % 2]}
    return {**usual, "patient": f"P{k // 2 * 2 + k % 2}", **changes}


def everywhere(change: dict[str, str], first: int = 0) -> dict[int, dict[str, str]]:
    return dict.fromkeys(range(first, 12), change)


def read(
    folder: Path, rows: Sequence[dict[str, str]], columns: Any = None, header: Sequence[str] = HEADER
) -> TableRows:
    file = write_csv(folder / "t.csv", header, [[one.get(name, "") for name in header] for one in rows])
    return read_rows(str(file), COLUMNS if columns is None else columns)


def test_positions_and_names(tmp_path: Path) -> None:
    rows = read(tmp_path, [row(k) for k in range(12)])
    assert rows.classes == ("none", "pneumothorax") and rows.attributes == ("drain", "no_drain")
    assert rows.labels.tolist() == [0, 1] * 6
    assert rows.attribute is not None and rows.attribute.tolist()[:4] == [1, 1, 0, 0]
    assert rows.groups.tolist() == list(range(12)) and rows.patients == tuple(f"P{k}" for k in range(12))
    assert rows.split is None and rows.left_out == {}


def test_paths_of_every_kind_in_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    paths = ["a.png", "sub/b.png", "/else/c.png", "~/d.png", "s3://bucket/e.png", "file:///else/f.png", "v.nii.gz#z=3"]
    rows = read(tmp_path, [row(k, **({"path": paths[k]} if k < len(paths) else {})) for k in range(12)])
    assert rows.paths[:7] == (
        f"{tmp_path}/a.png",
        f"{tmp_path}/sub/b.png",
        "/else/c.png",
        "/home/someone/d.png",
        "s3://bucket/e.png",
        "/else/f.png",
        f"{tmp_path}/v.nii.gz#z=3",
    )


def test_missing_values_are_counted_by_reason(tmp_path: Path) -> None:
    lacking = [row(12, label=""), row(13, label="NA"), row(14, bias=""), row(15, patient=""), row(16, path="")]
    rows = read(tmp_path, [row(k) for k in range(12)] + lacking)
    assert len(rows) == 12
    assert rows.left_out_words() == (
        "5 lines of t.csv left out: 2 without label (column label), 1 without attribute (column bias), "
        "1 without group (column patient), 1 without path (column path)"
    )


def test_texts_that_look_like_numbers_stay_texts(tmp_path: Path) -> None:
    rows = read(tmp_path, [row(k, label=("01", "2")[k % 2], bias=("0", "1.0")[k // 2 % 2]) for k in range(12)])
    assert rows.classes == ("01", "2") and rows.attributes == ("0", "1.0")


def test_an_attribute_of_numbers_is_cut(tmp_path: Path) -> None:
    columns = {**COLUMNS, "attribute": {"column": "bias", "bins": [40, 65]}}
    rows = read(tmp_path, [row(k, bias=str(20 + 5.5 * k)) for k in range(12)], columns)
    assert rows.attributes == ("bias < 40", "40 <= bias < 65", "bias >= 65")
    assert rows.attribute is not None and rows.attribute.tolist() == [0] * 4 + [1] * 5 + [2] * 3
    with pytest.raises(InputError, match=r"must hold numbers, since it has bins, but line 5 holds 'old'"):
        read(tmp_path, [row(k, bias="old" if k == 3 else "50") for k in range(12)], columns)
    with pytest.raises(InputError, match=r"says 'bias < 40' in all 12 lines"):
        read(tmp_path, [row(k, bias="30") for k in range(12)], columns)
    with pytest.raises(InputError, match=r"'40 <= bias < 65' has 0: leave it out"):
        read(tmp_path, [row(k, bias=("30", "70")[k // 2 % 2]) for k in range(12)], columns)


def test_a_split_of_ones_own(tmp_path: Path) -> None:
    header = (*HEADER, "part")
    parts = ["train"] * 4 + ["Val"] * 4 + ["test"] * 4
    columns = {**COLUMNS, "split": "part"}
    rows = read(tmp_path, [row(k, part=parts[k]) for k in range(12)], columns, header)
    assert rows.split == ("train",) * 4 + ("val",) * 4 + ("test",) * 4
    # Validation may be drawn from the training part.
    rows = read(tmp_path, [row(k, part=("train", "test")[k // 6]) for k in range(12)], columns, header)
    assert rows.split is not None and set(rows.split) == {"train", "test"}
    for changed, sentence in (
        ({3: {"part": "trian"}}, r"line 5 says 'trian', did you mean 'train'\?"),
        ({3: {"part": "holdout"}}, r"line 5 says 'holdout'"),
        ({3: {"patient": "P9"}}, r"line 5 of t.csv says train and line 11, of the same patient, test"),
        (everywhere({"label": "none"}, 8), r"gives 'pneumothorax' none in test"),
    ):
        with pytest.raises(InputError, match=sentence):
            read(tmp_path, [row(k, **{"part": parts[k], **changed.get(k, {})}) for k in range(12)], columns, header)


@pytest.mark.parametrize(
    ("changed", "columns", "sentence"),
    [
        ({}, {"path": "path"}, r"must name the column of the label"),
        ({}, {"path": "path", "lable": "label"}, r"did you mean 'label'\?"),
        ({}, {**COLUMNS, "label": "lable"}, r"no column 'lable': did you mean 'label'\? its columns: path, label"),
        ({}, {**COLUMNS, "group": {"column": "age", "bins": [6]}}, r"unknown key of columns.group 'bins'"),
        ({}, {**COLUMNS, "attribute": {"column": "bias", "bins": [65, 40]}}, r"must be ascending numbers"),
        ({}, "path", r"columns must name the column of each role"),
        ({5: {"path": "2.png"}}, None, r"line 7 names that of line 4 again"),
        (
            everywhere({"label": "none"}),
            None,
            r"two classes or more, but column label says 'none' in all",
        ),
        (everywhere({"bias": "drain"}), None, r"two attributes or more, but column bias says 'drain'"),
        (everywhere({"label": ""}), None, r"no row that can be used \(12 without label"),
        ({7: {"label": "rare"}}, None, r"needs 3 patients or more, but 'rare' has 1 \(line 9\)"),
        ({7: {"bias": "tube"}}, None, r"needs 2 patients or more, but 'tube' has 1 \(line 9\)"),
    ],
)
def test_tables_that_are_refused(
    tmp_path: Path, changed: dict[int, dict[str, str]], columns: Any, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        read(tmp_path, [row(k, **changed.get(k, {})) for k in range(12)], columns)


@pytest.mark.parametrize(
    ("role", "texts", "shown"),
    [
        ("label", ("1", "2", "1.0"), "column label has '1' (line 2) and '1.0' (line 4) that"),
        ("label", ("01", "1"), "'01' (line 2) and '1' (line 3)"),
        ("bias", ("caf\u00e9", "tea", "cafe\u0301"), "column bias has 'caf\u00e9' (line 2) and "),
        ("bias", ("no drain", "drain", "no  drain"), "'no drain' (line 2) and 'no  drain' (line 4)"),
        ("patient", ("12", "12.0", "a", "b"), "column patient has one (line 2) and one (line 3) that differ in"),
    ],
)
def test_what_is_written_in_two_ways(tmp_path: Path, role: str, texts: tuple[str, ...], shown: str) -> None:
    with pytest.raises(InputError, match=re.escape(shown)):
        read(tmp_path, [row(k, **{role: texts[k % len(texts)]}) for k in range(12)])


def test_capitals_and_numbers_that_are_no_whole_ones_tell_apart(tmp_path: Path) -> None:
    patients = ("1e3", "1000", "x1", "X1", "y", "Y")
    rows = read(tmp_path, [row(k, label="aA"[k % 2], patient=patients[k % 6]) for k in range(12)])
    assert rows.classes == ("A", "a") and rows.patients == patients


def test_a_label_that_is_a_number(tmp_path: Path) -> None:
    rows = [row(k, label=str(k / 7)) for k in range(60)]
    with pytest.raises(
        InputError, match=r"60 different numbers in 60 lines: cut them, e\.g\. label: \{column: label, bins"
    ):
        read(tmp_path, rows)
    # Ages have only some 60 values, however many patients there are.
    rows = [row(k, label=str(20 + k % 70)) for k in range(1000)]
    with pytest.raises(InputError, match="70 different numbers in 1000 lines"):
        read(tmp_path, rows)


def test_without_patients_every_image_is_its_own(tmp_path: Path) -> None:
    columns = {name: value for name, value in COLUMNS.items() if name != "group"}
    rows = read(tmp_path, [row(k) for k in range(12)], columns)
    assert rows.patients is None and rows.groups.tolist() == list(range(12))
    with pytest.raises(InputError, match="needs 3 images or more"):
        read(tmp_path, [row(k, **({"label": "rare"} if k == 7 else {})) for k in range(12)], columns)


def test_which_attribute_is_a_classs_own(tmp_path: Path) -> None:
    rows = read(tmp_path, [row(k) for k in range(12)])
    assert aligned_of(rows, ALIGNED) == ALIGNED
    same = read(tmp_path, [row(k, bias=row(k // 2)["label"]) for k in range(12)])
    assert aligned_of(same, None) == {"none": "none", "pneumothorax": "pneumothorax"}
    numbers = read(tmp_path, [row(k, label=str(k % 2), bias=("True", "False")[k // 2 % 2]) for k in range(12)])
    # As YAML reads {0: false, 1: true}.
    assert aligned_of(numbers, {0: False, 1: True}) == {"0": "False", "1": "True"}
    for option, sentence in (
        (
            None,
            r"\(the classes of t\.csv are none, pneumothorax, its attributes drain, no_drain\): add e\.g\. aligned: \{",
        ),
        ({"none": "no_drain"}, "lacks pneumothorax"),
        ({"none": "no_drian", "pneumothorax": "drain"}, "did you mean 'no_drain'"),
        ({"non": "no_drain", "pneumothorax": "drain"}, "did you mean 'none'"),
        ({"none": "drain", "pneumothorax": "drain"}, "must tell the classes apart"),
        ("drain", "must name an attribute for each class"),
    ):
        with pytest.raises(InputError, match=sentence):
            aligned_of(rows, option)  # type: ignore[arg-type]

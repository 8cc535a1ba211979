"""Guess of a table's columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.proposal.columns import Guess, guess_columns
from store.errors import InputError
from tests.table_files import write_csv
from trainable.data.table.reading.cells import Cells, read_cells


def cells(folder: Path, **columns: Sequence[object]) -> Cells:
    """A table of 60 images that are there, named in the column ``where``; other columns are repeated."""
    for k in range(60):
        (folder / f"{k}.png").write_bytes(b"")
    names = {"where": [f"{k}.png" for k in range(60)], **columns}
    rows = [[values[k % len(values)] for values in names.values()] for k in range(60)]
    return read_cells(str(write_csv(folder / "t.csv", list(names), rows)))


PATIENTS = [f"P{k // 2}" for k in range(60)]


def guessed(table: Cells, **given: str) -> dict[str, str]:
    return {role: guess.column for role, guess in guess_columns(table, given).items()}


def test_by_name(tmp_path: Path) -> None:
    table = cells(tmp_path, Diagnosis=["a", "b"], Scanner=["x", "y", "z"], Patient_ID=PATIENTS, other=[1, 2, 3, 4])
    assert guessed(table) == {"path": "where", "label": "Diagnosis", "attribute": "Scanner", "group": "Patient_ID"}
    reasons = {role: guess.reason for role, guess in guess_columns(table, {}).items()}
    assert reasons["path"] == "50 of its first 50 values are files"
    assert reasons["group"] == "its name, and 30 different values in 60 lines"


def test_files_are_looked_for_and_not_believed(tmp_path: Path) -> None:
    table = cells(tmp_path, path=[f"old/{k}.png" for k in range(60)], y=["a", "b"], sex=["f", "m", "m"])
    assert guessed(table)["path"] == "where"
    with pytest.raises(
        InputError, match=r"the values of no column are files beside it, nor those of 'path': give --path"
    ):
        guess_columns(Cells("/nowhere/t.csv", "t.csv", table.names, table.columns, table.lines, "line"), {})


def test_the_attribute_is_the_column_that_tells_most_of_the_class(tmp_path: Path) -> None:
    table = cells(
        tmp_path, y=["a", "b"], noise=["p", "q", "q"], cable=["no", "yes", "no", "yes", "no", "yes", "yes", "no"]
    )
    guess = guess_columns(table, {})["attribute"]
    assert guess.column == "cable" and "tells most of the class" in guess.reason


def test_ages_are_cut_at_their_median(tmp_path: Path) -> None:
    table = cells(tmp_path, y=["a", "b"], age=[20 + k for k in range(60)])
    assert guess_columns(table, {})["attribute"] == Guess("age", "its name", (50.0,))
    assert guess_columns(table, {"attribute": "age"})["attribute"] == Guess("age", "given", (50.0,))


def test_identifiers_of_images_are_no_patients(tmp_path: Path) -> None:
    table = cells(tmp_path, y=["a", "b"], sex=["f", "m", "m"], id=list(range(60)))
    assert "group" not in guessed(table)
    assert guessed(cells(tmp_path, y=["a", "b"], sex=["f", "m", "m"], id=PATIENTS))["group"] == "id"


@pytest.mark.parametrize("name", ["SubjectID", "subject id", "PatientNo", "patient-number", "MRN"])
def test_patients_by_other_names(tmp_path: Path, name: str) -> None:
    table = cells(tmp_path, y=["a", "b"], sex=["f", "m", "m"], **{name: PATIENTS, "PatientAge": list(range(60))})
    assert guessed(table)["group"] == name


def test_a_split_is_one_only_where_it_says_so(tmp_path: Path) -> None:
    named = cells(tmp_path, y=["a", "b"], sex=["f", "m", "m"], fold=[0, 1, 2])
    assert "split" not in guessed(named)
    table = cells(tmp_path, y=["a", "b"], sex=["f", "m", "m"], Split=["Train", "test", "train"])
    assert guessed(table)["split"] == "Split"


def test_what_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"give --label COL, one of one, two"):
        guess_columns(cells(tmp_path, one=["a", "b"], two=["c", "d", "d"]), {})
    with pytest.raises(InputError, match=r"no column of t\.csv can be the bias attribute"):
        guess_columns(cells(tmp_path, y=["a", "b"]), {})
    with pytest.raises(InputError, match=r"no column 'lable'"):
        guess_columns(cells(tmp_path, label=["a", "b"]), {"label": "lable"})
    with pytest.raises(InputError, match=r"two classes or more, but its column label has 1 value: add images of"):
        guess_columns(cells(tmp_path, label=["a"], sex=["f", "m", "m"]), {})

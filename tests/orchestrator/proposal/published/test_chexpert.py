from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from orchestrator.proposal.published.chexpert import chexpert
from store.errors import InputError
from tests.published_files import CHEXPERT_HEADER, chexpert_row, write_chexpert, write_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chexpert(tmp_path_factory.mktemp("chest") / "CheXpert-v1.0-small", 60)


def rows_of(folder: Path, *lines: str) -> Path:
    """A ``train.csv`` of these lines, with an image for each path that ends in .jpg."""
    (folder / "train.csv").write_bytes("\r\n".join([CHEXPERT_HEADER, *lines, ""]).encode())
    for number, line in enumerate(lines):
        path = line.split(",")[0].strip().partition("/")[2]
        if path.endswith(".jpg"):
            write_image(folder / path, number, number % 2, 0)
    return folder


def test_frontal_images_with_a_certain_label(folder: Path) -> None:
    data = chexpert(folder)
    left_out = dict(data.left_out)
    # By the writer: patients 8 and 9 of ten are uncertain and blank, every fifth has a lateral image.
    assert left_out["not frontal"] == 12 + 1
    assert left_out["of unknown sex"] == 1 and left_out[f"whose image is not below {folder}"] == 1
    assert (
        left_out["with an uncertain Pleural Effusion"] == 6 + 2 and left_out["with a blank Pleural Effusion"] == 6 + 2
    )
    assert Counter(row.cells["split"] for row in data.rows) == {"train": 60 + 20 - 16, "test": 6 + 2}
    for row in data.rows:
        patient = int(row.cells["patient"].removeprefix("patient"))
        assert row.cells["patient"] in row.path and row.cells["effusion"] == ("no_effusion", "effusion")[patient % 2]
    assert any("the 8 images of valid.csv together" in note for note in data.notes())


def test_from_the_folder_above_and_without_valid(folder: Path, tmp_path: Path) -> None:
    assert len(chexpert(folder.parent).rows) == len(chexpert(folder).rows)
    own = write_chexpert(tmp_path, 20, root="CheXpert-v1.0")
    (own / "valid.csv").unlink()
    data = chexpert(own)
    assert {row.cells["split"] for row in data.rows} == {"train"} and not any("valid.csv" in one for one in data.about)


def test_any_root_and_odd_cells(tmp_path: Path) -> None:
    odd = rows_of(
        tmp_path,
        chexpert_row(" data/chest/train/patient00001/study1/view1_frontal.jpg ", " Female", " 1.0 "),
        chexpert_row("D:\\chest\\train\\patient00002\\study1\\view1_frontal.jpg", "MALE", "0", " frontal "),
        chexpert_row("train/patient00003/study1/view1_frontal.jpg", "", "0.0"),
        chexpert_row("train/patient00004/study1/view1_frontal.jpg", "Male", "-1"),
    )
    for number in (1, 2):
        write_image(odd / f"train/patient0000{number}/study1/view1_frontal.jpg", number, 0, 0)
    data = chexpert(odd)
    assert [row.cells["effusion"] for row in data.rows] == ["effusion", "no_effusion"]
    assert [row.cells["sex"] for row in data.rows] == ["female", "male"]
    assert dict(data.left_out) == {"of unknown sex": 1, "with an uncertain Pleural Effusion": 1}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            chexpert_row("C/train/p1/view1.jpg", "Male", "1.0"),
            r"must name a patient, e.g. patient00001, but line 2 has C/",
        ),
        (
            chexpert_row("C/train/patient00001/v.jpg", "Male", "2.0"),
            r"must be 1.0, 0.0, -1.0 or blank, but line 2 has '2",
        ),
        (chexpert_row("C/train/patient00001/v.jpg", "Male", ""), r"no image of .*train.csv|none of 0"),
    ],
)
def test_another_form_is_refused(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        chexpert(rows_of(tmp_path, line))


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("Path,Sex,Age\na,b,1\n")
    with pytest.raises(InputError, match=r"train.csv has no column 'Frontal/Lateral'"):
        chexpert(tmp_path)

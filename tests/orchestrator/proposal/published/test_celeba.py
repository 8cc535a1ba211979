from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from orchestrator.proposal.published.celeba import celeba
from store.errors import InputError
from tests.published_files import write_celeba


@pytest.mark.parametrize("form", ["txt", "csv"])
def test_hair_sex_and_split_in_both_forms(tmp_path: Path, form: str) -> None:
    data = celeba(write_celeba(tmp_path, 48, form))
    assert len(data.rows) == 48 and not data.left_out
    assert all(Path(row.path).is_file() for row in data.rows)
    assert Counter(row.cells["split"] for row in data.rows) == {"train": 32, "val": 8, "test": 8}
    # The writer gives every second image blond hair.
    assert [row.cells["hair"] for row in data.rows[:4]] == ["not_blond", "blond"] * 2
    assert {row.cells["sex"] for row in data.rows} == {"male", "female"}


def test_both_forms_hold_the_same(tmp_path: Path) -> None:
    cells = [[row.cells for row in celeba(write_celeba(tmp_path / form, 48, form)).rows] for form in ("txt", "csv")]
    assert cells[0] == cells[1]


def test_crlf_wide_spaces_and_folders_as_published(tmp_path: Path) -> None:
    folder = write_celeba(tmp_path, 24)
    for name, sub in (("list_attr_celeba.txt", "Anno"), ("list_eval_partition.txt", "Eval")):
        text = (folder / name).read_text().replace("\n", "  \r\n").replace(" -1", "     -1")
        (folder / sub).mkdir()
        (folder / sub / name).write_bytes(text.encode())
        (folder / name).unlink()
    (folder / "Img").mkdir()
    (folder / "img_align_celeba").rename(folder / "Img" / "img_align_celeba")
    assert len(celeba(folder).rows) == 24


def test_missing_images_and_parts_are_counted(tmp_path: Path) -> None:
    folder = write_celeba(tmp_path, 24)
    images = folder / "img_align_celeba"
    (images / "000003.jpg").unlink()
    partition = folder / "list_eval_partition.txt"
    partition.write_text(partition.read_text().replace("000004.jpg 0\n", ""))
    data = celeba(folder)
    assert len(data.rows) == 22
    assert data.notes()[-1] == f"Left out: 1 whose image is not below {images}, 1 without split."


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "24\n",
            "25\n",
            r"list_attr_celeba.txt must have 25 images, as its first line says, but has 24: copy it again",
        ),
        ("24\n", "", r"must begin with the number of images and a line of names, but does not"),
        ("Blond_Hair", "Blonde", r"list_attr_celeba.txt has no column 'Blond_Hair'"),
        ("000005.jpg -1", "000005.jpg", r"line 7 of .* must have a name and 6 numbers, but has 6 words"),
        ("000005.jpg -1 -1 -1 -1", "000005.jpg -1 -1 -1  0", r"Blond_Hair of .* must be -1 or 1, but line 7 has '0'"),
    ],
)
def test_another_form_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    file = write_celeba(tmp_path, 24) / "list_attr_celeba.txt"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=words):
        celeba(tmp_path)


def test_the_split_must_be_there(tmp_path: Path) -> None:
    folder = write_celeba(tmp_path, 24)
    file = folder / "list_eval_partition.txt"
    text = file.read_text()
    file.write_text(text.replace("000002.jpg 0", "000002.jpg 7"))
    with pytest.raises(InputError, match=r"partition of list_eval_partition.txt must be 0, 1 or 2, but line 2 has '7'"):
        celeba(folder)
    file.write_text(text.replace("000002.jpg 0", "000002.jpg"))
    with pytest.raises(InputError, match=r"line 2 of .*list_eval_partition.txt must have a name and a number"):
        celeba(folder)
    file.unlink()
    with pytest.raises(InputError, match=r"must hold list_eval_partition.txt or list_eval_partition.csv, but does not"):
        celeba(folder)

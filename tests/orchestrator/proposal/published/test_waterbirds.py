from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.proposal.published.waterbirds import waterbirds
from store.errors import InputError
from tests.published_files import write_waterbirds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_waterbirds(tmp_path_factory.mktemp("birds"), 60)


def changed(folder: Path, tmp_path: Path, *pairs: tuple[str, str]) -> Path:
    """A copy of the metadata with other texts, beside links to the images."""
    text = (folder / "metadata.csv").read_bytes().decode()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    for path in folder.iterdir():
        if path.is_dir():
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "metadata.csv").write_bytes(text.encode())
    return tmp_path


def test_class_place_and_split_as_published(folder: Path) -> None:
    data = waterbirds(folder)
    assert len(data.rows) == 60 and data.notes()[-1].startswith("95 %")
    by_name = {Path(row.path).name: row.cells for row in data.rows}
    lines = (folder / "metadata.csv").read_text().splitlines()[1:]
    for line in lines:
        _, name, y, split, place, _ = line.split(",")
        assert by_name[Path(name).name] == {
            "bird": ("landbird", "waterbird")[int(y)],
            "place": ("land", "water")[int(place)],
            "split": ("train", "val", "test")[int(split)],
        }
    assert all(Path(row.path).is_file() for row in data.rows)


def test_odd_rows_are_counted(folder: Path, tmp_path: Path) -> None:
    odd = changed(
        folder,
        tmp_path,
        ("Species_0000.jpg,0,0", "  Species_0000_moved.jpg , 0 , 0"),
        ("Species_0002.jpg,0,0,", "Species_0002.jpg,0.0,0,"),
        ("Species_0003.jpg,1,0,", "Species_0003.jpg,,0,"),
    )
    data = waterbirds(odd)
    assert len(data.rows) == 58
    assert data.notes()[-1] == f"Left out: 1 whose image is not below {odd}, 1 without bird."


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (
            [("Species_0003.jpg,1,0,", "Species_0003.jpg,1,3,")],
            r"split of metadata.csv must be 0, 1 or 2, but line 5 has",
        ),
        ([(",place,", ",background,")], r"metadata.csv has no column 'place': .*its columns: img_id, img_filename"),
        ([("Species_0003.jpg,1,0,", "Species_0003.jpg,water,0,")], r"y of metadata.csv must be 0 or 1, but line 5 has"),
    ],
)
def test_another_form_is_refused(folder: Path, tmp_path: Path, pairs: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        waterbirds(changed(folder, tmp_path, *pairs))


def test_no_folder_no_file_and_no_images(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*nowhere: give the folder with metadata.csv"):
        waterbirds(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"must hold metadata.csv, but does not"):
        waterbirds(tmp_path)
    (tmp_path / "metadata.csv").write_bytes((folder / "metadata.csv").read_bytes())
    with pytest.raises(InputError, match=r"must lie below .*, but none of 60 is there, e\.g\. .*Species_0000.jpg: put"):
        waterbirds(tmp_path)


def test_an_image_that_stands_twice(folder: Path, tmp_path: Path) -> None:
    twice = changed(folder, tmp_path, ("Species_0004.jpg", "Species_0000.jpg"))
    words = r"each image must stand once in .*/metadata.csv, but 000.Species_0/Species_0000.jpg stands twice: leave"
    with pytest.raises(InputError, match=words):
        waterbirds(twice)

"""Files, folds and archives that cannot be prepared are named with their count, and nothing is left half made."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store.errors import InputError
from tests.trainable.figshare_files import (
    N,
    folds_file,
    in_cells,
    slice_file,
    write_folder,
    write_zips,
    zipped,
)
from trainable.data.arrays.folder import load_arrays
from trainable.data.brain.figshare.prepare import prepare


def change(files: dict[str, bytes], **named: Any) -> dict[str, bytes]:
    """Replace files by number: bytes, None = leave it out."""
    changed = {**files, **{f"{name.lstrip('n')}.mat": data for name, data in named.items() if data is not None}}
    for name in [name for name, data in named.items() if data is None]:
        del changed[f"{name.lstrip('n')}.mat"]
    return changed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n3": b"not hdf5", "n5": b""}, "2 files are not.*2 corrupt.*3.mat, 5.mat"),
        ({"n3": slice_file(3, image=None)}, "1 corrupt.*3.mat"),
        ({"n7": None}, "1 missing: 7.mat"),
        ({"n13": slice_file(13, 256)}, "1 extra .*cvind.mat knows 12 slices.*13.mat"),
        ({"nnew": slice_file(13, 256)}, r"1 extra \(no number\): ew.mat"),
        ({"n2": slice_file(2, 256, label=np.array([[4.0]]))}, "1 with a label outside 1..3: 2.mat"),
        ({"n2": slice_file(2, 256, label=np.array([[np.nan]]))}, "1 with a label outside 1..3: 2.mat"),
        ({"n2": slice_file(2, 256, tumorBorder=np.zeros((1, 0)))}, "1 with an empty outline .*2.mat"),
        ({"n2": slice_file(2, 256, tumorBorder=np.full((1, 80), 900.0))}, "1 with an outline outside the image: 2.mat"),
        ({"n2": slice_file(2, 256, tumorBorder=np.full((1, 81), 9.0))}, "no list of x, y pairs: 2.mat"),
        ({"n2": slice_file(2, 256, tumorMask=np.zeros((256, 256), np.uint8))}, "1 with an empty mask: 2.mat"),
        ({"n2": slice_file(2, 256, tumorMask=np.zeros((512, 512), np.uint8))}, "a mask of another size.*2.mat"),
        ({"n2": slice_file(2, 256, image=np.zeros((128, 128), np.int16))}, "not 512 x 512 or 256 x 256: 2.mat"),
        ({"n2": slice_file(2, 256, image=np.zeros((256, 256), np.int16))}, "an image that is constant.*2.mat"),
        ({"n2": slice_file(2, 256, PID=np.zeros((0, 1), np.uint16))}, "without a patient identifier: 2.mat"),
        ({"n2": slice_file(2, 256, label=np.bytes_(b"two"))}, "1 with label that is no array of numbers: 2.mat"),
        ({"n2": in_cells(slice_file(2, 256), "tumorBorder", 2)}, "tumorBorder that is a cell of 2 values.*: 2.mat"),
        ({"n2": in_cells(slice_file(2, 256), "PID", 0)}, "PID that is a cell of 0 values.*: 2.mat"),
        ({"n2": slice_file(2, 256, image=np.arange(65536.0).reshape(256, 256) / 2)}, "not in whole numbers: 2.mat"),
        ({"n2": slice_file(2, 256, image=np.full((256, 256), np.nan))}, "not in whole numbers: 2.mat"),
        ({"n2": slice_file(2, 256, image=2.0**40 * np.eye(256))}, "more than 32 bits: 2.mat"),
        ({"n1": b"torn", "n9": None}, "2 files are not.*1 missing: 9.mat; 1 corrupt.*1.mat"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_count(
    changes: dict[str, Any], words: str, files: dict[str, bytes], cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        prepare(write_folder(tmp_path / "source", change(files, **changes), folds_file(N)))
    assert "\n" not in str(caught.value)
    assert load_arrays(cache / "brain_mri") is None


def test_many_bad_files_are_counted_and_five_named(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    broken = dict.fromkeys(files, b"torn")
    with pytest.raises(InputError, match=r"12 corrupt .*: 1.mat, 2.mat, 3.mat, 4.mat, 5.mat and 7 more"):
        prepare(write_folder(tmp_path / "source", broken, folds_file(N)))


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        (b"torn", "cvind.mat must hold a fold from 1 to 5"),
        (folds_file(N, np.arange(N)), "cvind.mat must hold a fold from 1 to 5"),
        (folds_file(N, np.arange(N) % 2 + 1), "must not divide a patient, but 3 patients lie in two or more"),
    ],
)
def test_bad_folds(folds: bytes, words: str, files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        prepare(write_folder(tmp_path / "source", files, folds))


def test_bad_archives(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file or folder"):
        prepare(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"holds no files 1.mat"):
        prepare(empty)
    folder = write_folder(tmp_path / "source", files, folds_file(N))
    (folder / "cvind.mat").unlink()
    with pytest.raises(InputError, match=r"one cvind.mat, but there are 0"):
        prepare(folder)
    write_zips(tmp_path / "zips", files, folds_file(N))
    damaged = tmp_path / "zips" / "_767-1532.zip"
    damaged.write_bytes(damaged.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"1 corrupt .a zip that cannot be read.: _767-1532.zip; 3 missing"):
        prepare(tmp_path / "zips")
    (tmp_path / "zips" / "copy").mkdir()
    (tmp_path / "zips" / "copy" / "1.mat").write_bytes(files["2.mat"])
    with pytest.raises(InputError, match=r"1 extra .the same number twice, with different content.: 1.mat"):
        prepare(tmp_path / "zips")


def test_a_truncated_download_is_named(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "1512427.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for name, data in write_zips(tmp_path / "zips", files, folds_file(N)).items():
            archive.writestr(name, data)
    source.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"1512427.zip cannot be read as a zip: download it again"):
        prepare(source)


def test_a_zip_beside_its_own_unpacked_content(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", files, folds_file(N))
    before = prepare(source).checksum
    inner = write_zips(source, files, folds_file(N))
    (source / "1512427.zip").write_bytes(zipped(inner))
    assert prepare(source).checksum == before
    # Where they are not the same, nobody can say which is the right one.
    (source / "cvind.mat").write_bytes(folds_file(N, np.full(N, 2)))
    with pytest.raises(InputError, match=r"there are 2 with different content: leave the right one there"):
        prepare(source)


@pytest.mark.parametrize("filling", [0x00, 0xFF])
@pytest.mark.parametrize("offset", range(100, 2001, 380))
def test_a_damaged_zip_member_is_corrupt(
    offset: int, filling: int, files: dict[str, bytes], cache: Path, tmp_path: Path
) -> None:
    inner = write_zips(tmp_path / "zips", files, folds_file(N))
    data = bytearray(inner["_767-1532.zip"])
    at = data.index(b"4.mat") + offset
    data[at : at + 64] = bytes([filling]) * 64
    (tmp_path / "zips" / "_767-1532.zip").write_bytes(data)
    with pytest.raises(InputError, match=r"1 corrupt .cannot be unpacked.: 4.mat"):
        prepare(tmp_path / "zips")

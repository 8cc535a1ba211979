from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from store.errors import InputError
from tests.idx_files import idx_bytes, write_idx
from trainable.data.digits.idx import read_idx, read_parts


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
def test_every_form_of_the_names(tmp_path: Path, zipped: bool, dotted: bool) -> None:
    parts = read_parts(write_idx(tmp_path, zipped=zipped, dotted=dotted))
    assert [len(parts[part][1]) for part in ("train", "test")] == [240, 60]
    images, labels = parts["train"]
    assert images.dtype == np.uint8 and labels.dtype == np.int64
    # The writer puts the block of a label at twice its number.
    assert np.array_equal(images.any(axis=2).argmax(axis=1), 2 * labels)


def test_numbers_are_big_endian(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]))
    assert read_idx(path, 3).tolist() == [[[1, 2, 3]], [[4, 5, 6]]]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"must hold a header of 8 bytes, but holds 0: copy or download it again"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]), r"must hold 17 bytes for what its header states, but holds 9: copy"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 1, 1, 1]), r"must hold 9 bytes for what its header states, but holds 10"),
        (
            idx_bytes(np.zeros((1, 2, 2), np.uint8)),
            r"must begin with the magic number 00000801 of 1 dimension of bytes, but begins with 00000803",
        ),
        (b"<html>404</html>", r"must begin with the magic number 00000801 .* but begins with 3c68746d"),
        (
            gzip.compress(idx_bytes(np.ones(50, np.uint8)), mtime=0)[:-12],
            r"cannot be decompressed \(.*\): copy or download it",
        ),
        (b"\x1f\x8bnonsense that gzip does not know", r"cannot be decompressed"),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))} {words}"):
        read_idx(path, 1)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    folder = write_idx(tmp_path, zipped=False)
    file = folder / "t10k-labels-idx1-ubyte"
    good = file.read_bytes()
    file.write_bytes(idx_bytes(np.arange(50, dtype=np.uint8) % 10))
    with pytest.raises(InputError, match="as many images as labels, but hold 60 and 50: take both from one source"):
        read_parts(folder)
    file.write_bytes(idx_bytes(np.arange(60, dtype=np.uint8) % 11))
    with pytest.raises(InputError, match=r"each of the labels 0 to 9 and no other, but holds 0, 1, 2, .*, 10: name a"):
        read_parts(folder)
    file.write_bytes(good)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((60, 14, 14), np.uint8)))
    with pytest.raises(InputError, match="must hold images of 28 x 28 pixels, but its are 14 x 14"):
        read_parts(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = write_idx(tmp_path)
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"folder must hold train-labels-idx1-ubyte \(or .*gz, .*\), but .* does not"):
        read_parts(folder)

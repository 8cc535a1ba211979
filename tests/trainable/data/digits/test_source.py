from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from store.errors import InputError
from tests.idx_files import FASHION, NO_FASHION, write_idx
from trainable.data.base import DATASETS, load_dataset
from trainable.data.digits.source import digits_of, halved, split_digits
from trainable.testing import assert_passes, check_dataset

NAMES = ("coloured_digits", "biased_digits")
fashion = pytest.mark.skipif(not FASHION.is_dir(), reason=NO_FASHION)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_idx(tmp_path_factory.mktemp("idx")))


def test_a_quarter_of_the_sum_is_rounded_to_even() -> None:
    rng = np.random.default_rng(0)
    ink = rng.integers(0, 256, (50, 28, 28)).astype(np.uint8)
    mean = ink.reshape(-1, 14, 2, 14, 2).astype(np.float32).mean(axis=(2, 4))
    assert np.array_equal(halved(ink), np.rint(mean).astype(np.uint8))


@pytest.mark.parametrize("name", NAMES)
def test_the_published_test_part_is_the_test_part(name: str, folder: str) -> None:
    data = load_dataset(name, folder=folder)
    for seed in (0, 1):
        split = data.split(seed)
        assert split.test.tolist() == list(range(240, 300))
        assert len(split.train) + len(split.val) == 240 and len(split.val) == 30
        assert np.unique(np.concatenate([split.train, split.val])).tolist() == list(range(240))
    assert data.long_name.endswith(" (idx files)") and "of one's own" in data.citation


@pytest.mark.parametrize("name", NAMES)
def test_development_holds_no_published_test_image(name: str, folder: str) -> None:
    development = load_dataset(name, folder=folder, subset="development")
    first, other = development.split(0), development.split(1)
    assert np.array_equal(first.test, other.test) and len(first.test) == 40
    for split in (first, other):
        parts = np.concatenate([split.train, split.val, split.test])
        assert np.unique(parts).tolist() == list(range(240)) and len(parts) == 240


@pytest.mark.parametrize("name", NAMES)
def test_other_files_are_other_data(name: str, folder: str, tmp_path: Path) -> None:
    one, shipped = load_dataset(name, folder=folder), load_dataset(name)
    same = load_dataset(name, folder=str(write_idx(tmp_path / "copy", zipped=False)))
    fewer = load_dataset(name, folder=str(write_idx(tmp_path / "fewer", n_train=230)))
    assert one.checksum == same.checksum
    assert len({one.checksum, shipped.checksum, fewer.checksum}) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_passes_the_check(name: str, tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "more", n_train=4000, n_test=1000)
    assert_passes(check_dataset(name, options={"folder": str(folder), "image_size": 28}))


@pytest.mark.parametrize("name", NAMES)
def test_folder_is_a_path(name: str) -> None:
    assert DATASETS.files(name) == ("folder",)
    with pytest.raises(InputError, match="folder must be the path of a folder with idx files, but is 3"):
        load_dataset(name, folder=3)
    with pytest.raises(InputError, match=r"folder must hold train-images-idx3-ubyte .* but /no/such/folder does not"):
        load_dataset(name, folder="/no/such/folder")


def test_equal_images_have_keys_of_their_own(tmp_path: Path) -> None:
    digits = digits_of(str(write_idx(tmp_path)))
    twice = type(digits)(np.concatenate([digits.ink, digits.ink[:1]]), digits.labels, None, "digits", "")
    keys = twice.keys()
    assert keys[-1] == f"{keys[0]}-2" and len(set(keys)) == 301


@fashion
def test_fashion_mnist_as_debian_ships_it() -> None:
    digits = digits_of(str(FASHION))
    assert digits.title == "Fashion-MNIST" and digits.classes[9] == "ankle_boot"
    assert len(digits.labels) == 70_000 and len(set(digits.keys())) == 70_000
    split = split_digits("coloured_digits", digits, 0, False)
    assert [len(split.train), len(split.val), len(split.test)] == [52_500, 7_500, 10_000]
    assert np.bincount(digits.labels[split.test]).tolist() == [1000] * 10


@fashion
@pytest.mark.parametrize("name", NAMES)
def test_fashion_mnist_is_coloured(name: str) -> None:
    options = {"folder": str(FASHION), "image_size": 14}
    data = load_dataset(name, **options)
    assert data.long_name.endswith("(Fashion-MNIST)") and data.classes[0] == "t_shirt"
    bias = {data.axes[0].name: 0.5}
    index = data.split(0).train[:5000]
    # More than are painted at once: the same as in smaller parts.
    whole, part = data.train_images(bias, 0, index, "biased"), data.train_images(bias, 0, index[4000:4200], "biased")
    assert whole.images.shape == (5000, 3, 14, 14)
    assert torch.equal(whole.images[4000:4200], part.images) and torch.equal(whole.bias[4000:4200], part.bias)
    assert_passes(check_dataset(name, options=options))

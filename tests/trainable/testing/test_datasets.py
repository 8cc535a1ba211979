"""The check of a data set: ours pass, and what is broken on purpose is found."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from store.errors import InputError
from tests.trainable.figshare_files import all_files, folds_file, write_folder
from trainable.data import base
from trainable.data.base import ImageSet, Split, list_datasets
from trainable.data.brain.figshare.prepare import prepare
from trainable.data.table.image_table import ImageTable
from trainable.testing import Finding, assert_passes, check_dataset
from trainable.testing.parts import _no_hashes
from trainable.testing.toy import N, ToyImages

OPTIONS: dict[str, dict[str, Any]] = {"brain_phantom": {"patients": 30, "slices": 2, "image_size": 32}}
WITH_FILES = {"brain_mri", "table"}


class Own(ToyImages):
    """As a user would write it, in this file."""


def failures(dataset: Any) -> list[Finding]:
    return [finding for finding in check_dataset(dataset) if finding.level == "FAIL"]


def the_failure(dataset: Any) -> str:
    found = failures(dataset)
    assert len({finding.sentence for finding in found}) == 1, found
    assert found[0].where.partition(":")[0] == __file__ and found[0].what == "data set tiny"
    return found[0].sentence


@pytest.mark.parametrize("name", sorted(set(list_datasets()) - WITH_FILES))
def test_our_own_pass(name: str) -> None:
    assert_passes(check_dataset(name, options=OPTIONS.get(name), most=100))


def test_the_mri_passes_on_files_of_its_form(cache: Path, tmp_path: Path) -> None:
    n = 60
    prepare(write_folder(tmp_path / "source", all_files(n, small=tuple(range(3, n + 1))), folds_file(n)))
    base._load.cache_clear()
    assert_passes(check_dataset("brain_mri", options={"image_size": 64}, most=20))


def test_an_object_can_be_checked() -> None:
    findings = check_dataset(Own())
    assert_passes(findings)
    assert any("no image is in two parts" in finding.sentence for finding in findings)
    counts = next(finding.sentence for finding in findings if "by class and attribute" in finding.sentence)
    assert "at rho = 0 (strength 0.00)" in counts and "a/none 16" in counts


def test_names() -> None:
    with pytest.raises(InputError, match="unknown data set 'coloured_digit': did you mean 'coloured_digits'"):
        check_dataset("coloured_digit")
    (finding,) = check_dataset("coloured_digits", [{"colour_variance": 1}])
    assert finding.level == "FAIL" and "did you mean 'color_variance'" in finding.sentence


class SeededTest(Own):
    """Its test part changes with the seed."""

    def split(self, seed: int, fold: int | None = None) -> Split:
        order = np.random.default_rng(seed).permutation(N)
        return Split(np.sort(order[:67]), np.sort(order[67:80]), np.sort(order[80:]))


def test_a_test_part_that_changes_with_the_seed_is_found() -> None:
    assert "the test part must be the same for every seed" in the_failure(SeededTest())


class Patients(Own):
    """Two images of each patient."""

    def groups(self) -> Any:
        return np.arange(N) // 2

    def patient_keys(self) -> list[str]:
        return [hashlib.blake2b(f"p{i // 2}".encode(), digest_size=8, key=b"x").hexdigest() for i in range(N)]


class Named(Patients):
    """Patients by their identifiers."""

    def split(self, seed: int, fold: int | None = None) -> Split:
        return Split(np.arange(0, 68), np.arange(68, 80), np.arange(80, N))

    def patient_keys(self) -> list[str]:
        return [f"{1000 + i // 2}" for i in range(N)]


def test_a_patient_in_two_parts_is_found() -> None:
    found = [finding.sentence for finding in failures(Patients())]
    assert any("patients (" in sentence and "in both train and val" in sentence for sentence in found)
    assert "1000, 1001 and 64 more may identify a patient" in the_failure(Named())


def test_a_hash_of_decimal_digits_is_a_hash_and_many_numbers_are_none() -> None:
    hashes = {hashlib.blake2b(bytes([i]), digest_size=8).hexdigest() for i in range(200)}
    assert _no_hashes({*hashes, "0967896354285592"}) == []
    assert len(_no_hashes({f"{10**15 + i}" for i in range(200)})) == 200
    assert _no_hashes({*hashes, "P001"}) == ["P001"]


def clipped(images: ImageSet) -> ImageSet:
    sixteen_bit = images.images.long() * 257
    return dataclasses.replace(images, images=sixteen_bit.clamp(0, 255).to(torch.uint8))


def scaled_twice(images: ImageSet) -> ImageSet:
    return dataclasses.replace(images, images=(images.images / 255).to(torch.uint8))


def empty(images: ImageSet) -> ImageSet:
    return dataclasses.replace(images, images=images.images[:, :, :1, :1].expand(-1, 3, 8, 8) * 0 + 90)


def other_labels(images: ImageSet) -> ImageSet:
    return dataclasses.replace(images, labels=images.labels.roll(1))


def changed(change: Callable[[ImageSet], ImageSet]) -> Own:
    class Changed(Own):
        def train_images(self, *arguments: Any) -> ImageSet:
            return change(super().train_images(*arguments))

        def variant_images(self, *arguments: Any) -> ImageSet:
            return change(super().variant_images(*arguments))

    return Changed()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (clipped, "% of the values of the training images are 255: images of 12 or 16 bit were clipped"),
        (scaled_twice, "the largest value of the training images is 0: they were scaled to [0, 1] before"),
        (empty, "67 of 67 training images have a single value (e.g. i"),
        (other_labels, "labels must be those of labels() at index, but differ, of the training images"),
    ],
)
def test_images_that_were_read_wrongly_are_found(change: Callable[[ImageSet], ImageSet], words: str) -> None:
    assert any(words in finding.sentence for finding in failures(changed(change)))


def test_one_image_in_two_parts_is_found() -> None:
    def one(images: ImageSet) -> ImageSet:
        pixels = images.images.clone()
        pixels[images.index == images.index.min()] = torch.arange(64, dtype=torch.uint8).view(1, 8, 8)
        return dataclasses.replace(images, images=pixels)

    assert "value for value: remove one, or give both the same group" in the_failure(changed(one))


class Lively(Own):
    """Draws from NumPy's global random numbers."""

    def variant_images(self, *arguments: Any) -> ImageSet:
        images = super().variant_images(*arguments)
        noise = torch.from_numpy(np.random.randint(0, 9, tuple(images.images.shape)).astype(np.uint8))
        return dataclasses.replace(images, images=images.images + noise)


def test_images_drawn_from_global_random_numbers_are_found() -> None:
    assert "images of unbiased, aligned, independent, conflicting differ when" in the_failure(Lively())


class Shrinking(Own):
    """Fewer images, the stronger the bias."""

    def train_images(self, bias: Any, seed: int, index: Any, draw: Any) -> ImageSet:
        return super().train_images(bias, seed, index[: max(2, len(index) - int(20 * bias["rho"]))], draw)


class Backwards(Own):
    """A strength that falls where the bias rises."""

    def bias_strength(self, bias: Any) -> float:
        return 1.0 - float(bias["rho"])


class NotNested(Own):
    """Other draws at each bias value."""

    def train_images(self, bias: Any, seed: int, index: Any, draw: Any) -> ImageSet:
        return super().train_images(bias, seed + int(100 * bias["rho"]), index, draw)


def test_what_changes_along_the_axis_beside_the_bias_is_found() -> None:
    found = [finding.sentence for finding in failures(Shrinking())]
    assert any("must be as many at every bias value" in sentence and "67 at rho = 0" in sentence for sentence in found)
    assert any(
        "larger values of rho must be the stronger bias" in finding.sentence for finding in failures(Backwards())
    )
    points = [{"rho": 0.3}, {"rho": 0.6}]
    warned = [finding for finding in check_dataset(NotNested(), points) if finding.level == "warn"]
    assert any("not nested along the axis" in finding.sentence for finding in warned)


class Hashed(ToyImages):
    """A checksum that is another in each process."""

    @property
    def checksum(self) -> str:
        return f"{hash('tiny'):x}"


def test_a_checksum_of_one_process_alone_is_found(tmp_path: Path) -> None:
    from trainable.plugins import load_plugins, read_plugin

    file = tmp_path / "hashed.py"
    file.write_text(
        "from trainable.data.base import register_dataset\n"
        "from trainable.testing.toy import ToyImages\n\n\n"
        "@register_dataset('hashed')\n"
        "class Hashed(ToyImages):\n"
        "    @property\n"
        "    def checksum(self):\n"
        "        return f\"{hash('tiny'):x}\"\n"
    )
    load_plugins([read_plugin(str(file), tmp_path)])
    (failure,) = failures("hashed")
    assert "checksum differ in another process" in failure.sentence and failure.where == f"{file}:5"


def test_a_painter_that_paints_nothing_is_found() -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(256, size=(60, 16, 16), dtype=np.uint8)
    names = {"classes": ("a", "b"), "attributes": ("no", "mark"), "aligned": {"a": "no", "b": "mark"}}

    def found(paint: Any) -> list[str]:
        table = ImageTable(grey, np.arange(60) % 2, **names, paint=paint, name="x_ray")
        return [finding.sentence for finding in failures(table) if "so that they show no bias" in finding.sentence]

    def marked(image: Any, attribute: str, generator: Any) -> Any:
        image[:4, :4] = 255 * (attribute == "mark")
        return image

    assert found(marked) == []
    assert found(lambda image, attribute, generator: image)[0].startswith("8 of 8 test images are the same with")

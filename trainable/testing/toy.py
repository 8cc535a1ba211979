"""A data set and a network small enough to train in milliseconds, on which methods are checked.

They hold everything that a method can get wrong: several bias heads, labels of pixels or of images, some of them not
counted, BatchNorm and dropout in f, g and h, and a last batch that is smaller.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainable.data.base import DATASETS, Dataset, register_dataset
from trainable.data.parts import IGNORED, Axis, BiasHeads, ImageSet, Split, TrainingDraw
from trainable.networks.base import NETWORKS, Blueprint, DataShape, register_network
from trainable.networks.heads import PointwiseHead
from trainable.randomness import numpy_generator

N, SIDE, CLASSES = 132, 8, 4
N_TRAIN, N_VAL = 67, 13
TOY_DATASET, TOY_NETWORK = "check_images", "check_network"


class ToyImages(Dataset):
    """Four classes told by a bright quadrant, and with probability rho by the colour of the image too.

    Args:
        spatial: Bias labels of pixels; else of images.
    """

    name = "tiny"
    long_name = "Tiny"
    classes = ("a", "b", "c", "d")
    axes = (Axis("rho", "rho", 0.0, 1.0, "larger", 0.0),)
    attributes = ("none", "red", "green", "blue")
    rules = ("val_counterfactual", "val_biased", "val_unbiased", "val_reweighted")
    image_size = SIDE

    def __init__(self, spatial: bool = True) -> None:
        self.heads = BiasHeads(("x", "y"), 3, spatial)
        self._y = np.arange(N, dtype=np.int64) % CLASSES

    @property
    def checksum(self) -> str:
        """The images are made from fixed draws."""
        return "tiny"

    def image_keys(self) -> list[str]:
        """One key an image."""
        return [f"i{i}" for i in range(N)]

    def labels(self) -> NDArray[np.int64]:
        """As many images of each class."""
        return self._y

    def split(self, seed: int, fold: int | None = None) -> Split:
        """67 training, 13 validation and 52 test images."""
        order = numpy_generator(seed, "split").permutation(N_TRAIN + N_VAL)
        return Split(np.sort(order[:N_TRAIN]), np.sort(order[N_TRAIN:]), np.arange(N_TRAIN + N_VAL, N))

    def annotation_draws(self, seed: int) -> NDArray[np.float64]:
        """One uniform draw an image."""
        return numpy_generator(seed, "u").random(N)

    def _paint(self, index: NDArray[np.int64], colour: NDArray[np.int64], role: str) -> ImageSet:
        noise = numpy_generator(0, role).integers(0, 60, (N, 3, SIDE, SIDE))[index]
        images, y = noise.astype(np.uint8), self._y[index]
        half = SIDE // 2
        for k, (label, c) in enumerate(zip(y, colour, strict=True)):
            top, left = half * (label // 2), half * (label % 2)
            images[k, :, top : top + half, left : left + half] += 60
            if c:
                images[k, c - 1] += 120
        bias = torch.from_numpy(np.stack([colour % 3, (colour + 1) // 2 % 3], axis=1))
        if self.heads.spatial:
            bias = bias[:, :, None, None].repeat(1, 1, SIDE, SIDE)
            bias[torch.from_numpy(images).float().mean(1, keepdim=True).expand(-1, 2, -1, -1) < 60] = IGNORED
        else:
            bias[::5, 1] = IGNORED
        return ImageSet(
            torch.from_numpy(images), torch.from_numpy(y), bias, torch.from_numpy(colour), torch.from_numpy(index)
        )

    def train_images(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw
    ) -> ImageSet:
        """Images in the class's own colour where u < rho, else without colour."""
        u = self.annotation_draws(seed)[index]
        own = self._y[index]
        if draw == "biased":
            colour = np.where(u < bias["rho"], own, 0)
        else:
            colour = (CLASSES * u).astype(np.int64) if draw == "unbiased" else np.zeros_like(own)
        return self._paint(index, colour, f"train/{seed}")

    def variant_images(self, variant: str, bias: Mapping[str, float], index: NDArray[np.int64], role: str) -> ImageSet:
        """Images without colour, in the class's own, in any, or in that of another class."""
        u, own = numpy_generator(0, f"v/{role}").random(N)[index], self._y[index]
        colour = {
            "unbiased": np.zeros_like(own),
            "aligned": own,
            "independent": (4 * u).astype(np.int64),
            "conflicting": (own + 1 + (3 * u).astype(np.int64)) % 4,
        }[variant]
        return self._paint(index, colour, role)

    def conflicting(self, images: ImageSet) -> NDArray[np.bool_]:
        """Images in another colour than their class's."""
        return np.asarray(images.attribute.numpy() != images.labels.numpy())

    def bias_strength(self, bias: Mapping[str, float]) -> float:
        """Rho itself."""
        return float(bias["rho"])


def _dropout(p: float) -> nn.Module:
    # None at all draws nothing, so that what a method draws can be told.
    return nn.Dropout(p) if p else nn.Identity()


class _Head(nn.Module):
    def __init__(self, heads: BiasHeads, dropout: float) -> None:
        super().__init__()
        self.noise = _dropout(dropout)
        self.inner = PointwiseHead(6, 8, heads)

    def forward(self, z: Tensor, places: Tensor | None) -> Tensor:
        logits: Tensor = self.inner(self.noise(z), places)
        return logits


def toy_network(data: DataShape, dropout: float | None = None) -> Blueprint:
    """Lay out a network with everything that could draw or keep a state, and with a smaller grid.

    Args:
        data: Shape of the data; images of 8 pixels.
        dropout: Share of units that are dropped everywhere; None = a tenth, and a fifth in h.

    Example:
        >>> f, g = toy_network(DataShape(3, 8, 8, ("a", "b"))).body()
        >>> g(f(torch.zeros(2, 3, 8, 8))).shape
        torch.Size([2, 2])
    """
    p, p_head = (0.1, 0.2) if dropout is None else (dropout, dropout)

    def body() -> tuple[nn.Module, nn.Module]:
        f = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(), _dropout(p))
        g = nn.Sequential(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), _dropout(p), nn.Flatten())
        return f, nn.Sequential(g, nn.Linear(8 * 4, len(data.classes)))

    return Blueprint(body, lambda: _Head(data.heads, p_head))


@contextlib.contextmanager
def toys() -> Iterator[None]:
    """Register both within the block.

    Example:
        >>> with toys():
        ...     TOY_DATASET in DATASETS.entries
        True
        >>> TOY_DATASET in DATASETS.entries
        False
    """
    outermost = TOY_DATASET not in DATASETS.entries
    if outermost:
        # First ours: the registry imports them when it is asked, and these are its first entries else.
        DATASETS.import_all()
        NETWORKS.import_all()
        register_dataset(TOY_DATASET)(ToyImages)
        register_network(TOY_NETWORK)(toy_network)
    try:
        yield
    finally:
        if outermost:
            DATASETS.entries.pop(TOY_DATASET, None)
            NETWORKS.entries.pop(TOY_NETWORK, None)

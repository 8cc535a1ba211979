"""Writes a table data set whose bias is one pixel, so that what methods should reach on it is known.

Noise whose lower half is a little brighter or darker than the upper one: the class, of which the mean of all pixels
would tell 96 %. One pixel is white or black: the attribute. All four groups are as large. A network that takes the
pixel for the class is right on the share rho of the training images, and on half of the test images.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.table_files import write_csv

CLASSES = ("low", "high")
ATTRIBUTES = ("black", "white")
COLUMNS = {"path": "path", "label": "label", "attribute": "bias"}
ALIGNED = {"low": "black", "high": "white"}
N, SIDE = 3200, 16
SIGNAL = 9.0
"""Difference of the halves' mean grey values; the noise has a standard deviation of 40."""
TRAINING: Mapping[str, Any] = {
    "network": "small_cnn",
    "network_options": {"width": 4},
    "epochs": 6,
    "batch_size": 64,
    "device": "cpu",
}
"""Arguments of ``trainable.train`` under which plain training takes the pixel, and a trial lasts about a second."""
LR = 3e-3
WHERE = (4, 4)


def image(number: int, label: int, attribute: int, side: int = SIDE, signal: float = SIGNAL) -> NDArray[np.uint8]:
    """A grey picture: the lower half is a little brighter (``high``) or darker; the pixel WHERE is black or white."""
    picture = np.random.default_rng((11, number)).normal(128, 40, (side, side))
    picture[side // 2 :] += signal * (label - 0.5)
    picture[: side // 2] -= signal * (label - 0.5)
    picture[WHERE] = 255 * attribute
    return np.clip(picture, 0, 255).astype(np.uint8)


def group_of(number: int) -> tuple[int, int]:
    """Class and attribute of an image: the four groups in turn."""
    return number // 2 % 2, number % 2


def write_one_pixel(folder: Path, n: int = N, side: int = SIDE, signal: float = SIGNAL) -> Path:
    """Write ``folder/images/0000.npy`` and on, and ``folder/labels.csv``; returns the CSV."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(n):
        label, attribute = group_of(number)
        name = f"images/{number:04}.npy"
        np.save(folder / name, image(number, label, attribute, side, signal))
        rows.append([name, CLASSES[label], ATTRIBUTES[attribute]])
    return write_csv(folder / "labels.csv", ("path", "label", "bias"), rows)


def one_pixel_options(file: Path, **changes: Any) -> Mapping[str, Any]:
    """Options of ``load_dataset("table", ...)`` for what ``write_one_pixel`` has written."""
    return {"file": str(file), "columns": COLUMNS, "aligned": ALIGNED, "span": (0.5, 1.0), **changes}

"""Writes folders of idx files, the form in which MNIST and Fashion-MNIST are published."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` puts its files."""
NO_FASHION = "apt-get install dataset-fashion-mnist brings the files that this test reads"


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """An idx file of unsigned bytes."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder: Path, n_train: int = 240, n_test: int = 60, zipped: bool = True, dotted: bool = False) -> Path:
    """Write the four files: blocks of ten rows, whose place and height follow the label; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", n_train), ("t10k", n_test)):
        labels = rng.permutation(np.arange(n) % 10).astype(np.uint8)
        images = np.zeros((n, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            block = rng.integers(60, 256, (8, 14)) * (rng.random((8, 14)) < 0.8)
            # Its first row is full: it says where the block begins.
            block[0] = 255
            image[2 * label : 2 * label + 8, 6:20] = block
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            name = f"{part}-{kind}-ubyte"
            name = name.replace("-idx", ".idx") if dotted else name
            data = idx_bytes(array)
            (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(data, 1) if zipped else data)
    return folder

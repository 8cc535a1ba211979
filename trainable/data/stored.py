"""Images that stay where they are stored, a memory-mapped file say, until a batch of them is asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

KEPT_BYTES = 2**26
"""Most bytes of images that are read into memory at once and stay there."""

BATCH_PIXELS = 2**20
"""Most pixels of a batch of stored images that is evaluated, e.g. 64 images of 128 pixels."""

Read = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


class StoredImages:
    """Images of a set, read when they are indexed.

    It stands in ``ImageSet.images`` for a tensor of the same shape.

    Args:
        read: Returns the images uint8 ``[M, 3, S, S]`` at positions of the set, int64 ``[M]``.
        n: Number of images.
        side: S, pixels.

    Attributes:
        shape: ``(n, 3, S, S)``.
        dtype: ``torch.uint8``.

    Example:
        >>> stored = StoredImages(lambda rows: np.zeros((len(rows), 3, 8, 8), dtype=np.uint8), n=100, side=8)
        >>> stored[torch.tensor([5, 2])].shape, stored[90:].shape
        (torch.Size([2, 3, 8, 8]), torch.Size([10, 3, 8, 8]))
    """

    def __init__(self, read: Read, n: int, side: int) -> None:
        self._read = read
        self.shape = torch.Size((n, 3, side, side))
        self.dtype = torch.uint8

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        index = np.arange(len(self))[rows] if isinstance(rows, slice) else rows.cpu().numpy()
        return torch.from_numpy(self._read(index.astype(np.int64)))

    def batch(self, size: int) -> int:
        """Images of a batch that is evaluated: at most ``size``, and ``BATCH_PIXELS`` in all."""
        return max(1, min(size, BATCH_PIXELS // self.shape[-1] ** 2))

    def at(self, rows: Tensor) -> StoredImages:
        """Those at some positions, int64 ``[M]``, that stay where they are too."""
        chosen, read = rows.cpu().numpy().astype(np.int64), self._read
        return StoredImages(lambda index: read(chosen[index]), len(chosen), self.shape[-1])

    def numel(self) -> int:
        """Number of values of all images."""
        return self.shape.numel()


def stored_or_read(read: Read, n: int, side: int) -> Tensor | StoredImages:
    """Read the images of a set at once where they are few, or leave them where they are stored.

    Args:
        read: As of ``StoredImages``.
        n: Number of images.
        side: S, pixels.

    Returns:
        A tensor uint8 ``[n, 3, S, S]``, or ``StoredImages`` above ``KEPT_BYTES``.

    Example:
        >>> read = lambda rows: np.zeros((len(rows), 3, 8, 8), dtype=np.uint8)
        >>> type(stored_or_read(read, 100, 8)).__name__, type(stored_or_read(read, 10**7, 8)).__name__
        ('Tensor', 'StoredImages')
    """
    stored = StoredImages(read, n, side)
    return stored[:] if stored.numel() <= KEPT_BYTES else stored

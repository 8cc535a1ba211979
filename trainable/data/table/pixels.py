"""Images in arrays of any kind, read as uint8 ``[M, 3, S, S]``."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.stored import Read
from trainable.errors import InputError

Images = NDArray[Any] | Callable[[NDArray[np.int64]], NDArray[np.uint8]]
PERCENTILES = (0.5, 99.5)
"""Grey values of 16 bit and float that become 0 and 255."""
_SAMPLE = 500
_CHUNK = 256


def reader_of(name: str, images: Images, n: int, image_size: int | None) -> tuple[Read, int]:
    """Make the function that reads images, and tell their side.

    Arrays of uint16 and float are scaled by the percentiles of the data set; uint8 stays as it is.

    Args:
        name: Name of the data set, for messages.
        images: ``[N, H, W]`` or ``[N, C, H, W]`` with one channel or three, or what returns uint8 images at positions.
        n: N.
        image_size: Side wanted; None = that of the images.

    Returns:
        The function, positions int64 ``[M]`` to uint8 ``[M, 3, S, S]``, and S.

    Raises:
        InputError: Another shape or type, values that are not finite, or images that are all the same value.

    Example:
        >>> read, side = reader_of("x_ray", np.arange(2 * 16, dtype=np.uint16).reshape(2, 4, 4), 2, None)
        >>> side, read(np.array([1])).shape, int(read(np.array([1])).max())
        (4, (1, 3, 4, 4), 255)
    """
    if not isinstance(images, np.ndarray):
        if not callable(images):
            raise InputError(
                f"images of {name} must be a NumPy array or a function of positions, but is a {type(images).__name__}"
            )
        side = image_size or _side(name, np.asarray(images(np.zeros(1, dtype=np.int64))))
        return functools.partial(_called, name, images, side), side
    array: NDArray[Any] = images
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[1] not in (1, 3)):
        raise InputError(
            f"images of {name} must have the shape [N, H, W] or [N, C, H, W] with one channel or three, but have "
            f"{list(array.shape)}"
        )
    if len(array) != n:
        raise InputError(f"{name} has {len(array)} images, but {n} labels: give one label an image")
    side = image_size or _side(name, array)
    if array.dtype == np.uint8:
        return functools.partial(_indexed, array, None, side), side
    if array.dtype != np.uint16 and not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"images of {name} must be uint8, uint16 or float, but are {array.dtype}: convert them")
    return functools.partial(_indexed, array, _window(name, array), side), side


def _side(name: str, images: NDArray[Any]) -> int:
    height, width = images.shape[-2:]
    if height != width:
        raise InputError(f"images of {name} must be square, but are {height} x {width}: give image_size")
    return int(height)


def _window(name: str, array: NDArray[Any]) -> tuple[float, float]:
    if np.issubdtype(array.dtype, np.floating):
        for start in range(0, len(array), _CHUNK):
            finite = np.isfinite(array[start : start + _CHUNK]).reshape(len(array[start : start + _CHUNK]), -1)
            if not finite.all():
                bad = start + int(np.flatnonzero(~finite.all(axis=1))[0])
                raise InputError(f"image {bad} of {name} holds values that are no finite numbers: mend or leave it out")
    sample = array[np.linspace(0, len(array) - 1, min(len(array), _SAMPLE)).astype(np.int64)]
    low, high = (float(x) for x in np.percentile(sample, PERCENTILES))
    if not high > low:
        raise InputError(f"images of {name} are all {low:g}: nothing can be seen on them")
    return low, high


def _indexed(array: NDArray[Any], window: tuple[float, float] | None, side: int, rows: NDArray[np.int64]) -> Any:
    return _finished(array[rows], window, side)


def _called(name: str, images: Callable[..., Any], side: int, rows: NDArray[np.int64]) -> Any:
    read = np.asarray(images(rows))
    shape = (len(rows), 3, side, side)
    if read.dtype != np.uint8 or len(read) != len(rows) or read.ndim not in (3, 4):
        raise InputError(
            f"images of {name} must return uint8 images of shape {shape}, but returned {read.dtype} of {read.shape}"
        )
    return _finished(read, None, side)


def _finished(images: NDArray[Any], window: tuple[float, float] | None, side: int) -> NDArray[np.uint8]:
    if images.ndim == 3:
        images = images[:, None]
    if window is not None:
        low, high = window
        scaled = (images.astype(np.float32) - low) * (255 / (high - low))
        images = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    if images.shape[-2:] != (side, side) and len(images):
        x = torch.from_numpy(np.ascontiguousarray(images)).float()
        x = torch.nn.functional.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
        images = x.round_().clamp_(0, 255).to(torch.uint8).numpy()
    if images.shape[1] == 1:
        images = np.repeat(images, 3, axis=1)
    # A copy: what the caller changes must not be written into the data.
    return np.array(images, dtype=np.uint8, order="C")


def in_chunks(read: Read, n: int, side: int) -> Any:
    """Read all images in pieces of some 16 MB.

    Args:
        read: Reads images at positions.
        n: Number of images.
        side: Their side.

    Yields:
        uint8 ``[M, 3, S, S]``.

    Example:
        >>> read = lambda rows: np.zeros((len(rows), 3, 8, 8), dtype=np.uint8)
        >>> sum(len(chunk) for chunk in in_chunks(read, 1000, 8))
        1000
    """
    size = max(1, math.floor(2**24 / (3 * side * side)))
    for start in range(0, n, size):
        yield read(np.arange(start, min(start + size, n)))

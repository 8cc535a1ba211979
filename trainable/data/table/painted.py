"""A painter of one's own: any attribute on any image, by draws that are fixed for each image."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.stored import Read
from trainable.errors import InputError
from trainable.randomness import derive, numpy_generator
from trainable.texts import reason_of

Painter = Callable[[NDArray[np.uint8], str, np.random.Generator], NDArray[np.uint8]]
Ints = NDArray[np.int64]


def painted_attribute(u: NDArray[np.float64], own: Ints, rho: NDArray[np.float64], n_attributes: int) -> Ints:
    """Attribute that each image gets: its own class's with probability rho, else one of the others, evenly.

    Args:
        u: Two uniform draws for each image, ``[N, 2]``.
        own: The own attribute of each image's class, ``[N]``.
        rho: Probability for each image, ``[N]``.
        n_attributes: B.

    Returns:
        int64 ``[N]``; nested: an image that has its own class's at a lower rho has it at a higher one.

    Example:
        >>> u = np.array([[0.2, 0.1], [0.8, 0.1], [0.8, 0.9]])
        >>> painted_attribute(u, np.array([1, 1, 1]), np.array([0.5, 0.5, 0.5]), 3).tolist()
        [1, 2, 0]
    """
    others = (own + 1 + np.floor(u[:, 1] * (n_attributes - 1)).astype(np.int64)) % n_attributes
    return np.where(u[:, 0] < rho, own, others)


def painting(
    read: Read, paint: Painter, names: Sequence[str], index: Ints, attribute: Ints, role: str, called: str
) -> Read:
    """Make the function that reads images with their attributes painted.

    Args:
        read: Reads the images as they are, at positions in the data set.
        paint: The painter.
        names: Names of the attributes.
        index: Positions of a set's images in the data set, ``[M]``.
        attribute: Attribute of each of them, ``[M]``.
        role: Name of the draws; with the position it decides the painter's generator.
        called: Name of the data set, for messages.

    Returns:
        The function of positions in the set.

    Raises:
        InputError: (By the function.) The painter raises, or returns another kind of image.

    Example:
        >>> black = lambda rows: np.zeros((len(rows), 3, 4, 4), dtype=np.uint8)
        >>> draw = lambda image, attribute, generator: image + np.uint8(len(attribute))
        >>> read = painting(black, draw, ("no", "ruler"), np.array([7, 8]), np.array([1, 0]), "test", "x_ray")
        >>> read(np.array([0, 1]))[:, 0, 0, 0].tolist()
        [5, 2]
    """
    return functools.partial(_painted, read, paint, tuple(names), index, attribute, role, called)


def _painted(
    read: Read,
    paint: Painter,
    names: tuple[str, ...],
    index: Ints,
    attribute: Ints,
    role: str,
    called: str,
    rows: Ints,
) -> NDArray[np.uint8]:
    images = read(index[rows])
    for i, row in enumerate(rows):
        name = names[attribute[row]]
        generator = numpy_generator(derive("paint", role), str(index[row]))
        try:
            image: Any = paint(np.ascontiguousarray(images[i].transpose(1, 2, 0)), name, generator)
        except Exception as error:
            raise InputError(
                f"paint of {called} fails on image {index[row]} with attribute '{name}' ({reason_of(error)}"
                f"{_where(error)}): mend it; it is called as paint(image, attribute, generator), with a uint8 image "
                "[H, W, 3], a name and a NumPy generator"
            ) from error
        shape = (*images.shape[2:], 3)
        if not isinstance(image, np.ndarray) or image.shape != shape or image.dtype != np.uint8:
            actual = f"{image.dtype} of {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"paint of {called} must return a uint8 image of shape {shape}, but returned {actual}")
        images[i] = image.transpose(2, 0, 1)
    return images


def _where(error: BaseException) -> str:
    """Line of the painter at which it failed.

    Where it could not even be called there is none.
    """
    frames = traceback.extract_tb(error.__traceback__)[1:]
    return f", {frames[0].filename}:{frames[0].lineno}" if frames else ""

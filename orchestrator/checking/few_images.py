"""A data set cut to a few images, on which a trial takes seconds."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainable.data.base import DATASETS, Dataset, dataset_factory, register_dataset
from trainable.data.parts import Split

NAME = "check_few_images"


def few_images(dataset: Dataset, most: int, validation: int | None = None) -> Dataset:
    """A copy of a data set, each part of which holds at most some images, as many of each class and attribute.

    Args:
        dataset: The data set.
        most: Images of the training part; the test part holds half as many.
        validation: Images of the validation part; None = half as many too.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> few = few_images(load_dataset("coloured_digits"), 40)
        >>> [len(few.split(0).part(part)) for part in ("train", "val", "test")]
        [40, 20, 20]
    """
    few = copy.copy(dataset)
    if hasattr(few, "size"):
        # A number of training images that the sweep asks for is that of all of them.
        few.size = None
    # So few images cannot serve a whole axis; that all of them can is checked of the whole data set.
    few.check_draw = lambda *asked, **named: None  # type: ignore[method-assign]
    kinds = dataset.labels()
    attribute = dataset.collected_attribute()
    if attribute is not None:
        kinds = kinds * (int(attribute.max()) + 2) + attribute + 1

    def split(seed: int, fold: int | None = None) -> Split:
        whole = dataset.split(seed, fold)
        sizes = (most, max(1, most // 2) if validation is None else validation, max(1, most // 2))
        parts = (whole.train, whole.val, whole.test)
        return Split(*(_some(part, kinds, size) for part, size in zip(parts, sizes, strict=True)))

    few.split = split  # type: ignore[method-assign]
    return few


def _some(index: NDArray[np.int64], kinds: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """The first of each kind in turn, at least two of each where there are two."""
    order = np.argsort(kinds[index], kind="stable")
    _, first, counts = np.unique(kinds[index][order], return_index=True, return_counts=True)
    place = np.arange(len(index)) - np.repeat(first, counts)
    taken = np.argsort(place, kind="stable")[: max(most, 2 * len(first))]
    return np.sort(index[order[taken]])


@contextlib.contextmanager
def registered(name: str, cut: Dataset) -> Iterator[None]:
    """Register a data set cut to a few images within the block, as ``NAME``.

    Args:
        name: The registered name of the whole one.
        cut: The copy.
    """
    factory = dataset_factory(name)

    @functools.wraps(factory, assigned=("__module__", "__qualname__"), updated=())
    def few() -> Dataset:
        return cut

    del few.__wrapped__
    register_dataset(NAME)(few)
    try:
        yield
    finally:
        DATASETS.entries.pop(NAME, None)

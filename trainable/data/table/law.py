"""Law of a training set that is chosen from images as they were collected: how many of each kind, and which.

Everywhere: K classes, B values of the attribute; ``counts`` int64 ``[K, B]``, images of a part of the data by class and
attribute; ``own`` int64 ``[K]``, the attribute that is each class's own; ``rho`` float ``[K]`` in [0, 1], the share of
aligned images (those with their class's own attribute) in each class; ``sizes`` int64 ``[K]``, images of each class.
The others of a class, its conflicting images, keep the proportions of their attributes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST_OF_CLASS = 8
"""Fewest training images of a class that are worth drawing: rounding moves rho by up to .06 there."""
_HALF = 0.5 + 1e-9
"""Halves are rounded up, also where a product such as .15 x 10 lies a rounding error below one."""


@dataclass(frozen=True)
class Span:
    """Lowest and highest share of aligned images in each class along an axis, both ``[K]``."""

    low: Floats
    high: Floats


def counts_of(labels: Ints, attribute: Ints, n_classes: int, n_attributes: int) -> Ints:
    """Count images by class and attribute.

    Args:
        labels: ``[N]``.
        attribute: ``[N]``.
        n_classes: K.
        n_attributes: B.

    Returns:
        ``[K, B]``.

    Example:
        >>> counts_of(np.array([0, 0, 1]), np.array([0, 1, 1]), 2, 2).tolist()
        [[1, 1], [0, 1]]
    """
    codes = labels * n_attributes + attribute
    return np.bincount(codes, minlength=n_classes * n_attributes).reshape(n_classes, n_attributes).astype(np.int64)


def kinds(counts: Ints, own: Ints) -> tuple[Ints, Ints]:
    """Count the aligned and the conflicting images of each class.

    Args:
        counts: ``[K, B]``.
        own: ``[K]``.

    Returns:
        Both ``[K]``.

    Example:
        >>> [kind.tolist() for kind in kinds(np.array([[90, 10], [20, 80]]), np.array([0, 1]))]
        [[90, 80], [10, 20]]
    """
    aligned = counts[np.arange(len(own)), own]
    return aligned, counts.sum(axis=1) - aligned


def n_aligned(rho: Floats, sizes: Ints) -> Ints:
    """Number of aligned images of each class: rho times its size, rounded, halves up.

    Example:
        >>> n_aligned(np.array([0.75, 0.9]), np.array([10, 10])).tolist()
        [8, 9]
    """
    return np.floor(np.asarray(rho) * sizes + _HALF).astype(np.int64)


def apportion(size: int, of_class: Ints) -> Ints:
    """Divide a size among the classes in the proportions of their images, by largest remainders.

    Args:
        size: Images in all.
        of_class: Images of each class, ``[K]``.

    Returns:
        ``[K]``, sum ``size``; of equal remainders the lower class has the first.

    Example:
        >>> apportion(10, np.array([2, 1])).tolist()
        [7, 3]
    """
    exact = size * of_class / of_class.sum()
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    missing = size - int(sizes.sum())
    sizes[np.argsort(-(exact - sizes), kind="stable")[:missing]] += 1
    return np.asarray(sizes, dtype=np.int64)


def largest_sizes(counts: Ints, own: Ints, span: Span) -> Floats:
    """Most images of each class alone that the whole span allows.

    The span's ends decide: ``round(rho n)`` rises with rho, so the aligned images are most at the highest rho and the
    conflicting ones at the lowest.

    Args:
        counts: ``[K, B]``.
        own: ``[K]``.
        span: Lowest and highest rho of each class.

    Returns:
        ``[K]``, whole numbers.

    Example:
        >>> counts, own = np.array([[90, 10], [20, 80]]), np.array([0, 1])
        >>> largest_sizes(counts, own, Span(np.array([0.5, 0.5]), np.array([0.9, 0.9]))).tolist()
        [21.0, 41.0]
    """
    aligned, conflicting = kinds(counts, own)
    most = []
    for a, c, low, high, n in zip(aligned, conflicting, span.low, span.high, counts.sum(axis=1), strict=True):
        lowest, highest = 0, int(n)
        # Both numbers rise with the size: the largest one that fits is found by halving.
        while lowest < highest:
            middle = (lowest + highest + 1) // 2
            at_most, at_least = (math.floor(rho * middle + _HALF) for rho in (high, low))
            if at_most <= a and middle - at_least <= c:
                lowest = middle
            else:
                highest = middle - 1
        most.append(lowest)
    return np.array(most, dtype=np.float64)


def feasible_sizes(counts: Ints, own: Ints, span: Span, size: int | None = None) -> Ints:
    """Sizes of the classes of the largest set that can be drawn at every rho of the span, no image twice.

    The classes keep the proportions that they have in ``counts``.

    Args:
        counts: ``[K, B]``.
        own: ``[K]``.
        span: Lowest and highest rho of each class.
        size: At most so many images in all; None = as many as there can be.

    Returns:
        ``[K]``; all 0 where nothing can be drawn.

    Example:
        >>> counts, own = np.array([[90, 10], [20, 80]]), np.array([0, 1])
        >>> feasible_sizes(counts, own, Span(np.array([0.5, 0.5]), np.array([0.9, 0.9]))).tolist()
        [21, 21]
    """
    of_class, most = counts.sum(axis=1), largest_sizes(counts, own, span)
    if not of_class.all():
        return np.zeros(len(own), dtype=np.int64)
    largest = math.floor(((most + 1) * of_class.sum() / of_class).min())
    for n in range(min(largest, int(of_class.sum()), largest if size is None else size), 0, -1):
        sizes = apportion(n, of_class)
        if sizes.all() and (sizes <= most).all():
            return sizes
    return np.zeros(len(own), dtype=np.int64)


def fits(counts: Ints, own: Ints, sizes: Ints, rho: Floats) -> bool:
    """Report whether a set of these sizes can be drawn at this rho.

    Example:
        >>> counts, own = np.array([[90, 10], [20, 80]]), np.array([0, 1])
        >>> fits(counts, own, np.array([40, 40]), np.array([0.5, 0.5]))
        False
        >>> fits(counts, own, np.array([40, 40]), np.array([0.8, 0.8]))
        True
    """
    aligned, conflicting = kinds(counts, own)
    wanted = n_aligned(rho, sizes)
    return bool((wanted <= aligned).all() and (sizes - wanted <= conflicting).all())


def nearest_rho(counts: Ints, own: Ints, sizes: Ints, rho: float, varies: NDArray[np.bool_]) -> float | None:
    """The value nearest to rho at which a set of these sizes can be drawn.

    Args:
        counts: ``[K, B]``.
        own: ``[K]``.
        sizes: ``[K]``.
        rho: The value that is impossible.
        varies: bool ``[K]``, the classes whose share rho is.

    Returns:
        A value in [0, 1], to four digits where these fit; None where there is none.

    Example:
        >>> counts, own = np.array([[90, 10], [20, 80]]), np.array([0, 1])
        >>> nearest_rho(counts, own, np.array([40, 40]), 0.5, np.array([True, True]))
        0.75
    """
    aligned, conflicting = (kind[varies] for kind in kinds(counts, own))
    n = sizes[varies]
    if not len(n) or not n.all():
        return None
    low, high = float(((n - conflicting) / n).max()), float((aligned / n).min())
    low, high = max(low, 0.0), min(high, 1.0)
    if low > high:
        return None
    nearest = min(max(rho, low), high)
    rounded = math.ceil(nearest * 1e4 - 1e-6) / 1e4 if nearest == low else math.floor(nearest * 1e4 + 1e-6) / 1e4
    return rounded if low - 1e-9 <= rounded <= high + 1e-9 else nearest


def choose(u: Floats, labels: Ints, attribute: Ints, own: Ints, sizes: Ints, rho: Floats) -> Ints:
    """Choose the images of a training set.

    The aligned images of a class are those with the smallest u. Its conflicting ones are taken in an order in which
    every beginning has the attributes in their proportions. So the choice is nested: an aligned image that is chosen at
    a lower rho is chosen at a higher one, and a conflicting one at every lower rho.

    Args:
        u: A uniform draw for each image, ``[N]``.
        labels: ``[N]``.
        attribute: ``[N]``.
        own: ``[K]``.
        sizes: ``[K]``.
        rho: ``[K]``.

    Returns:
        Positions, ascending, as many as ``sizes`` says where there are so many.

    Example:
        >>> u, labels, attribute = np.array([0.1, 0.9, 0.5, 0.3]), np.zeros(4, dtype=int), np.array([0, 0, 1, 1])
        >>> choose(u, labels, attribute, np.array([0]), np.array([2]), np.array([0.5])).tolist()
        [0, 3]
    """
    chosen = []
    for k, (n, wanted) in enumerate(zip(sizes, n_aligned(rho, sizes), strict=True)):
        members = np.flatnonzero(labels == k)
        members = members[np.argsort(u[members], kind="stable")]
        aligned = attribute[members] == own[k]
        others = members[~aligned]
        chosen += [members[aligned][:wanted], others[_interleaved(attribute[others])][: n - wanted]]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _interleaved(attribute: Ints) -> Ints:
    """An order in which every beginning has the attributes in their proportions, ties in the given order."""
    place = np.empty(len(attribute))
    for value in np.unique(attribute):
        of_value = np.flatnonzero(attribute == value)
        place[of_value] = (np.arange(len(of_value)) + 0.5) / len(of_value)
    return np.argsort(place, kind="stable")

"""Refusal of a training set that the images cannot give: what can be drawn instead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainable.data.table.law import (
    LEAST_OF_CLASS,
    Floats,
    Ints,
    Span,
    apportion,
    feasible_sizes,
    fits,
    kinds,
    n_aligned,
    nearest_rho,
)
from trainable.errors import ImpossibleDraw, InputError


@dataclass(frozen=True)
class Wanted:
    """Training set that is asked for.

    Attributes:
        name: Name of the data set.
        classes: Names of the classes.
        size: Images in all; None = as many as the span allows.
        span: Lowest and highest rho of the sweep, in each class.
        rho: Value in question.
        of_class: The same in each class, ``[K]``.
        varies: bool ``[K]``, the classes whose share rho is.
        seed: Seed of the split.
    """

    name: str
    classes: tuple[str, ...]
    size: int | None
    span: Span
    rho: float
    of_class: Floats
    varies: NDArray[np.bool_]
    seed: int


def check_possible(counts: Ints, own: Ints, wanted: Wanted) -> None:
    """Refuse a training set that cannot be drawn without using an image twice.

    Args:
        counts: Images of the training part by class and attribute, ``[K, B]``.
        own: The attribute that is each class's own, ``[K]``.
        wanted: What is asked for.

    Raises:
        ImpossibleDraw: It cannot be drawn, or is too small to be worth it: the largest possible size and the nearest
            rho that works are named.
        InputError: The rho is outside a span that was given by hand.

    Example:
        >>> half = np.array([0.5, 0.5])
        >>> wanted = Wanted("x_ray", ("a", "b"), 80, Span(half, half), 0.5, half, np.array([True, True]), seed=7)
        >>> check_possible(np.array([[90, 10], [20, 80]]), np.array([0, 1]), wanted)
        Traceback (most recent call last):
            ...
        trainable.errors.ImpossibleDraw: x_ray cannot give 80 training images at rho = 0.5 (split 7: class a has 10 ...
    """
    auto = feasible_sizes(counts, own, wanted.span)
    possible = feasible_sizes(counts, own, Span(wanted.of_class, wanted.of_class))
    if wanted.size is not None:
        sizes = apportion(wanted.size, counts.sum(axis=1))
        if sizes.min() > 0 and fits(counts, own, sizes, wanted.of_class):
            return
    else:
        if auto.min() >= LEAST_OF_CLASS and fits(counts, own, auto, wanted.of_class):
            return
        _check_span(wanted)
        # Nothing that is worth drawing: as if the least were asked for.
        least = int(np.ceil(LEAST_OF_CLASS * counts.sum() / max(1, counts.sum(axis=1).min())))
        sizes = auto if auto.min() >= LEAST_OF_CLASS else np.maximum(apportion(least, counts.sum(axis=1)), 1)
    raise _refusal(counts, own, wanted, sizes, int(possible.sum()) if possible.all() else 0)


def _check_span(wanted: Wanted) -> None:
    k = int(np.flatnonzero(wanted.varies)[0])
    low, high = float(wanted.span.low[k]), float(wanted.span.high[k])
    if not low <= wanted.rho <= high:
        raise InputError(
            f"dataset.span of {wanted.name} must hold every rho of the sweep, but rho = {wanted.rho:g} is outside "
            f"[{low:g}, {high:g}]: leave span out, since the values in dataset.bias decide it"
        )


def _refusal(counts: Ints, own: Ints, wanted: Wanted, sizes: Ints, largest: int) -> ImpossibleDraw:
    aligned, conflicting = kinds(counts, own)
    of_own = n_aligned(wanted.of_class, sizes)
    short = [
        f"class {wanted.classes[k]} has {there[k]} {word} images of {needed[k]}"
        for word, there, needed in (("aligned", aligned, of_own), ("conflicting", conflicting, sizes - of_own))
        for k in range(len(own))
        if needed[k] > there[k]
    ]
    advice = [f"set dataset.size to at most {largest}"] if largest >= LEAST_OF_CLASS * len(own) else []
    near = nearest_rho(counts, own, sizes, wanted.rho, wanted.varies)
    if near is not None:
        advice.append(f"take rho = {near:g}, the nearest that works")
    return ImpossibleDraw(
        f"{wanted.name} cannot give {int(sizes.sum())} training images at rho = {wanted.rho:g} (split {wanted.seed}: "
        f"{', '.join(short) or 'too few images'}); the largest possible size there is {largest}: "
        f"{', or '.join(advice) or 'add images of that kind'}",
        largest,
    )

"""Check of a data set's images: what can be seen in their values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.base import Dataset, ImageSet
from trainable.spec import VARIANTS
from trainable.testing.findings import Finding, count
from trainable.testing.training import disturb

Some = Callable[[NDArray[np.int64]], NDArray[np.int64]]
SATURATED = 0.25
"""Share of pixels at 255 above which images are called clipped."""
DARK = 32
CHUNK = 100


def contents(dataset: Dataset, bias: Mapping[str, float], some: Some) -> Iterator[Finding]:
    """Check the values of training and test images: clipped, scaled twice, constant, labels of another image.

    Args:
        dataset: The data set.
        bias: Value of every bias parameter.
        some: Chooses some of the positions of a part.
    """
    what, split = f"data set {dataset.name}", dataset.split(0)
    draws: dict[str, Callable[[NDArray[np.int64]], ImageSet]] = {
        "training": lambda index: dataset.train_images(bias, 0, index, "biased"),
        "test": lambda index: dataset.variant_images("unbiased", bias, index, "test"),
    }
    for part, index in (("training", some(split.train)), ("test", some(split.test))):
        images = draws[part](index)
        problems = list(_problems(dataset, images, part))
        yield from problems
        values = images.pixels()
        top = int(values.max())
        pixels = values.flatten(1)
        single = images.index[pixels.amax(1) == pixels.amin(1)].tolist()
        constant = len(single)
        if constant:
            yield Finding(
                "FAIL" if constant * 2 > len(images) else "warn",
                what,
                f"{constant} of {count(len(images), f'{part} image')} have a single value (e.g. "
                f"{dataset.image_keys()[single[0]]}): are they empty, or were they read wrongly?",
            )
        if top <= 1:
            yield Finding(
                "FAIL",
                what,
                f"the largest value of the {part} images is {top}: they were scaled to [0, 1] before they became "
                "uint8; multiply by 255, for a trial divides by it",
            )
        elif top < DARK:
            yield Finding(
                "warn", what, f"the largest value of the {part} images is {top} of 255: scale them to the range"
            )
        saturated = float((values == 255).float().mean())
        if saturated > SATURATED:
            yield Finding(
                "warn" if saturated < 0.9 else "FAIL",
                what,
                f"{saturated:.0%} of the values of the {part} images are 255: images of 12 or 16 bit were clipped, "
                "unless their background is white; scale by the data set's percentiles (table: window) instead",
            )
        if not problems and not constant and top >= DARK and saturated <= SATURATED:
            mean = float(values.float().mean())
            looked_at = count(len(images), f"{part} image")
            yield Finding("ok", what, f"a look at {looked_at}: values up to {top}, mean {mean:.0f}")


def _problems(dataset: Dataset, images: ImageSet, part: str) -> Iterator[Finding]:
    what, n, heads = f"data set {dataset.name}", len(images), dataset.heads
    side = dataset.image_size

    def wrong(sentence: str) -> Finding:
        return Finding("FAIL", what, f"{sentence} of the {part} images")

    if images.images.dtype != torch.uint8 or tuple(images.images.shape) != (n, 3, side, side):
        shape = f"{images.images.dtype} {tuple(images.images.shape)}"
        yield wrong(f"images must be uint8 {(n, 3, side, side)}, but are {shape},")
    labels = torch.from_numpy(dataset.labels())
    for name in ("labels", "attribute", "index", "bias"):
        value = getattr(images, name)
        if value.dtype != torch.int64 or len(value) != n:
            yield wrong(f"{name} must be {n} values of int64, but are {len(value)} of {value.dtype},")
            return
    if not torch.equal(labels[images.index], images.labels):
        yield wrong("labels must be those of labels() at index, but differ,")
    n_attributes = len(dataset.attributes)
    if n and n_attributes and not -1 <= int(images.attribute.min()) <= int(images.attribute.max()) < n_attributes:
        yield wrong(f"attribute must lie in [0, {n_attributes - 1}] (-1 = none), but does not,")
    expected = (n, len(heads.names), side, side) if heads.spatial else (n, len(heads.names))
    if heads.names and tuple(images.bias.shape) != expected:
        yield wrong(f"bias must have the shape {expected}, but has {tuple(images.bias.shape)},")
    elif heads.names and not -1 <= int(images.bias.min()) <= int(images.bias.max()) < heads.n_values:
        yield wrong(f"bias must lie in [-1, {heads.n_values - 1}], but does not,")
    if images.weights is not None:
        weights = images.weights.double()
        if len(weights) != n or not bool(weights.isfinite().all()) or bool((weights < 0).any()):
            yield wrong("weights must be finite and not negative, but are not,")
        elif not bool(weights.any()):
            yield Finding(
                "warn",
                what,
                f"no {part} image counts where class and attribute are independent: no attribute occurs in every class",
            )
        elif abs(float(weights.mean()) - 1) > 1e-3:
            yield wrong(f"weights must have the mean 1, but have {float(weights.mean()):.3f},")


def repeated(dataset: Dataset, bias: Mapping[str, float], some: Some) -> Iterator[Finding]:
    """Check that drawing again, whatever the global random numbers are, draws the same images.

    Args:
        dataset: The data set.
        bias: Value of every bias parameter.
        some: Chooses some of the positions of a part.
    """
    what, split = f"data set {dataset.name}", dataset.split(0)
    train, test = some(split.train)[:CHUNK], some(split.test)[:CHUNK]

    def draw() -> dict[str, ImageSet]:
        disturb()
        drawn = {v: dataset.variant_images(v, bias, test, "test") for v in VARIANTS}
        return {"biased": dataset.train_images(bias, 0, train, "biased"), **drawn}

    first, second = draw(), draw()
    different = [name for name, images in first.items() if not _same(images, second[name])]
    if different:
        yield Finding(
            "FAIL",
            what,
            f"images of {', '.join(different)} differ when they are drawn again: draw from "
            "trainable.randomness.numpy_generator(seed, ROLE), never from global random numbers",
        )
        return
    yield Finding("ok", what, "the same images are drawn again, whatever the global random numbers are")
    one, other = first["aligned"], first["conflicting"]
    if torch.equal(one.index, other.index) and len(one) and bool((one.attribute != other.attribute).all()):
        unchanged = int((one.pixels() == other.pixels()).flatten(1).all(1).sum())
        if unchanged * 2 > len(one):
            yield Finding(
                "FAIL",
                what,
                f"{unchanged} of {count(len(one), 'test image')} are the same with its class's own attribute and with "
                "another one, so that they show no bias: let the painter draw each attribute differently",
            )


def _same(a: ImageSet, b: ImageSet) -> bool:
    names = ("images", "labels", "bias", "attribute", "index")
    return all(torch.equal(getattr(a, name)[:], getattr(b, name)[:]) for name in names)


def duplicates(dataset: Dataset, bias: Mapping[str, float], some: Some) -> Iterator[Finding]:
    """Check that no image of the training part is, value for value, one of the test part.

    Args:
        dataset: The data set.
        bias: Value of every bias parameter.
        some: Chooses some of the positions of a part.
    """
    what, split, keys = f"data set {dataset.name}", dataset.split(0), dataset.image_keys()
    seen: dict[bytes, tuple[str, int]] = {}
    found: list[tuple[str, str, int, int]] = []
    for part, index in (("train", split.train), ("val", split.val), ("test", split.test)):
        for position, digest in _digests(dataset, bias, some(index)):
            other, first = seen.setdefault(digest, (part, position))
            if other != part:
                found.append((other, part, first, position))
    if found:
        one, other, first, second = found[0]
        yield Finding(
            "FAIL",
            what,
            f"{count(len(found), 'image')} in two parts, e.g. {keys[first]} in {one} is {keys[second]} in {other} "
            "value for value: remove one, or give both the same group",
        )
        return
    yield Finding("ok", what, "no image is in two parts")


def _digests(dataset: Dataset, bias: Mapping[str, float], index: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
    # Without what is painted, which differs between the parts.
    for start in range(0, len(index), CHUNK):
        some = index[start : start + CHUNK]
        if dataset.has_renderer:
            images = dataset.train_images(bias, 0, some, "clean")
        else:
            images = dataset.variant_images("unbiased", bias, some, "test")
        for position, image in zip(images.index.tolist(), images.pixels(), strict=True):
            yield position, hashlib.sha256(image.contiguous().numpy().tobytes()).digest()

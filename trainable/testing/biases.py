"""Check of a data set's bias along its axis: as declared, and of the same images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trainable.data.base import Dataset, ImageSet
from trainable.data.view import DataView
from trainable.errors import InputError
from trainable.evaluation.evaluate import reweighting
from trainable.testing.findings import Finding, count, some_of

MOST_BYTES = 2**28
"""Most bytes of training images that are drawn at once.

Of more, some are.
"""
FEW = 10
"""Images of a class and attribute below which a part says little about them."""
Point = Mapping[str, float]


def along(dataset: Dataset, points: Sequence[Point], seed: int) -> Iterator[Finding]:
    """Check strength, number, class balance and nesting of the training images along the axis.

    Args:
        dataset: The data set.
        points: Value of every bias parameter, from the weakest bias to the strongest.
        seed: Seed of the split.
    """
    what = f"data set {dataset.name}"
    strengths = [dataset.bias_strength(point) for point in points]
    if any(not 0 <= strength <= 1 for strength in strengths):
        listed = ", ".join(f"{strength:.3g}" for strength in strengths)
        yield Finding("FAIL", what, f"bias_strength() must lie in [0, 1], but is {listed}: it is I(b; y) / H(y)")
    first = dataset.axes[0]
    if len(points) > 1 and len({tuple(v for k, v in p.items() if k != first.name) for p in points}) == 1:
        values = [point[first.name] for point in points]
        sign = 1 if first.stronger == "larger" else -1
        if any(sign * (b - a) < 0 for a, b in pairwise(values)):
            yield Finding(
                "FAIL",
                what,
                f"{first.stronger} values of {first.name} must be the stronger bias, but bias_strength() falls there",
            )
    split = dataset.split(seed)
    index = _affordable(dataset, split.train)
    drawn = [dataset.train_images(point, seed, index, "biased") for point in points]
    yield from _counts(dataset, points, drawn)
    yield from _shares(dataset, points, drawn)
    yield from _same_images(dataset, points, drawn)


def _affordable(dataset: Dataset, index: NDArray[np.int64]) -> NDArray[np.int64]:
    if not dataset.has_renderer:
        # Images are chosen for all of them, and read when they are asked for.
        return index
    most = max(1, MOST_BYTES // (3 * dataset.image_size**2))
    return index if len(index) <= most else index[np.linspace(0, len(index) - 1, most).astype(np.int64)]


def named(point: Point) -> str:
    """Words for a point of the grid.

    Example:
        >>> named({"rho": 0.9, "gamma": 0.0})
        'rho = 0.9, gamma = 0'
    """
    return ", ".join(f"{name} = {value:g}" for name, value in point.items())


def table_of(dataset: Dataset, images: ImageSet) -> NDArray[np.int64]:
    """Number of images of each class and attribute, ``[classes, attributes]``.

    Args:
        dataset: The data set.
        images: Some of its images.
    """
    counts = np.zeros((len(dataset.classes), max(1, len(dataset.attributes))), np.int64)
    np.add.at(counts, (images.labels.numpy(), images.attribute.numpy().clip(0)), 1)
    return counts


def _counts(dataset: Dataset, points: Sequence[Point], drawn: Sequence[ImageSet]) -> Iterator[Finding]:
    what = f"data set {dataset.name}"
    for point, images in zip(points, drawn, strict=True):
        counts = table_of(dataset, images)
        if counts.size > 30:
            pairs = count(int((counts > 0).sum()), "pair")
            words = f"{count(len(images), 'training image')}, {pairs} of class and attribute"
        else:
            words = "training images by class and attribute: " + ", ".join(
                f"{name}/{attribute} {counts[k, b]}"
                for k, name in enumerate(dataset.classes)
                for b, attribute in enumerate(dataset.attributes or ("",))
                if counts[k, b]
            )
        yield Finding("ok", what, f"at {named(point)} (strength {dataset.bias_strength(point):.2f}) {words}")


def _shares(dataset: Dataset, points: Sequence[Point], drawn: Sequence[ImageSet]) -> Iterator[Finding]:
    what = f"data set {dataset.name}"
    along_axis = _line(dataset, points)
    points, drawn = [points[i] for i in along_axis], [drawn[i] for i in along_axis]
    masks = [dataset.conflicting(images) for images in drawn]
    known = [mask for mask in masks if mask is not None]
    if len(known) < len(drawn) or not known:
        return
    shares = [float(mask.mean()) for mask in known]
    listed = ", ".join(f"{share:.3f} at {named(point)}" for share, point in zip(shares, points, strict=True))
    if any(b > a + 1e-9 for a, b in pairwise(shares)):
        yield Finding(
            "FAIL", what, f"the stronger the bias, the fewer images must conflict with it, but the shares are {listed}"
        )
    else:
        yield Finding("ok", what, f"share of training images whose bias is another class's: {listed}")
    chosen = [set(images.index.numpy()[mask].tolist()) for images, mask in zip(drawn, known, strict=True)]
    for (weak, strong), (one, other) in zip(pairwise(points), pairwise(chosen), strict=True):
        if not other <= one:
            yield Finding(
                "warn",
                what,
                f"{count(len(other - one), 'image')} conflict at {named(strong)} and not at {named(weak)}: the draws "
                "are not nested along the axis, and its points less well paired; take u < rho with one u an image",
            )
            return


def _line(dataset: Dataset, points: Sequence[Point]) -> list[int]:
    """Positions of points that differ in the first axis alone, those where nothing is painted left out."""
    first = dataset.axes[0]
    lines: dict[tuple[float, ...], list[int]] = {}
    for i, point in enumerate(points):
        # No image conflicts with a bias that is not painted at all.
        if not (dataset.has_renderer and point[first.name] == first.unbiased_at):
            lines.setdefault(tuple(value for name, value in point.items() if name != first.name), []).append(i)
    return max(lines.values(), key=len, default=[])


def _same_images(dataset: Dataset, points: Sequence[Point], drawn: Sequence[ImageSet]) -> Iterator[Finding]:
    what = f"data set {dataset.name}"
    sizes = [len(images) for images in drawn]
    shares = [np.bincount(images.labels.numpy(), minlength=len(dataset.classes)) for images in drawn]
    if len(set(sizes)) > 1:
        listed = ", ".join(f"{size} at {named(point)}" for size, point in zip(sizes, points, strict=True))
        yield Finding(
            "FAIL",
            what,
            "the training images must be as many at every bias value, or the axis shows their number too, but are "
            f"{listed}",
        )
    elif any(not np.array_equal(shares[0], share) for share in shares):
        yield Finding(
            "FAIL",
            what,
            "the classes must be as large at every bias value, or the axis shows their balance too, but they are not",
        )
    elif len(points) > 1:
        yield Finding("ok", what, f"{count(sizes[0], 'training image')} and the same classes at every bias value")
    if any(len(np.unique(images.index.numpy())) < len(images) for images in drawn):
        yield Finding("FAIL", what, "no training image may be drawn twice, but one is")


def rules(dataset: Dataset, points: Sequence[Point], seed: int) -> Iterator[Finding]:
    """Name the selection rules that exist at each point, and what is rare there.

    Args:
        dataset: The data set.
        points: Value of every bias parameter.
        seed: Seed of the split.
    """
    what = f"data set {dataset.name}"
    for point in points:
        view = DataView(dataset, point, seed, None, "search")
        defined, why = list(dataset.rules), ""
        if "val_reweighted" in defined:
            images = view.validation("val_reweighted")
            try:
                reweighting(view, images)
            except InputError as error:
                defined.remove("val_reweighted")
                why = f"; not val_reweighted ({error})"
            else:
                counts = table_of(dataset, images)
                rare = [
                    f"{counts[k, b]} {name}/{dataset.attributes[b]}"
                    for k, name in enumerate(dataset.classes)
                    for b in np.flatnonzero((counts[k] > 0) & (counts[k] < FEW))
                    if dataset.attributes
                ]
                if rare:
                    yield Finding(
                        "warn",
                        what,
                        f"at {named(point)} few validation images of a class and attribute ({some_of(rare)}): "
                        "val_reweighted is uncertain there",
                    )
        yield Finding("ok" if defined else "FAIL", what, f"at {named(point)} the rules {', '.join(defined)}{why}")

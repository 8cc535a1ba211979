"""Check of a data set: its parts, its images and its bias along the axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.base import DATASETS, Dataset, load_dataset, resolve_bias
from trainable.data.contract import check_images, check_members
from trainable.errors import unknown_name
from trainable.testing import biases, parts, pictures
from trainable.testing.findings import Finding, count, guarded, where_defined
from trainable.trial.machine.process_state import kept

Points = Sequence[Mapping[str, float]]
UNBOUNDED = 1.0
"""Value of an axis without an end at which it is looked at."""


@dataclass(frozen=True)
class Looked:
    """A data set that is looked at.

    Attributes:
        dataset: The data set.
        points: Value of every bias parameter at some points, from the weakest bias to the strongest.
        most: Largest number of images of a part that are looked at.
        seed: Seed of the split.
    """

    dataset: Dataset
    points: tuple[dict[str, float], ...]
    most: int = 500
    seed: int = 0

    @property
    def what(self) -> str:
        """Name of the data set in findings."""
        return f"data set {self.dataset.name}"

    def some(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """At most ``most`` of some positions, at even distances."""
        if len(index) <= self.most:
            return index
        return index[np.linspace(0, len(index) - 1, self.most).astype(np.int64)]


_Check = Callable[[Looked], Iterator[Finding]]


def check_dataset(
    dataset: str | Dataset,
    points: Points | None = None,
    options: Mapping[str, Any] | None = None,
    most: int = 500,
) -> list[Finding]:
    """Check a data set, by some hundred of its images.

    It takes seconds.

    Its members, parts and images must have the form that every data set has. No patient and no image may be in two
    parts. Test images may depend on nothing. Images must not be clipped, scaled twice or constant. The training images
    must be as many, and of the same classes, at every strength of the bias.

    Args:
        dataset: Registered name, or a data set.
        points: Values of its bias parameters to look at; by default both ends of the first axis.
        options: Options of the data set, where a name is given.
        most: Images of a part that are looked at.

    Returns:
        The findings; ``assert_passes`` makes a test of them.

    Raises:
        InputError: No such data set; the nearest known name is given.

    Example:
        >>> from trainable.testing import assert_passes
        >>> findings = check_dataset("coloured_digits", [{"color_variance": 0.02}], most=50)
        >>> assert_passes(findings)
        >>> print(findings[0])
        ok    data set coloured_digits: 5,000 images of 14 pixels in 10 classes; it has all members
    """
    if isinstance(dataset, str) and DATASETS.find(dataset) is None:
        raise unknown_name("data set", dataset, DATASETS.entries)
    return list(dataset_findings(dataset, points, options, most))


def dataset_findings(
    dataset: str | Dataset,
    points: Points | None = None,
    options: Mapping[str, Any] | None = None,
    most: int = 500,
) -> Iterator[Finding]:
    """Yield the findings of ``check_dataset`` as they are made.

    Args:
        dataset: Registered name, or a data set.
        points: Values of its bias parameters to look at, or None.
        options: Options of the data set, where a name is given.
        most: Images of a part that are looked at.
    """
    what = f"data set {dataset if isinstance(dataset, str) else dataset.name}"
    source = DATASETS.find(dataset) if isinstance(dataset, str) else type(dataset)
    where, found = where_defined(source), dict[str, Looked]()

    def load() -> Iterator[Finding]:
        loaded = load_dataset(dataset, **(options or {})) if isinstance(dataset, str) else dataset
        check_members(loaded.name, loaded)
        given = points if points is not None else ends(loaded)
        resolved = [resolve_bias(loaded, point) for point in given]
        resolved.sort(key=loaded.bias_strength)
        for point in (resolved[0], resolved[-1]):
            check_images(loaded, point, 0)
        found["it"] = Looked(loaded, tuple(resolved), most)
        sizes = f"{count(len(loaded.labels()), 'image')} of {loaded.image_size} pixels"
        yield Finding("ok", what, f"{sizes} in {count(len(loaded.classes), 'class')}; it has all members")

    yield from _run(load, what, "its members", where)
    if "it" not in found:
        return
    for check, doing in _CHECKS:
        yield from _run(lambda check=check: check(found["it"]), what, doing, where)  # type: ignore[misc]
    if isinstance(dataset, str):
        yield from _run(
            lambda: parts.elsewhere(found["it"].dataset, dataset, options or {}), what, "another process", where
        )


def _run(check: Callable[[], Iterator[Finding]], what: str, doing: str, where: str) -> Iterator[Finding]:
    with kept():
        findings = list(guarded(what, check, doing))
    for finding in findings:
        plain = finding.where or finding.level == "ok"
        yield finding if plain else Finding(finding.level, finding.what, finding.sentence, where)


def ends(dataset: Dataset) -> list[dict[str, float]]:
    """Both ends of the first axis, the other parameters at their defaults or their weaker end.

    Args:
        dataset: The data set.

    Example:
        >>> ends(load_dataset("coloured_digits"))
        [{'color_variance': 0.0}, {'color_variance': 10.0}]
    """
    first, *others = dataset.axes
    rest = {
        axis.name: axis.low if axis.stronger == "larger" else _top(axis.high) for axis in others if axis.default is None
    }
    return [{first.name: value, **rest} for value in (first.low, _top(first.high))]


def _top(value: float) -> float:
    return UNBOUNDED if math.isinf(value) else value


_CHECKS: tuple[tuple[_Check, str], ...] = (
    (lambda it: parts.keys(it.dataset), "its keys"),
    (lambda it: parts.splits(it.dataset), "its split"),
    (lambda it: pictures.contents(it.dataset, it.points[0], it.some), "its images"),
    (lambda it: pictures.repeated(it.dataset, it.points[-1], it.some), "its images twice"),
    (lambda it: pictures.duplicates(it.dataset, it.points[0], it.some), "images that are in two parts"),
    (lambda it: biases.along(it.dataset, it.points, it.seed), "its bias"),
    (lambda it: biases.rules(it.dataset, it.points, it.seed), "its rules"),
)

"""The images of a table that are too few for larger training sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainable.data.table.law import Span, counts_of, feasible_sizes, kinds, largest_sizes

if TYPE_CHECKING:
    from trainable.data.table.image_table import ImageTable


def scarcest(
    dataset: ImageTable, index: NDArray[np.int64], aligned: Mapping[str, str], low: float, high: float
) -> list[str]:
    """Say which images limit the training sets of an axis.

    Args:
        dataset: The table.
        index: Positions of its training part.
        aligned: Attribute that is each class's own.
        low: Weakest bias value of the axis.
        high: Strongest.

    Returns:
        A sentence; none where all images of the training part are used.
    """
    attribute = dataset.collected_attribute()
    if attribute is None:
        return []
    k, b = len(dataset.classes), len(dataset.attributes)
    own = np.array([dataset.attributes.index(aligned[name]) for name in dataset.classes])
    counts = counts_of(dataset.labels()[index], attribute[index], k, b)
    span = Span(np.full(k, low), np.full(k, high))
    if int(feasible_sizes(counts, own, span).sum()) == len(index):
        return []
    # The classes keep their proportions: the one that allows the smallest share of its images decides.
    share = largest_sizes(counts, own, span) / np.maximum(counts.sum(axis=1), 1)
    scarce = int(share.argmin())
    have, others = (int(kind[scarce]) for kind in kinds(counts, own))
    name, of_own = dataset.classes[scarce], dataset.attributes[own[scarce]]
    if others * high < have * (1 - low):
        there = f"only {others} of class {name} are not {of_own}, and rho = {low:g} takes {1 - low:.0%} of them there"
    else:
        taken = "at rho = 1 all of its images are" if high == 1 else f"rho = {high:g} takes {high:.0%} of them there"
        there = f"only {have} of class {name} are {of_own}, and {taken}"
    return [f"The reason: {there}. More images of that kind make every training set larger."]

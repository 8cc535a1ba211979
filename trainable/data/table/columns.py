"""Columns of a table of images, as numbers: class, attribute, patient and part of every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.patients import PARTS, patient_classes
from trainable.errors import InputError, unknown_name

Ints = NDArray[np.int64]
Column = Sequence[Any] | NDArray[Any]
_LEAST_PATIENTS = 7
"""Patients of a kind from which 15 % give each part one, with both roundings."""


@dataclass(frozen=True)
class Columns:
    """Columns of N images.

    Attributes:
        labels: int64 ``[N]``, class.
        attribute: int64 ``[N]``; None = there is none.
        groups: int64 ``[N]``, number of the patient.
        has_patients: False where every image is its own group.
        drawn_for: int64 ``[N]``, part that it was given, as ``split_patients`` takes it; None = none was given.
        own: int64 ``[K]``, the attribute that is each class's own; zeros without attributes.
    """

    labels: Ints
    attribute: Ints | None
    groups: Ints
    has_patients: bool
    drawn_for: Ints | None
    own: Ints

    def content(self) -> bytes:
        """All columns as bytes, for a checksum."""
        columns = (self.labels, self.attribute, self.groups, self.drawn_for)
        return b"/".join(b"" if one is None else one.tobytes() for one in columns)


def strata(
    labels: Ints, attribute: Ints | None, groups: Ints, classes: Sequence[str], attributes: Sequence[str]
) -> tuple[Ints, tuple[str, ...]]:
    """Kinds of images that a split has in equal parts.

    These are the classes, and within each the attribute where every kind of images has seven patients or more: a rare
    kind would otherwise fall into one part alone by chance. A patient is of the kind of most of its images.

    Args:
        labels: Class of each image, ``[N]``.
        attribute: Attribute of each, ``[N]``; None = there is none.
        groups: Number of the patient of each, ``[N]``.
        classes: Names of the classes.
        attributes: Names of the attributes.

    Returns:
        Kind of each image, ``[N]``, and the kinds' names.

    Example:
        >>> strata(np.array([0, 0, 1]), np.array([0, 1, 1]), np.arange(3), ("a", "b"), ("dark", "bright"))[1]
        ('a', 'b')
    """
    if attribute is None:
        return labels, tuple(classes)
    codes, kinds = np.unique(labels * len(attributes) + attribute, return_inverse=True)
    of_patients = np.bincount(patient_classes(kinds.astype(np.int64), groups)[1], minlength=len(codes))
    if of_patients.min() < _LEAST_PATIENTS:
        return labels, tuple(classes)
    names = [f"{classes[code // len(attributes)]} with {attributes[code % len(attributes)]}" for code in codes]
    return kinds.astype(np.int64), tuple(names)


def columns_of(
    name: str,
    given: Mapping[str, Column | None],
    classes: Sequence[str],
    attributes: Sequence[str],
    aligned: Mapping[str, str] | None,
) -> Columns:
    """Turn columns of names or positions into numbers, checked.

    Args:
        name: Name of the data set, for messages.
        given: The columns ``labels``, ``attribute``, ``groups`` and ``split``, None = not given.
        classes: Names of the classes.
        attributes: Names of the values of the attribute; empty = there is none.
        aligned: The attribute that is a class's own, by the class's name; None = the one of the class's name.

    Returns:
        The columns.

    Raises:
        InputError: Lengths that differ, an unknown name, a class without images, or attributes without a meaning.

    Example:
        >>> given = {"labels": ["cat", "dog", "dog"], "attribute": [1, 1, 0], "groups": ["a", "b", "b"], "split": None}
        >>> columns = columns_of("pets", given, ("cat", "dog"), ("dark", "bright"), {"cat": "bright", "dog": "dark"})
        >>> columns.labels.tolist(), columns.groups.tolist(), columns.own.tolist()
        ([0, 1, 1], [0, 1, 1], [1, 0])
    """
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise InputError(f"{name} needs two or more classes with different names, but got {list(classes)}")
    labels_given = given["labels"]
    assert labels_given is not None
    n = len(labels_given)
    for column, values in given.items():
        if values is not None and len(values) != n:
            raise InputError(f"{name} has {n} labels, but {len(values)} values of {column}: give one an image")
    labels = _codes(name, "labels", labels_given, classes)
    missing = [one for k, one in enumerate(classes) if not (labels == k).any()]
    if missing:
        raise InputError(f"{name} has no image of class {missing[0]}: leave it out of classes")
    values = given["attribute"]
    attribute = None if values is None else _codes(name, "attribute", values, attributes)
    own = np.zeros(len(classes), dtype=np.int64)
    if len(attributes):
        own = _own(name, classes, attributes, aligned)
    groups, split = given["groups"], given["split"]
    numbers = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    drawn_for = None if split is None else _parts(name, split, numbers)
    return Columns(labels, attribute, numbers.astype(np.int64), groups is not None, drawn_for, own)


def _codes(name: str, column: str, values: Column, known: Sequence[str]) -> Ints:
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        codes = array.astype(np.int64)
        if len(codes) and (codes.min() < 0 or codes.max() >= len(known)):
            wrong = int(codes.min()) if codes.min() < 0 else int(codes.max())
            raise InputError(f"{column} of {name} must be names or positions 0 to {len(known) - 1}, but has {wrong}")
        return codes
    places = {one: k for k, one in enumerate(known)}
    texts = [str(value) for value in array.tolist()]
    for text in texts:
        if text not in places:
            raise unknown_name(f"value in {column} of {name}", text, known)
    return np.array([places[text] for text in texts], dtype=np.int64)


def _own(name: str, classes: Sequence[str], attributes: Sequence[str], aligned: Mapping[str, str] | None) -> Ints:
    if len(attributes) < 2 or len(set(attributes)) < len(attributes):
        raise InputError(f"{name} needs two or more attributes with different names, but got {list(attributes)}")
    named = dict(aligned) if aligned is not None else {one: one for one in classes}
    for one in named:
        if one not in classes:
            raise unknown_name(f"class in aligned of {name}", one, classes)
    places = {one: k for k, one in enumerate(attributes)}
    for one in classes:
        if one not in named or (aligned is None and one not in places):
            raise InputError(
                f"{name} needs the attribute that is the own one of class {one}: give aligned: {{{one}: "
                f"{attributes[0]}, ...}}"
            )
        if named[one] not in places:
            raise unknown_name(f"attribute in aligned of {name}", str(named[one]), attributes)
    own = np.array([places[named[one]] for one in classes], dtype=np.int64)
    if (own == own[0]).all():
        raise InputError(
            f"aligned of {name} gives every class the attribute {attributes[own[0]]}, so that it tells no class: give "
            "two classes different ones"
        )
    return own


def _parts(name: str, split: Column, groups: Ints) -> Ints:
    texts = [str(value) for value in np.asarray(split).tolist()]
    for text in texts:
        if text not in PARTS:
            raise unknown_name(f"part in split of {name}", text, PARTS)
    parts = np.array([PARTS.index(text) for text in texts], dtype=np.int64)
    spread = np.zeros((int(groups.max()) + 1, len(PARTS)), dtype=bool)
    spread[groups, parts] = True
    if (spread.sum(axis=1) > 1).any():
        rows = np.flatnonzero(groups == int(np.flatnonzero(spread.sum(axis=1) > 1)[0]))
        raise InputError(
            f"no patient of {name} may be in two parts, but images {rows[0]} to {rows[-1]} of one are in "
            f"{' and '.join(sorted({texts[i] for i in rows}))}: give each patient one part"
        )
    # What was given for training is divided again where nothing was given for validation or test.
    return np.where(parts == 0, -1, parts)

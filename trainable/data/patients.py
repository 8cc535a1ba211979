"""Splits by patient: no patient ever has slices in two parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainable.data.parts import Split, SplitName
from trainable.errors import InputError
from trainable.randomness import numpy_generator

TEST_SHARE = 0.15
VAL_SHARE = 0.15
PARTS: tuple[SplitName, ...] = ("train", "val", "test")
_TITLES = ("train", "validation", "test")
_FIXED = 0
_TO_BE_DIVIDED, _VAL, _TEST = -1, 1, 2


def patient_classes(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Class of each patient: that of most slices, the lower one of a tie.

    Args:
        labels: int64 ``[N]``.
        groups: int64 ``[N]``, number of the patient of each slice.

    Returns:
        Numbers of the patients, ascending, and their classes, both int64 ``[patients]``.

    Example:
        >>> patients, classes = patient_classes(np.array([0, 1, 1, 0]), np.array([7, 7, 7, 9]))
        >>> patients.tolist(), classes.tolist()
        ([7, 9], [1, 0])
    """
    patients, inverse = np.unique(groups, return_inverse=True)
    n_classes = int(labels.max()) + 1
    counts = np.bincount(inverse * n_classes + labels, minlength=len(patients) * n_classes)
    return patients.astype(np.int64), counts.reshape(-1, n_classes).argmax(axis=1)


def split_patients(
    name: str,
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    classes: tuple[str, ...],
    seed: int,
    folds: NDArray[np.int64] | None = None,
    fold: int | None = None,
    drawn_for: NDArray[np.int64] | None = None,
) -> Split:
    """Split slices by patient, stratified by class.

    Without a fold, 15 % of the patients of each class (rounded, at least one) are test, drawn once for the data set;
    with a fold, its patients are. Of the others 15 % of each class are validation, drawn by the seed. Where there are
    patients that were drawn for test or for validation, these are that part, and no other patient is.

    Args:
        name: Name of the data set, part of the fixed draw.
        labels: Class of each slice, int64 ``[N]``.
        groups: Patient of each slice, int64 ``[N]``.
        classes: Names of the classes.
        seed: Decides train / validation.
        folds: Fold of each slice, int64 ``[N]`` from 0, the same for all slices of a patient.
        fold: The fold whose patients are test.
        drawn_for: Part that each slice's patient was drawn for, as a position in ``PARTS``, -1 = none, int64 ``[N]``.

    Returns:
        Positions of each part, ascending.

    Raises:
        InputError: A class is left without a patient in some part, or the fold does not exist.

    Example:
        >>> labels, patients = np.repeat([0, 1], 40), np.arange(80) // 2
        >>> split = split_patients("example", labels, patients, ("benign", "malignant"), seed=0)
        >>> len(split.train), len(split.val), len(split.test)
        (56, 12, 12)
    """
    patients, kind = patient_classes(labels, groups)
    if fold is not None:
        if folds is None or isinstance(fold, bool) or not 0 <= fold <= int(folds.max()):
            known = "none" if folds is None else f"0 to {int(folds.max())}"
            raise InputError(f"{name} has no fold {fold!r}: the folds are {known}")
        first = np.unique(groups, return_index=True)[1]
        in_fold = folds[first] == fold
    drawn = np.full(len(patients), _TO_BE_DIVIDED)
    if drawn_for is not None:
        drawn = drawn_for[np.unique(groups, return_index=True)[1]]
    fixed, seeded = numpy_generator(_FIXED, f"{name}/test"), numpy_generator(seed, "split")
    parts: tuple[list[NDArray[np.int64]], ...] = ([], [], [])
    for k, title in enumerate(classes):
        order = fixed.permutation(np.flatnonzero((kind == k) & (drawn == _TO_BE_DIVIDED)))
        own_val, own_test = (np.flatnonzero((kind == k) & (drawn == part)) for part in (_VAL, _TEST))
        n_test = 0 if (drawn == _TEST).any() else max(1, round(TEST_SHARE * len(order)))
        test = np.concatenate([own_test, order[:n_test] if fold is None else order[in_fold[order]]])
        rest = seeded.permutation(order[n_test:] if fold is None else order[~in_fold[order]])
        n_val = 0 if (drawn == _VAL).any() else max(1, round(VAL_SHARE * len(rest)))
        chosen = (rest[n_val:], np.concatenate([own_val, rest[:n_val]]), test)
        if not all(len(part) for part in chosen):
            counts = ", ".join(f"{len(part)} {part_name}" for part, part_name in zip(chosen, _TITLES, strict=True))
            raise InputError(
                f"every part of {name} needs a patient of every class, but the {(kind == k).sum()} patients of {title} "
                f"give {counts}: add patients" + ("" if fold is None else f" or leave fold {fold} out")
            )
        for part, some in zip(parts, chosen, strict=True):
            part.append(patients[some])
    return Split(*(np.flatnonzero(np.isin(groups, np.concatenate(part))).astype(np.int64) for part in parts))

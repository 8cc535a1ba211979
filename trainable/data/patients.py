"""Splits by patient: no patient ever has slices in two parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainable.data.base import Split
from trainable.errors import InputError
from trainable.randomness import numpy_generator

TEST_SHARE = 0.15
VAL_SHARE = 0.15
_FIXED = 0


def patient_classes(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Class of each patient: that of most slices, the lower one of a tie.

    Args:
        labels: int64 ``[N]``.
        groups: int64 ``[N]``, number of the patient of each slice.

    Returns:
        Numbers of the patients, ascending, and their classes, both int64 ``[patients]``.
    """
    patients, place = np.unique(groups, return_inverse=True)
    n_classes = int(labels.max()) + 1
    counts = np.bincount(place * n_classes + labels, minlength=len(patients) * n_classes)
    return patients.astype(np.int64), counts.reshape(-1, n_classes).argmax(axis=1)


def split_patients(
    name: str,
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    classes: tuple[str, ...],
    seed: int,
    folds: NDArray[np.int64] | None = None,
    fold: int | None = None,
) -> Split:
    """Split slices by patient, stratified by class.

    Without a fold, 15 % of the patients of each class (rounded, at least one) are test, drawn once for the data set;
    with a fold, its patients are. Of the others 15 % of each class are validation, drawn by the seed.

    Args:
        name: Name of the data set, part of the fixed draw.
        labels: Class of each slice, int64 ``[N]``.
        groups: Patient of each slice, int64 ``[N]``.
        classes: Names of the classes.
        seed: Decides train / validation.
        folds: Fold of each slice, int64 ``[N]`` from 0, the same for all slices of a patient.
        fold: The fold whose patients are test.

    Returns:
        Positions of each part, ascending.

    Raises:
        InputError: A class is left without a patient in some part, or the fold does not exist.
    """
    patients, kind = patient_classes(labels, groups)
    if fold is not None:
        if folds is None or isinstance(fold, bool) or not 0 <= fold <= int(folds.max()):
            known = "none" if folds is None else f"0 to {int(folds.max())}"
            raise InputError(f"{name} has no fold {fold!r}: the folds are {known}")
        first = np.unique(groups, return_index=True)[1]
        in_fold = folds[first] == fold
    fixed, seeded = numpy_generator(_FIXED, f"{name}/test"), numpy_generator(seed, "split")
    parts: tuple[list[NDArray[np.int64]], ...] = ([], [], [])
    for k, title in enumerate(classes):
        order = fixed.permutation(np.flatnonzero(kind == k))
        n_test = max(1, round(TEST_SHARE * len(order)))
        test = order[:n_test] if fold is None else order[in_fold[order]]
        rest = seeded.permutation(order[n_test:] if fold is None else order[~in_fold[order]])
        n_val = max(1, round(VAL_SHARE * len(rest)))
        chosen = (rest[n_val:], rest[:n_val], test)
        if not all(len(part) for part in chosen):
            counts = ", ".join(f"{len(part)} {part_name}" for part, part_name in zip(chosen, _PARTS, strict=True))
            raise InputError(
                f"every part of {name} needs a patient of every class, but the {len(order)} patients of {title} give "
                f"{counts}: add patients" + ("" if fold is None else f" or leave fold {fold} out")
            )
        for part, some in zip(parts, chosen, strict=True):
            part.append(patients[some])
    return Split(*(np.flatnonzero(np.isin(groups, np.concatenate(part))).astype(np.int64) for part in parts))


_PARTS = ("train", "validation", "test")

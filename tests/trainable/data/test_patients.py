from __future__ import annotations

import numpy as np
import pytest

from store.errors import InputError
from trainable.data.patients import patient_classes, split_patients

CLASSES = ("meningioma", "glioma", "pituitary")


def patients(counts: tuple[int, ...], slices: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, groups and folds of slices in a shuffled order, with 1 to ``2 slices`` slices a patient."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(len(counts)), counts)
    group = np.repeat(np.arange(len(kind)), rng.integers(1, 2 * slices, len(kind)))
    order = rng.permutation(len(group))
    return kind[group][order], group[order] * 7 + 3, (group % 5)[order]


def parts_of(split: object) -> list[np.ndarray]:
    return [getattr(split, name) for name in ("train", "val", "test")]


@pytest.mark.parametrize("fold", [None, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("counts", [(82, 89, 62), (20, 20, 20), (15, 40, 90)])
def test_no_patient_is_in_two_parts(counts: tuple[int, ...], fold: int | None) -> None:
    labels, groups, folds = patients(counts)
    for seed in range(3):
        parts = parts_of(split_patients("x", labels, groups, CLASSES, seed, folds, fold))
        assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
        sets = [set(groups[part]) for part in parts]
        assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]
        for part in parts:
            assert np.array_equal(part, np.sort(part))
            assert set(labels[part]) == {0, 1, 2}


def test_test_patients_are_fixed_and_fifteen_in_a_hundred_of_each_class() -> None:
    labels, groups, _ = patients((82, 89, 62))
    first, second = (split_patients("x", labels, groups, CLASSES, seed) for seed in (1, 2))
    assert np.array_equal(first.test, second.test)
    assert not np.array_equal(first.val, second.val)
    assert set(first.train) | set(first.val) == set(second.train) | set(second.val)
    _, kind = patient_classes(labels, groups)
    for k, n in enumerate(np.bincount(kind)):
        of = [len(set(groups[part][labels[part] == k])) for part in parts_of(first)]
        assert of == [n - of[1] - of[2], round(0.15 * (n - of[2])), round(0.15 * n)]
    assert not np.array_equal(split_patients("y", labels, groups, CLASSES, 1).test, first.test)


def test_the_folds_are_test_in_turn() -> None:
    labels, groups, folds = patients((20, 25, 30))
    tests = [split_patients("x", labels, groups, CLASSES, 0, folds, fold).test for fold in range(5)]
    assert np.array_equal(np.sort(np.concatenate(tests)), np.arange(len(labels)))
    for fold, test in enumerate(tests):
        assert set(folds[test]) == {fold}
        other = split_patients("x", labels, groups, CLASSES, 1, folds, fold)
        assert np.array_equal(other.test, test)
        assert set(groups[other.val]) != set(groups[split_patients("x", labels, groups, CLASSES, 0, folds, fold).val])


def test_the_order_of_the_slices_does_not_matter() -> None:
    labels, groups, _ = patients((20, 20, 20))
    order = np.random.default_rng(5).permutation(len(labels))
    first = split_patients("x", labels, groups, CLASSES, 0)
    second = split_patients("x", labels[order], groups[order], CLASSES, 0)
    for one, two in zip(parts_of(first), parts_of(second), strict=True):
        assert set(groups[one]) == set(groups[order][two])


def test_a_patient_belongs_to_the_class_of_most_slices() -> None:
    numbers, kind = patient_classes(np.array([2, 0, 0, 1, 2, 2]), np.array([9, 9, 9, 4, 4, 1]))
    assert numbers.tolist() == [1, 4, 9]
    assert kind.tolist() == [2, 1, 0]


def test_too_few_patients_are_counted() -> None:
    labels, groups, folds = patients((8, 2, 8))
    with pytest.raises(InputError, match="the 2 patients of glioma give 0 train, 1 validation, 1 test: add patients"):
        split_patients("x", labels, groups, CLASSES, 0)
    labels, groups, folds = patients((10, 10, 10))
    folds[:] = np.where(labels == 2, 1, folds)
    with pytest.raises(InputError, match=r"the 10 patients of pituitary give .* 0 test: .* leave fold 0 out"):
        split_patients("x", labels, groups, CLASSES, 0, folds, 0)
    labels, groups, _ = patients((10, 10))
    with pytest.raises(InputError, match="the 0 patients of pituitary"):
        split_patients("x", labels, groups, CLASSES, 0)


def test_unknown_folds() -> None:
    labels, groups, folds = patients((10, 10, 10))
    for fold in (5, -1, True):
        with pytest.raises(InputError, match="x has no fold"):
            split_patients("x", labels, groups, CLASSES, 0, folds, fold)
    with pytest.raises(InputError, match="the folds are none"):
        split_patients("x", labels, groups, CLASSES, 0, None, 0)

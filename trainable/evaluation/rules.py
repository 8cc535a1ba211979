"""Selection rules that are defined at a bias value: checked from labels and attributes, before anything is trained."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray

from trainable.data.base import Dataset
from trainable.data.view import DataView
from trainable.errors import InputError
from trainable.evaluation.evaluate import reweighting
from trainable.spec import RULES, Rule


def check_rule(view: DataView, rule: Rule) -> None:
    """Refuse a rule that has no value on the validation images of a trial.

    Images that are not painted need not be read for it.

    Args:
        view: The data at a bias value, for one split.
        rule: The rule.

    Raises:
        InputError: Why its column would be null.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> view = DataView(load_dataset("coloured_digits"), {"color_variance": 0.02}, 0, None, "search")
        >>> check_rule(view, "val_reweighted")
        Traceback (most recent call last):
            ...
        store.errors.InputError: coloured_digits never has val_reweighted: choose one of val_counterfactual, ...
    """
    dataset = view.dataset
    if rule not in dataset.rules:
        raise InputError(f"{dataset.name} never has {rule}: choose one of {', '.join(dataset.rules)}")
    attribute = dataset.collected_attribute()
    if attribute is None:
        if rule == "val_reweighted":
            reweighting(view, view.validation(rule))
        return
    if rule == "val_unbiased":
        if not _comparable(dataset, attribute, view.split.val):
            raise InputError(
                f"no attribute of {dataset.name} occurs in every class among the {len(view.split.val)} validation "
                f"images of split {view.seed}"
            )
        return
    index = dataset.drawn_for_validation(view.bias, view.seed, view.split.val)
    labels, drawn = dataset.labels()[index], attribute[index]
    missing = np.setdiff1d(np.arange(len(dataset.classes)), labels)
    if len(missing):
        values = ", ".join(f"{name} = {value:g}" for name, value in view.bias.items())
        raise InputError(
            f"the validation part of {dataset.name} (split {view.seed}) gives no image of class "
            f"{dataset.classes[missing[0]]} at {values}: add patients, or choose another axis"
        )
    if rule == "val_reweighted":
        _check_kinds(view, labels, drawn)


def _check_kinds(view: DataView, labels: NDArray[np.int64], drawn: NDArray[np.int64]) -> None:
    """Refuse re-weighting where a class has no image with an attribute that is estimated for."""
    dataset, target = view.dataset, view.dataset.reweighting_target
    for k, name in enumerate(dataset.classes):
        for b in np.unique(drawn) if target is None else np.flatnonzero(target > 0):
            if not ((labels == k) & (drawn == b)).any():
                values = ", ".join(f"{axis} = {value:g}" for axis, value in view.bias.items())
                raise InputError(
                    f"val_reweighted needs validation images of every class with every attribute, but at {values} "
                    f"class {name} has none with {dataset.attributes[b]} (split {view.seed}): end the axis at a weaker "
                    "bias, or choose another rule"
                )


def first_rule(view: DataView) -> Rule:
    """The rule of a single trial that names none: the first that its validation images have.

    Args:
        view: The data at a bias value, for one split.

    Returns:
        Counterfactual, re-weighted, biased or unbiased validation.

    Raises:
        InputError: Not even the last rule of the data set is defined.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> first_rule(DataView(load_dataset("coloured_digits"), {"color_variance": 0.02}, 0, None, "search"))
        'val_counterfactual'
    """
    rules = [rule for rule in RULES if rule in view.dataset.rules]
    for rule in rules[:-1]:
        with contextlib.suppress(InputError):
            check_rule(view, rule)
            return rule
    check_rule(view, rules[-1])
    return rules[-1]


def check_test(view: DataView) -> None:
    """Refuse test images of which nothing can be said where bias and class are independent.

    Args:
        view: A confirm view of the data.

    Raises:
        InputError: No attribute occurs in every class.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> check_test(DataView(load_dataset("coloured_digits"), {"color_variance": 0.02}, 0, None, "confirm"))
    """
    dataset, index = view.dataset, view.split.test
    attribute = dataset.collected_attribute()
    if attribute is not None and not _comparable(dataset, attribute, index):
        raise InputError(
            f"no attribute of {dataset.name} occurs in every class among its {len(index)} test images, so that no "
            "accuracy without the bias can be told from them: add images of the rare kind to the test part"
        )


def _comparable(dataset: Dataset, attribute: NDArray[np.int64], index: NDArray[np.int64]) -> bool:
    """Report whether some attribute occurs in every class among these images."""
    labels = dataset.labels()[index]
    of_class = [set(attribute[index][labels == k].tolist()) for k in range(len(dataset.classes))]
    return bool(set.intersection(*of_class))

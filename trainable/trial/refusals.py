"""Refusals of what no trial can be trained with, before one begins: by the plan of a sweep and by ``train`` alike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trainable.data.base import Dataset, ImageSet
from trainable.errors import InputError, unknown_name
from trainable.methods.base import Draw, Method, Range, needs_of
from trainable.methods.contract.draws import group_counts
from trainable.methods.contract.stages import spans
from trainable.spec import Training


def check_hyperparameters(method: Method, values: Mapping[str, Any], epochs: int, where: str = "") -> None:
    """Refuse values that no trial of a method can be trained with.

    Args:
        method: The method.
        values: Some or all of its hyperparameters.
        epochs: Epochs of a trial.
        where: Begins the sentence, e.g. the method's label.

    Raises:
        InputError: An unknown name, no finite number where one is needed, a number outside the hyperparameter's range,
            or no value of an option.

    Example:
        >>> from trainable.methods.base import get_method
        >>> check_hyperparameters(get_method("lnl"), {"mu": -1.0}, epochs=20)
        Traceback (most recent call last):
            ...
        store.errors.InputError: lnl: the value of 'mu' must be at least 0, but got -1.0
    """
    for name, value in values.items():
        if name not in method.known:
            raise unknown_name(f"hyperparameter of {method.name}", name, method.known)
        _check_value(method, name, value, f"{where or method.name}: the value of '{name}'")
    lengths = {"pretrain_epochs", *(stage.epochs for stage in method.stages)}
    # The lengths that are not among these values are not known to be the defaults.
    if method.stages and lengths & values.keys():
        _check_stages(method, values, epochs, where or method.name)
    pretraining = values.get("pretrain_epochs", 0)
    if pretraining != int(pretraining):
        raise InputError(
            f"{where or method.name}: the value of 'pretrain_epochs' must be a whole number, but got {pretraining!r}"
        )
    if not 0 <= pretraining < epochs:
        raise InputError(
            f"{where or method.name}: the value of 'pretrain_epochs' must be less than the {epochs} epochs of a trial, "
            f"or {method.name} would be plain training under another name, and at least 0, but got {pretraining}"
        )


def _check_stages(method: Method, values: Mapping[str, Any], epochs: int, where: str) -> None:
    if values.get("pretrain_epochs"):
        raise InputError(
            f"{where}: pretrain_epochs must be 0, but got {values['pretrain_epochs']!r}: {method.name} has stages of "
            "its own"
        )
    try:
        spans(method.stages, {**method.defaults, **values}, epochs)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def check_range(method: Method, name: str, searched: Range, epochs: int, where: str = "") -> None:
    """Refuse a range that holds values no trial of a method can be trained with.

    Args:
        method: The method.
        name: The hyperparameter.
        searched: The range.
        epochs: Epochs of a trial.
        where: Begins the sentence, e.g. the method's label.

    Raises:
        InputError: An end that ``check_hyperparameters`` refuses, or whole numbers that are not searched as such.

    Example:
        >>> from trainable.methods.base import get_method
        >>> check_range(get_method("lnl"), "mu", Range(-1.0, 1.0), epochs=20)
        Traceback (most recent call last):
            ...
        store.errors.InputError: lnl: the value of 'mu' must be at least 0, but got -1.0
    """
    for value in (searched.low, searched.high):
        check_hyperparameters(method, {name: value}, epochs, where)
    whole = {"pretrain_epochs", *(stage.epochs for stage in method.stages)}
    if name in whole and not searched.integer and searched.low < searched.high:
        raise InputError(
            f"{where or method.name}: the value of '{name}' must be a whole number, but the range from "
            f"{searched.low:g} to {searched.high:g} holds others: write {{int: [{searched.low:g}, {searched.high:g}]}}"
        )


def _check_value(method: Method, name: str, value: Any, what: str) -> None:
    if name in method.options:
        known = method.options[name].values
        # 1 equals true, and would stand in rows as another value.
        if not any(type(value) is type(one) and value == one for one in known):
            shown = " or ".join(json.dumps(one) if isinstance(one, bool) else str(one) for one in known)
            raise InputError(f"{what} must be {shown}, but got {value!r}")
        return
    default, searched = method.defaults[name], method.space.get(name)
    if not isinstance(default, (int, float)) or isinstance(default, bool):
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{what} must be a finite number, but got {value!r}")
    if isinstance(searched, Range) and not searched.least <= value <= searched.most:
        least, most = searched.least, searched.most
        rule = f"be at least {least:g}" if math.isinf(most) else f"lie in [{least:g}, {most:g}]"
        raise InputError(f"{what} must {rule}, but got {value!r}")


def check_combination(method: Method, dataset: Dataset, training: Training, draw: Draw = "natural") -> None:
    """Refuse a method or a way of training that a data set does not allow.

    Args:
        method: The method.
        dataset: The data set.
        training: Settings of the training.
        draw: How the training images are drawn.

    Raises:
        InputError: Augmentation where bias labels belong to pixels, a method that repaints where nothing paints, one
            that needs bias labels where there are none, or a balanced draw for one that draws its images itself.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> from trainable.methods.base import get_method
        >>> check_combination(get_method("lnl"), load_dataset("coloured_digits"), Training(augmentation=("flip",)))
        Traceback (most recent call last):
            ...
        store.errors.InputError: augmentation moves pixels, but the bias labels of coloured_digits belong ...
    """
    if training.augmentation and dataset.heads.spatial:
        raise InputError(
            f"augmentation moves pixels, but the bias labels of {dataset.name} belong to pixels: leave "
            "training.augmentation empty"
        )
    if method.training_draw == "repainted" and not dataset.has_renderer:
        raise InputError(f"{dataset.name} has no painter, so {method.name} can repaint nothing: choose another method")
    if method.bias_head and not dataset.heads.names:
        raise InputError(f"{dataset.name} has no bias labels for the bias head of {method.name}: choose another method")
    if "bias_labels" in needs_of(method, draw) and not (dataset.heads.names or dataset.attributes):
        who = method.name if "bias_labels" in method.needs else f"draw: {draw}"
        raise InputError(f"{dataset.name} has no bias labels, which {who} needs: choose another method")
    if draw != "natural" and method.samples:
        raise InputError(f"{method.name} draws its training images itself: leave draw out")


def check_conflicting(method: Method, dataset: Dataset, bias: Mapping[str, float], n_conflicting: int | None) -> None:
    """Refuse a method that works on bias-conflicting images where no training image is one.

    Args:
        method: The method.
        dataset: The data set.
        bias: Value of every bias parameter.
        n_conflicting: Conflicting training images; None = the data set does not say which those are.

    Raises:
        InputError: The method works on conflicting images, and there are none.

    Example:
        >>> import dataclasses
        >>> from trainable.data.base import load_dataset
        >>> from trainable.methods.base import get_method
        >>> method = dataclasses.replace(get_method("erm"), needs=frozenset({"conflicting_samples"}))
        >>> check_conflicting(method, load_dataset("brain_phantom"), {"rho": 1.0}, n_conflicting=0)
        Traceback (most recent call last):
            ...
        store.errors.InputError: erm needs training images whose bias is that of another class, but ...
    """
    if "conflicting_samples" in method.needs and n_conflicting == 0:
        where = ", ".join(f"{name} = {value:g}" for name, value in bias.items())
        raise InputError(
            f"{method.name} needs training images whose bias is that of another class, but {dataset.name} has none at "
            f"{where}: leave that value out of the method's bias values, or choose another method"
        )


def check_needs(method: Method, draw: Draw, dataset: Dataset, bias: Mapping[str, float], images: ImageSet) -> None:
    """Refuse a method whose needs the training images do not meet: its cell is not applicable.

    Args:
        method: The method.
        draw: How its training images are drawn.
        dataset: The data set.
        bias: Value of every bias parameter.
        images: The training images of one seed.

    Raises:
        InputError: What is missing.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> from trainable.data.view import DataView
        >>> from trainable.methods.base import get_method
        >>> digits, bias = load_dataset("coloured_digits"), {"color_variance": 0.02}
        >>> images = DataView(digits, bias, 0, None, "search").train()
        >>> check_needs(get_method("lnl"), "natural", digits, bias, images)
    """
    check_conflicting(method, dataset, bias, count_conflicting(dataset, images))
    if "group_counts" in needs_of(method, draw):
        counts = group_counts(images.labels, images.attribute, len(dataset.classes), len(dataset.attributes))
        check_groups(method, draw, dataset, bias, counts)


def count_conflicting(dataset: Dataset, train: ImageSet) -> int | None:
    """Count the training images whose bias is that of another class.

    None where the data set does not say which those are.

    Args:
        dataset: The data set.
        train: The training images.
    """
    conflicting = dataset.conflicting(train)
    return None if conflicting is None else int(conflicting.sum())


def check_groups(method: Method, draw: Draw, dataset: Dataset, bias: Mapping[str, float], counts: Tensor) -> None:
    """Refuse a method that works on groups (class, attribute) where the training images do not have them.

    Args:
        method: The method.
        draw: How its training images are drawn.
        dataset: The data set.
        bias: Value of every bias parameter.
        counts: int64 ``[classes, attributes]``, training images of each group.

    Raises:
        InputError: A group is empty and the method, or the draw, needs all; or the bias is a function of the class.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> from trainable.methods.base import get_method
        >>> phantom = load_dataset("brain_phantom")
        >>> counts = Tensor([[3, 0, 0, 0], [1, 9, 0, 0], [3, 0, 0, 0]])
        >>> check_groups(get_method("erm"), "balanced", phantom, {"rho": 0.9}, counts)
        Traceback (most recent call last):
            ...
        store.errors.InputError: draw: balanced of erm needs a training image of each class with each bias, but ...
    """
    needs = needs_of(method, draw)
    where = f"{dataset.name} at {', '.join(f'{name} = {value:g}' for name, value in bias.items())}"
    remedy = "leave that value out of the method's bias values, or choose another method"
    if "all_groups" in needs and int(counts.min()) == 0:
        label, attribute = (int(i) for i in (counts == 0).nonzero()[0])
        what = method.name if "all_groups" in method.needs else f"draw: balanced of {method.name}"
        raise InputError(
            f"{what} needs a training image of each class with each bias, but {where} has none of class "
            f"'{dataset.classes[label]}' with '{dataset.attributes[attribute]}': {remedy}"
        )
    several = int(((counts > 0).sum(dim=1) > 1).sum())
    if "group_counts" in needs and several == 0 and int((counts.sum(dim=0) > 0).sum()) > 1:
        raise InputError(
            f"{method.name} needs classes whose training images differ in their bias, but in {where} the bias is a "
            f"function of the class: {remedy}"
        )

"""What no trial can be trained with, said before one begins: by the plan of a sweep and by ``train`` alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trainable.data.base import Dataset
from trainable.errors import InputError, unknown_name
from trainable.methods.base import Method
from trainable.spec import Training


def check_hyperparameters(method: Method, values: Mapping[str, Any], epochs: int, where: str = "") -> None:
    """Refuse values that no trial of a method can be trained with.

    Args:
        method: The method.
        values: Some or all of its hyperparameters.
        epochs: Epochs of a trial.
        where: Begins the sentence, e.g. the method's label.

    Raises:
        InputError: An unknown name, no finite number where one is needed, or a number outside the hyperparameter's
            range.
    """
    for name, value in values.items():
        if name not in method.defaults:
            raise unknown_name(f"hyperparameter of {method.name}", name, method.defaults)
        check_value(method, name, value, f"{where or method.name}: the value of '{name}'")
    pretraining = values.get("pretrain_epochs", 0)
    if pretraining >= epochs:
        raise InputError(
            f"{where or method.name}: the value of 'pretrain_epochs' must be less than the {epochs} epochs of a trial, "
            f"or {method.name} would be plain training under another name, but got {pretraining}"
        )


def check_value(method: Method, name: str, value: Any, what: str) -> None:
    """Refuse one value of a hyperparameter.

    Raises:
        InputError: No finite number where the default is one, or a number outside the range.
    """
    default, limits = method.defaults[name], method.limits.get(name)
    if not isinstance(default, (int, float)) or isinstance(default, bool):
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{what} must be a finite number, but got {value!r}")
    if limits is None:
        return
    if limits.integer and value != int(value):
        raise InputError(f"{what} must be a whole number, but got {value!r}")
    if not limits.low <= value <= limits.high:
        rule = f"be at least {limits.low:g}" if math.isinf(limits.high) else f"lie in [{limits.low:g}, {limits.high:g}]"
        raise InputError(f"{what} must {rule}, but got {value!r}")


def check_combination(method: Method, dataset: Dataset, training: Training) -> None:
    """Refuse a method or a way of training that a data set does not allow.

    Raises:
        InputError: Augmentation where bias labels belong to pixels, or a method that repaints where nothing paints.
    """
    if training.augmentation and dataset.heads.spatial:
        raise InputError(
            f"augmentation moves pixels, but the bias labels of {dataset.name} belong to pixels: leave "
            "training.augmentation empty"
        )
    if method.training_draw == "repainted" and not dataset.has_renderer:
        raise InputError(f"{dataset.name} has no painter, so {method.name} can repaint nothing: choose another method")

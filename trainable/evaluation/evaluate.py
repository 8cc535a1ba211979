"""Measures of a trained network: validation values, the test report, the predictions that are kept.

The metrics themselves are in ``metrics.py`` and ``calibration.py``, the bias probe in ``probe.py``; all are re-exported
here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.base import Dataset, ImageSet
from trainable.data.view import DataView
from trainable.errors import InputError
from trainable.evaluation.calibration import brier, calibration_error, calibration_error_null, confidence_gap, log_loss
from trainable.evaluation.metrics import (
    Reweighted,
    Scored,
    accuracy,
    auroc,
    balanced_accuracy,
    bias_weights,
    flip_rate,
    recalls,
    reweighted,
    score,
    scored,
    worst_group_accuracy,
)
from trainable.evaluation.probe import bias_probe
from trainable.methods.base import Nets
from trainable.networks.modes import Transform, evaluating, to_float, with_batch_statistics
from trainable.spec import VARIANTS, Metric, Rule

__all__ = [
    "Reweighted",
    "Reweighting",
    "accuracy",
    "auroc",
    "balanced_accuracy",
    "bias_probe",
    "bias_weights",
    "brier",
    "calibration_error",
    "calibration_error_null",
    "confidence_gap",
    "flip_rate",
    "log_loss",
    "predict",
    "recalls",
    "reweighted",
    "score",
    "scored",
    "test_report",
    "validation_sets",
    "validation_values",
    "weights_of",
    "worst_group_accuracy",
]


def predict(
    nets: Nets,
    images: ImageSet,
    transform: Transform | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 500,
) -> NDArray[np.float32]:
    """Predict class probabilities without gradients.

    The networks are in evaluation mode unless ``nets.batch_statistics`` says otherwise.

    Every module's mode and buffers are restored.

    Args:
        nets: The networks.
        images: N images.
        transform: The method's transform of float images, or None.
        device: Where f and g live.
        batch_size: Images a forward pass; the result does not depend on it beyond rounding.

    Returns:
        float32 ``[N, K]``, rows sum to 1.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> nets = Nets(torch.nn.Flatten(), torch.nn.Linear(3 * 14 * 14, 10), None)
        >>> digits = load_dataset("coloured_digits")
        >>> predict(nets, digits.variant_images("unbiased", {"color_variance": 0.02}, np.arange(4), "test")).shape
        (4, 10)
    """
    parts = []
    mode = evaluating if nets.batch_statistics is None else with_batch_statistics
    batch_size = batch_size if nets.batch_statistics is None else nets.batch_statistics
    with mode(nets.f, nets.g), torch.inference_mode():
        # Of no image too, since the number of classes is the network's.
        for batch in images.batches(batch_size) if len(images) else (images.blank(),):
            logits = nets.g(nets.f(to_float(batch, transform, device)))
            parts.append(logits.float().softmax(dim=1).cpu())
    probs: NDArray[np.float32] = torch.cat(parts).numpy()[: len(images)]
    return probs


@dataclass(frozen=True)
class Reweighting:
    """Input of ``val_reweighted`` besides the images.

    Attributes:
        target: Law of the bias attribute to estimate under, ``[B]``, sums to 1; None = its own law in the images.
        groups: Group (patient) of each validation image, ``[N]``, in the images' order.
    """

    target: NDArray[np.float64] | None
    groups: NDArray[np.int64]


def reweighting(view: DataView, images: ImageSet) -> Reweighting:
    """Collect what ``val_reweighted`` needs besides these validation images.

    Args:
        view: The data.
        images: ``view.validation("val_reweighted")``.

    Returns:
        The target law of the bias (the data set's ``reweighting_target``, else that of the images) and the groups.

    Raises:
        InputError: A class has no image of a bias value that the target law contains, as at full bias.
    """
    labels, bias = images.labels.numpy(), images.attribute.numpy()
    target = view.dataset.reweighting_target
    if target is None:
        target = np.bincount(bias) / len(bias)
    bias_weights(labels, bias, target)
    return Reweighting(target, view.dataset.groups()[images.index.numpy()])


def validation_sets(view: DataView) -> dict[Rule, ImageSet]:
    """Paint the validation images of every rule of the data set, once a trial.

    Rules that look at the same images share one object, so that ``validation_values`` predicts them once.

    Args:
        view: The data.

    Returns:
        The images of each rule, by its name.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> view = DataView(load_dataset("coloured_digits"), {"color_variance": 0.02}, 0, None, "search")
        >>> {rule: len(images) for rule, images in validation_sets(view).items()}
        {'val_counterfactual': 500, 'val_biased': 500, 'val_unbiased': 500}
    """
    sets: dict[Rule, ImageSet] = {}
    for rule in view.dataset.rules:
        twin: Rule | None = {"val_reweighted": "val_biased", "val_biased": "val_reweighted"}.get(rule)  # type: ignore[assignment]
        if view.dataset.unbiased_is_independent and rule in ("val_unbiased", "val_counterfactual"):
            twin = "val_counterfactual" if rule == "val_unbiased" else "val_unbiased"
        sets[rule] = sets[twin] if twin in sets else view.validation(rule)
    return sets


def validation_values(
    nets: Nets,
    sets: Mapping[Rule, ImageSet],
    metric: Scored,
    transform: Transform | None = None,
    device: torch.device | str = "cpu",
    reweighting: Reweighting | None = None,
) -> dict[str, float | None]:
    """Compute the ``val_*`` columns of a row.

    Args:
        nets: The networks.
        sets: Images of each rule, from ``validation_sets``.
        metric: The sweep's metric, as ``scored`` gives it.
        transform: The method's transform of float images, or None.
        device: Where f and g live.
        reweighting: Needed where ``sets`` holds ``val_reweighted``.

    Returns:
        One value for each rule of ``sets``, and ``val_reweighted_se`` and ``val_reweighted_n_eff`` with
        ``val_reweighted``; None where undefined.

    Raises:
        InputError: ``val_reweighted`` without ``reweighting``.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> view = DataView(load_dataset("coloured_digits"), {"color_variance": 0.02}, 0, None, "search")
        >>> nets = Nets(torch.nn.Flatten(), torch.nn.Linear(3 * 14 * 14, 10), None)
        >>> sorted(validation_values(nets, validation_sets(view), "accuracy"))
        ['val_biased', 'val_counterfactual', 'val_unbiased']
    """
    known: dict[int, NDArray[np.float32]] = {}
    values: dict[str, float | None] = {}
    for rule, images in sets.items():
        if id(images) not in known:
            known[id(images)] = predict(nets, images, transform, device)
        probs, labels = known[id(images)], images.labels.numpy()
        if rule != "val_reweighted":
            values[rule] = _defined(score(metric, probs, labels, weights_of(images), images.attribute.numpy()))
            continue
        if reweighting is None:
            raise InputError("val_reweighted needs the groups of the validation images: pass reweighting")
        bias = images.attribute.numpy()
        target = reweighting.target
        if target is None:
            target = np.bincount(bias) / len(bias)
        result = reweighted(metric, probs, labels, bias, target, reweighting.groups)
        values[rule] = _defined(result.estimate)
        values["val_reweighted_se"] = _defined(result.se)
        values["val_reweighted_n_eff"] = _defined(result.n_eff)
    return values


def test_report(
    nets: Nets,
    view: DataView,
    transform: Transform | None,
    metric: Metric,
    device: torch.device | str = "cpu",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate a confirm trial on the test images.

    Worst-group accuracy takes the groups (class, ``dataset.worst_group_by``) over ``dataset.worst_group_variants``.

    Args:
        nets: The networks.
        view: A confirm view of the data.
        transform: The method's transform of float images, or None.
        metric: The sweep's metric; the columns hold all of them, whichever it is.
        device: Where f and g live.

    Returns:
        The test columns of the ``trials`` table (None where undefined), and the columns of the ``predictions`` table
        without ``trial_id``: one entry for each image and variant.

    Raises:
        InputError: The view is one of the search phase, which never sees test data.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> view = DataView(load_dataset("coloured_digits"), {"color_variance": 0.02}, 0, None, "confirm")
        >>> nets = Nets(torch.nn.Flatten(), torch.nn.Linear(3 * 14 * 14, 10), None)
        >>> columns, predictions = test_report(nets, view, None, "accuracy")
        >>> columns["n_test"], len(predictions["predicted"])
        (1000, 4000)
    """
    dataset = view.dataset
    names = list(VARIANTS)
    sets: dict[str, ImageSet] = {}
    probs: dict[str, NDArray[np.float32]] = {}
    for name in dict.fromkeys((*names, *(dataset.flip_pair or ()))):
        if name == "independent" and dataset.unbiased_is_independent:
            sets[name], probs[name] = sets["unbiased"], probs["unbiased"]
            continue
        sets[name] = view.test(name)
        probs[name] = predict(nets, sets[name], transform, device)
    labels = {name: sets[name].labels.numpy() for name in sets}
    predicted = {name: probs[name].argmax(axis=1) for name in sets}
    weights = {name: weights_of(sets[name]) for name in sets}

    unbiased = probs["unbiased"], labels["unbiased"], weights["unbiased"]
    by_class = recalls(*unbiased)
    columns: dict[str, Any] = {
        "test_accuracy": accuracy(*unbiased),
        "test_balanced_accuracy": balanced_accuracy(*unbiased),
        "test_auroc": auroc(*unbiased),
        **{
            f"test_{name}_accuracy": accuracy(probs[name], labels[name], weights[name])
            for name in names
            if name != "unbiased"
        },
        "test_worst_group_accuracy": _worst_group(sets, predicted, dataset),
        "test_worst_class_accuracy": float(np.nanmin(by_class)) if not np.isnan(by_class).all() else float("nan"),
        "flip_rate": flip_rate(*(predicted[name] for name in dataset.flip_pair)) if dataset.flip_pair else None,
        "ece": calibration_error(*unbiased),
        # Of a sum of weighted draws no law is exact.
        "ece_null": calibration_error_null(probs["unbiased"]) if weights["unbiased"] is None else None,
        "confidence_gap": confidence_gap(*unbiased),
        "test_brier": brier(*unbiased),
        "test_log_loss": log_loss(*unbiased),
        **{f"recall_{name}": float(recall) for name, recall in zip(dataset.classes, by_class, strict=True)},
        "n_test": len(labels["unbiased"]),
    }
    columns = {name: _defined(value) if isinstance(value, float) else value for name, value in columns.items()}

    images, patients = dataset.image_keys(), dataset.patient_keys()
    index = np.concatenate([sets[name].index.numpy() for name in names])
    stacked = np.concatenate([probs[name] for name in names])
    predictions: dict[str, Any] = {
        "variant": [name for name in names for _ in range(len(sets[name]))],
        "image": [images[i] for i in index],
        "patient": [None if patients is None else patients[i] for i in index],
        "label": np.concatenate([labels[name] for name in names]),
        "attribute": np.concatenate([sets[name].attribute.numpy() for name in names]),
        "predicted": np.concatenate([predicted[name] for name in names]).astype(np.int64),
        **_weight_column([sets[name] for name in names]),
        **{f"p_{name}": np.ascontiguousarray(stacked[:, k]) for k, name in enumerate(dataset.classes)},
    }
    return columns, predictions


def weights_of(images: ImageSet) -> NDArray[np.float64] | None:
    """Weight of each image, float64 ``[N]``, or None where each counts 1."""
    return None if images.weights is None else images.weights.numpy().astype(np.float64)


def _weight_column(sets: Sequence[ImageSet]) -> dict[str, NDArray[np.float64]]:
    """The column ``weight``, where some image has another weight than 1."""
    weights = [weights_of(images) for images in sets]
    if all(one is None for one in weights):
        return {}
    both = zip(weights, sets, strict=True)
    return {"weight": np.concatenate([np.ones(len(images)) if w is None else w for w, images in both])}


def _worst_group(sets: Mapping[str, ImageSet], predicted: Mapping[str, NDArray[np.int64]], dataset: Dataset) -> float:
    variants = dataset.worst_group_variants
    y = np.concatenate([sets[name].labels.numpy() for name in variants])
    right = np.concatenate([predicted[name] for name in variants]) == y
    if dataset.worst_group_by == "attribute":
        b, values = np.concatenate([sets[name].attribute.numpy() for name in variants]), max(1, len(dataset.attributes))
    else:
        b, values = np.repeat(np.arange(len(variants)), [len(sets[name]) for name in variants]), len(variants)
    return worst_group_accuracy(right, y * values + b)


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value

"""Strength of a bias, the share of the class that the attribute tells, of drawn images and of the data as they are.

Everywhere: K classes, B values of the attribute; ``counts`` int64 ``[K, B]``, images by class and attribute; ``own``
int64 ``[K]``, the attribute that is each class's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainable.data.table.law import Floats, Ints, counts_of

_INDEPENDENT = 1e-9
_Z = 1.959963984540054


def joint_law(counts: Ints, own: Ints, rho: Floats) -> Floats:
    """Law of (class, attribute) in the set that is drawn.

    Args:
        counts: ``[K, B]``, of all the data.
        own: ``[K]``.
        rho: ``[K]``.

    Returns:
        ``[K, B]``, sum 1. A class without any conflicting image has its others in equal parts.

    Example:
        >>> joint_law(np.array([[90, 10], [20, 80]]), np.array([0, 1]), np.array([0.75, 0.75])).tolist()
        [[0.375, 0.125], [0.125, 0.375]]
    """
    rows = np.arange(len(own))
    others = counts.astype(np.float64)
    others[rows, own] = 0
    alone = others.sum(axis=1) == 0
    others[alone] = 1
    others[rows, own] = 0
    total = others.sum(axis=1, keepdims=True)
    law: Floats = np.divide(others, total, out=np.zeros_like(others), where=total > 0) * (1 - rho)[:, None]
    law[rows, own] = rho
    return np.asarray(law * (counts.sum(axis=1) / counts.sum())[:, None], dtype=np.float64)


def strength(joint: Floats) -> NDArray[np.float64]:
    """Strength of a bias: how much of the class the attribute alone tells.

    It is I(b; y) / H(y).

    Args:
        joint: Law, or counts, of (class, attribute), ``[..., K, B]``.

    Returns:
        ``[...]`` in [0, 1]; 0 where there is one class.

    Example:
        >>> [round(float(strength(np.array([[a, 0.5 - a], [0.5 - a, a]]))), 3) for a in (0.25, 0.45, 0.5)]
        [0.0, 0.531, 1.0]
    """
    p = joint / joint.sum(axis=(-2, -1), keepdims=True)
    of_class = _entropy(p.sum(axis=-1))
    information = of_class + _entropy(p.sum(axis=-2)) - _entropy(p.reshape(*p.shape[:-2], -1))
    ratio = np.divide(information, of_class, out=np.zeros_like(of_class), where=of_class > 0)
    return np.asarray(np.clip(ratio, 0, 1))


def _entropy(law: Floats) -> NDArray[np.float64]:
    # The limit of p log p at 0 is 0.
    logs = np.log(law, out=np.zeros_like(law), where=law > 0)
    return np.asarray(-(law * logs).sum(axis=-1), dtype=np.float64)


def unbiased_share(counts: Ints, own: Ints) -> float | None:
    """The rho at which the attribute tells nothing of the class.

    Two values of the attribute have it at 1/2. With more there is one only where the conflicting images of the classes
    have the proportions that it needs.

    Args:
        counts: ``[K, B]``, of all the data.
        own: ``[K]``.

    Returns:
        The value; None where there is none.

    Example:
        >>> unbiased_share(np.array([[90, 10], [20, 80]]), np.array([0, 1]))
        0.5
        >>> unbiased_share(np.array([[90, 5, 5], [3, 80, 30], [10, 10, 90]]), np.arange(3)) is None
        True
    """
    others = joint_law(counts, own, np.zeros(len(own)))
    for k in range(len(own)):
        other = int(np.argmax(own != own[k]))
        if own[other] == own[k]:
            continue
        # Of the own attribute of class k, class k has rho, and the other class (1 - rho) times its part in the others.
        part = others[other, own[k]] / others[other].sum()
        rho = part / (1 + part)
        if strength(joint_law(counts, own, np.full(len(own), rho))) < _INDEPENDENT:
            return float(rho)
    return None


def independence_weights(labels: Ints, attribute: Ints, n_classes: int, n_attributes: int) -> Floats | None:
    """Weights under which the attribute is independent of the class: p(b) p(y) / p(y, b).

    An attribute that some class lacks counts 0, since no weight gives that class images of it.

    Args:
        labels: ``[N]``.
        attribute: ``[N]``.
        n_classes: K; classes without any image are left out.
        n_attributes: B.

    Returns:
        ``[N]``, mean 1; None where no attribute occurs in every class.

    Example:
        >>> labels, attribute = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 0, 1, 1])
        >>> independence_weights(labels, attribute, 2, 2).tolist()
        [0.75, 0.75, 1.5, 1.5, 0.75, 0.75]
    """
    counts = counts_of(labels, attribute, n_classes, n_attributes)
    of_class = counts.sum(axis=1)
    shared = (counts[of_class > 0] > 0).all(axis=0)
    if not len(labels) or not shared.any():
        return None
    target = np.where(shared, counts.sum(axis=0), 0)
    of_group = np.divide(
        target[None] / target.sum() * of_class[:, None], counts, out=np.zeros(counts.shape), where=counts > 0
    )
    return np.asarray(of_group[labels, attribute], dtype=np.float64)


@dataclass(frozen=True)
class Natural:
    """Bias of images as they were collected: rho and its strength, each with a 95 % interval (low, high)."""

    rho: float
    interval: tuple[float, float]
    strength: float
    strength_interval: tuple[float, float]


def natural_bias(labels: Ints, attribute: Ints, groups: Ints, own: Ints, varies: NDArray[np.bool_]) -> Natural:
    """Measure the bias of the images as they are, with intervals for other patients.

    The variance is a stratified jackknife over patients (one is left out and the others of its class stand in for it),
    not a bootstrap: it needs no draws, and both figures are smooth functions of the counts. The interval of rho is
    Wilson's with the number of images that has this variance (one image a patient where it is 0), that of the strength
    1.96 standard errors, cut at 0 and 1.

    Args:
        labels: ``[N]``.
        attribute: ``[N]``.
        groups: Patient of each image, ``[N]``.
        own: ``[K]``.
        varies: bool ``[K]``, the classes whose share rho is.

    Returns:
        Both figures; rho is the share of aligned images among those of the classes that vary.

    Example:
        >>> labels, attribute = np.repeat([0, 1], 50), np.array([0] * 40 + [1] * 10 + [1] * 40 + [0] * 10)
        >>> natural = natural_bias(labels, attribute, np.arange(100), np.array([0, 1]), np.array([True, True]))
        >>> natural.rho, [round(float(x), 2) for x in natural.interval], round(natural.strength, 3)
        (0.8, [0.71, 0.87], 0.278)
    """
    k, b = len(own), int(max(attribute.max(), own.max())) + 1
    _, patient = np.unique(groups, return_inverse=True)
    n_patients = int(patient.max()) + 1
    # Counts of each patient, [P, K * B]; a patient belongs to the class of most of its images.
    of_patient = np.zeros((n_patients, k * b))
    np.add.at(of_patient, (patient, labels * b + attribute), 1.0)
    stratum = of_patient.reshape(-1, k, b).sum(axis=2).argmax(axis=1)
    total = of_patient.sum(axis=0)
    values, left_out, weight = _figures(total, own, varies), [], []
    for y in np.unique(stratum):
        members = np.flatnonzero(stratum == y)
        p = len(members)
        if p < 2:
            continue
        of_class = of_patient[members].sum(axis=0)
        stood_in = total - of_class + p / (p - 1) * (of_class - of_patient[members])
        figures = _figures(stood_in, own, varies)
        left_out.append(((figures - figures.mean(axis=0)) ** 2).sum(axis=0))
        weight.append((p - 1) / p)
    variance = sum((w * v for w, v in zip(weight, left_out, strict=True)), np.zeros(2))
    rho, bias = float(values[0]), float(values[1])
    # Python's own floats: the sheet of a sweep takes no others.
    n = rho * (1 - rho) / float(variance[0]) if variance[0] > 1e-15 else float(n_patients)
    half = _Z * math.sqrt(variance[1])
    return Natural(rho, _wilson(rho, n), bias, (max(0.0, bias - half), min(1.0, bias + half)))


def _figures(counts: Floats, own: Ints, varies: NDArray[np.bool_]) -> Floats:
    table = counts.reshape(*counts.shape[:-1], len(own), -1)
    aligned = table[..., np.arange(len(own)), own][..., varies].sum(axis=-1)
    return np.stack([aligned / table[..., varies, :].sum(axis=(-2, -1)), strength(table)], axis=-1)


def _wilson(share: float, n: float) -> tuple[float, float]:
    centre, spread = share + _Z**2 / (2 * n), _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + _Z**2 / n)), min(1.0, (centre + spread) / (1 + _Z**2 / n))

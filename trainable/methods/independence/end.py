"""EnD: entangling and disentangling (Tartaglione, Barbano & Grangetto, CVPR 2021, arXiv 2103.02023).

On the unit sphere, with G_ij the cosine of z_i and z_j, images of one bias are made orthogonal on average, so that the
bias names no direction, and images of one class with different biases are made parallel:

    R_orth = sum over b of | sum of G_ij over pairs i < j with b_i = b_j = b |  /  M,     M = number of all such pairs
    R_par  = 1 - mean of (1 + G_ij) / 2 over pairs i < j with y_i = y_j and b_i != b_j

    theta_f: min L_c + alpha * R_orth + beta * R_par,   theta_g: min L_c

This is what the authors' code (EIDOSLAB/entangling-disentangling-bias) computes, but for one thing: of the pairs of
R_par it takes those alone whose later image has the lower of the two bias values, about half of them. It searches alpha
and beta uniformly in [0, 1]. M counts the pairs of all bias values together, so that a frequent value weighs more; a
mean over bias values of |sum| / M_b would give each the same weight.

At full bias it is half alive: no two images of one class differ in their bias, R_par has no pair, and is 0. R_orth,
blind to the class, works on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainable.methods.base import Batch, Losses, Nets, Range, register_method
from trainable.methods.independence.matrices import equal, labelled
from trainable.methods.independence.penalty import Penalty, penalised_step


def cosines(z: Tensor) -> Tensor:
    """G: cosines of all pairs.

    They are 0, with the gradient 0, where one of the two is the zero vector.

    Args:
        z: Features, float ``[B, C]``.

    Returns:
        float ``[B, B]`` in [-1, 1].

    Example:
        >>> cosines(torch.tensor([[2.0, 0.0], [0.0, 5.0], [0.0, 0.0]]))
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 0.]])
    """
    length = torch.linalg.vector_norm(z, dim=1, keepdim=True)
    some = length > torch.finfo(z.dtype).tiny
    unit = z / torch.where(some, length, torch.ones_like(length)) * some
    return torch.mm(unit, unit.T)


def disentangling(z: Tensor, b: Tensor) -> Tensor:
    """R_orth: the sum over bias values of |sum of cosines over its pairs|, divided by the number of all such pairs.

    Args:
        z: Features, float ``[B, C]``.
        b: Bias labels, int64 ``[B]``; ``IGNORED`` = none.

    Returns:
        Scalar in [0, 1]; 0 where no two images have the same bias.

    Example:
        >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> float(disentangling(z, torch.tensor([0, 0, 1, 1]))), float(disentangling(z, torch.arange(4)))
        (0.5, 0.0)
    """
    mask = labelled(b, z)
    same = equal(b, mask)
    others = same - torch.diag(mask)
    # Each image holds the sum of its own bias value, over ordered pairs; one of n_b such images counts.
    sums = same @ (cosines(z) * others).sum(dim=1) / 2
    once = mask / same.sum(dim=1).clamp(min=1)
    return (sums.abs() * once).sum() / (others.sum() / 2).clamp(min=1)


def entangling(z: Tensor, y: Tensor, b: Tensor) -> Tensor:
    """R_par: 1 - mean of (1 + cosine) / 2 over pairs of one class with different biases.

    Args:
        z: Features, float ``[B, C]``.
        y: Labels, int64 ``[B]``.
        b: Bias labels, int64 ``[B]``; ``IGNORED`` = none.

    Returns:
        Scalar in [0, 1]; 0 where there is no such pair.

    Example:
        >>> z, y = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), torch.tensor([0, 0, 0])
        >>> float(entangling(z, y, torch.tensor([0, 1, 0]))), float(entangling(z, y, torch.tensor([2, 2, 2])))
        (0.5, 0.0)
    """
    mask = labelled(b, z)
    crossing = equal(y, mask) - equal(b, mask) * equal(y, mask)
    return ((1 - cosines(z)) / 2 * crossing).sum() / crossing.sum().clamp(min=1)


WEIGHT = Range(0.01, 5.0, log=True, least=0.0)


@register_method(
    "end",
    long_name="Entangling and disentangling",
    reference="Tartaglione et al. 2021",
    space={"alpha": WEIGHT, "beta": WEIGHT},
    defaults={"alpha": 0.1, "beta": 0.1},
    needs={"bias_labels"},
    anchor={"alpha": 0.0, "beta": 0.0},
)
def end(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    """Leave the gradients of one step in the parameters.

    theta_f: min L_c + alpha * R_orth + beta * R_par,   theta_g: min L_c

    Args:
        nets: f and g.
        batch: Images, labels and bias labels.
        hyperparameters: ``alpha``, the weight of R_orth, and ``beta``, that of R_par, both >= 0.
        ramp: Share of both weights that is in force, in [0, 1].

    Returns:
        L_c in nats, the total, and the terms ``disentangling`` (R_orth) and ``entangling`` (R_par).
    """
    y = batch.y
    return penalised_step(
        nets,
        batch,
        {
            "disentangling": Penalty(ramp * hyperparameters["alpha"], disentangling),
            "entangling": Penalty(ramp * hyperparameters["beta"], lambda z, b: entangling(z, y, b)),
        },
    )

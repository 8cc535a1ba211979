"""Maximum mean discrepancy between features of images with different biases (Gretton et al. 2012, arXiv 0805.2368).

MMD (Gretton, Borgwardt, Rasch, Schoelkopf & Smola, A Kernel Two-Sample Test, JMLR 13) is the distance of the mean
embeddings of two laws; with a characteristic kernel it is 0 exactly where the laws are the same. Its biased estimate,
which is never negative, over the n_b images of a batch with bias b:

    MMD^2(b, b') = mean k(z, z) within b  +  mean k(z', z') within b'  -  2 mean k(z, z') between them      (5)

    k(z, z') = mean over c in {1/4, 1/2, 1, 2, 4} of exp(-|z - z'|^2 / (2 (c s)^2)),
               s the median distance of the batch, without a gradient

    theta_f: min L_c + lambda * sum over pairs b < b' in the batch of MMD^2(b, b'),   theta_g: min L_c

With w_i = 1 / n_b(i) and the number V of bias values in the batch the sum over all pairs is

    V * sum of w_i w_j k_ij over i, j of equal b  -  sum of w_i w_j k_ij over all i, j

Used as a penalty against shortcuts by Mueller & Berens 2026 (arXiv 2602.18502). At full bias it is alive: it is
marginal, and sees no class. But b is a function of y there, and a large weight takes from z what tells the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trainable.methods.base import Batch, Losses, Nets, Range, register_method
from trainable.methods.independence.matrices import distances, equal, gaussian, labelled, typical_distance
from trainable.methods.independence.penalty import Penalty, penalised_step

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Bandwidths of the mixture, in median distances."""


def mmd_of(z: Tensor, b: Tensor) -> Tensor:
    """Sum of MMD^2(z given b, z given b') over the pairs of bias values that occur.

    Args:
        z: Features, float ``[B, C]``.
        b: Bias labels, int64 ``[B]``; ``IGNORED`` = none.

    Returns:
        Scalar, >= 0 up to rounding; 0 where all features are equal, and where only one bias value occurs.

    Example:
        >>> import torch
        >>> z, b = torch.tensor([[0.0], [0.0], [9.0], [9.0]]), torch.tensor([0, 0, 1, 1])
        >>> round(float(mmd_of(z, b)), 3), float(mmd_of(z, torch.tensor([0, 1, 0, 1])))
        (0.962, 0.0)
    """
    mask = labelled(b, z)
    D, same = distances(z), equal(b, mask)
    s = typical_distance(D, mask)
    k = sum((gaussian(D, c * s) for c in SCALES[1:]), gaussian(D, SCALES[0] * s)) / len(SCALES)
    w = mask / same.sum(dim=1).clamp(min=1)
    weighted = k * w[:, None] * w[None, :]
    return w.sum() * (weighted * same).sum() - weighted.sum()


@register_method(
    "mmd",
    long_name="MMD penalty",
    reference="Gretton et al. 2012, equation 5; Mueller & Berens 2026",
    space={"lambda_": Range(0.05, 5.0, log=True, least=0.0)},
    defaults={"lambda_": 0.5},
    needs={"bias_labels"},
    anchor={"lambda_": 0.0},
)
def mmd(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    """Leave the gradients of one step in the parameters.

    theta_f: min L_c + lambda * sum over pairs of MMD^2,   theta_g: min L_c

    Args:
        nets: f and g.
        batch: Images, labels and bias labels.
        hyperparameters: ``lambda_``, the weight of the sum, >= 0.
        ramp: Share of it that is in force, in [0, 1].

    Returns:
        L_c in nats, the total, and the term ``mmd``.
    """
    return penalised_step(nets, batch, {"mmd": Penalty(ramp * hyperparameters["lambda_"], mmd_of)})

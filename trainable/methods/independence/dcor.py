"""Distance correlation of the features and the bias (Szekely, Rizzo & Bakirov 2007, arXiv 0803.4101).

Used as a penalty against shortcuts in medical images by Mueller & Berens 2026 (arXiv 2602.18502), with lambda = .5.
With the distances a_ij = |z_i - z_j| and b_ij = |e(b_i) - e(b_j)| of features and one-hot bias labels, each centred
over rows and columns,

    A_ij = a_ij - mean_j a_ij - mean_i a_ij + mean a,    B_ij likewise

    dCov^2 = mean(A B)                                                                              (2.8)
    dCor   = sqrt( mean(A B) / sqrt( mean(A A) mean(B B) ) ),    in [0, 1]                          (2.10)

    theta_f: min L_c + lambda * dCor(z, b),   theta_g: min L_c

dCor has no bandwidth and does not change with the scale of z. Its root is steep at 0, and its distances have a kink
there: both gradients are taken as 0 at 0. Where dCor^2 is below the resolution of the numbers it counts as 0.

At full bias it is alive: it is marginal, and sees no class. But b is a function of y there, and a large weight takes
from z what tells the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainable.methods.base import Batch, Losses, Nets, Range, register_method
from trainable.methods.independence.matrices import centred, distances, equal, labelled
from trainable.methods.independence.penalty import Penalty, penalised_step


def dcor_of(z: Tensor, b: Tensor) -> Tensor:
    """Distance correlation dCor(z, b) over the images with a bias label.

    Args:
        z: Features, float ``[B, C]``.
        b: Bias labels, int64 ``[B]``; ``IGNORED`` = none.

    Returns:
        Scalar in [0, 1]; 0 where all features or all labels are equal, and where fewer than two images have a label.

    Example:
        >>> z, b = torch.tensor([[0.0], [0.0], [1.0], [1.0]]), torch.tensor([0, 0, 1, 1])
        >>> float(dcor_of(z, b)), float(dcor_of(z, torch.tensor([0, 1, 0, 1])))
        (1.0, 0.0)
    """
    mask = labelled(b, z)
    A = centred(distances(z), mask)
    # The distance of two different one-hot vectors is sqrt(2); of A and B, their scale falls out.
    B = centred(1 - equal(b, mask), mask)
    # Means over all pairs, whose number falls out too.
    AB, AA, BB = (A * B).sum(), (A * A).sum(), (B * B).sum()
    info = torch.finfo(z.dtype)
    spread = torch.minimum(AA, BB) > info.tiny
    AA, BB = (torch.where(spread, own, torch.ones_like(own)) for own in (AA, BB))
    squared = torch.where(spread, AB, torch.zeros_like(AB)) / (AA.sqrt() * BB.sqrt())
    above = squared > info.eps
    return torch.where(above, torch.where(above, squared, torch.ones_like(squared)).sqrt(), torch.zeros_like(squared))


@register_method(
    "dcor",
    long_name="Distance correlation penalty",
    reference="Szekely et al. 2007, equation 2.10; Mueller & Berens 2026",
    space={"lambda_": Range(0.05, 5.0, log=True, least=0.0)},
    defaults={"lambda_": 0.5},
    needs={"bias_labels"},
    anchor={"lambda_": 0.0},
)
def dcor(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    """Leave the gradients of one step in the parameters.

    theta_f: min L_c + lambda * dCor(z, b),   theta_g: min L_c

    Args:
        nets: f and g.
        batch: Images, labels and bias labels.
        hyperparameters: ``lambda_``, the weight of dCor, >= 0.
        ramp: Share of it that is in force, in [0, 1].

    Returns:
        L_c in nats, the total, and the term ``dcor``.
    """
    return penalised_step(nets, batch, {"dcor": Penalty(ramp * hyperparameters["lambda_"], dcor_of)})

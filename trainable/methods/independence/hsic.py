"""Hilbert-Schmidt independence criterion of the features and the bias (Greenfeld & Shalit 2020, arXiv 1910.00270).

HSIC is the squared Hilbert-Schmidt norm of the cross-covariance operator of two variables; with characteristic kernels
it is 0 exactly where they are independent (Gretton, Bousquet, Smola & Schoelkopf, ALT 2005). Its empirical form over
the n images of a batch is a loss with a gradient:

    HSIC(z, b) = tr(K H L H) / (n - 1)^2,    H = I - 1/n

    K_ij = exp(-|z_i - z_j|^2 / (2 s^2)),  s the median distance of the batch, without a gradient
    L_ij = 1 where b_i = b_j, else 0

    theta_f: min L_c + lambda * HSIC(z, b),   theta_g: min L_c

Greenfeld & Shalit take HSIC of the residual and the input as the whole loss, to be robust to any shift of the input;
here the bias is known, and the same criterion is a penalty between what is known and the features.

At full bias it is alive: it is marginal, and sees no class. But b is a function of y there, and a large weight takes
from z what tells the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trainable.methods.base import Batch, Losses, Nets, Range, register_method
from trainable.methods.independence.matrices import centred, distances, equal, gaussian, labelled, typical_distance
from trainable.methods.independence.penalty import Penalty, penalised_step


def hsic_of(z: Tensor, b: Tensor) -> Tensor:
    """HSIC(z, b) = tr(K H L H) / (n - 1)^2 over the n images with a bias label.

    Args:
        z: Features, float ``[B, C]``.
        b: Bias labels, int64 ``[B]``; ``IGNORED`` = none.

    Returns:
        Scalar, >= 0 up to rounding; 0 where all features or all labels are equal, and where n < 2.

    Example:
        >>> import torch
        >>> z, b = torch.tensor([[0.0], [0.0], [1.0], [1.0]]), torch.tensor([0, 0, 1, 1])
        >>> round(float(hsic_of(z, b)), 4), float(hsic_of(z, torch.tensor([0, 1, 0, 1])))
        (0.1749, 0.0)
    """
    mask = labelled(b, z)
    D = distances(z)
    K, L = gaussian(D, typical_distance(D, mask)), equal(b, mask)
    # tr(K H L H) = sum of (H K H) * L, both being symmetric.
    return (centred(K, mask) * L).sum() / (mask.sum() - 1).clamp(min=1) ** 2


@register_method(
    "hsic",
    long_name="HSIC penalty",
    reference="Greenfeld & Shalit 2020; Gretton et al. 2005, equation 9",
    space={"lambda_": Range(1e-1, 1e3, log=True, least=0.0)},
    defaults={"lambda_": 10.0},
    needs={"bias_labels"},
    anchor={"lambda_": 0.0},
)
def hsic(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    """Leave the gradients of one step in the parameters.

    theta_f: min L_c + lambda * HSIC(z, b),   theta_g: min L_c

    Args:
        nets: f and g.
        batch: Images, labels and bias labels.
        hyperparameters: ``lambda_``, the weight of HSIC, >= 0.
        ramp: Share of it that is in force, in [0, 1].

    Returns:
        L_c in nats, the total, and the term ``hsic``.
    """
    return penalised_step(nets, batch, {"hsic": Penalty(ramp * hyperparameters["lambda_"], hsic_of)})

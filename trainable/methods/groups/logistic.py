"""Logistic regression with an l1 penalty, in float64, by accelerated proximal gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 3000
"""Most steps of a fit."""
_TOLERANCE = 1e-7
_LOOK = 50
"""Steps between two looks at whether the fit has ended."""


def l1_logistic(x: Tensor, y: Tensor, n_classes: int, C: float, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    """Fit the linear classifier z = W x + v with an l1 penalty on W.

        min over W, v of  |W|_1 + C sum_i l(W x_i + v, y_i)

    l is the cross-entropy of softmax(z). With two classes the optimum is that of the logistic regression with one
    vector w = W_1 - W_0 and the penalty |w|_1. v is not penalised. FISTA (Beck & Teboulle 2009) with restarts: a fixed
    step 1 / L, L = C |x|^2 / 2 with the spectral norm of x and its column of ones.

    Args:
        x: float64 ``[n, d]``, standardised.
        y: int64 ``[n]``.
        n_classes: Number of classes.
        C: Inverse strength of the penalty, above 0.
        steps: Most steps; the fit ends before where no weight moves by more than 1e-7 of the largest.

    Returns:
        W, float64 ``[n_classes, d]``, and v, float64 ``[n_classes]``.

    Example:
        >>> x = torch.tensor([[-2.0, 0.1], [-1.0, -0.1], [1.0, 0.1], [2.0, -0.1]], dtype=torch.float64)
        >>> W, v = l1_logistic(x, torch.tensor([0, 0, 1, 1]), 2, C=1.0)
        >>> (W[1] - W[0]).round(decimals=1), bool(v.abs().max() < 1e-6)
        (tensor([1., 0.], dtype=torch.float64), True)
    """
    ones = F.pad(x, (0, 1), value=1.0)
    rate = 2 / (C * torch.linalg.matrix_norm(ones, 2).square())
    onehot = F.one_hot(y, n_classes).to(x.dtype)
    now = ahead = x.new_zeros(n_classes, x.shape[1] + 1)
    momentum = 1.0
    for step in range(1, steps + 1):
        residual = (ones @ ahead.T).softmax(dim=1) - onehot
        moved = ahead - rate * C * residual.T @ ones
        weights = moved[:, :-1]
        new = torch.cat([weights.sign() * F.relu(weights.abs() - rate), moved[:, -1:]], dim=1)
        # Restarted where the momentum leads uphill (O'Donoghue & Candes 2015).
        uphill = ((ahead - new) * (new - now)).sum() > 0
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        share = 0.0 if uphill else (momentum - 1) / following
        momentum = 1.0 if uphill else following
        change = (new - now).abs().max()
        ahead, now = new + share * (new - now), new
        if step % _LOOK == 0 and change <= _TOLERANCE * now.abs().max().clamp(min=1e-3):
            break
    return now[:, :-1], now[:, -1]

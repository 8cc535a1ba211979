"""Reversed bias heads alone (Peretz 2020).

The gradient reversal is that of Ganin & Lempitsky, ICML 2015, arXiv 1409.7495.

One head for each bias is trained jointly with f and g; f receives its gradient with the sign reversed. It is ``lnl``
without the mutual-information term: lambda = 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainable.methods.adversary_options import ADAPTIVE
from trainable.methods.base import LEARNING_RATE, PRESSURE, Batch, Losses, Nets, register_method
from trainable.methods.lnl import lnl


@register_method(
    "grl",
    long_name="Reversed bias heads",
    reference="Peretz 2020; Ganin & Lempitsky 2015, equation 13",
    space={"mu": PRESSURE, "lr_bias": LEARNING_RATE},
    defaults={"mu": 1.0, "lr_bias": 1e-3},
    adversarial=True,
    anchor={"mu": 0.0},
    options={"adaptive": ADAPTIVE},
)
def grl(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    """Leave the gradients of one step in the parameters, with the reversed gradient of L_B at f.

    theta_f: min L_c - mu * L_B,   theta_g: min L_c,   theta_h: min L_B   (Ganin & Lempitsky 2015, equation 13)

    Args:
        nets: f, g and h.
        batch: Images, labels and bias labels.
        hyperparameters: ``mu``, the factor of the reversal, >= 0; ``adaptive`` as for ``lnl``.
        ramp: Share of it that is in force, in [0, 1].

    Returns:
        The terms, in nats; L_MI is reported though f does not minimise it.
    """
    return lnl(nets, batch, {**hyperparameters, "lambda_": 0.0}, ramp)

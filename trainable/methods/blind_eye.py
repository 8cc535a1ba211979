"""Turning a Blind Eye (Alvi, Zisserman & Nellaker, ECCV workshops 2018, arXiv 1809.02169).

h learns to tell the bias; f is trained towards features on which h's prediction is uniform, by a confusion loss, the
cross-entropy between the uniform distribution and Q. The authors alternate the two; here both gradients are taken at
the same point, as in ``lnl``, so that the two methods differ in the loss alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainable.methods.adversary import adversary, confusion_loss, label_loss
from trainable.methods.adversary_options import ADAPTIVE, send_back_by
from trainable.methods.base import LEARNING_RATE, PRESSURE, Batch, Losses, Nets, register_method


@register_method(
    "blind_eye",
    long_name="Turning a Blind Eye",
    reference="Alvi et al. 2018, equations 3 to 5",
    space={"lambda_": PRESSURE, "lr_bias": LEARNING_RATE},
    defaults={"lambda_": 1.0, "lr_bias": 1e-3},
    adversarial=True,
    anchor={"lambda_": 0.0},
    options={"adaptive": ADAPTIVE},
)
def blind_eye(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    """Leave the gradients of one step in the parameters, with the confusion loss at f.

    theta_f: min L_c + lambda * L_conf,   theta_g: min L_c,   theta_h: min L_B   (equations 3 to 5)

    Args:
        nets: f, g and h.
        batch: Images, labels and bias labels.
        hyperparameters: ``lambda_``, the weight of the confusion loss (the paper's alpha), >= 0; ``adaptive`` as
            for ``lnl``.
        ramp: Share of it that is in force, in [0, 1].

    Returns:
        The terms, in nats; ``mi`` is L_MI, as for every method with a head, not the confusion loss.
    """
    assert nets.h is not None
    feat = nets.f(batch.x)
    logits = nets.g(feat)
    L_c = label_loss(logits, batch)

    from_h = adversary(nets.h, feat, batch, ramp * hyperparameters["lambda_"], 0.0, confusion_loss)
    send_back_by(hyperparameters.get("adaptive", False), L_c, feat, from_h.gradient, nets.f)

    L_c = L_c.detach()
    return Losses(logits.detach(), L_c, from_h.mi, from_h.bias, from_h.bias_correct, L_c + from_h.total)

"""Plain training, and its two counterparts on images that carry no bias, or none of the trial's.

``ceiling`` is what the same network reaches where there is nothing to unlearn. ``uncoloured`` trains on images that are
never annotated, which is no ceiling where the test images are: other colours are new to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import autograd

from trainable.methods.adversary import label_loss
from trainable.methods.base import Batch, Losses, Nets, register_method


def erm(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    """Empirical risk minimisation: theta_f, theta_g: min L_c.

    Args:
        nets: f and g; h is not used.
        batch: Images and labels; the bias labels are not used.
        hyperparameters: Not used.
        ramp: Not used.

    Returns:
        L_c, in nats.

    Example:
        >>> import torch
        >>> nets = Nets(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2), None)
        >>> losses = erm(nets, Batch(torch.zeros(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]), torch.empty(0)), {}, 1.0)
        >>> losses.logits.shape, nets.g.weight.grad is None
        (torch.Size([4, 2]), False)
    """
    logits = nets.g(nets.f(batch.x))
    L_c = label_loss(logits, batch)
    autograd.backward(L_c)
    return Losses(logits=logits.detach(), label=L_c.detach())


register_method("erm", long_name="Plain training", reference="Vapnik 1991, empirical risk minimisation")(erm)

register_method(
    "ceiling",
    long_name="Ceiling (trained without bias)",
    reference="Empirical risk minimisation on images drawn like the unbiased test variant",
    training_draw="unbiased",
)(erm)

register_method(
    "uncoloured",
    long_name="Trained on unannotated images",
    reference="Empirical risk minimisation on images without any annotation",
    training_draw="clean",
)(erm)

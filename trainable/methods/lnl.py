"""Learning Not to Learn (Kim, Kim, Kim, Kim & Kim, CVPR 2019, arXiv 1812.10352), and its control.

A network x -> f(x) -> g(f(x)) should tell the label y without using the bias b. A head h guesses b from the features,
Q(b | f(x)) = softmax(h(f(x))), and f is trained so that the features tell h nothing:

    min over f, g of  E[L_c(y, g(f(x)))] + lambda * I(b(X); f(X))                                   (2)

H(b) being constant, the mutual information is replaced by the negative conditional entropy of Q,

    L_MI = E[ sum_b Q(b | f(x)) log Q(b | f(x)) ],   least, -log K, where Q is uniform               (4)

which is worth something only while Q predicts as well as it can. So h minimises its cross-entropy L_B, and f maximises
it, through a gradient reversed with strength mu:

    theta_g: min L_c      theta_f: min L_c + lambda L_MI - mu L_B      theta_h: min L_B              (6)

The authors' code steps twice a batch; here all three take the gradients of the same point, in one forward. Both weights
rise from 0 with Ganin & Lempitsky's ramp. At full bias b is a function of y, and a perfect f could not tell y: what LNL
gains there is incomplete unlearning, and accuracy against lambda is an inverted U, which the search range brackets.

Two options, off by default. ``target: prior`` replaces L_MI by KL(Q || p(b)) with the shares p(b) of the bias labels in
training: with an unbalanced b the uniform Q lies past independence. ``adaptive: true`` clips what f receives from h to
the norm of the gradient of L_c, tensor by tensor, so that no lambda or mu drowns the label loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainable.methods.adversary import LossOnQ, adversary, label_loss, negative_conditional_entropy
from trainable.methods.adversary_options import ADAPTIVE, divergence_from, send_back_by
from trainable.methods.base import LEARNING_RATE, PRESSURE, Batch, Choices, Losses, Nets, register_method


def lnl(nets: Nets, batch: Batch, hyperparameters: Mapping[str, Any], ramp: float) -> Losses:
    """Leave the gradients of one step of equation 6 in the parameters.

    Args:
        nets: f, g and h.
        batch: Images, labels and bias labels.
        hyperparameters: ``lambda_`` (weight of L_MI) and ``mu`` (strength of the reversed gradient), both >= 0;
            ``target``, ``uniform`` (L_MI) or ``prior`` (KL to p(b)); ``adaptive``, True or False.
        ramp: Share of both weights that is in force, in [0, 1].

    Returns:
        The terms, in nats; ``mi`` is L_MI, whichever target f has.

    Example:
        >>> import torch
        >>> class Head(torch.nn.Linear):
        ...     def forward(self, z, places):
        ...         return super().forward(z).unsqueeze(1)
        >>> f = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4))
        >>> nets, y = Nets(f, torch.nn.Linear(4, 2), Head(4, 2)), torch.tensor([0, 1])
        >>> losses = lnl(nets, Batch(torch.rand(2, 3, 8, 8), y, y[:, None]), {"lambda_": 2.0, "mu": 1.0}, ramp=0.5)
        >>> torch.allclose(losses.total, losses.label + 1.0 * losses.mi - 0.5 * losses.bias)
        True
    """
    lambda_, mu = ramp * hyperparameters["lambda_"], ramp * hyperparameters["mu"]
    assert nets.h is not None

    feat = nets.f(batch.x)
    logits = nets.g(feat)
    L_c = label_loss(logits, batch)

    loss_on_q: LossOnQ = negative_conditional_entropy
    if hyperparameters.get("target") == "prior":
        assert batch.label_counts is not None
        loss_on_q = divergence_from(batch.label_counts())
    from_h = adversary(nets.h, feat, batch, lambda_, mu, loss_on_q)  # theta_h: L_B
    # theta_g: L_c; theta_f: all three
    send_back_by(hyperparameters.get("adaptive", False), L_c, feat, from_h.gradient, nets.f)

    L_c = L_c.detach()
    return Losses(
        logits=logits.detach(),
        label=L_c,
        mi=from_h.mi,
        bias=from_h.bias,
        bias_correct=from_h.bias_correct,
        total=L_c + from_h.total,
    )


SPACE = {"lambda_": PRESSURE, "mu": PRESSURE, "lr_bias": LEARNING_RATE}
DEFAULTS = {"lambda_": 1.0, "mu": 1.0, "lr_bias": 1e-3}
ANCHOR = {"lambda_": 0.0, "mu": 0.0}
OPTIONS = {"target": Choices(("uniform", "prior")), "adaptive": ADAPTIVE}

register_method(
    "lnl",
    long_name="Learning Not to Learn",
    reference="Kim et al. 2019, equations 2 to 6",
    space=SPACE,
    defaults=DEFAULTS,
    adversarial=True,
    anchor=ANCHOR,
    options=OPTIONS,
)(lnl)

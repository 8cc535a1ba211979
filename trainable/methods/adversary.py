"""Parts of the methods with a bias head: losses on Q(b | f(x)), and their gradients in one forward pass.

Three players, three objectives (Kim et al. 2019, equations 3 to 6; gradient reversal: Ganin & Lempitsky 2015):

    theta_g:  min  L_c
    theta_f:  min  L_c + lambda * L_MI - mu * L_B
    theta_h:  min  L_B

The usual way to give f and h opposite gradients runs the features twice, or once with a layer that flips a sign.
Neither is needed. With z = f(x) cut off from the graph and q = h(z), both losses have a closed gradient on q; pulled
back through h, to its parameters for theta_h and to z for theta_f, they are the exact gradients of all three lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainable.data.base import IGNORED
from trainable.methods.base import Batch


def label_loss(logits: Tensor, batch: Batch) -> Tensor:
    """L_c: the cross-entropy of the label, weighted by class where the batch says so.

    Args:
        logits: float ``[B, classes]``.
        batch: Its labels and class weights.

    Returns:
        Scalar, nats.

    Example:
        >>> batch = Batch(torch.zeros(2, 3, 8, 8), torch.tensor([0, 1]), torch.tensor([[0], [1]]))
        >>> round(float(label_loss(torch.zeros(2, 2), batch)), 3)
        0.693
    """
    return F.cross_entropy(logits, batch.y, weight=batch.class_weight)


def counted(batch: Batch) -> tuple[Tensor | None, Tensor]:
    """Choose the places at which h is asked, and the bias labels there.

    Args:
        batch: Its bias labels.

    Returns:
        ``places``, bool ``[B, H', W']``: positions where any head has a label (None for labels of the whole image), and
        the labels, int64 ``[M, heads]``; some may still be ``IGNORED``.

    Example:
        >>> batch = Batch(torch.zeros(2, 3, 8, 8), torch.tensor([0, 1]), torch.tensor([[0], [1]]))
        >>> counted(batch)
        (None, tensor([[0],
                [1]]))
    """
    b = batch.b
    if b.dim() == 2:
        return None, b.long()
    places = b.amax(dim=1) > IGNORED if batch.places is None else batch.places
    rows = b.permute(0, 2, 3, 1).reshape(-1, b.shape[1])
    return places, rows.index_select(0, places.reshape(-1).nonzero().squeeze(1)).long()


@dataclass(frozen=True)
class Prediction:
    """Prediction of h on a batch, with everything that its losses need.

    There are M * heads predictions, of which some are not counted.

    Attributes:
        log_Q: float32 ``[M, heads, values]``, log Q(b | f(x)) by log_softmax: finite where Q itself saturates.
        Q: float32 ``[M, heads, values]``.
        labels: int64 ``[M, heads]``, ``IGNORED`` replaced by 0.
        mask: float32 ``[M, heads]``, 1 = counted.
    """

    log_Q: Tensor
    Q: Tensor
    labels: Tensor
    mask: Tensor

    @classmethod
    def of(cls, q: Tensor, labels: Tensor) -> Prediction:
        """Build from h's logits ``[M, heads, values]`` and the labels ``[M, heads]``."""
        log_Q = q.detach().log_softmax(dim=-1)
        return cls(log_Q, log_Q.exp(), labels.clamp(min=0), (labels != IGNORED).to(log_Q.dtype))


LossOnQ = Callable[[Prediction], tuple[Tensor, Tensor]]
"""prediction -> (loss, its gradient on the logits q)."""


def bias_loss(p: Prediction) -> tuple[Tensor, Tensor]:
    """L_B: the sum over heads of the mean cross-entropy over the counted places.

    dL_B/dq = (Q - onehot(b)) / count.

    A head without a counted place contributes nothing: a bias label that is constant is masked as a whole.

    Args:
        p: h's prediction.

    Returns:
        Scalar in nats, and its gradient ``[M, heads, values]``.

    Example:
        >>> uniform = Prediction.of(torch.zeros(2, 1, 2), torch.tensor([[0], [1]]))
        >>> loss, gradient = bias_loss(uniform)
        >>> round(float(loss), 3), gradient.round(decimals=3).tolist()
        (0.693, [[[-0.25, 0.25]], [[0.25, -0.25]]])
    """
    weight = p.mask / p.mask.sum(dim=0).clamp(min=1)
    at_label = p.labels.unsqueeze(-1)
    loss = -(p.log_Q.gather(-1, at_label).squeeze(-1) * weight).sum()
    gradient = (p.Q * weight.unsqueeze(-1)).scatter_add_(-1, at_label, -weight.unsqueeze(-1))
    return loss, gradient


def negative_conditional_entropy(p: Prediction) -> tuple[Tensor, Tensor]:
    """L_MI = E[sum_b Q log Q] over counted places and heads (Kim et al. 2019, equation 4).

    It equals I(b; f(x)) up to the constant H(b), and reaches -log K where Q is uniform over K values.
    dL_MI/dq_b = Q_b (log Q_b - sum_c Q_c log Q_c) / count.

    Args:
        p: h's prediction.

    Returns:
        Scalar in nats, in [-log K, 0], and its gradient ``[M, heads, values]``.

    Example:
        >>> uniform = Prediction.of(torch.zeros(2, 1, 2), torch.tensor([[0], [1]]))
        >>> loss, gradient = negative_conditional_entropy(uniform)
        >>> round(float(loss), 3)
        -0.693
    """
    weight = p.mask / p.mask.sum().clamp(min=1)
    minus_entropy = (p.Q * p.log_Q).sum(dim=-1)
    gradient = p.Q * (p.log_Q - minus_entropy.unsqueeze(-1)) * weight.unsqueeze(-1)
    return (minus_entropy * weight).sum(), gradient


def confusion_loss(p: Prediction) -> tuple[Tensor, Tensor]:
    """Cross-entropy of Q against the uniform distribution over counted places and heads (Alvi et al. 2018, equation 4).

    dL/dq = (Q - 1/K) / count: unlike that of L_MI it does not vanish where h is certain.

    Args:
        p: h's prediction.

    Returns:
        Scalar in nats, at least log K, and its gradient ``[M, heads, values]``.

    Example:
        >>> uniform = Prediction.of(torch.zeros(2, 1, 2), torch.tensor([[0], [1]]))
        >>> loss, gradient = confusion_loss(uniform)
        >>> round(float(loss), 3), float(gradient.abs().max()) < 1e-6
        (0.693, True)
    """
    weight = p.mask / p.mask.sum().clamp(min=1)
    gradient = (p.Q - 1 / p.Q.shape[-1]) * weight.unsqueeze(-1)
    return -(p.log_Q.mean(dim=-1) * weight).sum(), gradient


def _pairing(q: Tensor, gradient: Tensor) -> Tensor:
    """A scalar whose gradient on q is the given one: with ``grad_tensors`` torch would import sympy for seconds."""
    return (q * gradient.to(q.dtype)).sum()


def send_back(L_c: Tensor, feat: Tensor, gradient: Tensor | None) -> None:
    """Run the backward pass of L_c, in which f receives a further gradient on its output.

    It takes one pass through g and one through f.

    Args:
        L_c: The label loss, scalar.
        feat: f(x), with its graph.
        gradient: What is added to dL_c/dfeat, in the shape of ``feat``; None adds nothing.

    Example:
        >>> feat = torch.ones(2, requires_grad=True)
        >>> send_back((3 * feat).sum(), feat, torch.ones(2))
        >>> feat.grad
        tensor([4., 4.])
    """
    if gradient is not None:
        feat.register_hook(lambda from_g: from_g + gradient)  # type: ignore[no-untyped-call]
    torch.autograd.backward(L_c)


@dataclass(frozen=True)
class Adversary:
    """Result of one step with h, all detached.

    h's gradients stand in its parameters.

    Attributes:
        gradient: What f receives on its output: lambda * dL/dz - mu * dL_B/dz; None where both weights are 0.
        total: lambda * L - mu * L_B, scalar.
        mi: L_MI, nats, whichever loss pulls at f.
        bias: L_B, nats.
        bias_correct: Correct predictions and how many were counted, both scalar tensors.
    """

    gradient: Tensor | None
    total: Tensor
    mi: Tensor
    bias: Tensor
    bias_correct: tuple[Tensor, Tensor]


def adversary(
    h: nn.Module,
    feat: Tensor,
    batch: Batch,
    lambda_: float,
    mu: float,
    loss_on_q: LossOnQ = negative_conditional_entropy,
) -> Adversary:
    """Run h once: its own gradient, from L_B alone, and the one f receives.

    A term of weight 0 is left out, not multiplied by 0, so that lambda = mu = 0 leaves f exactly as without h.

    Args:
        h: The bias head: ``h(z, places) -> logits [M, heads, values]``.
        feat: f(x), float ``[B, C, ...]``, with its graph.
        batch: Its bias labels.
        lambda_: Weight of ``loss_on_q`` for f, >= 0.
        mu: Strength of the reversed gradient of L_B for f, >= 0.
        loss_on_q: What f minimises besides: L_MI, or the confusion loss.

    Returns:
        The gradient on ``feat`` and the terms.

    Example:
        >>> batch = Batch(torch.zeros(2, 3, 8, 8), torch.tensor([0, 1]), torch.tensor([[0], [1]]))
        >>> class Head(nn.Linear):
        ...     def forward(self, z, places):
        ...         return super().forward(z).unsqueeze(1)
        >>> result = adversary(Head(4, 2), torch.ones(2, 4, requires_grad=True), batch, lambda_=1.0, mu=1.0)
        >>> result.gradient.shape, float(result.mi) <= 0
        (torch.Size([2, 4]), True)
    """
    places, labels = counted(batch)
    z = feat.detach().requires_grad_()
    q = h(z, places)
    p = Prediction.of(q.float() if q.dtype in (torch.bfloat16, torch.float16) else q, labels)
    L_B, dLB_dq = bias_loss(p)
    L_MI, dMI_dq = negative_conditional_entropy(p)
    loss, dL_dq = (L_MI, dMI_dq) if loss_on_q is negative_conditional_entropy else loss_on_q(p)

    pull = [w * g for w, g in ((lambda_, dL_dq), (-mu, dLB_dq)) if w]
    # By inputs, so that the gradient of L_B reaches h alone, and z gets its own below.
    theta_h = [w for w in h.parameters() if w.requires_grad]
    torch.autograd.backward(_pairing(q, dLB_dq), retain_graph=bool(pull), inputs=theta_h)
    gradient = torch.autograd.grad(_pairing(q, sum(pull[1:], pull[0])), z)[0] if pull else None

    at_label = p.log_Q.gather(-1, p.labels.unsqueeze(-1)).squeeze(-1)
    correct = ((at_label >= p.log_Q.amax(dim=-1)) * p.mask).sum()
    return Adversary(gradient, lambda_ * loss - mu * L_B, L_MI, L_B, (correct, p.mask.sum()))

"""Options of the methods with a bias head: another target of Q(b | f(x)), and weights that adapt to the label loss.

They stand apart from ``adversary``, whose source counts as that of every method.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainable.methods.adversary import LossOnQ, Prediction, send_back
from trainable.methods.base import Choices

ADAPTIVE = Choices((False, True))
"""Values of the option ``adaptive``, off by default."""


def divergence_from(counts: Tensor) -> LossOnQ:
    """Make the loss KL(Q || p(b)), with p(b) the shares of the bias labels among the training images.

    L = E[sum_b Q (log Q - log p)],   dL/dq_b = Q_b (log Q_b - log p_b - sum_c Q_c (log Q_c - log p_c)) / count

    With Q = p(b | f(x)) it is I(b; f(x)) itself, and least, 0, where the features say nothing. Where all values are as
    frequent it is L_MI + log K; else L_MI is least at the uniform distribution, which says something: that the image is
    unlike most.

    Args:
        counts: ``[heads, values]``, how often each value occurs; fewer values than h has = the others never do. Each
            counts once more, so that the divergence stays finite.

    Returns:
        The loss: prediction -> (scalar in nats, >= 0, its gradient ``[M, heads, values]``).

    Example:
        >>> prior = Prediction.of(torch.tensor([[[3.0, 1.0]], [[3.0, 1.0]]]).log(), torch.tensor([[0], [1]]))
        >>> loss, gradient = divergence_from(torch.tensor([[2.0, 0.0]]))(prior)
        >>> round(abs(float(loss)), 6), float(gradient.abs().max()) < 1e-6
        (0.0, True)
    """

    def loss(p: Prediction) -> tuple[Tensor, Tensor]:
        every = F.pad(counts, (0, p.Q.shape[-1] - counts.shape[-1])) + 1
        log_prior = (every / every.sum(dim=-1, keepdim=True)).log().to(p.Q.dtype)
        weight = p.mask / p.mask.sum().clamp(min=1)
        ratio = p.log_Q - log_prior
        divergence = (p.Q * ratio).sum(dim=-1)
        return (divergence * weight).sum(), p.Q * (ratio - divergence.unsqueeze(-1)) * weight.unsqueeze(-1)

    return loss


def send_back_clipped(L_c: Tensor, feat: Tensor, gradient: Tensor | None, f: nn.Module) -> None:
    """Run the backward pass of L_c, in which f receives a further gradient no larger than that of L_c.

    With g_c the gradient of L_c and g_a the further one on a parameter tensor of f, the tensor receives

        g_c + g_a * min(1, |g_c| / |g_a|)

    (adaptive gradient clipping, Belghazi et al. 2018, arXiv 1801.04062, used by Ragonesi et al. 2021, arXiv
    2003.06430), whatever the weight of the further gradient. It takes one pass through g and two through f.

    Args:
        L_c: The label loss, scalar.
        feat: f(x), with its graph.
        gradient: The further gradient on ``feat``, in its shape; None = there is none.
        f: The features, whose parameters hold no gradient yet.

    Example:
        >>> f = nn.Linear(1, 1, bias=False)
        >>> feat = f(torch.ones(1, 1))
        >>> send_back_clipped((3 * feat).sum(), feat, torch.full((1, 1), -4.0), f)
        >>> f.weight.grad
        tensor([[0.]])
    """
    if gradient is None:
        send_back(L_c, feat, None)
        return
    torch.autograd.backward(L_c, retain_graph=True)
    # A tensor without a gradient of L_c gets none: the rule makes the further one as small.
    theta_f = [w for w in f.parameters() if w.grad is not None]
    further = torch.autograd.grad(feat, theta_f, gradient, allow_unused=True) if theta_f else ()
    for w, g_a in zip(theta_f, further, strict=True):
        if g_a is None or w.grad is None:
            continue
        of_c, of_a = torch.linalg.vector_norm(w.grad), torch.linalg.vector_norm(g_a)
        w.grad.add_(g_a * (of_c / of_a.clamp(min=torch.finfo(of_a.dtype).tiny)).clamp(max=1))


def send_back_by(adaptive: bool, L_c: Tensor, feat: Tensor, gradient: Tensor | None, f: nn.Module) -> None:
    """Run the backward pass of L_c with a further gradient for f, clipped where the weight is adaptive.

    Args:
        adaptive: Value of the option.
        L_c: The label loss, scalar.
        feat: f(x), with its graph.
        gradient: The further gradient on ``feat``; None = there is none.
        f: The features.

    Example:
        >>> f = nn.Linear(1, 1, bias=False)
        >>> feat = f(torch.ones(1, 1))
        >>> send_back_by(False, (3 * feat).sum(), feat, torch.full((1, 1), -4.0), f)
        >>> f.weight.grad
        tensor([[-1.]])
    """
    if adaptive:
        send_back_clipped(L_c, feat, gradient, f)
    else:
        send_back(L_c, feat, gradient)

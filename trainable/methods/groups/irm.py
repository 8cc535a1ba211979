"""Invariant risk minimisation, IRMv1 (Arjovsky, Bottou, Gulrajani & Lopez-Paz 2019, arXiv 1907.02893).

https://arxiv.org/abs/1907.02893, section 3.1. The environments e are the values of the bias attribute b:

    min over f, g of  sum_e  R^e(z) + lambda || gradient over w of R^e(w z) at w = 1 ||^2              (IRMv1)

z = g(f(x)) are the logits, R^e(w z) the mean cross-entropy of environment e with the logits times the number w. Its
derivative has a closed form, so that one backward pass is enough: with p = softmax(z),

    d/dw l(w z, y) at w = 1  =  sum_k p_k z_k - z_y

Appendix D estimates the squared gradient without bias, as the product of those of two halves of the batch (the square
of one batch's gradient would exceed it by the variance between batches); here each environment's images are halved in
turn, and one with a single image in the batch adds no penalty. A product may be negative, as any estimate of what is
near 0.

As in the authors' code for colored MNIST both sums are means over the environments, here those in the batch; the weight
of the penalty is 1 for the first ``anneal`` of the trial's steps, then ``a`` = lambda (in place of the sweep's
``training.ramp``); and where the weight exceeds 1, the whole loss is divided by it, so that gradients stay in
proportion. ``a`` is searched in 1 to 1e4 (the authors: 1e2 to 1e6; DomainBed, arXiv 2007.01434: 1e-1 to 1e5) and
``anneal`` in .1 to .5, which are the authors' 50 to 250 of 501 steps; DomainBed's default, 500 of 5000, is ours.

Every environment counts the same, whatever its size. Where b is a function of y an environment has a single class, to
which a constant answer is invariant: the method is not applicable there. Class weights of the sweep are left out.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, autograd

from trainable.methods.base import Batch, Losses, MethodState, Nets, Range, register_method
from trainable.methods.groups.group import members


def scale_gradients(logits: Tensor, y: Tensor) -> Tensor:
    """Derivative of each image's cross-entropy over a factor w of its logits, at w = 1.

    Args:
        logits: ``[B, classes]``.
        y: int64 ``[B]``.

    Returns:
        ``[B]``, in nats: sum_k p_k z_k - z_y.

    Example:
        >>> import torch
        >>> scale_gradients(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 0]))
        tensor([ 0.0000, -0.2384])
    """
    expected = (logits.softmax(dim=1) * logits).sum(dim=1)
    return expected - logits.gather(1, y.unsqueeze(1)).squeeze(1)


@register_method(
    "irm",
    long_name="Invariant risk minimisation",
    reference="Arjovsky et al. 2019, equation IRMv1",
    space={"a": Range(1.0, 1e4, log=True, least=0.0), "anneal": Range(0.1, 0.5, least=0.0, most=1.0)},
    defaults={"a": 100.0, "anneal": 0.1},
    needs={"bias_labels", "group_counts"},
)
class IRM(MethodState):
    """Risk of each value of b, and the squared derivative of it over a common factor of the logits."""

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        """Leave the gradients of IRMv1 in f and g.

        Args:
            nets: f and g.
            batch: Images, labels and bias attribute.
            ramp: Not used.

        Returns:
            The rescaled loss as ``total``, the mean cross-entropy as ``label``, in nats; the penalty, which may
            be negative, as a term.
        """
        logits = nets.g(nets.f(batch.x))
        losses = F.cross_entropy(logits, batch.y, reduction="none")
        member = members(batch.attribute, self.facts.n_attributes, losses)
        images = member.sum(dim=0)
        environments = (images > 0).sum().clamp(min=1)
        R = losses @ member / images.clamp(min=1)
        gradients = scale_gradients(logits, batch.y)
        turn = (member.cumsum(dim=0) - 1) % 2
        first, second = member * (1 - turn), member * turn
        D_1 = gradients @ first / first.sum(dim=0).clamp(min=1)
        D_2 = gradients @ second / second.sum(dim=0).clamp(min=1)
        penalty = (D_1 * D_2).sum() / environments
        share = batch.step / (self.facts.epochs * self.facts.steps_per_epoch)
        weight = float(self.hyper["a"]) if share >= self.hyper["anneal"] else 1.0
        total = (R.sum() / environments + weight * penalty) / max(weight, 1.0)
        autograd.backward(total)
        terms = {"penalty": penalty.detach()}
        return Losses(logits.detach(), losses.detach().mean(), total=total.detach(), terms=terms)

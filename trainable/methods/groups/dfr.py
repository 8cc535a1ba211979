"""Deep feature reweighting, DFR (Kirichenko, Izmailov & Wilson, ICLR 2023, arXiv 2204.02937).

https://arxiv.org/abs/2204.02937, section 4 and appendix B. Plain training learns the features that are needed beside
those of the bias; its last layer weighs them wrongly. So two stages:

1. f and g are trained plainly.
2. All but the last linear layer is frozen, and that layer is replaced by a logistic regression with an l1 penalty,

       min over W, v of  |W|_1 + C sum_i l(W phi_i + v, y_i),

   on images that the first stage has not seen, of which each group (y, b) has as many: phi_i is the standardised input
   of the layer. C is the one of 1, .7, .3, .1, .07, .03, .01 with the best worst-group accuracy on one half of these
   images after a fit on the other half (of equally good ones the largest). Then the fit is done anew **on all of
   them**, ten times on different subsets with equal groups, and W and v are the means of the ten.

Choosing C on a half and keeping the fit of the other half, as one public implementation does, throws half the images
away. The authors take the validation images for the second stage; here it is a fifth of the patients among the training
images (``Stage.on``), since whoever trains on validation images is judged by what it was trained on. At a strong bias
that leaves few images in the rare groups, and with many groups the smallest may hold a single one: each of the ten
subsets has then one image of each group, and the fit may fall below plain training. The halves are drawn by image,
within each group: C is chosen on images whose patients may be in the other half. The layer is the last ``nn.Linear`` of
g with an output for each class.

No hyperparameter of its own is searched. Without images that contradict the bias there are no groups to balance, and
the method is not applicable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainable.errors import InputError
from trainable.methods.adversary import label_loss
from trainable.methods.base import Batch, Facts, Losses, MethodState, Nets, Predict, Stage, register_method
from trainable.methods.erm import erm
from trainable.methods.groups.group import codes_of
from trainable.methods.groups.logistic import l1_logistic
from trainable.randomness import torch_generator

C_VALUES = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
"""Values of C that are tried (the authors' code for Waterbirds)."""
FITS = 10
"""Fits on subsets with equal groups, whose mean is kept."""


def equal_groups(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Draw as many images of each group as the smallest group has, each at most once.

    Args:
        codes: int64 ``[n]``, on the CPU, group of every image; negative = never drawn.
        generator: CPU generator.

    Returns:
        Positions, int64, ascending within each group.

    Example:
        >>> codes = torch.tensor([0, 0, 0, 2, 2, -1])
        >>> codes[equal_groups(codes, torch.Generator().manual_seed(0))]
        tensor([0, 0, 2, 2])
    """
    groups = [(codes == code).nonzero().squeeze(1) for code in torch.unique(codes[codes >= 0])]
    least = min(len(group) for group in groups)
    return torch.cat([group[torch.randperm(len(group), generator=generator)[:least]].sort().values for group in groups])


def halves(codes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Divide the images of each group in two, the larger part first.

    Args:
        codes: int64 ``[n]``, on the CPU, group of every image; negative = in neither.
        generator: CPU generator.

    Returns:
        Positions, int64 each.

    Example:
        >>> one, other = halves(torch.tensor([0, 0, 0, 2]), torch.Generator().manual_seed(0))
        >>> len(one), len(other)
        (3, 1)
    """
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for code in torch.unique(codes[codes >= 0]):
        group = (codes == code).nonzero().squeeze(1)
        group = group[torch.randperm(len(group), generator=generator)]
        cut = (len(group) + 1) // 2
        parts[0].append(group[:cut])
        parts[1].append(group[cut:])
    return torch.cat(parts[0]), torch.cat(parts[1])


def fit(phi: Tensor, y: Tensor, n_classes: int, C: float) -> tuple[Tensor, Tensor]:
    """Fit the last layer to the images given, which are standardised by their own mean and spread.

    Args:
        phi: float64 ``[n, d]``, the features as they are.
        y: int64 ``[n]``.
        n_classes: Number of classes.
        C: Inverse strength of the penalty.

    Returns:
        W and v for the features as they are, float64 ``[n_classes, d]`` and ``[n_classes]``.

    Example:
        >>> phi = torch.tensor([[3.0], [5.0], [7.0], [9.0]], dtype=torch.float64)
        >>> W, v = fit(phi, torch.tensor([0, 0, 1, 1]), 2, C=1.0)
        >>> (phi @ W.T + v).argmax(dim=1)
        tensor([0, 0, 1, 1])
    """
    mean, spread = phi.mean(dim=0), phi.std(dim=0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)
    W, v = l1_logistic((phi - mean) / spread, y, n_classes, C)
    W = W / spread
    return W, v - W @ mean


def worst_group_accuracy(z: Tensor, y: Tensor, codes: Tensor) -> float:
    """Lowest accuracy over the groups that occur.

    Args:
        z: Logits ``[n, classes]``.
        y: int64 ``[n]``.
        codes: int64 ``[n]``, group of every image.

    Example:
        >>> worst_group_accuracy(torch.eye(3)[[0, 1, 1]], torch.tensor([0, 1, 0]), torch.tensor([0, 1, 0]))
        0.5
    """
    correct = (z.argmax(dim=1) == y).double()
    return min(float(correct[codes == code].mean()) for code in torch.unique(codes))


def last_layer(phi: Tensor, y: Tensor, codes: Tensor, n_classes: int, seed: int) -> tuple[Tensor, Tensor, float]:
    """Choose C on a half of the images, and fit the last layer to all of them.

    Args:
        phi: float64 ``[n, d]``, input of the layer for each held-out image.
        y: int64 ``[n]``.
        codes: int64 ``[n]``, group of every image; negative = none.
        n_classes: Number of classes.
        seed: The trial's seed.

    Returns:
        W, v and C.

    Example:
        >>> phi = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        >>> y = (phi[:, 1] > 0).long()
        >>> W, v, C = last_layer(phi, y, 2 * y + torch.arange(40) % 2, 2, seed=0)
        >>> int((W[1] - W[0]).abs().argmax()), C in C_VALUES
        (1, True)
    """
    where = codes.cpu()
    generator = torch_generator(seed, "held_out/halves")
    one, other = halves(where, generator)
    C = C_VALUES[0]
    if len(other):
        subset = one[equal_groups(where[one], generator)].to(phi.device)
        other = other.to(phi.device)
        scores = []
        for value in C_VALUES:
            W, v = fit(phi[subset], y[subset], n_classes, value)
            scores.append(worst_group_accuracy(phi[other] @ W.T + v, y[other], codes[other]))
        C = C_VALUES[scores.index(max(scores))]
    generator = torch_generator(seed, "held_out/groups")
    fits = []
    for _ in range(FITS):
        subset = equal_groups(where, generator).to(phi.device)
        fits.append(fit(phi[subset], y[subset], n_classes, C))
    return torch.stack([W for W, _ in fits]).mean(dim=0), torch.stack([v for _, v in fits]).mean(dim=0), C


def linear_of(g: nn.Module, n_classes: int) -> nn.Linear:
    """Find the last linear layer of g.

    Args:
        g: The label head.
        n_classes: Number of classes.

    Returns:
        The last ``nn.Linear`` in it.

    Raises:
        InputError: There is none with a bias and an output for each class.

    Example:
        >>> linear_of(nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), 2)
        Linear(in_features=8, out_features=2, bias=True)
    """
    layers = [module for module in g.modules() if isinstance(module, nn.Linear)]
    if not layers or layers[-1].out_features != n_classes or layers[-1].bias is None:
        raise InputError(
            f"dfr trains the last linear layer of the network anew, but this one does not end in a linear layer with "
            f"a bias and {n_classes} outputs: choose another network or method"
        )
    return layers[-1]


@contextmanager
def inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a layer is given within the block.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> with inputs_of(layer) as given:
        ...     _ = layer(torch.ones(3, 2))
        >>> given[0].shape
        torch.Size([3, 2])
    """
    given: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach()))
    try:
        yield given
    finally:
        handle.remove()


@register_method(
    "dfr",
    long_name="Deep feature reweighting",
    reference="Kirichenko et al. 2023, section 4",
    needs={"bias_labels", "group_counts", "conflicting_samples"},
    stages=(Stage("features"), Stage("last_layer", epochs=1, train="g", on="held_out")),
)
class DFR(MethodState):
    """Plain training, then a logistic regression in the place of the last layer.

    Attributes:
        C: float64 scalar, the value that was chosen; NaN before.
    """

    def __init__(self, facts: Facts, hyper: Mapping[str, Any]) -> None:
        super().__init__(facts, hyper)
        assert facts.held_out is not None and facts.held_out.group_counts is not None
        counts = facts.held_out.group_counts
        if int((counts > 0).sum(dim=1).max()) < 2:
            raise InputError(
                "dfr needs held-out images that contradict the bias, but the fifth of the training images that this "
                "seed holds out has none: give it more training images, or a weaker bias"
            )
        self.C = torch.full((), torch.nan, dtype=torch.float64, device=facts.device)

    def begin_epoch(self, epoch: int, nets: Nets, predict: Predict) -> None:
        """Fit the last layer, where the second stage begins.

        Args:
            epoch: Number of the epoch.
            nets: f and g as the first stage has left them.
            predict: Runs all held-out images through both.

        Raises:
            InputError: The network does not end in a linear layer.
        """
        held_out = self.facts.held_out
        if self.facts.stage(epoch) != "last_layer" or held_out is None:
            return
        layer = linear_of(nets.g, self.facts.n_classes)
        with inputs_of(layer) as given:
            predict()
        phi = torch.cat(given).double()
        codes = codes_of(held_out)
        W, v, C = last_layer(phi, held_out.labels, codes, self.facts.n_classes, self.facts.seed)
        with torch.no_grad():
            layer.weight.copy_(W)
            layer.bias.copy_(v)
            self.C.fill_(C)

    def step(self, nets: Nets, batch: Batch, ramp: float) -> Losses:
        """Leave the gradients of L_c in f and g, and none in the second stage, where the layer is fitted already.

        Args:
            nets: f and g.
            batch: Images and labels.
            ramp: Not used.

        Returns:
            L_c, in nats; C as a term of the second stage.
        """
        if self.facts.stage(batch.epoch) == "features":
            return erm(nets, batch, self.hyper, ramp)
        # In evaluation mode: running averages of BatchNorm in g must stay those of the fit.
        nets.g.eval()
        with torch.no_grad():
            logits = nets.g(nets.f(batch.x))
            L_c = label_loss(logits, batch)
        nets.g.train()
        return Losses(logits, L_c, terms={"C": self.C})

    def tensors(self) -> Mapping[str, Tensor]:
        """The C that was chosen."""
        return {"C": self.C}

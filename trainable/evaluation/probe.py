"""The bias probe: a fresh head that reads the bias from frozen features.

A trained h at chance proves nothing: f may hide the bias from that h and still carry it. And a probe on training-law
images would read the label as if it were the bias. So a new head is trained on images whose bias is independent of
the class, and scored on other such images.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trainable.data.base import ImageSet
from trainable.data.view import DataView
from trainable.networks.modes import Transform, evaluating, to_float
from trainable.randomness import torch_generator

_IMAGES = 1000
_HIDDEN = 64
_STEPS = 100
_LEARNING_RATE = 0.02
_WEIGHT_DECAY = 1e-4
_BETA_1, _BETA_2 = 0.9, 0.999


def bias_probe(
    f: nn.Module, view: DataView, transform: Transform | None, seed: int, device: torch.device | str = "cpu"
) -> float | None:
    """Accuracy of a fresh head that predicts the bias attribute from f's frozen features.

    The head has one hidden layer of 64 units and sees, for each channel of f's output, its mean, maximum and standard
    deviation over positions. It is trained on at most 1,000 images of ``view.probe_train()`` by 100 full-batch steps
    of Adam and scored on ``view.test("independent")``. Chance is the share of the commonest attribute.

    Where the bias is not painted, the 1,000 images are as many of each class and attribute as there are, and both loss
    and accuracy are weighted so that bias and class are independent.

    Where the attribute is made of several annotations (the data set's ``attribute_bits``), each active one has a head
    of its own, and the value is the mean over them: one head for all their combinations would have another chance for
    two than for one.

    Args:
        f: The trained features; left unchanged.
        view: A confirm view of the data.
        transform: The method's transform of float images, or None.
        seed: Fixes the choice of images and the head's initial weights.
        device: Where f lives.

    Returns:
        Accuracy in [0, 1]; None where there is no attribute, or none that occurs in every class.

    Raises:
        InputError: The view is one of the search phase, which never sees test data.
    """
    if not view.dataset.attributes:
        return None
    # Those of the other images are never looked at, nor painted.
    train, test = view.probe_train(_probe_order(view, seed)), view.test("independent")
    if any(images.weights is not None and not images.weights.any() for images in (train, test)):
        return None
    # The head is small: on the CPU it costs less than the launches on a GPU, and is the same on every device.
    x, x_test = (_summaries(f, images, transform, device) for images in (train, test))
    mean, spread = x.mean(dim=0), x.std(dim=0, correction=0)
    # A constant feature carries nothing; dividing by its spread of rounding errors would make noise of it.
    scale = torch.where(spread > 1e-6, 1 / spread.clamp_min(1e-6), torch.zeros_like(spread))
    x, x_test = (x - mean) * scale, (x_test - mean) * scale
    n_values = len(view.dataset.attributes)
    accuracies = []
    for bits in _probed(view, train.attribute):
        weights = _fit(x, train.attribute & bits, train.weights, n_values, seed)
        predicted = _head(x_test, weights, n_values).argmax(dim=1)
        right = (predicted == test.attribute & bits).double()
        share = right.mean() if test.weights is None else (right * test.weights).sum() / test.weights.double().sum()
        accuracies.append(float(share))
    return sum(accuracies) / len(accuracies)


def _probe_order(view: DataView, seed: int) -> NDArray[np.int64]:
    """Places in the training part of the images that the head is trained on."""
    index = view.split.train
    order: NDArray[np.int64] = torch.randperm(len(index), generator=torch_generator(seed, "probe/images")).numpy()
    attribute = view.dataset.collected_attribute()
    if attribute is None:
        return order[:_IMAGES]
    # In turn one image of each class and attribute: of a rare kind all are needed.
    kinds = np.unique(np.stack([view.dataset.labels(), attribute])[:, index[order]], axis=1, return_inverse=True)[1]
    turn = np.empty(len(order), dtype=np.int64)
    for kind in np.unique(kinds):
        turn[kinds == kind] = np.arange((kinds == kind).sum())
    return order[np.argsort(turn, kind="stable")[:_IMAGES]]


def _probed(view: DataView, attribute: Tensor) -> list[int]:
    """Masks of the attribute's parts that differ between images.

    It is one mask of all bits where the attribute has no parts.
    """
    return [bits for bits in view.dataset.attribute_bits if len(torch.unique(attribute & bits)) > 1] or [-1]


def _summaries(f: nn.Module, images: ImageSet, transform: Transform | None, device: torch.device | str) -> Tensor:
    parts = []
    with evaluating(f), torch.inference_mode():
        for batch in images.batches(500):
            z = f(to_float(batch, transform, device)).float()
            if z.dim() == 3:
                z = z.transpose(1, 2)
            z = z.reshape(z.shape[0], z.shape[1], -1)
            spread = z.std(dim=2, correction=0)
            parts.append(torch.cat([z.mean(dim=2), z.amax(dim=2), spread], dim=1).cpu())
    # Copied outside the block: on a tensor of inference mode nothing can be trained.
    return torch.cat(parts).clone()


def _head(x: Tensor, weights: Tensor, n_values: int) -> Tensor:
    sizes = [x.shape[1] * _HIDDEN, _HIDDEN, _HIDDEN * n_values, n_values]
    w1, b1, w2, b2 = weights.split_with_sizes(sizes)
    return torch.relu(x @ w1.view(-1, _HIDDEN) + b1) @ w2.view(_HIDDEN, -1) + b2


def _fit(x: Tensor, y: Tensor, of_image: Tensor | None, n_values: int, seed: int) -> Tensor:
    generator = torch_generator(seed, "probe/weights")
    w1 = torch.randn(x.shape[1] * _HIDDEN, generator=generator) * (2 / x.shape[1]) ** 0.5
    w2 = torch.randn(_HIDDEN * n_values, generator=generator) * (1 / _HIDDEN) ** 0.5
    weights = torch.cat([w1, torch.zeros(_HIDDEN), w2, torch.zeros(n_values)]).requires_grad_()
    # Adam (Kingma & Ba 2015, algorithm 1) on one vector: torch.optim would cost a process seconds of imports.
    first, second = torch.zeros_like(weights), torch.zeros_like(weights)
    for step in range(1, _STEPS + 1):
        with torch.enable_grad():
            if of_image is None:
                loss = functional.cross_entropy(_head(x, weights, n_values), y)
            else:
                loss = (functional.cross_entropy(_head(x, weights, n_values), y, reduction="none") * of_image).mean()
            (gradient,) = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            gradient.add_(weights, alpha=_WEIGHT_DECAY)
            first.lerp_(gradient, 1 - _BETA_1)
            second.mul_(_BETA_2).addcmul_(gradient, gradient, value=1 - _BETA_2)
            spread = (second / (1 - _BETA_2**step)).sqrt_().add_(1e-8)
            weights.addcdiv_(first, spread, value=-_LEARNING_RATE / (1 - _BETA_1**step))
    return weights.detach()

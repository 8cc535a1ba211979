"""Matrices over the pairs of a batch: distances, equal labels, kernels and their centring.

An image without a bias label (``IGNORED``) is left out by a mask: no shape depends on the labels, and nothing waits for
the device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainable.data.base import IGNORED


def labelled(b: Tensor, like: Tensor) -> Tensor:
    """Mask of the images that have a bias label.

    Args:
        b: int64 ``[B]``; ``IGNORED`` = none.
        like: A tensor of the dtype of the result.

    Returns:
        ``[B]``, 1 or 0.

    Example:
        >>> labelled(torch.tensor([0, -1, 2]), torch.zeros(1))
        tensor([1., 0., 1.])
    """
    return (b != IGNORED).to(like.dtype)


def equal(b: Tensor, mask: Tensor) -> Tensor:
    """Delta kernel: 1 where two images have the same label, both counted, those with themselves included.

    Args:
        b: int64 ``[B]``.
        mask: ``[B]``, 1 = counted.

    Returns:
        ``[B, B]``, 1 or 0.

    Example:
        >>> equal(torch.tensor([0, 1, 0]), torch.ones(3))
        tensor([[1., 0., 1.],
                [0., 1., 0.],
                [1., 0., 1.]])
    """
    return (b[:, None] == b[None, :]).to(mask.dtype) * mask[:, None] * mask[None, :]


def distances(z: Tensor) -> Tensor:
    """Euclidean distances of all pairs, exactly 0 between equal vectors, with the gradient 0 there.

    Args:
        z: float ``[B, C]``.

    Returns:
        float ``[B, B]``.

    Example:
        >>> distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        tensor([[0., 5.],
                [5., 0.]])
    """
    # By a product of matrices equal vectors would be some 1e-3 apart, with a gradient to match.
    return torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")


def typical_distance(D: Tensor, mask: Tensor) -> Tensor:
    """Median distance of the pairs that are counted, without a gradient: the bandwidth of a kernel.

    Their mean where the median is 0, and 1 where all distances are 0 or no pair is counted. Of an even number of pairs
    it is the lower of the two in the middle.

    Args:
        D: Distances, float ``[B, B]``.
        mask: ``[B]``, 1 = counted.

    Returns:
        Scalar, > 0.

    Example:
        >>> float(typical_distance(distances(torch.tensor([[0.0], [1.0], [5.0]])), torch.ones(3)))
        4.0
    """
    rows, columns = torch.triu_indices(len(D), len(D), 1, device=D.device)
    values, counted = D.detach()[rows, columns], (mask[rows] * mask[columns]) > 0
    last = values.new_full((1,), torch.inf)
    ranked = torch.cat([torch.where(counted, values, torch.inf), last]).sort().values
    number = counted.sum()
    middle = ((number - 1) // 2).clamp(min=0)
    median = ranked.gather(0, middle.unsqueeze(0)).squeeze(0)
    mean = torch.where(counted, values, 0.0).sum() / number.clamp(min=1)
    usual = torch.where(median.isfinite() & (median > 0), median, mean)
    return torch.where(usual > 0, usual, torch.ones_like(usual))


def gaussian(D: Tensor, bandwidth: Tensor) -> Tensor:
    """RBF kernel exp(-D^2 / (2 bandwidth^2)).

    Args:
        D: Distances, float ``[B, B]``.
        bandwidth: Scalar, > 0.

    Returns:
        float ``[B, B]`` in [0, 1].

    Example:
        >>> gaussian(torch.tensor([0.0, 2.0]), torch.tensor(2.0))
        tensor([1.0000, 0.6065])
    """
    return torch.exp(-((D / bandwidth) ** 2) / 2)


def centred(K: Tensor, mask: Tensor) -> Tensor:
    """H K H with H = I - 1/n over the n images that are counted.

    The rows and columns of the others are 0.

    Args:
        K: Symmetric, float ``[B, B]``.
        mask: ``[B]``, 1 = counted.

    Returns:
        float ``[B, B]``, whose rows and columns sum to 0.

    Example:
        >>> centred(torch.tensor([[0.0, 5.0], [5.0, 0.0]]), torch.ones(2))
        tensor([[-2.5000,  2.5000],
                [ 2.5000, -2.5000]])
    """
    n = mask.sum().clamp(min=1)
    row = (K * mask).sum(dim=1) / n
    whole = (row * mask).sum() / n
    return (K - row[:, None] - row[None, :] + whole) * mask[:, None] * mask[None, :]

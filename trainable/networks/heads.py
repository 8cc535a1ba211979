"""Bias heads h on features that lie on a grid.

``networks.Blueprint`` states the contract of h.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainable.data.base import BiasHeads


class PointwiseHead(nn.Module):
    """h at single positions: two 1x1 convolutions with BatchNorm and ReLU between, computed only where they count.

    A 1x1 convolution over gathered positions is a linear layer on ``[M, C]``; on digits four fifths of the grid is
    background, which this saves. For labels of the whole image the hidden layer's maximum over positions is read.
    """

    def __init__(self, channels: int, hidden: int, heads: BiasHeads) -> None:
        super().__init__()
        self.shape = (len(heads.names), heads.n_values)
        self.hidden = nn.Linear(channels, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.out = nn.Linear(hidden, self.shape[0] * self.shape[1])

    def forward(self, z: Tensor, places: Tensor | None) -> Tensor:
        """Bias logits of features ``[B, C, H', W']``, as ``Blueprint.head`` says."""
        rows = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
        if places is not None:
            rows = rows.index_select(0, places.reshape(-1).nonzero().squeeze(1))
        x = torch.relu(self.norm(self.hidden(rows)))
        if places is None:
            x = x.reshape(len(z), -1, x.shape[1]).amax(dim=1)
        logits: Tensor = self.out(x)
        return logits.reshape(-1, *self.shape)


class ConvHead(nn.Module):
    """h as the paper's: for every bias label a conv3x3, BatchNorm, ReLU, conv3x3 of its own.

    For labels of the whole image the second convolution's mean over positions is read.
    """

    def __init__(self, channels: int, hidden: int, heads: BiasHeads) -> None:
        super().__init__()
        self.predictors = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, hidden, 3, padding=1),
                nn.BatchNorm2d(hidden),
                nn.ReLU(),
                nn.Conv2d(hidden, heads.n_values, 3, padding=1),
            )
            for _ in heads.names
        )

    def forward(self, z: Tensor, places: Tensor | None) -> Tensor:
        """Bias logits of features ``[B, C, H', W']``, as ``Blueprint.head`` says."""
        logits = torch.stack([predictor(z) for predictor in self.predictors], dim=1)
        if places is None:
            return logits.mean(dim=(3, 4))
        return logits.permute(0, 3, 4, 1, 2)[places]

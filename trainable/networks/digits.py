"""Networks for the coloured digits: a toy that shows the effect in seconds, and the one of Kim et al. (CVPR 2019)."""

from __future__ import annotations

from torch import nn

from trainable.networks.base import Blueprint, DataShape, register_network
from trainable.networks.heads import ConvHead, PointwiseHead


@register_network(
    "pixel_front",
    note="toy network: its first stage sees colour only",
    remark="The network of [Kim et al. 2019](https://arxiv.org/abs/1812.10352) wins nothing like it back in the same "
    "four epochs: on development digits at color_variance 0.02 the best of 19 settings came to 0.19 (plain training "
    "0.08 to 0.11), see docs/coloured_digits.md.",
)
def pixel_front(data: DataShape) -> Blueprint:
    """A toy network that shows the effect within seconds on a CPU.

    It is not the paper's network.

    f looks at single pixels (1x1 convolutions 3-8 and 8-8, each followed by Hardtanh to [0, 1]), so all it can carry
    is colour and ink, and a pointwise h finds the colour there within a few hundred steps. f has no invariance built
    in: plain training falls as with any other network. g = conv5x5 stride 2 to 16, conv3x3 stride 2 to 32, each with
    BatchNorm and ReLU, and a linear layer. h = 8 - 32 - heads x values at each position.

    Args:
        data: Shape of the data.

    Returns:
        What builds f, g and h.

    Example:
        >>> f, g = pixel_front(DataShape(3, 14, 14, tuple("0123456789"))).body()
        >>> g[-1]
        Linear(in_features=512, out_features=10, bias=True)
    """
    # Two convolutions of stride 2, each rounding up.
    side = (data.image_size + 3) // 4

    def body() -> tuple[nn.Module, nn.Module]:
        f = nn.Sequential(
            nn.BatchNorm2d(data.channels),
            nn.Conv2d(data.channels, 8, 1),
            nn.Hardtanh(0.0, 1.0),
            nn.Conv2d(8, 8, 1),
            nn.Hardtanh(0.0, 1.0),
        )
        g = nn.Sequential(
            nn.Conv2d(8, 16, 5, stride=2, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * side * side, len(data.classes)),
        )
        return f, g

    return Blueprint(body, lambda: PointwiseHead(8, 32, data.heads))


@register_network("kim2019")
def kim2019(data: DataShape) -> Blueprint:
    """The network of Kim et al. (CVPR 2019) for coloured digits.

    Its layers are those of the published code.

    f = BatchNorm on the input, conv5x5-32, ReLU, max-pool 3x3 stride 2, conv3x3-32, ReLU (grid 14 x 14 at 28 pixels,
    7 x 7 at 14); g = conv3x3-64 stride 2, ReLU, conv3x3-64, ReLU, average pool, linear; h = for each colour channel
    conv3x3-32, BatchNorm, ReLU, conv3x3 to the values of its label.

    Args:
        data: Shape of the data.

    Returns:
        What builds f, g and h.

    Example:
        >>> f, g = kim2019(DataShape(3, 14, 14, tuple("0123456789"))).body()
        >>> g[-1]
        Linear(in_features=64, out_features=10, bias=True)
    """

    def body() -> tuple[nn.Module, nn.Module]:
        f = nn.Sequential(
            nn.BatchNorm2d(data.channels),
            nn.Conv2d(data.channels, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
        )
        g = nn.Sequential(
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, len(data.classes)),
        )
        return f, g

    return Blueprint(body, lambda: ConvHead(32, 32, data.heads))

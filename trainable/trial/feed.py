"""The training images of one trial, resident on the device, and their batches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainable.data.base import IGNORED, ImageSet
from trainable.errors import InputError
from trainable.methods.base import Batch, Facts, Method
from trainable.networks.build import downsample_bias
from trainable.randomness import torch_generator
from trainable.spec import Training
from trainable.trial import augment

FLOAT_BYTES = 2**29
"""Most bytes that images may take as float32 to be converted once.

Larger sets are converted batch by batch.
"""


class Feed:
    """Training images on the device.

    The batches of epoch e are a function of (seed, e): there is no state to keep.

    Args:
        images: The training images.
        method: Whether it needs bias labels, whether they are shuffled, and the transform.
        training: Batch size, augmentation, class weights.
        seed: The trial's seed.
        n_classes: Number of classes.
        grid: ``(H', W')`` of f's output, for bias labels of pixels; None where the method needs no bias labels.
        device: Where they live.

    Attributes:
        n: Number of images.
        sizes: Size of every batch of an epoch; a last batch of a single image is dropped (BatchNorm needs two).
        y: int64 ``[n]``, on the device.
        attribute: int64 ``[n]``, the bias attribute as the method sees it; None where it needs no bias labels.
        largest_class: Share of the largest class.

    Raises:
        InputError: Fewer than two images a step.
    """

    def __init__(
        self,
        images: ImageSet,
        method: Method,
        training: Training,
        seed: int,
        n_classes: int,
        grid: tuple[int, int] | None,
        device: torch.device,
    ) -> None:
        self.n, size = len(images), training.batch_size
        if self.n < 2 or size < 2:
            raise InputError(f"a step needs two images, but there are {self.n} in batches of {size}")
        full, rest = divmod(self.n, size)
        self.sizes = [size] * full + ([rest] if rest > 1 else [])
        self.seed, self.n_classes = seed, n_classes
        self._device = device
        self._augmentations = augment.resolve(training.augmentation)
        self._transform = method.transform

        pixels = images.images
        if pixels.numel() * 4 <= FLOAT_BYTES:
            pixels = pixels.float().div_(255)
        # Stored as [n, H, W, 3], so that a batch of rows is in channels-last order without a copy.
        self._pixels = pixels.permute(0, 2, 3, 1).contiguous().to(device)
        self.y = images.labels.to(device)
        self._b: Tensor | None = None
        self.attribute: Tensor | None = None
        if grid is not None:
            order = None
            if method.bias_labels == "permuted":
                order = torch.randperm(self.n, generator=torch_generator(seed, "permute"))
            self._b = _bias_labels(images.bias if order is None else images.bias[order], grid).to(device)
            self.attribute = (images.attribute if order is None else images.attribute[order]).to(device)
        self._places: Tensor | None = None
        if self._b is not None and self._b.dim() == 4:
            self._places = (self._b != IGNORED).any(dim=3)

        counts = torch.bincount(images.labels, minlength=n_classes).double()
        self.largest_class = float(counts.max() / counts.sum())
        self._class_weight: Tensor | None = None
        if training.class_weights == "balanced":
            self._class_weight = (self.n / (n_classes * counts.clamp(min=1))).float().to(device)

    def _float(self, index: Tensor | slice) -> Tensor:
        x = self._pixels[index] if isinstance(index, slice) else self._pixels.index_select(0, index)
        x = x.permute(0, 3, 1, 2)
        return x if x.is_floating_point() else x.float().div_(255)

    def order(self, epoch: int) -> Tensor:
        """Positions of an epoch's images in the order of training, int64 ``[sum(sizes)]``, on the device."""
        order = torch.randperm(self.n, generator=torch_generator(self.seed, f"batches/{epoch}"))
        return order[: sum(self.sizes)].to(self._device)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Batches of an epoch, counted from 0.

        ``b`` is empty where the method needs no bias labels.
        """
        generator = torch_generator(self.seed, f"augment/{epoch}")
        for step, index in enumerate(torch.split(self.order(epoch), self.sizes), epoch * len(self.sizes)):
            x = self._float(index)
            for change in self._augmentations:
                x = change(x, generator)
            if self._transform is not None:
                x = self._transform(x)
            b = index[:0] if self._b is None else self._b.index_select(0, index)
            places = None
            if self._places is not None:
                b, places = b.permute(0, 3, 1, 2), self._places.index_select(0, index)
            y = self.y.index_select(0, index)
            yield Batch(x, y, b, self._class_weight, places, index, self.attribute, step, epoch)

    def facts(self, with_counts: bool, epochs: int, n_attributes: int) -> Facts:
        """Describe the trial to a method with state.

        Args:
            with_counts: Count the images of each class and attribute.
            epochs: Epochs of the trial.
            n_attributes: Number of values of the bias attribute.
        """
        counts: Tensor | None = None
        if with_counts and self.attribute is not None:
            known = self.attribute != IGNORED
            groups = self.y[known] * n_attributes + self.attribute[known]
            counts = torch.bincount(groups, minlength=self.n_classes * n_attributes).view(self.n_classes, n_attributes)
        return Facts(
            n=self.n,
            n_classes=self.n_classes,
            n_attributes=n_attributes,
            epochs=epochs,
            steps_per_epoch=len(self.sizes),
            seed=self.seed,
            device=self._device,
            labels=self.y,
            attribute=self.attribute,
            group_counts=counts,
        )

    def sample(self, most: int, size: int = 512) -> Iterator[tuple[Tensor, Tensor]]:
        """At most ``most`` training images at even distances, as evaluation sees them (no augmentation).

        Yields:
            Images, float ``[B, 3, H, W]``, and labels, int64 ``[B]``.
        """
        chosen = torch.linspace(0, self.n - 1, min(self.n, most), dtype=torch.float64).long().to(self._device)
        for index in torch.split(chosen, size):
            x = self._float(index)
            yield (self._transform(x) if self._transform is not None else x), self.y.index_select(0, index)


def _bias_labels(bias: Tensor, grid: tuple[int, int]) -> Tensor:
    if bias.dim() != 4:
        return bias
    small = downsample_bias(bias, grid)
    # One byte a label and heads last: a step reads the labels at its places in one go.
    return small.to(torch.int8 if small.max() < 128 else torch.int64).permute(0, 2, 3, 1).contiguous()

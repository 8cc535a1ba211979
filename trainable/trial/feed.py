"""Images that a trial, or a stage of it, is trained on, resident on the device, and their batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from trainable.data.base import IGNORED, ImageSet
from trainable.data.stored import StoredImages
from trainable.errors import InputError
from trainable.methods.base import Batch, Method, balanced
from trainable.networks.build import downsample_bias
from trainable.randomness import torch_generator
from trainable.spec import TrialSpec
from trainable.trial import augment

FLOAT_BYTES = 2**29
"""Most bytes that images may take as float32 to be converted once.

Larger sets are converted batch by batch.
"""
Sampler = Callable[[int, torch.Generator], Tensor | None]
"""``MethodState.order``: (epoch, generator) -> positions, or None."""


class Feed:
    """Training images on the device.

    The batches of epoch e are a function of (seed, e), and of the method where it samples: there is no state to keep.

    Args:
        images: The images.
        method: Whether it needs bias labels, whether they are shuffled, how many images an epoch has, the transform.
        spec: The trial: seed, hyperparameters, ``draw``, batch size, augmentation, class weights.
        n_classes: Number of classes.
        grid: ``(H', W')`` of f's output, for bias labels of pixels; None where the method needs no bias labels.
        device: Where they live.

    Attributes:
        n: Number of images.
        sizes: Size of every batch of an epoch; a last batch of a single image is dropped (BatchNorm needs two).
        y: int64 ``[n]``, on the device.
        attribute: int64 ``[n]``, the bias attribute as the method sees it; None where it needs no bias labels.
        largest_class: Share of the largest class.
        sampler: Draws the positions of an epoch in place of ``spec.draw``; None = nothing does.

    Raises:
        InputError: Fewer than two images a step.
    """

    def __init__(
        self,
        images: ImageSet,
        method: Method,
        spec: TrialSpec,
        n_classes: int,
        grid: tuple[int, int] | None,
        device: torch.device,
    ) -> None:
        training, seed = spec.training, spec.seed
        self.n, size = len(images), training.batch_size
        self.length = method.length(self.n, {**method.defaults, **spec.hyperparameters})
        if self.length < 2 or size < 2:
            raise InputError(f"a step needs two images, but there are {self.length} in batches of {size}")
        full, rest = divmod(self.length, size)
        self.sizes = [size] * full + ([rest] if rest > 1 else [])
        self.seed, self.n_classes = seed, n_classes
        self.sampler: Sampler | None = None
        # By the images' own bias, also where the method is shown a shuffled one.
        self._groups = groups_of(images) if spec.draw == "balanced" else None
        self._device = device
        self._augmentations = augment.resolve(training.augmentation)
        self._transform = method.transform

        self._pixels = _resident(images.images, device)
        self.y = images.labels.to(device)
        self._b: Tensor | None = None
        self._label_counts: Tensor | None = None
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
        if isinstance(self._pixels, StoredImages):
            x = self._pixels[index].to(self._device).contiguous(memory_format=torch.channels_last)
        else:
            x = self._pixels[index] if isinstance(index, slice) else self._pixels.index_select(0, index)
            x = x.permute(0, 3, 1, 2)
        return x if x.is_floating_point() else x.float().div_(255)

    def order(self, epoch: int) -> Tensor:
        """Positions of an epoch's images in the order of training, int64 ``[sum(sizes)]``, on the device.

        Raises:
            InputError: The method's sampler does not give as many positions as it said, or gives wrong ones.
        """
        drawn: Tensor | None = None
        if self.sampler is not None:
            drawn = self.sampler(epoch, torch_generator(self.seed, f"order/{epoch}"))
            if drawn is not None:
                _check_order(drawn, self.length, self.n)
        if drawn is None and self.length != self.n:
            raise InputError(
                f"the order of a method whose length({self.n}) is {self.length} must give so many positions, but it "
                "gave None"
            )
        if drawn is None:
            generator = torch_generator(self.seed, f"batches/{epoch}")
            drawn = (
                torch.randperm(self.n, generator=generator)
                if self._groups is None
                else balanced(self._groups, generator)
            )
        return drawn[: sum(self.sizes)].to(self._device)

    def batches(self, epoch: int, order: Tensor | None = None, first: int | None = None) -> Iterator[Batch]:
        """Batches of an epoch, counted from 0.

        ``b`` is empty where the method needs no bias labels.

        Args:
            epoch: Number of the epoch.
            order: What ``order`` gave for it; None = ask it.
            first: Number of its first step; None = all epochs before it had as many steps.
        """
        order = self.order(epoch) if order is None else order
        first = epoch * len(self.sizes) if first is None else first
        generator = torch_generator(self.seed, f"augment/{epoch}")
        for step, index in enumerate(torch.split(order, self.sizes), first):
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
            counts = None if self._b is None else self.label_counts
            yield Batch(x, y, b, self._class_weight, places, index, self.attribute, step, epoch, counts)

    def label_counts(self) -> Tensor:
        """Count the bias labels of the training images (``Batch.label_counts``).

        Returns:
            float64 ``[heads, values]`` on the device, kept from the first call on. Where groups are drawn equally
            often, an image counts in proportion to how often it is drawn.
        """
        if self._label_counts is None:
            assert self._b is not None
            self._label_counts = counts_of_labels(self._b.cpu(), self._groups).to(self._device)
        return self._label_counts

    @property
    def largest_drawn(self) -> float:
        """Share of the largest class among the images as they are drawn.

        It is 1 / K where they are not drawn naturally.
        """
        natural = self.sampler is None and self._groups is None
        return self.largest_class if natural else 1 / self.n_classes

    def sample(self, most: int | None = None, size: int = 512) -> Iterator[tuple[Tensor, Tensor]]:
        """At most ``most`` training images at even distances, as evaluation sees them (no augmentation).

        Args:
            most: Images; None = all.
            size: Images of a batch.

        Yields:
            Images, float ``[B, 3, H, W]``, and labels, int64 ``[B]``.
        """
        count = self.n if most is None else min(self.n, most)
        chosen = torch.linspace(0, self.n - 1, count, dtype=torch.float64).long().to(self._device)
        if isinstance(self._pixels, StoredImages):
            size = self._pixels.batch(size)
        for index in torch.split(chosen, size):
            x = self._float(index)
            yield (self._transform(x) if self._transform is not None else x), self.y.index_select(0, index)


def _resident(images: Tensor | StoredImages, device: torch.device) -> Tensor | StoredImages:
    """Images as ``[n, H, W, 3]`` on the device, as floats where they are few. Stored ones stay where they are."""
    if isinstance(images, StoredImages):
        return images
    if images.numel() * 4 <= FLOAT_BYTES:
        images = images.float().div_(255)
    # Stored as [n, H, W, 3], so that a batch of rows is in channels-last order without a copy.
    return images.permute(0, 2, 3, 1).contiguous().to(device)


def _bias_labels(bias: Tensor, grid: tuple[int, int]) -> Tensor:
    if bias.dim() != 4:
        return bias
    small = downsample_bias(bias, grid)
    # One byte a label and heads last: a step reads the labels at its places in one go.
    return small.to(torch.int8 if small.max() < 128 else torch.int64).permute(0, 2, 3, 1).contiguous()


def counts_of_labels(b: Tensor, groups: Tensor | None = None) -> Tensor:
    """Count each value of each head's bias label.

    Args:
        b: Integer ``[n, heads]`` or ``[n, H', W', heads]``; ``IGNORED`` = not counted.
        groups: int64 ``[n]``, groups that are drawn equally often, ``IGNORED`` = never; None = each image is drawn
            once.

    Returns:
        float64 ``[heads, values]``, values up to the largest that occurs.

    Example:
        >>> counts_of_labels(torch.tensor([[0, 1], [0, -1], [1, 1]])).tolist()
        [[2.0, 1.0], [0.0, 2.0]]
        >>> counts_of_labels(torch.tensor([[0], [0], [0], [1]]), torch.tensor([0, 0, 0, 1])).tolist()
        [[2.0, 2.0]]
    """
    n = len(b)
    drawn = torch.ones(n, dtype=torch.float64)
    if groups is not None:
        known = groups.cpu() != IGNORED
        sizes = torch.bincount(groups[known])
        drawn[known] = n / (int((sizes > 0).sum()) * sizes[groups[known]].double())
        drawn[~known] = 0
    labels = b.reshape(n, -1, b.shape[-1])
    times = drawn[:, None].expand(labels.shape[:2]).reshape(-1)
    values = int(labels.max()) + 1 if labels.numel() else 1
    # A label that is not counted is -1, and falls into a first column that is left out.
    counted = [torch.bincount(head.reshape(-1).long() + 1, times, values + 1)[1:] for head in labels.unbind(dim=2)]
    return torch.stack(counted)


def groups_of(images: ImageSet) -> Tensor:
    """Group (class, attribute) of every image as one number.

    Args:
        images: N images.

    Returns:
        int64 ``[N]``; ``IGNORED`` where the image has no attribute.
    """
    several = int(images.attribute.max()) + 1
    groups = images.labels * max(1, several) + images.attribute
    return torch.where(images.attribute == IGNORED, IGNORED, groups)


def _check_order(order: Any, length: int, n: int) -> None:
    if not isinstance(order, Tensor):
        raise InputError(f"the order of a method must be an int64 tensor, but is a {type(order).__name__}")
    if order.dtype != torch.int64 or order.shape != (length,):
        raise InputError(
            f"the order of a method must be int64 of the shape [{length}], but it gave {order.dtype} of the shape "
            f"{list(order.shape)}: override length(n, hyper) where an epoch has another number of images than {n}"
        )
    if int(order.min()) < 0 or int(order.max()) >= n:
        raise InputError(f"the order of a method must hold positions from 0 to {n - 1}, but it holds others")

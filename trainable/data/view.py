"""View of a data set: all that one trial may see of it, and no test images in the search phase."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.base import Dataset, ImageSet, Split, TrainingDraw
from trainable.errors import InputError, unknown_name
from trainable.randomness import numpy_generator
from trainable.spec import VARIANTS, Phase, Rule


@dataclass(frozen=True)
class DataView:
    """View of a data set for one trial.

    In the search phase the test images cannot be loaded.

    Attributes:
        dataset: The data set.
        bias: Value of every bias parameter.
        seed: The trial's seed.
        fold: Fold, or None.
        phase: ``search`` or ``confirm``.
        split_seed: Seed of the split where it is not the trial's.
    """

    dataset: Dataset
    bias: Mapping[str, float]
    seed: int
    fold: int | None
    phase: Phase
    split_seed: int | None = None

    @functools.cached_property
    def split(self) -> Split:
        """The split of this seed and fold."""
        return self.dataset.split(self.seed if self.split_seed is None else self.split_seed, self.fold)

    def train(self, draw: TrainingDraw = "biased", repaint_share: float = 1.0) -> ImageSet:
        """Training images.

        Args:
            draw: Their law; ``repainted`` is the biased one with a share of the images drawn like ``independent``.
            repaint_share: That share; which images it takes is nested in it and fixed by the seed.

        Raises:
            InputError: A data set that cannot paint, or a share outside [0, 1].
        """
        if draw != "repainted":
            return self.dataset.train_images(self.bias, self.seed, self.split.train, draw)
        if not self.dataset.has_renderer:
            raise InputError(f"{self.dataset.name} has no painter, so nothing can be repainted: choose another method")
        if not 0 <= repaint_share <= 1:
            raise InputError(f"repaint_share must lie in [0, 1], but got {repaint_share!r}")
        index = self.split.train
        chosen = numpy_generator(self.seed, "repaint").random(len(self.dataset.labels()))[index] < repaint_share
        kept = self.dataset.train_images(self.bias, self.seed, index[~chosen], "biased")
        other = self.dataset.variant_images("independent", self.bias, index[chosen], f"repaint/{self.seed}")
        order = torch.from_numpy(np.argsort(np.concatenate([np.flatnonzero(~chosen), np.flatnonzero(chosen)])))
        parts = ("images", "labels", "bias", "attribute", "index")
        return ImageSet(*(torch.cat([getattr(kept, name), getattr(other, name)])[order] for name in parts))

    def probe_train(self, places: NDArray[np.int64]) -> ImageSet:
        """Training images annotated independently of the class, for the bias probe.

        Args:
            places: The images, as places in the training part; their order is kept.
        """
        index = self.split.train[places]
        return self.dataset.variant_images("independent", self.bias, index, f"probe/{self.seed}")

    def validation(self, rule: Rule) -> ImageSet:
        """Validation images of one selection rule (``val_reweighted`` uses those of ``val_biased``)."""
        if rule in ("val_biased", "val_reweighted"):
            return self.dataset.validation_images(self.bias, self.seed, self.split.val)
        variant = {"val_unbiased": "unbiased", "val_counterfactual": "independent"}[rule]
        return self.dataset.variant_images(variant, self.bias, self.split.val, f"val/{self.seed}")

    def test(self, variant: str) -> ImageSet:
        """Test images of one variant.

        Raises:
            InputError: In the search phase, which never sees test data, or for an unknown variant.
        """
        if self.phase != "confirm":
            raise InputError("test images cannot be loaded in the search phase: they never choose anything")
        known = dict.fromkeys((*VARIANTS, *(self.dataset.flip_pair or ())))
        if variant not in known:
            raise unknown_name("test variant", variant, known)
        return self.dataset.variant_images(variant, self.bias, self.split.test, "test")

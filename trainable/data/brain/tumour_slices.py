"""The engine of the tumour data sets, real and synthetic: which slice carries which annotation, and when.

Painting is nested and paired: a training slice of the class carries its annotation where u < rho, with u fixed by
(seed, slice), so what is annotated at rho = .6 is annotated at .8, for every method.
"""

from __future__ import annotations

import functools
import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.base import IGNORED, Axis, BiasHeads, Dataset, ImageSet, Split, TrainingDraw, as_tensor_index
from trainable.data.brain.paint import INKS, Lengths, blend
from trainable.data.brain.slice_store import Layers, SliceStore, distinct, layers
from trainable.data.patients import TEST_SHARE, split_patients
from trainable.errors import InputError, unknown_name
from trainable.randomness import numpy_generator
from trainable.spec import VARIANTS, Rule

SplitBy = Literal["patient", "slice"]
Pituitary = Literal["all", "seed"]
SPLIT_BY: tuple[SplitBy, ...] = ("patient", "slice")
PITUITARY: tuple[Pituitary, ...] = ("all", "seed")
CLASSES = ("meningioma", "glioma", "pituitary")
"""Names of the classes, in the order of the figshare labels 1, 2, 3."""
ANNOTATED = "annotated"
"""A fifth variant, for ``flip_rate`` alone: every active annotation on every image."""

_FIXED = 0
_RED, _BLUE = range(2)
_MENINGIOMA, _GLIOMA, _PITUITARY = range(3)
_OWNER = np.array([CLASSES.index(ink.owner) for ink in INKS])


class TumourSlices(Dataset):
    """Slices of three tumour types with painted measurements.

    ``ImageSet.bias`` is, for each annotation, whether the image carries it; a head whose label is the same on all the
    images of a training draw is ``IGNORED``: there is nothing to predict, and uniform would be the wrong target.
    ``ImageSet.attribute`` says which annotations are on the image (``attributes``): with one active bias, annotated or
    not.

    An annotation is active where its bias value is above 0; where none is, the first one (red) counts as active.

    Args:
        image_size: Side of the images, 32 to 256 pixels.
        lengths: What the painted lengths say, see ``paint.length_text``.
        split_by: ``patient``, or ``slice``: slices of one patient on both sides of the split, as in the seed study.
        pituitary: ``all``, or ``seed``: without the last slices, 15 % of the whole list, all of them pituitary
            tumours, which the seed study's iterator never reaches.

    Raises:
        InputError: An option outside these values.
    """

    classes: tuple[str, ...] = CLASSES
    axes: tuple[Axis, ...] = (
        Axis("rho", "Annotated glioma images ρ", 0.0, 1.0, "larger", unbiased_at=0.0),
        Axis("gamma", "Annotated pituitary images γ", 0.0, 1.0, "larger", unbiased_at=0.0, default=0.0),
    )
    heads = BiasHeads(tuple(ink.name for ink in INKS), 2, False)
    attributes: tuple[str, ...] = ("none", "red", "blue", "red and blue")
    attribute_bits = tuple(1 << k for k in range(len(INKS)))
    """The bias probe asks for each annotation by itself."""
    rules: tuple[Rule, ...] = ("val_counterfactual", "val_reweighted", "val_biased", "val_unbiased")
    n_folds = 5
    worst_group_variants: tuple[str, ...] = ("independent",)
    worst_group_by: Literal["variant", "attribute"] = "attribute"
    flip_pair: tuple[str, str] | None = ("unbiased", ANNOTATED)
    share_images = True
    reweighting_target = np.array([1.0, 0.0, 0.0, 0.0])
    """``val_reweighted`` estimates for images without any annotation."""

    def __init__(self, image_size: int, lengths: Lengths, split_by: SplitBy, pituitary: Pituitary) -> None:
        if isinstance(image_size, bool) or not isinstance(image_size, int) or not 32 <= image_size <= 256:
            raise InputError(f"image_size of {self.name} must be a whole number in [32, 256], but got {image_size!r}")
        if lengths not in ("physical", "seed"):
            raise unknown_name(f"lengths of {self.name}", str(lengths), ("physical", "seed"))
        for option, value, known in (("split_by", split_by, SPLIT_BY), ("pituitary", pituitary, PITUITARY)):
            if value not in known:
                raise unknown_name(f"{option} of {self.name}", str(value), known)
        self.split_by, self.pituitary = split_by, pituitary
        self.image_size = image_size
        self.lengths: Lengths = lengths

    @functools.cached_property
    @abstractmethod
    def store(self) -> SliceStore:
        """The slices, memory-mapped."""

    @functools.cached_property
    def layers(self) -> Layers:
        """The slices at ``image_size`` and their annotations, memory-mapped."""
        return layers(self.store, self.name, self.image_size, self.lengths)

    @functools.cached_property
    def checksum(self) -> str:
        """Hex digest over images, outlines, labels, patients, folds, and the annotations with their colours."""
        return hashlib.sha256(f"{self.store.checksum}/{self.layers.checksum}/{INKS}".encode()).hexdigest()

    def image_keys(self) -> list[str]:
        """Keyed hash of every image, 16 hex characters, ``[N]``.

        A second image of the same content gets ``-2``.
        """
        return distinct(map(str, self.store.image_keys))

    def patient_keys(self) -> list[str] | None:
        """Keyed hash of the patient of every image, 16 hex characters, ``[N]``."""
        return [str(key) for key in self.store.patient_keys]

    def groups(self) -> NDArray[np.int64]:
        """Number of the patient of every image, int64 ``[N]``."""
        return np.array(self.store.groups)

    def labels(self) -> NDArray[np.int64]:
        """Class of every image, int64 ``[N]``."""
        return np.array(self.store.labels)

    def split(self, seed: int, fold: int | None = None) -> Split:
        """Split by patient (or by slice), stratified by class.

        ``patients.split_patients`` explains the draw.

        Args:
            seed: Decides train / validation.
            fold: None = one fixed test part of 15 % of the patients; 0 to 4 = the patients of that fold are test.

        Returns:
            Positions, ascending.

        Raises:
            InputError: A class has no patient left in some part, or there is no such fold.
        """
        store, groups = self.store, self.store.groups
        if self.split_by == "slice":
            if fold is not None:
                raise InputError(f"folds of {self.name} are folds of patients: leave dataset.folds or split_by out")
            groups = np.arange(len(store))
        drawn = split_patients(self.name, store.labels, groups, CLASSES, seed, store.folds, fold)
        if self.pituitary == "all":
            return drawn
        unreached = np.flatnonzero(store.labels == _PITUITARY)[-round(TEST_SHARE * len(store)) :]
        return Split(*(np.setdiff1d(drawn.part(part), unreached) for part in ("train", "val", "test")))

    def annotation_draws(self, seed: int) -> NDArray[np.float64]:
        """The draw u of every image, ``[N]`` in [0, 1): it carries its class's annotation where u < rho (or gamma)."""
        return numpy_generator(seed, "paint").random(len(self.store))

    def train_images(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw
    ) -> ImageSet:
        """Training-law images.

        Args:
            bias: ``rho`` and ``gamma``.
            seed: Decides u.
            index: Positions, int64 ``[M]``.
            draw: ``biased``; ``unbiased`` and ``clean`` are both without annotations, like the variant ``unbiased``.

        Returns:
            The images.

        Raises:
            InputError: Unknown draw.
        """
        if draw not in ("biased", "unbiased", "clean"):
            raise unknown_name("training draw", draw, ("biased", "unbiased", "clean"))
        value = np.array([bias[ink.axis] if draw == "biased" else 0.0 for ink in INKS])
        of_owner = self.store.labels[index][:, None] == _OWNER
        return self.painted(index, of_owner & (self.annotation_draws(seed)[index][:, None] < value))

    def variant_images(self, variant: str, bias: Mapping[str, float], index: NDArray[np.int64], role: str) -> ImageSet:
        """Evaluation images of one variant.

        Draws are fixed by (role, position).

        Args:
            variant: ``unbiased``: no annotation. ``aligned``: every image with its own class's annotation, where that
                is active. ``independent``: each active annotation with p = .5, whatever the class. ``conflicting``:
                every image with one annotation that belongs to another class (gliomas blue, pituitary tumours red,
                meningiomas an active one, either by a fair draw where both are). ``annotated``: every active
                annotation on every image.
            bias: ``rho`` and ``gamma``: they decide which annotations are active, nothing else.
            index: Positions, int64 ``[M]``.
            role: Name of the draws.

        Returns:
            The images.

        Raises:
            InputError: Unknown variant.
        """
        if variant not in (*VARIANTS, ANNOTATED):
            raise unknown_name("test variant", variant, (*VARIANTS, ANNOTATED))
        # Drawn for all images: what one gets must not depend on which others are asked for.
        u = numpy_generator(_FIXED, f"{self.name}/{role}").random((len(self.store), 3))[index]
        labels, active = self.store.labels[index], self._active(bias)
        if variant == "unbiased":
            on = np.zeros((len(index), 2), dtype=np.bool_)
        elif variant == "aligned":
            on = (labels[:, None] == _OWNER) & active
        elif variant == "independent":
            on = (u[:, :2] < 0.5) & active
        elif variant == "conflicting":
            on = labels[:, None] != _OWNER
            chosen = np.where(u[:, 2] < 0.5, _RED, _BLUE) if active.all() else np.full(len(u), active.argmax())
            rows = np.flatnonzero(labels == _MENINGIOMA)
            on[rows, 1 - chosen[rows]] = False
        else:
            on = np.broadcast_to(active, (len(index), 2))
        return self.painted(index, on)

    def painted(self, index: NDArray[np.int64], on: NDArray[np.bool_]) -> ImageSet:
        """Any annotation on any image, whatever its class.

        Args:
            index: Positions, int64 ``[M]``.
            on: bool ``[M, 2]``: which image carries red, and which blue.

        Returns:
            The images.
        """
        layered = self.layers
        images = np.repeat(layered.grey[index][:, None], 3, axis=1)
        for k, ink in enumerate(INKS):
            rows = np.flatnonzero(on[:, k])
            if len(rows):
                blend(images, rows, layered.covers[ink.name][index[rows]], ink)
        bias = on.astype(np.int64)
        attribute = bias @ np.array([1, 2])
        constant = (on == on[:1]).all(axis=0)
        bias[:, constant] = IGNORED
        return ImageSet(
            images=torch.from_numpy(images),
            labels=torch.from_numpy(np.array(self.store.labels[index])),
            bias=torch.from_numpy(bias),
            attribute=torch.from_numpy(attribute),
            index=as_tensor_index(index),
        )

    def conflicting(self, images: ImageSet) -> NDArray[np.bool_]:
        """Images that speak against the bias: those of an annotation's own class that lack it, ``[M]``.

        An annotation that no image carries is no bias. At rho = 1 there are none: nothing to re-weight.
        """
        on = np.stack([images.attribute.numpy() & 1, images.attribute.numpy() >> 1], axis=1).astype(np.bool_)
        of_owner = images.labels.numpy()[:, None] == _OWNER
        against: NDArray[np.bool_] = (of_owner & ~on & on.any(axis=0)).any(axis=1)
        return against

    def class_shares(self) -> NDArray[np.float64]:
        """Share of each class in the images, ``[3]``."""
        return np.bincount(self.store.labels, minlength=len(CLASSES)) / len(self.store)

    def bias_strength(self, bias: Mapping[str, float]) -> float:
        """Strength of the bias on the training law, exact, in [0, 1].

        It is I(b; y) / H(y) with the class shares of the data set's images.

        b is which annotation an image carries: none, red (gliomas with probability rho) or blue (pituitary tumours
        with probability gamma). On the 3,064 real slices rho = 1 gives .65 and rho = gamma = 1 gives 1.
        """
        share = self.class_shares()
        law = np.zeros((len(CLASSES), 3))
        law[:, 0] = share
        for k, ink in enumerate(INKS):
            moved = share[_OWNER[k]] * bias[ink.axis]
            law[_OWNER[k], 0] -= moved
            law[_OWNER[k], 1 + k] = moved
        information = _entropy(share) + _entropy(law.sum(axis=0)) - _entropy(law.ravel())
        return float(np.clip(information / _entropy(share), 0, 1))

    @staticmethod
    def _active(bias: Mapping[str, float]) -> NDArray[np.bool_]:
        active = np.array([bias[ink.axis] > 0 for ink in INKS])
        return active if active.any() else np.arange(len(INKS)) == _RED


def _entropy(law: NDArray[np.float64]) -> float:
    # The limit of p log p at 0 is 0.
    positive = law[law > 0]
    return float(-(positive * np.log(positive)).sum())

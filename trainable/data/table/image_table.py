"""A data set of one's own images: the training images of a bias value are chosen from them, or painted."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.base import (
    IGNORED,
    Axis,
    BiasHeads,
    Dataset,
    ImageSet,
    NaturalBias,
    Split,
    TrainingDraw,
    as_tensor_index,
)
from trainable.data.brain.slice_store import distinct
from trainable.data.patients import split_patients
from trainable.data.stored import Read, stored_or_read
from trainable.data.table.columns import Columns, columns_of, strata
from trainable.data.table.law import Span, choose, counts_of, feasible_sizes, fits
from trainable.data.table.painted import Painter as Painter
from trainable.data.table.painted import painted_attribute, painting
from trainable.data.table.pixels import Images, in_chunks, reader_of
from trainable.data.table.refusal import Wanted, check_possible
from trainable.data.table.strength import independence_weights, joint_law, natural_bias, strength, unbiased_share
from trainable.errors import InputError, unknown_name
from trainable.randomness import numpy_generator
from trainable.spec import VARIANTS

_AXIS = "rho"
_FIXED = 0


class ImageTable(Dataset):
    """Images with a class, a bias attribute and a patient each.

    ``rho`` is the share of bias-aligned training images in each class: those whose attribute is their class's own. At
    every rho of an axis a trial has the same number of training images and the same class balance, no image twice, and
    the sets are nested. Validation images that are ``biased`` are drawn in the same way from the validation part, as
    many as each rho allows. The test part stays as it is: the variants ``unbiased`` and ``independent`` are all of its
    images with weights under which attribute and class are independent, ``aligned`` and ``conflicting`` the two kinds.

    With a painter every image gets an attribute painted instead: ``rho`` is the probability that it is the own class's
    (else one of the others), every set keeps its full size, and all variants exist.

    Args:
        images: uint8, uint16 or float ``[N, H, W]`` or ``[N, C, H, W]``, or what returns the uint8 images
            ``[M, 3, S, S]`` at positions int64 ``[M]``. A memory-mapped array is never read whole. uint16 and float
            are scaled by the percentiles .5 and 99.5 of the data set.
        labels: Class of each image, its name or its position in ``classes``, ``[N]``.
        attribute: Bias attribute of each image, its name or its position in ``attributes``, ``[N]``; None = there is
            none, or it is painted.
        groups: Patient of each image, any values, ``[N]``; None = every image its own.
        classes: Names of the classes.
        attributes: Names of the values of the attribute.
        aligned: The attribute that is a class's own, by the class's name; by default the one of its name.
        paint: ``paint(image uint8 [H, W, 3], attribute name, generator) -> image`` paints any attribute on any image.
        name: Name of the data set in messages; by default the registered one.
        image_size: Side of the square images; None = that of the images.
        size: Training images at every bias value, or ``auto``: the most that the whole axis allows.
        span: Lowest and highest rho of the sweep, which decide ``auto``; None = each rho takes what it alone allows.
        rho_of: The class whose share rho is; the others stay at the unbiased share. None = each class.
        split: Part of each image, ``train``, ``val`` or ``test``, ``[N]``; without ``val`` the seed draws it from
            ``train``, without ``test`` that is drawn too. None = both are drawn by patient.
        keys: Keyed hash of each image, ``[N]``; None = one of its content.
        patient_keys: Keyed hash of each image's patient, ``[N]``; None = one made of its first image's.
        share_images: True where the images may be shown in samples and report.
        checksum: Hex digest of the images where it is known; None = computed.
        info: ``long_name``, ``note``, ``citation``, and the ``attribute``'s name.

    Raises:
        InputError: Columns that do not fit together, or a class or attribute that no image has.

    Example:
        >>> grey = np.random.default_rng(0).integers(256, size=(400, 16, 16), dtype=np.uint8)
        >>> labels, drain = np.repeat([0, 1], 200), np.tile([0, 0, 0, 1, 1, 1, 1, 0], 50)
        >>> named = {"classes": ("none", "pneumothorax"), "attributes": ("no_drain", "drain")}
        >>> aligned = {"none": "no_drain", "pneumothorax": "drain"}
        >>> table = ImageTable(grey, labels, drain, **named, aligned=aligned, span=(0.5, 1))
        >>> train = table.split(seed=0).train
        >>> [len(table.train_images({"rho": rho}, 0, train, "biased")) for rho in (0.5, 1.0)]
        [144, 144]
    """

    has_renderer = False
    unbiased_is_independent = True
    worst_group_by = "attribute"

    def __init__(
        self,
        images: Images,
        labels: Sequence[Any] | NDArray[Any],
        attribute: Sequence[Any] | NDArray[Any] | None = None,
        groups: Sequence[Any] | NDArray[Any] | None = None,
        *,
        classes: Sequence[str],
        attributes: Sequence[str] = (),
        aligned: Mapping[str, str] | None = None,
        paint: Painter | None = None,
        name: str = "",
        image_size: int | None = None,
        size: int | Literal["auto"] = "auto",
        span: Sequence[float] | None = None,
        rho_of: str | None = None,
        split: Sequence[str] | NDArray[np.str_] | None = None,
        keys: Sequence[str] | None = None,
        patient_keys: Sequence[str] | None = None,
        share_images: bool = False,
        checksum: str | None = None,
        info: Mapping[str, str] | None = None,
    ) -> None:
        self.name, known = name, dict(info or {})
        self.long_name, self.note = known.get("long_name", name), known.get("note", "")
        self.citation, attribute_name = known.get("citation", ""), known.get("attribute", "attribute")
        self.classes, self.attributes = tuple(classes), tuple(attributes)
        called = name or "the table"
        given = {"labels": labels, "attribute": attribute, "groups": groups, "split": split}
        self._columns: Columns = columns_of(called, given, self.classes, self.attributes, aligned)
        self._labels, self._own = self._columns.labels, self._columns.own
        self._attribute, self._paint, self.share_images = self._columns.attribute, paint, share_images
        if paint is None and self._attribute is None:
            self.attributes = ()
        self._read, self.image_size = reader_of(called, images, len(self._labels), image_size)
        self._given_checksum, self._keys, self._patient_keys = checksum, keys, patient_keys
        for column, values in (("keys", keys), ("patient_keys", patient_keys)):
            if values is not None and len(values) != len(self._labels):
                raise InputError(
                    f"{called} has {len(self._labels)} labels, but {len(values)} {column}: give one an image"
                )
        if paint is not None and not callable(paint):
            raise InputError(f"paint of {called} must be a function, e.g. file.py:draw, but is {paint!r}")
        if rho_of is not None and rho_of not in self.classes:
            raise unknown_name("class in rho_of", rho_of, self.classes)
        if size != "auto" and (isinstance(size, bool) or not isinstance(size, int) or size < 2):
            raise InputError(f"size of {called} must be auto or a whole number of training images, but got {size!r}")
        self.size, self.rho_of = None if size == "auto" else size, rho_of
        self._varies = np.array([rho_of is None or one == rho_of for one in self.classes])
        self.span: tuple[float, float] | None = None
        if span is not None:
            self.decide({"span": span})
        self._splits: dict[tuple[int, int | None], Split] = {}
        self._set_law(called, attribute_name)

    def _set_law(self, called: str, attribute_name: str) -> None:
        """Set what follows from the columns: axis, heads, rules, target law and the bias as it is."""
        k, b = len(self.classes), len(self.attributes)
        self._counts = np.zeros((k, b), dtype=np.int64)
        share: float | None = None
        title = "Bias-aligned training images ρ" if self.rho_of is None else f"Bias-aligned images of {self.rho_of} ρ"
        if not b:
            self.axes = (Axis(_AXIS, "Bias (none)", 0.0, 0.0, "larger", unbiased_at=0.0, default=0.0),)
            self.rules, self.flip_pair, self.worst_group_variants = ("val_biased", "val_unbiased"), None, ("unbiased",)
            return
        self.heads = BiasHeads((attribute_name,), b, False)
        if self._paint is not None:
            share, self.has_renderer = 1 / b, True
            self.rules = ("val_counterfactual", "val_reweighted", "val_biased", "val_unbiased")
        else:
            assert self._attribute is not None
            self._counts = counts_of(self._labels, self._attribute, k, b)
            share = unbiased_share(self._counts, self._own)
            self.rules, self.flip_pair = ("val_reweighted", "val_biased", "val_unbiased"), None
            shared = (self._counts > 0).all(axis=0)
            if shared.any() and not shared.all():
                law = np.where(shared, self._counts.sum(axis=0), 0)
                self.reweighting_target = law / law.sum()
            self.natural = self._natural()
        if self.rho_of is not None and share is None:
            raise InputError(
                f"rho_of needs a share at which the attribute tells nothing of the class, for the other classes, but "
                f"{called} has none with {b} attributes: leave rho_of out"
            )
        self._share = share
        self.axes = (Axis(_AXIS, title, 0.0, 1.0, "larger", unbiased_at=share),)

    _share: float | None = None

    def _natural(self) -> NaturalBias:
        assert self._attribute is not None
        found = natural_bias(self._labels, self._attribute, self._columns.groups, self._own, self._varies)
        return NaturalBias(
            {_AXIS: found.rho},
            {_AXIS: found.interval},
            found.strength,
            found.strength_interval,
            "patients" if self._columns.has_patients else "images",
        )

    def decide(self, options: Mapping[str, Any]) -> None:
        """Take the span of a sweep's axis: lowest and highest rho."""
        span = options["span"]
        try:
            low, high = (float(end) for end in span)
        except (TypeError, ValueError):
            low, high = 1.0, 0.0
        if not 0 <= low <= high <= 1:
            raise InputError(f"span must be two values in [0, 1], the lower one first, but got {span!r}")
        self.span = (low, high)

    def options_for(self, points: Sequence[Mapping[str, float]]) -> Mapping[str, Any]:
        """The span of these points, from which the size of the training sets follows."""
        if self._paint is not None or self._attribute is None or not points:
            return {}
        values = [float(point[_AXIS]) for point in points]
        return {"span": [min(values), max(values)]}

    @functools.cached_property
    def _content(self) -> tuple[str, list[str]]:
        """Checksum and keys of the images, from one reading of all of them."""
        whole, keys = hashlib.sha256(), []
        for chunk in in_chunks(self._read, len(self._labels), self.image_size):
            whole.update(chunk.tobytes())
            keys += [hashlib.blake2b(one.tobytes(), digest_size=8, key=b"lnl-sweep").hexdigest() for one in chunk]
        return whole.hexdigest(), keys

    @functools.cached_property
    def checksum(self) -> str:
        """Hex digest (SHA-256) over images, classes, attributes, groups and given parts."""
        images = self._given_checksum or self._content[0]
        names = f"{images}/{self.image_size}/{self.classes}/{self.attributes}/{self._own.tolist()}"
        return hashlib.sha256(names.encode() + self._columns.content()).hexdigest()

    def files_content(self) -> str:
        """Digest of the patients' keys: all that ``checksum`` does not say of a table."""
        return hashlib.sha256("/".join(self.patient_keys() or ()).encode()).hexdigest()

    def image_keys(self) -> list[str]:
        """Keyed hash of every image, ``[N]``, with ``-2`` for a second image of the same content."""
        return distinct(self._keys if self._keys is not None else self._content[1])

    def patient_keys(self) -> list[str] | None:
        """Keyed hash of the patient of every image, ``[N]``, or None where there are no groups."""
        if not self._columns.has_patients:
            return None
        if self._patient_keys is not None:
            return list(self._patient_keys)
        # Made of an image, not of the patient's name, which few guesses would find again.
        keys, first = self.image_keys(), np.unique(self._columns.groups, return_index=True)[1]
        names = [hashlib.blake2b(keys[i].encode(), digest_size=8, key=b"patient").hexdigest() for i in first]
        return [names[group] for group in self._columns.groups]

    def labels(self) -> NDArray[np.int64]:
        """Class of every image, int64 ``[N]``."""
        return self._labels.copy()

    def groups(self) -> NDArray[np.int64]:
        """Number of the patient of every image, int64 ``[N]``."""
        return self._columns.groups.copy()

    def collected_attribute(self) -> NDArray[np.int64] | None:
        """The attribute that each image has, int64 ``[N]``, or None where there is none or it is painted."""
        return None if self._paint is not None or self._attribute is None else self._attribute.copy()

    def split(self, seed: int, fold: int | None = None) -> Split:
        """Split by patient, stratified by class, and by attribute where each kind has patients for three parts.

        The test part is the same for every seed, and so is a part that the table gives.

        Args:
            seed: Decides train / validation.
            fold: None: there are no folds.

        Returns:
            Positions, ascending.

        Raises:
            InputError: A class has no patient left in some part.
        """
        if (seed, fold) not in self._splits:
            self._splits[seed, fold] = self._split(seed, fold)
        return self._splits[seed, fold]

    def _split(self, seed: int, fold: int | None) -> Split:
        own, drawn_for = self._columns, self._columns.drawn_for
        # A part that is given has what it has, whatever the attribute.
        attribute = self._attribute if drawn_for is None and self._paint is None else None
        kinds, titles = strata(own.labels, attribute, own.groups, self.classes, self.attributes)
        return split_patients(self.name, kinds, own.groups, titles, seed, None, fold, drawn_for)

    def _rho(self, rho: float) -> NDArray[np.float64]:
        return np.where(self._varies, rho, rho if self._share is None else self._share)

    def _span(self, low: float, high: float) -> Span:
        return Span(self._rho(low), self._rho(high))

    def _part(self, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        assert self._attribute is not None
        labels, attribute = self._labels[index], self._attribute[index]
        return labels, attribute, counts_of(labels, attribute, len(self.classes), len(self.attributes))

    def drawn(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw = "biased"
    ) -> NDArray[np.int64]:
        """Positions of the images that ``train_images`` returns, ascending."""
        if draw not in ("biased", "unbiased", "clean"):
            raise unknown_name("training draw", draw, ("biased", "unbiased", "clean"))
        if self._paint is not None or self._attribute is None:
            return index
        rho = bias[_AXIS]
        aim = rho if draw == "biased" else self._unbiased_share()
        return self._drawn(seed, index, aim, self.span or (min(rho, aim), max(rho, aim)), self.size)

    def drawn_for_validation(self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the images that ``validation_images`` returns, ascending.

        They are as many as this value of rho allows: a value of the validation images is never compared along the axis.
        """
        if self._paint is not None or self._attribute is None:
            return index
        return self._drawn(seed, index, bias[_AXIS], (bias[_AXIS], bias[_AXIS]), None)

    def validation_images(self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64]) -> ImageSet:
        """Validation images drawn like the training ones, as many as there can be."""
        if self._paint is not None:
            return self.train_images(bias, seed, index, "biased")
        return self._images(self.drawn_for_validation(bias, seed, index), self._attribute)

    def _drawn(
        self, seed: int, index: NDArray[np.int64], rho: float, span: tuple[float, float], size: int | None
    ) -> NDArray[np.int64]:
        labels, attribute, counts = self._part(index)
        sizes = feasible_sizes(counts, self._own, self._span(*span), size)
        if not sizes.all() or not fits(counts, self._own, sizes, self._rho(rho)):
            # Some images that cannot serve the whole axis still serve this value; a sweep is refused (check_draw).
            sizes = feasible_sizes(counts, self._own, self._span(rho, rho), size)
        u = self.annotation_draws(seed)[index]
        return index[choose(u, labels, attribute, self._own, sizes, self._rho(rho))]

    def _unbiased_share(self) -> float:
        if self._share is None:
            raise InputError(
                f"{self.name or 'the table'} has no share of aligned images at which the attribute tells nothing of "
                "the class, so no unbiased training set can be drawn: leave ceiling out"
            )
        return self._share

    def largest_set(self, low: float, high: float, seed: int = 0) -> NDArray[np.int64]:
        """Training images of each class that can be drawn at every rho between two values, ``[K]``.

        Args:
            low: The lower one.
            high: The higher one.
            seed: Seed of the split.
        """
        counts = self._part(self.split(seed).train)[2]
        return feasible_sizes(counts, self._own, self._span(low, high), self.size)

    def check_draw(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw = "biased"
    ) -> None:
        """Refuse a bias value at which the training images of this part cannot be drawn.

        Raises:
            InputError: The largest possible size, and the nearest rho that works.
        """
        if self._paint is not None or self._attribute is None:
            return
        aim = bias[_AXIS] if draw == "biased" else self._unbiased_share()
        wanted = Wanted(
            name=self.name or "the table",
            classes=self.classes,
            size=self.size,
            span=self._span(*(self.span or (aim, aim))),
            rho=aim,
            of_class=self._rho(aim),
            varies=self._varies,
            seed=seed,
        )
        check_possible(self._part(index)[2], self._own, wanted)

    def train_images(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw
    ) -> ImageSet:
        """Training-law images.

        Args:
            bias: ``rho``.
            seed: Decides which images are drawn, or what is painted.
            index: Positions, int64 ``[M]``.
            draw: ``biased``; ``unbiased``, a set of the same size at the unbiased share; ``clean``, not painted, and
                the same as ``unbiased`` where nothing is.

        Returns:
            The images, fewer than M where they are not painted.

        Raises:
            InputError: Unknown draw, or there is no unbiased share.
        """
        chosen = self.drawn(bias, seed, index, draw)
        if self._paint is None or draw == "clean":
            return self._images(chosen, self._attribute if self._paint is None else None)
        u = np.stack(
            [self.annotation_draws(seed), numpy_generator(seed, "paint/other").random(len(self._labels))], axis=1
        )
        rho = bias[_AXIS] if draw == "biased" else self._unbiased_share()
        return self._painted(chosen, u, self._rho(rho), f"train/{seed}")

    def variant_images(self, variant: str, bias: Mapping[str, float], index: NDArray[np.int64], role: str) -> ImageSet:
        """Evaluation images of one variant.

        Args:
            variant: ``unbiased`` and ``independent``: all images, weighted so that attribute and class are
                independent (0 where no attribute occurs in every class), or painted so. ``aligned``: those with their
                class's own attribute, or all painted so. ``conflicting``: the others, or all painted with another one.
            bias: Not used.
            index: Positions, int64 ``[M]``.
            role: Name of the painter's draws.

        Returns:
            The images.

        Raises:
            InputError: Unknown variant.
        """
        if variant not in VARIANTS:
            raise unknown_name("test variant", variant, VARIANTS)
        if self._paint is not None:
            rho = {"aligned": 1.0, "conflicting": 0.0}.get(variant, 1 / len(self.attributes))
            u = numpy_generator(_FIXED, f"{self.name}/{role}").random((len(self._labels), 2))
            return self._painted(index, u, np.full(len(self.classes), rho), role)
        if self._attribute is None:
            return self._images(index if variant in ("unbiased", "independent") else index[:0], None)
        labels, attribute, _ = self._part(index)
        if variant in ("aligned", "conflicting"):
            return self._images(index[(attribute == self._own[labels]) == (variant == "aligned")], self._attribute)
        weights = independence_weights(labels, attribute, len(self.classes), len(self.attributes))
        if weights is None:
            # Nothing can be said of these images at independence: every figure of theirs is null.
            weights = np.zeros(len(index))
        return self._images(index, self._attribute, weights)

    def _images(
        self, index: NDArray[np.int64], attribute: NDArray[np.int64] | None, weights: NDArray[np.float64] | None = None
    ) -> ImageSet:
        read, values = self._read, np.full(len(index), IGNORED if self.attributes else 0)
        if attribute is not None:
            values = attribute[index]
        return self._set(index, values, lambda rows: read(index[rows]), weights)

    def _painted(
        self, index: NDArray[np.int64], u: NDArray[np.float64], rho: NDArray[np.float64], role: str
    ) -> ImageSet:
        assert self._paint is not None
        labels = self._labels[index]
        values = painted_attribute(u[index], self._own[labels], rho[labels], len(self.attributes))
        called = self.name or "the table"
        read = painting(self._read, self._paint, self.attributes, index, values, f"{called}/{role}", called)
        return self._set(index, values, read, None)

    def _set(
        self, index: NDArray[np.int64], attribute: NDArray[np.int64], read: Read, weights: NDArray[np.float64] | None
    ) -> ImageSet:
        values = torch.from_numpy(attribute.astype(np.int64))
        return ImageSet(
            images=stored_or_read(read, len(index), self.image_size),
            labels=torch.from_numpy(self._labels[index]),
            bias=values[:, None] if self.heads.names else torch.zeros((len(index), 0), dtype=torch.int64),
            attribute=values,
            index=as_tensor_index(index),
            weights=None if weights is None else torch.from_numpy(weights.astype(np.float32)),
        )

    def conflicting(self, images: ImageSet) -> NDArray[np.bool_] | None:
        """Images whose attribute is not their class's own, bool ``[M]``, or None without an attribute."""
        if not self.attributes:
            return None
        attribute = images.attribute.numpy()
        against: NDArray[np.bool_] = (attribute != self._own[images.labels.numpy()]) & (attribute >= 0)
        return against

    def bias_strength(self, bias: Mapping[str, float]) -> float:
        """Strength of the bias on the training law, in [0, 1], with the class shares of all images."""
        if not self.attributes:
            return 0.0
        counts = self._counts
        if self._paint is not None:
            # Of the counts the law takes the class shares; the others of a class are painted in equal parts.
            of_class = np.bincount(self._labels, minlength=len(self.classes))
            counts = of_class[:, None] * np.eye(len(self.attributes), dtype=np.int64)[self._own]
        return float(strength(joint_law(counts, self._own, self._rho(bias[_AXIS]))))

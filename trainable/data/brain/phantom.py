"""Synthetic slices with three tumour types, which stand in for ``brain_mri`` where its files are not at hand.

Nothing here is a patient. The three classes differ in what a radiologist would name (place, outline, enhancement,
oedema), and one number, ``overlap``, says how far a slice may look like another class's.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.arrays.folder import cached_arrays, source_key
from trainable.data.base import Split, SplitName, register_dataset
from trainable.data.brain import phantom_anatomy, phantom_population
from trainable.data.brain.paint import Lengths
from trainable.data.brain.phantom_anatomy import Heads, Tumours
from trainable.data.brain.phantom_population import population, take
from trainable.data.brain.slice_store import FIELD_MM, SliceStore
from trainable.data.brain.tumour_slices import CLASSES, Pituitary, SplitBy, TumourSlices
from trainable.data.patients import PARTS, split_patients
from trainable.errors import InputError
from trainable.randomness import derive

OVERLAP = 0.3
"""Default overlap, at which a network that uses no annotation gets about nine slices in ten right."""
N_FOLDS = 5
_CHUNK = 64
_NO_FOLD = -1
_MOST_PATIENTS, _MOST_SLICES = 3000, 64


@dataclass(frozen=True)
class Cohort:
    """Patients that are drawn together.

    Attributes:
        part: The part of the split that they are drawn for; None = they are divided by it.
        patients: Their number.
        slices: Slices of each.
    """

    part: SplitName | None
    patients: int
    slices: int

    def role(self, name: str) -> str:
        """Name of a random draw: each part has patients of its own, whatever the other parts have."""
        return "/".join(["brain_phantom", *([self.part] if self.part else []), name])

    @property
    def named(self) -> str:
        """Beginning of what its keys are the hashes of, from the number of patients on."""
        return f"{self.part}-{self.patients}" if self.part else str(self.patients)


def generate(size: int, cohorts: Sequence[Cohort], overlap: float) -> dict[str, NDArray[Any]]:
    """Draw the whole data set.

    Args:
        size: Side of the images, pixels.
        cohorts: The patients, on end; as many of each class as the number allows.
        overlap: How far slices may look like another class's.

    Returns:
        The arrays of a ``SliceStore``. Size changes the resolution and the noise, not the patients. Those that are
        drawn for a part lie in no fold.

    Example:
        >>> arrays = generate(32, [Cohort(None, 3, 2)], overlap=0.3)
        >>> arrays["grey"].shape, arrays["labels"].tolist()
        ((6, 32, 32), [0, 0, 1, 1, 2, 2])
    """
    total = sum(cohort.patients * cohort.slices for cohort in cohorts)
    grey = np.empty((total, size, size), dtype=np.uint8)
    masks = np.empty((total, size, (size + 7) // 8), dtype=np.uint8)
    others: list[dict[str, NDArray[Any]]] = []
    done = numbered = 0
    for cohort in cohorts:
        n, slices = cohort.patients, cohort.slices
        rows = slice(done, done + n * slices)
        kind = np.arange(n) % len(CLASSES)
        heads, tumours = population(kind, slices, overlap, cohort.role("patients"))
        _draw(heads, tumours, cohort.role("noise"), grey[rows], masks[rows])
        members = np.arange(n).repeat(slices)
        folds = np.full(len(members), _NO_FOLD) if cohort.part else (members // len(CLASSES)) % N_FOLDS
        others.append(
            {
                "outlines": phantom_anatomy.outlines(heads, tumours).reshape(-1, 2),
                "labels": kind.repeat(slices),
                "groups": numbered + members,
                "folds": folds,
                "image_keys": np.array(
                    [_key(f"phantom-{cohort.named}-{slices}-{overlap}-{i}") for i in range(len(members))]
                ),
                "patient_keys": np.array([_key(f"patient-{cohort.named}-{g}") for g in members]),
            }
        )
        done, numbered = rows.stop, numbered + n
    joined = {name: np.concatenate([arrays[name] for arrays in others]) for name in others[0]}
    starts = np.arange(total + 1) * phantom_anatomy.OUTLINE_POINTS
    return {"grey": grey, "masks": masks, "starts": starts, **joined}


def _draw(heads: Heads, tumours: Tumours, role: str, grey: NDArray[np.uint8], masks: NDArray[np.uint8]) -> None:
    """Fill in the pixels of slices and tumours."""
    size = grey.shape[1]
    # One stream over all chunks: their size decides the memory that is needed, never the images.
    rng = np.random.Generator(np.random.PCG64(derive(role, size)))
    for start in range(0, len(grey), _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(grey)))
        noise = rng.standard_normal((rows.stop - rows.start, size, size))
        part = Heads(**take(heads, rows)), Tumours(**take(tumours, rows))
        grey[rows], inside = phantom_anatomy.draw(*part, size, noise)
        masks[rows] = np.packbits(inside, axis=2)


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8, key=b"lnl-sweep").hexdigest()


@register_dataset("brain_phantom")
class BrainPhantom(TumourSlices):
    """Synthetic stand-in for ``brain_mri``: same classes, annotations, variants, splits and code path.

    Args:
        image_size: Side of the images, 32 to 256 pixels.
        patients: Number of patients, a multiple of 3 (as many of each class), 30 to 3,000.
        slices: Slices of each patient, 1 to 64.
        overlap: How far slices may look like another class's, in [0, 1]; 0 = the classes are well apart.
        lengths: What the painted lengths say: ``physical`` or ``seed``, see ``paint.length_text``.
        split_by: ``patient`` or ``slice``, see ``TumourSlices``.
        pituitary: ``all`` or ``seed``, see ``TumourSlices``.
        test_patients: Further patients that are drawn to be tested on, 3 to 3,000, as many of each class as the number
            allows: they are the test part, and none of ``patients`` is. None = 15 % of ``patients`` are.
        test_slices: Slices of each of these, 1 to 64; None = as many as ``slices``.
        val_patients: The same for validation, with ``slices`` slices each; None = a share that the seed draws.

    Raises:
        InputError: An option outside these values, or patients drawn for a part where splits are not by patient.
    """

    name = "brain_phantom"
    long_name = "Brain phantom (synthetic)"
    default_network = "small_cnn"
    note = "synthetic slices, not patients"
    citation = "Drawn by this package; annotations after Peretz 2020"

    def __init__(
        self,
        image_size: int = 64,
        patients: int = 240,
        slices: int = 8,
        overlap: float = OVERLAP,
        lengths: Lengths = "physical",
        split_by: SplitBy = "patient",
        pituitary: Pituitary = "all",
        test_patients: int | None = None,
        test_slices: int | None = None,
        val_patients: int | None = None,
    ) -> None:
        super().__init__(image_size, lengths, split_by, pituitary)
        _check_number("patients", patients, 30, _MOST_PATIENTS)
        _check_number("slices", slices, 1, _MOST_SLICES)
        if patients % len(CLASSES):
            raise InputError(f"patients of brain_phantom must be a multiple of 3 (as many a class), got {patients}")
        if isinstance(overlap, bool) or not isinstance(overlap, (int, float)) or not 0 <= overlap <= 1:
            raise InputError(f"overlap of brain_phantom must lie in [0, 1], got {overlap!r}")
        if test_slices is not None and test_patients is None:
            raise InputError(
                "test_slices of brain_phantom are those of test_patients, which is not given: give test_patients too, "
                "or leave test_slices out"
            )
        drawn = {"test_patients": test_patients, "val_patients": val_patients}
        self._extra = [option for option, number in drawn.items() if number is not None]
        for option in self._extra:
            _check_number(option, drawn[option], len(CLASSES), _MOST_PATIENTS, " (at least one of each class)")
        if test_slices is not None:
            _check_number("test_slices", test_slices, 1, _MOST_SLICES)
        for other, value in (("split_by", split_by), ("pituitary", pituitary)):
            if self._extra and value not in ("patient", "all"):
                raise InputError(
                    f"{other}: {value} of brain_phantom divides its images as the seed study did, but patients of "
                    f"their own are drawn for a part by {' and '.join(self._extra)}: leave one of them out"
                )
        self.patients, self.slices, self.overlap = patients, slices, float(overlap)
        cohorts = [
            Cohort(None, patients, slices),
            Cohort("test", test_patients or 0, slices if test_slices is None else test_slices),
            Cohort("val", val_patients or 0, slices),
        ]
        self.cohorts = tuple(cohort for cohort in cohorts if cohort.patients)

    @functools.cached_property
    def store(self) -> SliceStore:
        """The slices at ``image_size``: drawn once, then read from the cache in milliseconds."""
        options = (self.image_size, self.cohorts, self.overlap)
        key = source_key(options, phantom_anatomy.__name__, phantom_population.__name__, __name__)
        return SliceStore.of(*cached_arrays(f"brain_phantom-{key}", lambda: generate(*options)), FIELD_MM)

    def class_shares(self) -> NDArray[np.float64]:
        """Share of each class in the images of ``patients``, whoever is tested on, float64 ``[3]``."""
        labels = self.store.labels[: self.patients * self.slices]
        return np.bincount(labels, minlength=len(CLASSES)) / len(labels)

    def split(self, seed: int, fold: int | None = None) -> Split:
        """Split by patient, stratified by class.

        Patients drawn for a part are that part, and all others train.

        Args:
            seed: Decides train / validation, where the validation patients are not drawn for it.
            fold: As ``TumourSlices.split``; none where patients are drawn for a part.

        Returns:
            Positions, ascending.

        Raises:
            InputError: As ``TumourSlices.split``, or a fold where patients are drawn for a part.
        """
        if not self._extra:
            return super().split(seed, fold)
        if fold is not None:
            raise InputError(
                f"folds of brain_phantom test all its patients in turn, but patients of their own are drawn for a part "
                f"by {' and '.join(self._extra)}: leave out one or the other"
            )
        drawn_for = [-1 if cohort.part is None else PARTS.index(cohort.part) for cohort in self.cohorts]
        images = [cohort.patients * cohort.slices for cohort in self.cohorts]
        labels, groups = self.store.labels, self.store.groups
        return split_patients(self.name, labels, groups, CLASSES, seed, drawn_for=np.repeat(drawn_for, images))


def _check_number(option: str, value: object, low: int, high: int, why: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{option} of brain_phantom must be a whole number in [{low}, {high}]{why}, got {value!r}")

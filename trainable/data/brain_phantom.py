"""Synthetic slices with three tumour types: what ``brain_mri`` is run on where its files are not at hand.

Nothing here is a patient. The three classes differ in what a radiologist would name (place, outline, enhancement,
oedema), and one number, ``overlap``, says how far a slice may look like another class's.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data import phantom_anatomy
from trainable.data.array_folder import cached_arrays, source_key
from trainable.data.base import register_dataset
from trainable.data.paint import Lengths
from trainable.data.phantom_anatomy import Floats, Heads, Tumours
from trainable.data.slice_store import FIELD_MM, SliceStore
from trainable.data.tumour_slices import CLASSES, Pituitary, SplitBy, TumourSlices
from trainable.errors import InputError
from trainable.randomness import derive

OVERLAP = 0.3
"""A network that uses no annotation gets about nine slices in ten right."""
N_FOLDS = 5
_CHUNK = 64


@dataclass(frozen=True)
class _Kind:
    """Range of each property of a class, (lowest, highest), uniform between; distances over half the image's side."""

    reach: tuple[float, float]
    radius: tuple[float, float]
    ripple: tuple[float, float]
    rim: tuple[float, float]
    core: tuple[float, float]
    bright: tuple[float, float]
    oedema: tuple[float, float]
    mottle: tuple[float, float]
    level: tuple[float, float]


_PROPERTIES = ("reach", "radius", "ripple", "rim", "core", "bright", "oedema", "mottle", "level")
_KINDS = {
    # At the dura, round, enhanced throughout.
    "meningioma": _Kind(
        reach=(0.64, 0.80),
        radius=(0.17, 0.27),
        ripple=(0.02, 0.07),
        rim=(0.9, 1.1),
        core=(150, 185),
        bright=(160, 195),
        oedema=(0, 14),
        mottle=(3, 7),
        level=(0.15, 0.9),
    ),
    # In the white matter, ragged, a bright rim around a dark core, oedema.
    "glioma": _Kind(
        reach=(0.22, 0.58),
        radius=(0.19, 0.30),
        ripple=(0.13, 0.24),
        rim=(0.22, 0.40),
        core=(45, 85),
        bright=(150, 195),
        oedema=(18, 36),
        mottle=(8, 16),
        level=(0.3, 0.95),
    ),
    # In the midline at the skull base, round to lobed, enhanced throughout.
    "pituitary": _Kind(
        reach=(0.02, 0.18),
        radius=(0.12, 0.20),
        ripple=(0.04, 0.11),
        rim=(0.8, 1.1),
        core=(135, 170),
        bright=(145, 180),
        oedema=(0, 4),
        mottle=(3, 8),
        level=(0.05, 0.3),
    ),
}


def _positions(patients: int, reach: Floats, rng: np.random.Generator) -> Floats:
    """Direction of each class's tumour in each patient times its reach, ``[patients, 3, 2]``, in head axes."""
    angle = rng.random((patients, len(_KINDS))) * 2 * np.pi
    pituitary = list(_KINDS).index("pituitary")
    angle[:, pituitary] = -np.pi / 2 + 0.5 * (rng.random(patients) - 0.5)
    places: Floats = reach[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=2)
    return places


def _population(kind: NDArray[np.int64], slices: int, overlap: float) -> tuple[Heads, Tumours]:
    """Draw heads and tumours of every slice; a patient's slices share head and tumour, and cut it at 8 heights.

    A slice lies between its own class and one other of the patient's: at weight w = overlap x |z| of the other, z
    half the patient's and half the slice's. Above one half it looks more like the other class than like its own.
    """
    n, rng = len(kind), np.random.Generator(np.random.PCG64(derive("brain_phantom/patients")))
    bounds = np.array([[getattr(_KINDS[name], field) for field in _PROPERTIES] for name in CLASSES])
    own = bounds[..., 0] + rng.random((n, len(CLASSES), len(_PROPERTIES))) * (bounds[..., 1] - bounds[..., 0])
    places = _positions(n, own[..., 0], rng)
    other = (kind + 1 + rng.integers(0, len(CLASSES) - 1, n)) % len(CLASSES)
    z = np.sqrt(0.5) * (rng.standard_normal((n, 1)) + rng.standard_normal((n, slices)))
    w = np.minimum(overlap * np.abs(z), 1.0)[..., None]

    def between(values: Floats) -> Floats:
        rows = np.arange(n)
        mixed: Floats = (1 - w) * values[rows, kind][:, None] + w * values[rows, other][:, None]
        return mixed.reshape(n * slices, -1)

    height = np.linspace(-0.85, 0.85, slices)
    values = between(own) * (1 + 0.06 * rng.standard_normal((n * slices, len(_PROPERTIES))))
    _, radius, ripple, rim, core, bright, oedema, mottle, level = values.T
    axes = np.stack([0.70 + 0.06 * rng.random(n), 0.84 + 0.07 * rng.random(n)], axis=1).repeat(slices, axis=0)
    waves = np.concatenate([rng.uniform(-1, 1, (n, 6, 2)), rng.uniform(0, 2 * np.pi, (n, 6, 1))], axis=2)
    waves = waves[:, None] + np.array([0.0, 0.0, 0.5]) * height[:, None, None]
    heads = Heads(
        axes=axes,
        level=np.clip(level + np.tile(0.06 * height, n), 0, 1),
        phase=rng.uniform(-1, 1, (n, 3)).repeat(slices, axis=0),
        waves=waves.reshape(n * slices, 6, 3),
        shading=(0.08 * rng.standard_normal((n, 2))).repeat(slices, axis=0),
    )
    shape = rng.standard_normal((n, 1, 5, 2)) + 0.4 * rng.standard_normal((n, slices, 5, 2))
    shape = shape * np.array([1.0, 0.8, 0.6, 0.45, 0.35])[:, None]
    tumours = Tumours(
        centre=axes * between(places) + 0.02 * rng.standard_normal((n * slices, 2)),
        radius=np.maximum(0.06, radius * np.tile(np.sqrt(1 - (0.85 * height) ** 2), n)),
        ripple=shape.reshape(n * slices, 5, 2) * (ripple / 2)[:, None, None],
        rim=rim,
        core=core,
        bright=bright,
        oedema=np.maximum(oedema, 0),
        mottle=np.maximum(mottle, 0),
    )
    return heads, tumours


def _take(bundle: Heads | Tumours, rows: slice) -> dict[str, Floats]:
    return {name: values[rows] for name, values in vars(bundle).items()}


def generate(size: int, patients: int, slices: int, overlap: float) -> dict[str, NDArray[Any]]:
    """Draw the whole data set.

    Args:
        size: Side of the images, pixels.
        patients: Number of patients, a third of each class.
        slices: Slices of each.
        overlap: How far slices may look like another class's.

    Returns:
        The arrays of a ``SliceStore``. Size changes the resolution and the noise, not the patients.
    """
    kind = np.arange(patients) % len(CLASSES)
    heads, tumours = _population(kind, slices, overlap)
    total = patients * slices
    rng = np.random.Generator(np.random.PCG64(derive("brain_phantom/noise", size)))
    grey = np.empty((total, size, size), dtype=np.uint8)
    masks = np.empty((total, size, (size + 7) // 8), dtype=np.uint8)
    for start in range(0, total, _CHUNK):
        rows = slice(start, min(start + _CHUNK, total))
        noise = rng.standard_normal((rows.stop - rows.start, size, size))
        part = Heads(**_take(heads, rows)), Tumours(**_take(tumours, rows))
        grey[rows], inside = phantom_anatomy.draw(*part, size, noise)
        masks[rows] = np.packbits(inside, axis=2)
    groups = np.arange(patients).repeat(slices)
    names = [f"phantom-{patients}-{slices}-{overlap}-{i}" for i in range(total)]
    return {
        "grey": grey,
        "masks": masks,
        "outlines": phantom_anatomy.outlines(heads, tumours).reshape(-1, 2),
        "starts": np.arange(total + 1) * phantom_anatomy.OUTLINE_POINTS,
        "labels": kind.repeat(slices),
        "groups": groups,
        "folds": (groups // len(CLASSES)) % N_FOLDS,
        "image_keys": np.array([_key(name) for name in names]),
        "patient_keys": np.array([_key(f"patient-{patients}-{g}") for g in groups]),
    }


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

    Raises:
        InputError: An option outside these values.
    """

    name = "brain_phantom"
    long_name = "Brain phantom (synthetic)"
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
    ) -> None:
        super().__init__(image_size, lengths, split_by, pituitary)
        for option, value, low, high in (("patients", patients, 30, 3000), ("slices", slices, 1, 64)):
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InputError(f"{option} of brain_phantom must be a whole number in [{low}, {high}], got {value!r}")
        if patients % len(CLASSES):
            raise InputError(f"patients of brain_phantom must be a multiple of 3 (as many a class), got {patients}")
        if isinstance(overlap, bool) or not isinstance(overlap, (int, float)) or not 0 <= overlap <= 1:
            raise InputError(f"overlap of brain_phantom must lie in [0, 1], got {overlap!r}")
        self.patients, self.slices, self.overlap = patients, slices, float(overlap)

    @functools.cached_property
    def store(self) -> SliceStore:
        """The slices at ``image_size``: drawn once, then read from the cache in milliseconds."""
        options = (self.image_size, self.patients, self.slices, self.overlap)
        key = source_key(options, phantom_anatomy.__name__, __name__)
        return SliceStore.of(*cached_arrays(f"brain_phantom-{key}", lambda: generate(*options)), FIELD_MM)

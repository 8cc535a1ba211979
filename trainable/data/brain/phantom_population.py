"""Heads and tumours of synthetic patients: what the three classes differ in, and how a population of them is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainable.data.brain.phantom_anatomy import Floats, Heads, Tumours
from trainable.data.brain.tumour_slices import CLASSES
from trainable.randomness import derive


@dataclass(frozen=True)
class _Kind:
    """Range of each property of a class, (lowest, highest), uniform between.

    Distances are in half the image's side.
    """

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
    # Towards the front, in the midline, where the gland lies.
    angle[:, pituitary] = -np.pi / 2 + 0.5 * (rng.random(patients) - 0.5)
    places: Floats = reach[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=2)
    return places


def population(kind: NDArray[np.int64], slices: int, overlap: float, role: str) -> tuple[Heads, Tumours]:
    """Draw heads and tumours of every slice.

    A patient's slices share head and tumour, and cut them at different heights.

    A slice lies between its own class and one other of the patient's: at weight w = overlap x |z| of the other, z
    half the patient's and half the slice's. Above one half it looks more like the other class than like its own.

    Args:
        kind: Class of each patient, int64 ``[patients]``.
        slices: Slices of each.
        overlap: How far slices may look like another class's.
        role: Name of the draws.

    Returns:
        Both of every slice, patient by patient.

    Example:
        >>> heads, tumours = population(np.array([0, 1, 2]), slices=2, overlap=0.3, role="example")
        >>> heads.axes.shape, tumours.radius.shape
        ((6, 2), (6,))
    """
    n, rng = len(kind), np.random.Generator(np.random.PCG64(derive(role)))
    bounds = np.array([[getattr(_KINDS[name], field) for field in _PROPERTIES] for name in CLASSES])
    properties = bounds[..., 0] + rng.random((n, len(CLASSES), len(_PROPERTIES))) * (bounds[..., 1] - bounds[..., 0])
    places = _positions(n, properties[..., 0], rng)
    other = (kind + 1 + rng.integers(0, len(CLASSES) - 1, n)) % len(CLASSES)
    z = np.sqrt(0.5) * (rng.standard_normal((n, 1)) + rng.standard_normal((n, slices)))
    w = np.minimum(overlap * np.abs(z), 1.0)[..., None]

    def between(values: Floats) -> Floats:
        rows = np.arange(n)
        mixed: Floats = (1 - w) * values[rows, kind][:, None] + w * values[rows, other][:, None]
        return mixed.reshape(n * slices, -1)

    height = np.linspace(-0.85, 0.85, slices)
    values = between(properties) * (1 + 0.06 * rng.standard_normal((n * slices, len(_PROPERTIES))))
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
        # A ball that is cut beside its middle shows a smaller circle.
        radius=np.maximum(0.06, radius * np.tile(np.sqrt(1 - (0.85 * height) ** 2), n)),
        ripple=shape.reshape(n * slices, 5, 2) * (ripple / 2)[:, None, None],
        rim=rim,
        core=core,
        bright=bright,
        oedema=np.maximum(oedema, 0),
        mottle=np.maximum(mottle, 0),
    )
    return heads, tumours


def take(bundle: Heads | Tumours, rows: slice) -> dict[str, Floats]:
    """Arrays of some of the slices, by name.

    Example:
        >>> heads, _ = population(np.array([0, 1, 2]), slices=2, overlap=0.3, role="example")
        >>> take(heads, slice(0, 4))["axes"].shape
        (4, 2)
    """
    return {name: values[rows] for name, values in vars(bundle).items()}

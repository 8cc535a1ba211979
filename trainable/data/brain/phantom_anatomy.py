"""Drawing of a synthetic slice: an axial head with contrast, and one tumour in it.

It is a cartoon, not a simulation.

Coordinates run from -1 to 1 over the image, x to the right and y down (the front of the head is up). All numbers are
float64 and rounded once, at the end, so that a difference of a last bit between machines does not reach a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BRAIN_EDGE = 0.86
"""Edge of the brain, as a share of the head's ellipse."""
OUTLINE_POINTS = 32
_WAVES = 6


@dataclass(frozen=True)
class Heads:
    """Shape and texture of M heads.

    Every array has the length M or the shape ``[M, ...]``.

    Attributes:
        axes: Semi-axes of the head, ``[M, 2]``.
        level: Height of the slice, 0 = skull base, 1 = vertex.
        phase: Phases of the cortex's folds, ``[M, 3]``.
        waves: Texture: direction x, direction y and phase of plane waves, ``[M, 6, 3]``.
        shading: Slope of the coil's sensitivity in x and y, ``[M, 2]``.
    """

    axes: Floats
    level: Floats
    phase: Floats
    waves: Floats
    shading: Floats


@dataclass(frozen=True)
class Tumours:
    """Shape and contrast of M tumours.

    Every array has the length M or the shape ``[M, ...]``.

    Attributes:
        centre: Position, ``[M, 2]``.
        radius: Mean radius.
        ripple: Cosine and sine amplitudes of the outline's waves of 2 to 6 periods, relative to the radius,
            ``[M, 5, 2]``.
        rim: Width of the enhancing rim, relative to the radius; 1 and more = enhanced throughout.
        core: Grey value inside the rim.
        bright: Grey value of the rim.
        oedema: Darkening around the tumour, grey values.
        mottle: Amplitude of the texture inside, grey values.
    """

    centre: Floats
    radius: Floats
    ripple: Floats
    rim: Floats
    core: Floats
    bright: Floats
    oedema: Floats
    mottle: Floats


def _step(distance: Floats, softness: float) -> Floats:
    """Smooth step: 1 well inside (distance below 0), 0 well outside, an edge of the given width between."""
    t = np.clip(0.5 - distance / softness, 0.0, 1.0)
    smooth: Floats = t * t * (3 - 2 * t)
    return smooth


def _column(values: Floats) -> Floats:
    return values[:, None, None]


def _texture(waves: Floats, x: Floats, y: Floats, scale: float) -> Floats:
    total = np.zeros((len(waves), *x.shape))
    for k in range(_WAVES):
        u, v, phase = (_column(waves[:, k, i]) for i in range(3))
        total += np.sin(scale * (u * x + v * y) + phase)
    return total / _WAVES


def _radius_at(tumours: Tumours, cosine: Floats, sine: Floats) -> Floats:
    """Radius of each tumour in the directions given by their cosine and sine, ``[M, ...]``."""
    shape = (len(tumours.radius), *([1] * (cosine.ndim - 1)))
    wave = np.ones(np.broadcast_shapes(shape, cosine.shape))
    c, s = cosine, sine
    for k in range(tumours.ripple.shape[1]):
        # cos and sin of (k + 2) times the angle, by the addition theorem.
        c, s = c * cosine - s * sine, s * cosine + c * sine
        wave = wave + tumours.ripple[:, k, 0].reshape(shape) * c + tumours.ripple[:, k, 1].reshape(shape) * s
    radius: Floats = tumours.radius.reshape(shape) * np.maximum(wave, 0.35)
    return radius


def outlines(heads: Heads, tumours: Tumours) -> Floats:
    """Outline of each tumour, cut at the brain's edge.

    Args:
        heads: The heads.
        tumours: Their tumours.

    Returns:
        float64 ``[M, 32, 2]``, x and y in units of the image's side, [0, 1], rounded to 1/65536.

    Example:
        >>> from trainable.data.brain.phantom_population import population
        >>> outlines(*population(np.array([0, 1, 2]), slices=1, overlap=0.0, role="example")).shape
        (3, 32, 2)
    """
    angle = np.arange(OUTLINE_POINTS) * (2 * np.pi / OUTLINE_POINTS)
    cosine, sine = np.cos(angle)[None], np.sin(angle)[None]
    radius = _radius_at(tumours, cosine, sine)
    points = tumours.centre[:, None] + radius[..., None] * np.stack([cosine, sine], axis=2)
    share = np.sqrt(((points / heads.axes[:, None]) ** 2).sum(axis=2))
    points = points * np.minimum(1.0, BRAIN_EDGE / np.maximum(share, 1e-9))[..., None]
    rounded: Floats = np.rint(np.clip((points + 1) / 2, 0.0, 1.0) * 65536) / 65536
    return rounded


def draw(heads: Heads, tumours: Tumours, size: int, noise: Floats) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw slices.

    Args:
        heads: M heads.
        tumours: Their tumours.
        size: Side of the images, pixels.
        noise: float64 ``[M, size, size]``, standard normal.

    Returns:
        Grey values, uint8 ``[M, size, size]``, and the tumours' pixels, bool of the same shape.

    Example:
        >>> from trainable.data.brain.phantom_population import population
        >>> heads, tumours = population(np.array([0, 1, 2]), slices=1, overlap=0.0, role="example")
        >>> grey, inside = draw(heads, tumours, 32, np.zeros((3, 32, 32)))
        >>> grey.shape, inside.dtype
        ((3, 32, 32), dtype('bool'))
    """
    ticks = (np.arange(size) + 0.5) * (2 / size) - 1
    x, y = np.broadcast_to(ticks[None, :], (size, size)), np.broadcast_to(ticks[:, None], (size, size))
    soft = 3.0 / size
    image, share = _head(heads, x, y, soft)
    image, inside = _with_tumour(image, share, heads, tumours, (x, y), soft)
    shading = 1 + _column(heads.shading[:, 0]) * x + _column(heads.shading[:, 1]) * y
    image = image * shading + 4.0 * noise * _step(share - 1.05, 0.3) + 2.0 * np.abs(noise)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), inside


def _head(heads: Heads, x: Floats, y: Floats, soft: float) -> tuple[Floats, Floats]:
    """Grey values without a tumour, and each pixel's distance from the middle as a share of the head's ellipse."""
    u, v = x / _column(heads.axes[:, 0]), y / _column(heads.axes[:, 1])
    share = np.sqrt(u * u + v * v)
    nearest = np.maximum(share, 1e-9)
    c4, s4 = _multiple(u / nearest, v / nearest, 4)
    c7, s7 = _multiple(u / nearest, v / nearest, 7)
    a, b, c = (_column(heads.phase[:, i]) for i in range(3))
    fold = a * c4 + b * s4 + c * c7 + 0.4 * s7
    texture = _texture(heads.waves, x, y, 9.0)

    white = _step(share - 0.66 - 0.05 * fold, 0.16)
    brain = 84 + 26 * white + 13 * texture
    # Fluid: the fold between the halves, the ventricles above the base, the cistern in front of the brain stem at it.
    brain = brain - 40 * np.exp(-((x / 0.018) ** 2)) * _step(0.34 - share, 0.1)
    high = np.exp(-(((heads.level - 0.6) / 0.22) ** 2))
    for side in (-1, 1):
        along = 0.9 * (y - 0.05) + 0.25 * side * x
        across = x - side * (0.10 + 0.10 * np.abs(y - 0.05))
        ventricle = np.sqrt((along / 0.30) ** 2 + (across / 0.07) ** 2) - 1
        brain = brain - 58 * _column(high) * _step(ventricle, 0.7)
    low = np.exp(-(((heads.level - 0.12) / 0.2) ** 2))
    cistern = np.sqrt((x / 0.20) ** 2 + ((y + 0.08) / 0.13) ** 2) - 1
    stem = np.sqrt((x / 0.17) ** 2 + ((y - 0.22) / 0.15) ** 2) - 1
    brain = brain - 45 * _column(low) * _step(cistern, 0.5) + 16 * _column(low) * _step(stem, 0.4)

    skull = _step(share - 0.93, soft * 1.5)
    inner = _step(share - BRAIN_EDGE, soft * 1.5)
    scalp = _step(share - 1.0, soft * 1.5)
    image = scalp * 150 * (1 - skull) + skull * (1 - inner) * 28 + inner * brain
    return image, share


def _multiple(cosine: Floats, sine: Floats, times: int) -> tuple[Floats, Floats]:
    """Cosine and sine of a multiple of an angle."""
    c, s = cosine, sine
    for _ in range(times - 1):
        c, s = c * cosine - s * sine, s * cosine + c * sine
    return c, s


def _with_tumour(
    image: Floats, share: Floats, heads: Heads, tumours: Tumours, grid: tuple[Floats, Floats], soft: float
) -> tuple[Floats, NDArray[np.bool_]]:
    x, y = grid
    dx, dy = x - _column(tumours.centre[:, 0]), y - _column(tumours.centre[:, 1])
    distance = np.sqrt(dx * dx + dy * dy)
    nearest = np.maximum(distance, 1e-9)
    radius = _radius_at(tumours, dx / nearest, dy / nearest)
    inner = _step(share - BRAIN_EDGE, soft * 1.5)

    halo = np.clip(1 - (distance - radius) / (0.9 * radius), 0.0, 1.0) * (distance > radius)
    image = image - _column(tumours.oedema) * halo * inner
    rim = 1 - _column(tumours.rim)
    core = _step(distance / radius - rim, 0.25)
    texture = _texture(heads.waves[:, :, [1, 0, 2]], x, y, 24.0)
    value = _column(tumours.bright) * (1 - core) + _column(tumours.core) * core + _column(tumours.mottle) * texture
    body = _step(distance - radius, soft * 1.5) * inner
    inside: NDArray[Any] = (distance <= radius) & (share <= BRAIN_EDGE)
    return image * (1 - body) + value * body, inside

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from store.errors import InputError
from trainable.data.brain.glyphs import _LARGE, _SMALL, text_bitmap
from trainable.data.brain.paint import INKS, blend, coverage, diameter, length_text


def ellipse(x: float = 0.5, y: float = 0.5, a: float = 0.16, b: float = 0.1, turn: float = 0.5) -> np.ndarray:
    """Exact in binary: golden pixels must not hang on the last bit of a cosine."""
    angle = np.arange(24) * (2 * np.pi / 24)
    points = np.stack([a * np.cos(angle), b * np.sin(angle)], axis=1)
    cosine, sine = np.cos(turn), np.sin(turn)
    points = points @ np.array([[cosine, sine], [-sine, cosine]]) + [x, y]
    return np.round(points * 4096) / 4096


def test_every_glyph_has_its_own_shape() -> None:
    for font, height in ((_SMALL, 5), (_LARGE, 7)):
        assert sorted(font) == sorted("0123456789.cm")
        assert len(set(font.values())) == len(font)
        for glyph in font.values():
            rows = glyph.split("|")
            assert len(rows) == height
            assert len({len(row) for row in rows}) == 1
            assert set(glyph) <= set(".#|")
    assert text_bitmap("0.23cm", 64).shape == (5, 3 + 1 + 1 + 1 + 3 + 1 + 3 + 1 + 3 + 1 + 5)
    assert text_bitmap("1", 256).shape == (7, 5)
    with pytest.raises(InputError, match="character"):
        text_bitmap("1 cm", 64)


@pytest.mark.parametrize(
    ("ink", "size", "digest"),
    [
        ("red", 64, "bb272820531d7574"),
        ("red", 256, "52f2a0adc23f9128"),
        ("blue", 64, "d8544bc33821b8c0"),
        ("blue", 256, "18f65b2d5ad10520"),
    ],
)
def test_the_pixels_are_the_same_on_every_machine(ink: str, size: int, digest: str) -> None:
    drawn = coverage(ink, ellipse(), size, "4.06cm")
    assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == digest


def test_the_longest_diameter_and_its_length() -> None:
    outline = np.array([[0.25, 0.5], [0.5, 0.375], [0.75, 0.5], [0.5, 0.625]])
    ends, length = diameter(outline)
    assert ends.tolist() == [[16384, 32768], [49152, 32768]]
    assert length == 32768
    # Half of 512 pixels of 0.49 mm are 12.54 cm; the seed study's texts are pixels / 20 and / 10.
    assert length_text(length, 0.49 * 512, "red", "physical") == "12.54cm"
    assert length_text(length, 0.49 * 512, "blue", "physical") == "12.54cm"
    assert length_text(length, 0.49 * 512, "red", "seed") == "12.80cm"
    assert length_text(length, 0.49 * 512, "blue", "seed") == "25.60cm"
    assert length_text(600, 0.49 * 512, "red", "physical") == "0.23cm"
    assert diameter(np.array([[0.5, 0.5]]))[1] == 0


def test_the_line_is_dashed_and_lies_on_the_diameter() -> None:
    outline = np.array([[0.25, 0.5], [0.5, 0.46], [0.75, 0.5], [0.5, 0.54]])
    drawn = coverage("red", outline, 256, "1.00cm")
    line = drawn[128, 60:196] > 0
    assert line[6:8].any()
    assert line[-10:-4].any()
    edges = np.flatnonzero(np.diff(line.astype(int)))
    assert len(edges) >= 10
    assert 0.35 < line[5:-4].mean() < 0.75
    # Nothing but the line above its middle: the text of a flat line stands below it.
    assert not drawn[:120].any()
    assert (drawn[131:150] == 255).sum() == text_bitmap("1.00cm", 256).sum()


def test_the_polygon_goes_around_and_its_text_stands_right_of_it() -> None:
    outline = ellipse(0.4, 0.5, 0.1, 0.08, 0.0)
    drawn = coverage("blue", outline, 128, "2.50cm")
    assert not drawn[64, 45:58].any(), "the tumour stays free"
    assert drawn[64, :40].any()
    assert drawn[64 - 14 : 64, 51].any()
    ink = np.argwhere(drawn == 255)
    text = ink[ink[:, 1] > 66]
    assert len(text) == text_bitmap("2.50cm", 128).sum()
    assert abs(text[:, 0].mean() - 64) < 3


@pytest.mark.parametrize("size", [32, 64, 100, 256])
@pytest.mark.parametrize("place", [(0.05, 0.05), (0.97, 0.5), (0.5, 0.98), (0.99, 0.99), (0.02, 0.9)])
def test_the_whole_text_stays_inside_the_image(size: int, place: tuple[float, float]) -> None:
    for ink in ("red", "blue"):
        outline = np.clip(ellipse(*place, a=0.04, b=0.03), 0, 1)
        drawn = coverage(ink, outline, size, "0.55cm")
        assert drawn.shape == (size, size)
        assert (drawn == 255).sum() >= text_bitmap("0.55cm", size).sum()


def test_extreme_outlines_can_be_painted() -> None:
    for outline in ([[0.5, 0.5]], [[0.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]):
        for ink in ("red", "blue"):
            for size in (32, 256):
                assert coverage(ink, np.array(outline), size, "9.99cm").any()


def test_size_changes_the_scale_only() -> None:
    large = coverage("blue", ellipse(), 256, "4.06cm")
    small = coverage("blue", ellipse(), 128, "4.06cm")
    inside = np.argwhere(large[:, :200] > 0).mean(axis=0) / 256
    assert np.argwhere(small[:, :100] > 0).mean(axis=0) / 128 == pytest.approx(inside, abs=0.02)


def test_blending_is_rounded_and_leaves_the_rest_alone() -> None:
    images = np.full((3, 3, 4, 4), 100, dtype=np.uint8)
    covers = np.zeros((2, 4, 4), dtype=np.uint8)
    covers[0, 1, 2], covers[1, 0, 0] = 255, 127
    red = INKS[0]
    blend(images, np.array([2, 0]), covers, red)
    assert images[2, :, 1, 2].tolist() == list(red.colour)
    assert images[0, :, 0, 0].tolist() == [(100 * 128 + c * 127 + 127) // 255 for c in red.colour]
    assert (images[1] == 100).all()
    assert (images != 100).any(axis=1).sum() == 2

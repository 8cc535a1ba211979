"""Image files as arrays, and as squares."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trainable.data.table.images import Fit, read_pixels, square
from trainable.data.table.reading.window import Window
from trainable.errors import InputError

GREY = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)


def saved(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def stored(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_grey_of_every_depth() -> None:
    assert (read_pixels(saved(Image.fromarray(GREY)), "a.png") == GREY).all()
    assert (read_pixels(saved(Image.fromarray(GREY > 90)), "a.png") == (GREY > 90) * 255).all()
    wide = GREY.astype(np.uint16) * 257
    for kind in ("png", "tiff"):
        read = read_pixels(saved(Image.fromarray(wide), kind), f"a.{kind}")
        assert read.dtype == np.uint16 and (read == wide).all()
    for array in (GREY.astype(np.int32) - 1000, GREY.astype(np.float32) / 7):
        read = read_pixels(saved(Image.fromarray(array), "tiff"), "a.tiff")
        assert read.dtype == array.dtype and (read == array).all()


def test_colour_of_every_mode() -> None:
    rgb = Image.fromarray(COLOUR)
    assert (read_pixels(saved(rgb), "a.png") == COLOUR).all()
    assert (
        read_pixels(saved(rgb.convert("CMYK"), "tiff"), "a.tif") == np.asarray(rgb.convert("CMYK").convert("RGB"))
    ).all()
    assert (read_pixels(saved(rgb.quantize(6)), "a.png") == np.asarray(rgb.quantize(6).convert("RGB"))).all()


def test_colour_without_colour_is_grey() -> None:
    read = read_pixels(saved(Image.fromarray(np.repeat(GREY[:, :, None], 3, axis=2))), "a.png")
    assert read.shape == GREY.shape and (read == GREY).all()


def test_what_is_transparent_is_black() -> None:
    alpha = np.array([[255, 255, 255], [0, 0, 0]], np.uint8)
    for array in (np.dstack([GREY, alpha]), np.dstack([GREY, GREY, GREY, alpha])):
        read = read_pixels(saved(Image.fromarray(array)), "a.png")
        assert (read == np.where(alpha > 0, GREY, 0)).all()
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([90, 90, 90, 200, 200, 200])
    assert read_pixels(saved(palette, transparency=0), "a.png").tolist() == [[0, 200]]


def test_orientation_and_animation() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees clockwise
    assert (read_pixels(saved(Image.fromarray(GREY), exif=turned), "a.png") == np.rot90(GREY, -1)).all()
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    assert (read_pixels(saved(frames[0], "gif", save_all=True, append_images=frames[1:]), "a.gif") == GREY).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_with_channels_first_or_last(channels: int) -> None:
    array = np.arange(7 * 5 * channels, dtype=np.uint16).reshape(7, 5, channels)
    right = array[:, :, 0] if channels == 1 else array[:, :, :3]
    assert (read_pixels(stored(array), "a.npy") == right).all()
    assert (read_pixels(stored(array.transpose(2, 0, 1)), "a.npy") == right).all()


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.array([[0.5, np.nan]]), r"^a\.npy holds 1 values that are not finite"),
        (np.array([[np.inf, np.nan]], np.float32), "2 values that are not finite"),
        (np.zeros(3), r"must be \[H, W\], "),
        (np.zeros((6, 5, 2)), r"but is \(6, 5, 2\)"),
        (np.zeros((0, 5)), "holds float64 of shape"),
        (np.array([["a"]]), "must hold numbers"),
        (np.array([[1j]]), "must hold numbers"),
    ],
)
def test_arrays_that_are_no_images(array: NDArray[Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_pixels(stored(array), "a.npy")


def test_files_that_are_no_images() -> None:
    for data, sentence in (
        (b"", r"^a\.png is empty"),
        (b"hello", r"^a\.png cannot be read as an image \(no format that Pillow knows\)"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_pixels(data, "a.png")
    large = saved(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)))
    with pytest.raises(InputError, match=r"^a\.png cannot be read as an image \(OSError"):
        read_pixels(large[: len(large) // 2], "a.png")
    with pytest.raises(InputError, match=r"^a\.npy cannot be read as \.npy"):
        read_pixels(b"hello", "a.npy")


def png_of_16_bits_in_colour() -> bytes:
    """Written by hand, since Pillow cannot: 1 pixel of three 16-bit values."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + struct.pack(">HHH", 300, 400, 500))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_bits_that_pillow_would_drop_are_refused() -> None:
    with pytest.raises(InputError, match="has 16 bits in RGB, of which Pillow reads 8"):
        read_pixels(png_of_16_bits_in_colour(), "a.png")


def test_16_bits_are_scaled_and_never_clipped() -> None:
    wide = np.array([[1000, 2000], [3000, 60000]], np.uint16)
    assert square(wide, 2, "pad", Window(1000, 3000))[0].tolist() == [[0, 128], [255, 255]]
    with pytest.raises(InputError, match="must have a window"):
        square(wide, 2, "pad", None)


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        ("pad", [[0, 0, 0, 0], [10, 20, 30, 40], [50, 60, 70, 80], [0, 0, 0, 0]]),
        ("crop", [[18, 23, 28, 33], [28, 33, 38, 43], [48, 53, 58, 63], [58, 63, 68, 73]]),
        ("stretch", [[10, 20, 30, 40], [20, 30, 40, 50], [40, 50, 60, 70], [50, 60, 70, 80]]),
    ],
)
def test_ways_to_become_square(fit: Fit, expected: list[list[int]]) -> None:
    image = np.array([[10, 20, 30, 40], [50, 60, 70, 80]], np.uint8)
    made = square(image, 4, fit, None)
    assert made.shape == (1, 4, 4) and np.abs(made[0].astype(int) - expected).max() <= 1


def test_shrinking_is_antialiased() -> None:
    lines = np.tile(np.array([0, 255], np.uint8), (64, 32))
    assert np.abs(square(lines, 8, "pad", None).astype(int) - 127).max() < 20
    wide = lines.astype(np.float32) * 100
    assert np.abs(square(wide, 8, "pad", Window(0, 25500)).astype(int) - 127).max() < 20


def test_a_very_narrow_image() -> None:
    assert square(np.full((1000, 1), 9, np.uint8), 8, "pad", None).max() == 9

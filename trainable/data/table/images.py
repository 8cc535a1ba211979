"""One image file as an array, and the square picture of a given size that a network sees."""

from __future__ import annotations

import io
import warnings
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from trainable.data.table.reading.medical import dicom_pixels, is_dicom, is_nifti, nifti_pixels
from trainable.data.table.reading.sources import slice_of
from trainable.data.table.reading.window import Window
from trainable.errors import InputError, unknown_name
from trainable.texts import reason_of

Fit = Literal["pad", "crop", "stretch"]
"""Ways for a picture to become square.

``pad`` is the default: it neither loses a border, where markers stand, nor changes a shape. ``crop`` keeps the middle,
and ``stretch`` keeps all and deforms it.
"""
_COLOURED = (3, 4)
_LUMINANCE = "L"


def check_fit(fit: str) -> Fit:
    """Return the option ``fit``.

    Raises:
        InputError: There is no such way.

    Example:
        >>> check_fit("pad")
        'pad'
    """
    if fit not in get_args(Fit):
        raise unknown_name("fit", str(fit), get_args(Fit))
    chosen: Fit = fit  # type: ignore[assignment]
    return chosen


def read_pixels(data: bytes, name: str) -> NDArray[Any]:
    """Read the pixels of an image file.

    Of an animation the first picture is taken, its EXIF orientation is applied, and what is transparent is black.

    Args:
        data: The file: any format that Pillow reads; ``.npy`` (``[H, W]``, ``[H, W, C]`` or ``[C, H, W]`` with 1, 3 or
            4 channels); DICOM and NIfTI where pydicom and nibabel are installed.
        name: Its address, whose ending says what it is; ``#z=12`` behind a NIfTI file is a slice.

    Returns:
        ``[H, W]``, or ``[H, W, 3]`` where the channels differ: uint8 where the file has 8 bits or fewer; else int32,
        uint16 or float32, which a window scales.

    Raises:
        InputError: It cannot be read, or holds values that are not finite.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGBA", (4, 2), (200, 0, 0, 0)).save(file, "png")
        >>> read_pixels(file.getvalue(), "a.png").tolist()
        [[0, 0, 0, 0], [0, 0, 0, 0]]
    """
    path, z = slice_of(name)
    path = path.partition("?")[0] if "://" in path else path
    if not data:
        raise InputError(f"{name} is empty")
    if path.lower().endswith(".npy"):
        pixels = _array_pixels(data, name)
    elif is_nifti(path):
        pixels = nifti_pixels(data, name, z)
    elif is_dicom(data, path):
        pixels = dicom_pixels(data, name)
    else:
        pixels = _pillow_pixels(data, name)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        n = int((~np.isfinite(pixels)).sum())
        raise InputError(f"{name} holds {n} values that are not finite (NaN or infinite)")
    if pixels.ndim == 3 and (pixels == pixels[:, :, :1]).all():
        # Stored as colour, as most X-rays are: a third of the bytes is enough.
        pixels = pixels[:, :, 0]
    return np.ascontiguousarray(pixels)


def square(pixels: NDArray[Any], size: int, fit: Fit, window: Window | None) -> NDArray[np.uint8]:
    """Scale an image to a square of a given size, antialiased.

    Args:
        pixels: ``[H, W]`` or ``[H, W, 3]``, as from ``read_pixels``.
        size: Side of the square, pixels.
        fit: How it becomes square.
        window: What becomes black and white; None = uint8 stays as it is.

    Returns:
        uint8 ``[C, size, size]``, of 1 channel or 3.

    Raises:
        InputError: It has more than 8 bits, and there is no window.

    Example:
        >>> square(np.full((2, 4), 200, np.uint8), 4, "pad", None)[0].tolist()
        [[0, 0, 0, 0], [200, 200, 200, 200], [200, 200, 200, 200], [0, 0, 0, 0]]
    """
    if window is None and pixels.dtype != np.uint8:
        raise InputError(f"pixels of {pixels.dtype} must have a window to become 8 bits: give one")
    scaled = pixels if window is None else window.apply(pixels)
    channels = scaled[None] if scaled.ndim == 2 else scaled.transpose(2, 0, 1)
    return np.stack([_square_channel(channel, size, fit) for channel in channels])


def _square_channel(channel: NDArray[Any], size: int, fit: Fit) -> NDArray[np.uint8]:
    height, width = channel.shape
    image = Image.fromarray(np.ascontiguousarray(channel))
    if fit == "stretch":
        inside, box = (size, size), (0.0, 0.0, float(width), float(height))
    elif fit == "crop":
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        inside, box = (size, size), (left, top, left + side, top + side)
    else:
        scale = size / max(height, width)
        inside = max(1, round(width * scale)), max(1, round(height * scale))
        box = (0.0, 0.0, float(width), float(height))
    if inside != (width, height) or box != (0.0, 0.0, float(width), float(height)):
        image = image.resize(inside, Image.Resampling.BILINEAR, box=box)
    drawn = np.asarray(image)
    if drawn.dtype != np.uint8:
        drawn = np.clip(np.rint(drawn), 0, 255).astype(np.uint8)
    if drawn.shape == (size, size):
        return drawn
    padded = np.zeros((size, size), np.uint8)
    top, left = (size - drawn.shape[0]) // 2, (size - drawn.shape[1]) // 2
    padded[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return padded


def _array_pixels(data: bytes, name: str) -> NDArray[Any]:
    array: NDArray[Any]
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{name} cannot be read as .npy ({reason_of(error)})") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{name} must hold one array, but is an archive of several (.npz): save each as .npy")
    if array.dtype.kind not in "buif" or not array.size:
        raise InputError(f"{name} must hold numbers of pixels, but holds {array.dtype} of shape {array.shape}")
    known = (1, *_COLOURED)
    if array.ndim == 3 and array.shape[2] not in known and array.shape[0] in known:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] in known:
        array = array[:, :, 0] if array.shape[2] == 1 else array[:, :, :3]
    elif array.ndim != 2:
        raise InputError(f"{name} must be [H, W], [H, W, C] or [C, H, W] of 1, 3 or 4 channels, but is {array.shape}")
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    # Whole numbers keep their kind: uint8 is the one that needs no window.
    with np.errstate(over="ignore"):
        # What float32 cannot hold becomes infinite, which is refused.
        return array.astype(np.float32) if array.dtype.kind == "f" or array.dtype.itemsize > 4 else array


def _pillow_pixels(data: bytes, name: str) -> NDArray[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(data))
            _check_depth(opened, name)
            opened.load()
            return _values(ImageOps.exif_transpose(opened))
    except InputError:
        raise
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{name} cannot be read as an image (no format that Pillow knows)") from error
    except Exception as error:
        # Its readers raise errors of many kinds, SyntaxError among them.
        raise InputError(f"{name} cannot be read as an image ({reason_of(error)})") from error


def _check_depth(image: Image.Image, name: str) -> None:
    """Refuse more bits than Pillow hands on: it keeps the higher 8 of 16 in colour, and in grey with transparency."""
    if image.mode.startswith(("I", "F")):
        return
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        raise InputError(
            f"{name} has 16 bits in {image.mode}, of which Pillow reads 8: save it as .npy, or as a 16-bit grey image"
        )


def _values(image: Image.Image) -> NDArray[Any]:
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("I", "F"):
        return np.asarray(image)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        # In black, as the padding is.
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return np.asarray(Image.alpha_composite(black, image).convert("RGB"))
    if image.mode in ("1", _LUMINANCE):
        return np.asarray(image.convert(_LUMINANCE))
    return np.asarray(image.convert("RGB"))

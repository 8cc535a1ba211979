"""Slices of DICOM and NIfTI files, read by pydicom and nibabel where these are installed."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.errors import InputError
from trainable.texts import reason_of

_DICOM_MARK = slice(128, 132)


def is_dicom(data: bytes, name: str) -> bool:
    """True for a DICOM file, by its mark or its name.

    Example:
        >>> is_dicom(bytes(128) + b"DICM", "IM0001"), is_dicom(b"", "a.dcm"), is_dicom(b"", "a.png")
        (True, True, False)
    """
    return data[_DICOM_MARK] == b"DICM" or name.lower().endswith((".dcm", ".dicom"))


def is_nifti(name: str) -> bool:
    """True for a NIfTI file, by its name.

    Example:
        >>> is_nifti("scan.nii.gz"), is_nifti("scan.png")
        (True, False)
    """
    return name.lower().endswith((".nii", ".nii.gz"))


def dicom_pixels(data: bytes, name: str) -> NDArray[Any]:
    """Pixels of a DICOM file in the units of its modality.

    MONOCHROME1 is inverted (bright is dense, as in MONOCHROME2), then rescale slope and intercept are applied. Of
    several frames the first is taken.

    Args:
        data: The file.
        name: Its name, for messages.

    Returns:
        float32 ``[H, W]``, or uint8 ``[H, W, 3]`` where it is coloured.

    Raises:
        InputError: pydicom is not installed, or cannot read it.
    """
    pydicom = _needed("pydicom", name, "DICOM")
    with _worded("pydicom", name):
        image = pydicom.dcmread(io.BytesIO(data), force=True)
        pixels = np.asarray(image.pixel_array)
        kind = str(image.get("PhotometricInterpretation", "MONOCHROME2"))
        if int(image.get("SamplesPerPixel", 1)) > 1:
            coloured = pixels if pixels.ndim == 3 else pixels[0]
            if kind.startswith("YBR"):
                processing = importlib.import_module("pydicom.pixels.processing")
                coloured = processing.convert_color_space(coloured, kind, "RGB")
            return _as_bytes(np.asarray(coloured), int(image.get("BitsStored", 8)))
        grey = (pixels if pixels.ndim == 2 else pixels[0]).astype(np.float64)
        if kind == "MONOCHROME1":
            # By what the bits can hold, not by what this image does: all images of a table are inverted alike.
            signed = int(image.get("PixelRepresentation", 0)) == 1
            grey = (-1 if signed else 2 ** int(image.get("BitsStored", 16)) - 1) - grey
        scaled = grey * float(image.get("RescaleSlope", 1)) + float(image.get("RescaleIntercept", 0))
        return np.asarray(scaled, dtype=np.float32)


def nifti_pixels(data: bytes, name: str, z: int | None) -> NDArray[Any]:
    """One slice of a NIfTI volume, seen from the feet, with the front at the top.

    Args:
        data: The file.
        name: Its name, for messages.
        z: Number of the slice, from 0 at the lowest; None = the middle one.

    Returns:
        float32 ``[H, W]``, scaled as the header says.

    Raises:
        InputError: nibabel is not installed, or cannot read it, or there is no such slice.
    """
    nibabel = _needed("nibabel", name, "NIfTI")
    # It prints a line of its own for each odd number in a header, also where it is without handlers.
    nibabel.imageglobals.logger.setLevel(logging.CRITICAL)
    with _worded("nibabel", name):
        raw = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        kind = nibabel.Nifti2Image if int.from_bytes(raw[:4], "little") == 540 else nibabel.Nifti1Image
        volume = nibabel.as_closest_canonical(kind.from_bytes(raw))
        shape = tuple(volume.shape)
        if len(shape) < 2:
            raise InputError(f"{name} must be a volume, but has the shape {shape}: leave it out")
        if len(shape) == 2:
            return np.asarray(volume.dataobj, dtype=np.float32).T[::-1]
        place = shape[2] // 2 if z is None else z
        if place >= shape[2]:
            raise InputError(f"{name} has the slices 0 to {shape[2] - 1}, but its path names z={place}: correct it")
        # Of a series in time the first volume.
        chosen = (slice(None), slice(None), place, *([0] * (len(shape) - 3)))
        return np.asarray(volume.dataobj[chosen], dtype=np.float32).T[::-1]


def _as_bytes(pixels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    return np.asarray(np.clip(pixels >> max(0, bits - 8), 0, 255), dtype=np.uint8)


def _needed(package: str, name: str, kind: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(f"{name} is a {kind} file, which needs {package}: pip install {package}") from error


@contextlib.contextmanager
def _worded(package: str, name: str) -> Iterator[None]:
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        # Readers of these formats raise errors of many kinds, and name the package that a compression needs.
        raise InputError(
            f"{name} cannot be read by {package} ({reason_of(error)}): convert it, or leave it out"
        ) from error

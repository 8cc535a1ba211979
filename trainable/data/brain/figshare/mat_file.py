"""One file of the brain tumour data set (J. Cheng, figshare article 1512427): MATLAB v7.3, which is HDF5."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZES = (512, 256)
N_LABELS = 3
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5


class FileProblem(Exception):
    """A file that cannot be used.

    ``kind`` groups such files in the report, and never holds a patient's identifier.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True)
class Slice:
    """Content of one file.

    Attributes:
        label: 0 meningioma, 1 glioma, 2 pituitary (in the file 1, 2, 3).
        patient: The patient's identifier as it stands in the file; it must not be written anywhere.
        image: Whole numbers ``[S, S]``, S = 512 or 256: int16, or int64 where that is too narrow.
        outline: float64 ``[P, 2]``, x and y in units of the image's side, P >= 3.
        mask: bool ``[S, S]``.
    """

    label: int
    patient: str
    image: NDArray[np.int16] | NDArray[np.int64]
    outline: NDArray[np.float64]
    mask: NDArray[np.bool_]


def read_slice(data: bytes) -> Slice:
    """Read the group ``cjdata`` of a file.

    Args:
        data: The file.

    Returns:
        The slice.

    Raises:
        FileProblem: It is no HDF5 file, lacks a field, or a field breaks its rule.

    Example:
        >>> read_slice(b"no slice")
        Traceback (most recent call last):
            ...
        trainable.data.brain.figshare.mat_file.FileProblem: corrupt (not a readable MATLAB v7.3 file with cjdata)
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            group = file["cjdata"]
            fields = {name: read_array(group, name) for name in _FIELDS}
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise FileProblem("corrupt (not a readable MATLAB v7.3 file with cjdata)") from error

    for name in _FIELDS:
        if fields[name].dtype.kind not in ("biufO" if name == "PID" else "biuf"):
            raise FileProblem(f"with {name} that is no array of numbers")
    label = fields["label"].ravel()
    if label.size != 1 or float(label[0]) not in (1.0, 2.0, 3.0):
        raise FileProblem("with a label outside 1..3")
    patient = _text(fields["PID"])
    # MATLAB stores columns first: what h5py reads is the transpose.
    image, mask = fields["image"].T, np.nan_to_num(fields["tumorMask"].T) != 0
    if image.ndim != 2 or image.shape[0] != image.shape[1] or image.shape[0] not in SIZES:
        raise FileProblem("with an image that is not 512 x 512 or 256 x 256")
    if mask.shape != image.shape:
        raise FileProblem("with a mask of another size than the image")
    if not mask.any():
        raise FileProblem("with an empty mask")
    outline = _outline(fields["tumorBorder"], mask)
    return Slice(int(label[0]) - 1, patient, _whole(image), outline, mask)


_FIELDS = ("label", "PID", "image", "tumorBorder", "tumorMask")


def read_array(group: Any, name: str) -> NDArray[Any]:
    """Read a variable.

    A MATLAB cell that holds one value is that value.

    Args:
        group: The h5py file or group.
        name: Its name.

    Returns:
        Its values; texts of HDF5 as objects.

    Raises:
        FileProblem: A cell of several things, or a variable that is no array.
        KeyError: There is no such variable.

    Example:
        >>> import h5py
        >>> with h5py.File("any name", "w", driver="core", backing_store=False) as file:
        ...     file["label"] = [[2.0]]
        ...     read_array(file, "label").tolist()
        [[2.0]]
    """
    import h5py

    variable = group[name]
    # Cells may lie in cells; a damaged file may hold one that refers to itself.
    for _ in range(_DEEPEST):
        if not isinstance(variable, h5py.Dataset):
            raise FileProblem(f"with {name} that is no array of numbers")
        if h5py.check_ref_dtype(variable.dtype) is None:
            return np.asarray(variable)
        references = np.asarray(variable).ravel()
        if len(references) != 1 or not references[0]:
            raise FileProblem(f"with {name} that is a cell of {len(references)} values, not of one")
        variable = group.file[references[0]]
    raise FileProblem(f"with {name} that is a cell of cells")


_DEEPEST = 4


def _whole(image: NDArray[Any]) -> NDArray[np.int16] | NDArray[np.int64]:
    """An image in whole numbers as such, also where it is stored as floating point."""
    if image.dtype.kind == "f" and not (np.isfinite(image).all() and (image == np.round(image)).all()):
        raise FileProblem("with an image that is not in whole numbers")
    low, high = image.min(), image.max()
    if low == high:
        raise FileProblem("with an image that is constant")
    if low < -(2**31) or high >= 2**32:
        raise FileProblem("with an image whose numbers take more than 32 bits")
    # The published files hold int16, and images are named by a hash of these bytes.
    narrow = np.iinfo(np.int16)
    return image.astype(np.int16) if narrow.min <= low and high <= narrow.max else image.astype(np.int64)


def _text(codes: NDArray[Any]) -> str:
    try:
        if codes.dtype.kind == "O" and codes.size == 1:
            # Not by MATLAB, but a text all the same.
            one = codes.ravel()[0]
            text = (one.decode() if isinstance(one, bytes) else str(one)).strip("\0 ")
        else:
            text = "".join(chr(int(code)) for code in codes.ravel()).strip("\0 ")
    except (ValueError, OverflowError, TypeError) as error:
        raise FileProblem("without a patient identifier") from error
    if not text:
        raise FileProblem("without a patient identifier")
    return text


def _outline(border: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    values = np.asarray(border, dtype=np.float64).ravel()
    if values.size < 6:
        raise FileProblem("with an empty outline (fewer than three points)")
    if values.size % 2 or not np.isfinite(values).all():
        raise FileProblem("with an outline that is no list of x, y pairs")
    side = mask.shape[0]
    # Pixels are counted from 1, and whole numbers are their middles.
    points = (values.reshape(-1, 2) - 0.5) / side
    if points.min() < -0.02 or points.max() > 1.02:
        raise FileProblem("with an outline outside the image")
    # The mask says which of the two numbers runs along the rows: the boxes around both must agree.
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]]) / side
    extent = np.stack([points.min(axis=0), points.max(axis=0)])
    if np.abs(extent[:, ::-1] - box).sum() < np.abs(extent - box).sum():
        points = points[:, ::-1]
    return np.ascontiguousarray(np.clip(points, 0.0, 1.0))


def to_grey(image: NDArray[np.int16] | NDArray[np.int64]) -> NDArray[np.uint8]:
    """Bring a slice's intensities to 0 .. 255: its 0.5 % percentile is 0, its 99.5 % percentile 255.

    The percentiles are order statistics and the scaling is in whole numbers: the same on every machine.

    Args:
        image: Whole numbers ``[S, S]``, not constant.

    Returns:
        uint8 ``[S, S]``.

    Example:
        >>> to_grey(np.array([[0, 100], [200, 200]], np.int16)).tolist()
        [[0, 128], [255, 255]]
    """
    values = image.astype(np.int64)
    ranks = [int(percent / 100 * (values.size - 1)) for percent in (LOW_PERCENTILE, HIGH_PERCENTILE)]
    low, high = (int(value) for value in np.partition(values.ravel(), ranks)[ranks])
    if low == high:
        low, high = int(values.min()), int(values.max())
    scaled = ((np.clip(values, low, high) - low) * 255 + (high - low) // 2) // (high - low)
    return scaled.astype(np.uint8)

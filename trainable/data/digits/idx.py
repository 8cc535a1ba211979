"""Reads idx files, the form in which MNIST and Fashion-MNIST are published, plain or compressed by gzip."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainable.errors import InputError

_GZIP = b"\x1f\x8b"
_BYTES = 0x08
"""Code of unsigned bytes, the third byte of a magic number.

Its fourth byte is the number of dimensions.
"""
_STEMS = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes.

    Args:
        path: The file; by its first bytes it is plain or compressed by gzip.
        dimensions: 3 of images, 1 of labels.

    Returns:
        uint8, in the shape that the file states.

    Raises:
        InputError: It cannot be read, is truncated or has another magic number.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "labels")
        ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        ...     read_idx(path, 1).tolist()
        [7, 2, 1]
    """
    data = _bytes_of(path)
    head = 4 + 4 * dimensions
    magic, expected = data[:4], bytes([0, 0, _BYTES, dimensions])
    if len(magic) == 4 and magic != expected:
        raise InputError(
            f"{path} must begin with the magic number {expected.hex()} of {dimensions} dimension"
            f"{'s' if dimensions > 1 else ''} of bytes, but begins with {magic.hex()}: put the published file there"
        )
    shape = struct.unpack(f">{dimensions}I", data[4:head]) if len(data) >= head else ()
    stated = head + math.prod(shape)
    if not shape or len(data) != stated:
        length = f"{stated:,} bytes for what its header states" if shape else f"a header of {head} bytes"
        raise InputError(f"{path} must hold {length}, but holds {len(data):,}: copy or download it again")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def read_parts(folder: str | Path) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Read the four files of MNIST or of a data set in its form.

    Args:
        folder: Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
            ``t10k-labels-idx1-ubyte``, each also with ``.gz`` or, as some copies are, with a dot before ``idx``.

    Returns:
        Of ``train`` and ``test``: images uint8 ``[N, 28, 28]`` and labels int64 ``[N]``, each of 0 to 9 there.

    Raises:
        InputError: A file is missing or no such file, or images and labels do not fit together.
    """
    parts = {}
    for part in ("train", "test"):
        files = {kind: _file(Path(folder), _STEMS[part, kind]) for kind in ("images", "labels")}
        images, labels = read_idx(files["images"], 3), read_idx(files["labels"], 1).astype(np.int64)
        if images.shape[1:] != (28, 28):
            raise InputError(
                f"{files['images']} must hold images of 28 x 28 pixels, but its are {images.shape[1]} x "
                f"{images.shape[2]}: name a folder with MNIST or Fashion-MNIST"
            )
        if len(images) != len(labels):
            raise InputError(
                f"{files['images']} and {files['labels'].name} must hold as many images as labels, but hold "
                f"{len(images):,} and {len(labels):,}: take both from one source"
            )
        if not np.array_equal(np.unique(labels), np.arange(10)):
            raise InputError(
                f"{files['labels']} must hold each of the labels 0 to 9 and no other, but holds "
                f"{', '.join(map(str, np.unique(labels)[:12].tolist())) or 'none'}: name a folder with MNIST or "
                "Fashion-MNIST"
            )
        parts[part] = images, labels
    return parts


def _file(folder: Path, stem: str) -> Path:
    dotted = stem.replace("-idx", ".idx")
    for name in (stem, f"{stem}.gz", dotted, f"{dotted}.gz"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"folder must hold {stem} (or {stem}.gz, {dotted}), but {folder} does not: name the folder with the four idx "
        "files of MNIST or Fashion-MNIST"
    )


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == _GZIP else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} cannot be decompressed ({error}): copy or download it again") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): correct its permissions") from error

"""Data set ``table``: images of one's own, named by a CSV or Parquet file with class, bias attribute and patient."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainable.data.base import register_dataset
from trainable.data.patients import split_patients
from trainable.data.table.aligned import aligned_of
from trainable.data.table.columns import strata
from trainable.data.table.decode import Decoded, content_digest, decoded
from trainable.data.table.image_table import ImageTable, Painter
from trainable.data.table.images import check_fit
from trainable.data.table.passes import Recipe
from trainable.data.table.reading.columns import Columns
from trainable.data.table.reading.window import WindowRule
from trainable.data.table.rows import TableRows, read_rows
from trainable.errors import InputError
from trainable.plugins import load_object

NAME = "table"
_SHOWN = 3
_SMALLEST_SIDE = 8


@register_dataset(NAME, files=("file",), code=("paint",))
def table(
    file: str,
    columns: Mapping[str, Any],
    aligned: Mapping[str, str] | None = None,
    image_size: int | None = None,
    window: Mapping[str, Any] | None = None,
    fit: str = "pad",
    size: int | Literal["auto"] = "auto",
    span: Sequence[float] | None = None,
    rho_of: str | None = None,
    paint: str | Painter | None = None,
    share_images: bool = False,
) -> ImageTable:
    """Images of one's own, from a table that names them.

    Args:
        file: CSV, TSV or Parquet, see ``read_cells``.
        columns: Column of each role: ``path``, ``label``, ``attribute``, ``group`` and ``split``, see ``Columns.of``.
        aligned: Attribute that is each class's own; None = the one of the same name.
        image_size: Side of the square images, pixels; None = the median of the longer sides of a sample, rounded to
            32, at most 224.
        window: ``{percentiles: [low, high]}`` or ``{low: ..., high: ...}``: what becomes black and white. None = values
            of more than 8 bits are scaled by the percentiles .5 and 99.5 of the data set without its test images, and
            8 bits stay as they are.
        fit: How an image becomes square: ``pad`` (in black), ``crop`` (the middle) or ``stretch``.
        size: See ``ImageTable``.
        span: See ``ImageTable``.
        rho_of: See ``ImageTable``.
        paint: ``file.py:function`` that paints an attribute on an image, see ``ImageTable``; with it the table
            need have no attribute.
        share_images: See ``ImageTable``.

    Returns:
        The data set.

    Raises:
        InputError: Whatever of the table or of its images cannot be used, in one sentence.
    """
    if not isinstance(share_images, bool):
        raise InputError(f"share_images of a table must be true or false, but is {share_images!r}")
    rows = read_rows(file, columns)
    if rows.attribute is None and paint is None:
        raise InputError(
            f"columns of {rows.name} must name the column of the attribute (what the bias is about), e.g. columns: "
            "{..., attribute: drain}, or paint must draw it"
        )
    own = aligned_of(rows, aligned)
    recipe = Recipe(_side(image_size), check_fit(fit), WindowRule.of(window))
    made = decoded(rows, _not_test(rows, paint is not None), recipe)
    _check_copies(rows, made.content)
    secret = hashlib.blake2b(made.content.tobytes(), digest_size=32, person=b"patients").digest()
    data = ImageTable(
        made.images,
        rows.labels,
        rows.attribute,
        None if rows.patients is None else rows.groups,
        classes=rows.classes,
        attributes=rows.attributes or tuple(dict.fromkeys(own.values())),
        aligned=own,
        paint=load_object(paint) if isinstance(paint, str) else paint,
        name=NAME,
        size=size,
        span=span,
        rho_of=rho_of,
        split=rows.split,
        keys=image_keys(made.content),
        patient_keys=patient_keys(rows, secret),
        share_images=share_images,
        checksum=content_digest(made, recipe),
        info={**_info(rows, made), "attribute": Columns.of(columns).attribute_name},
    )
    data.images_info = {
        "fit": recipe.fit,
        "window": None if made.window is None else [made.window.low, made.window.high],
        "everywhere": recipe.window.everywhere,
    }
    return data


def image_keys(content: NDArray[np.uint8]) -> list[str]:
    """Keyed hash of each image, of what it shows: the same in every table that holds it.

    Args:
        content: Hash of the pixels of each, uint8 ``[N, 32]``.

    Returns:
        16 hexadecimal characters each; a copy within a table has another key.

    Example:
        >>> len(set(image_keys(np.zeros((2, 32), np.uint8))))
        2
    """
    seen: Counter[bytes] = Counter()
    keys = []
    for one in content:
        data = one.tobytes()
        keys.append(_hash(data + str(seen[data]).encode(), b"lnl-sweep"))
        seen[data] += 1
    return keys


def patient_keys(rows: TableRows, secret: bytes) -> list[str] | None:
    """Keyed hash of the patient of each image, or None where every image is its own.

    Args:
        rows: The table.
        secret: The key, which only whoever has all the images can tell: identifiers are short, and could be tried out.

    Example:
        >>> zeros = np.zeros(2, np.int64)
        >>> rows = TableRows("a.csv", ("/a", "/b"), zeros, "line", zeros, None, zeros, ("P1",), None, (), (), {})
        >>> patient_keys(rows, b"key")
        ['6a60dd6badb80366', '6a60dd6badb80366']
    """
    if rows.patients is None:
        return None
    keys = [_hash(patient.encode(errors="surrogateescape"), secret) for patient in rows.patients]
    return [keys[group] for group in rows.groups]


def _hash(content: bytes, key: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8, key=key).hexdigest()


def _side(image_size: Any) -> int | None:
    if image_size is None:
        return None
    if isinstance(image_size, bool) or not isinstance(image_size, int) or image_size < _SMALLEST_SIDE:
        raise InputError(f"image_size must be a whole number of {_SMALLEST_SIDE} pixels or more, but is {image_size!r}")
    return image_size


def _not_test(rows: TableRows, painted: bool) -> NDArray[np.int64]:
    if rows.split is not None:
        return np.flatnonzero(np.array(rows.split) != "test")
    # The test part is the same for every seed; it is drawn as ImageTable draws it.
    kinds, titles = strata(rows.labels, None if painted else rows.attribute, rows.groups, rows.classes, rows.attributes)
    test = split_patients(NAME, kinds, rows.groups, titles, seed=0).test
    return np.setdiff1d(np.arange(len(rows)), test)


def _check_copies(rows: TableRows, content: NDArray[np.uint8]) -> None:
    """Refuse an image that stands twice where that leaks from one part to another, or contradicts itself."""
    # Rows of 32 bytes as one value each.
    _, first, place = np.unique(content.view("V32").ravel(), return_index=True, return_inverse=True)
    kinds: dict[str, list[int]] = {}
    for row in np.flatnonzero(first[place] != np.arange(len(rows))).tolist():
        other = int(first[place[row]])
        if rows.labels[other] != rows.labels[row]:
            kinds.setdefault("another class", []).append(row)
        elif rows.split is not None and rows.split[other] != rows.split[row]:
            kinds.setdefault("another part of the split", []).append(row)
        elif rows.groups[other] != rows.groups[row]:
            what = "no patient that says so (columns.group)" if rows.patients is None else "another patient"
            kinds.setdefault(what, []).append(row)
    for what, copies in kinds.items():
        some = ", ".join(f"{rows.at(row)} is {rows.at(int(first[place[row]]))}" for row in copies[:_SHOWN])
        raise InputError(
            f"an image may not stand twice in {rows.name} unless its patient does, but {len(copies)} have the pixels "
            f"of another one and {what}: {some}{' ...' if len(copies) > _SHOWN else ''}: leave the copies out"
        )


def _info(rows: TableRows, made: Decoded) -> dict[str, str]:
    notes = [rows.left_out_words()]
    if 0 < made.n_wide < len(rows):
        notes.append(
            f"{made.n_wide} of {len(rows)} images have more than 8 bits and are scaled, the others are not: save all "
            "in one depth where that could tell a class or an attribute"
            if made.window is not None
            else ""
        )
    return {"long_name": rows.name.rsplit(".", 1)[0], "note": "; ".join(note for note in notes if note)}

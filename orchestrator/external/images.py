"""Images of an external test set, made of their files as the sweep's own images were."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import InputError, unknown_name
from store.sheet.external import ExternalSet
from trainable.data.table.decode import Decoded, decoded
from trainable.data.table.images import check_fit
from trainable.data.table.passes import Recipe
from trainable.data.table.reading.cells import Cells, read_cells
from trainable.data.table.reading.columns import ROLES, Columns, named_values
from trainable.data.table.reading.window import Window, WindowRule
from trainable.data.table.rows import TableRows, read_rows
from trainable.data.table.table import image_keys, patient_keys

_PLAIN = ("path", "label", "group")


@dataclass(frozen=True)
class SweepImages:
    """Facts about a sweep's own images, by which those of an external test set are made.

    Attributes:
        classes: Names of the classes.
        attributes: Names of the bias attributes.
        size: Side of the square images, pixels.
        columns: Option ``columns`` of its table; empty where its data set is no table.
        fit: How an image becomes square.
        window: What becomes black and white; None where all files have 8 bits and stay as they are.
        everywhere: True where the window scales images of 8 bits too.
    """

    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    size: int
    columns: Mapping[str, Any] = field(default_factory=dict)
    fit: str = "pad"
    window: tuple[float, float] | None = None
    everywhere: bool = False


@dataclass(frozen=True)
class ExternalImages:
    """Images of an external test set.

    Attributes:
        images: uint8 ``[N, C, S, S]``, of 1 channel or 3, memory-mapped.
        labels: Class of each, int64 ``[N]``, positions in the sweep's classes.
        attribute: Bias attribute of each, positions in the sweep's attributes; None where the table does not say one
            that the sweep has.
        keys: Keyed hash of each image.
        patients: Keyed hash of the patient of each image; None where the table names none.
        sheet: What is noted of them.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    attribute: list[int | None]
    keys: list[str]
    patients: list[str] | None
    sheet: ExternalSet


def read_external(
    name: str, file: str, sweep: SweepImages, columns: Mapping[str, str], window: tuple[float, float] | None = None
) -> ExternalImages:
    """Read and decode the images of an external test set.

    Args:
        name: Its name in the sweep.
        file: Its table: CSV, TSV or Parquet, local or ``s3://``.
        sweep: How the sweep's own images were made.
        columns: Columns by role, in place of the sweep's.
        window: What becomes black and white, in place of the sweep's.

    Returns:
        The images.

    Raises:
        InputError: A column or an image that cannot be used, a class that the sweep does not have or the table lacks,
            or images of more than 8 bits without a window.
    """
    roles = columns_for(sweep.columns, columns)
    cells = read_cells(file)
    plain = {role: column for role, column in roles.items() if role in _PLAIN}
    for role, column in plain.items():
        if role not in columns and column not in cells.names:
            raise InputError(
                f"{cells.name} has no column '{column}', which is the {role} of the sweep's table: name its own by "
                f"--columns {role}=COLUMN, one of {', '.join(cells.names)}"
            )
    rows = read_rows(file, plain)
    places = _class_places(rows, sweep.classes)
    used = window or sweep.window
    rule = WindowRule(None if used is None else Window(*used), everywhere=sweep.everywhere or window is not None)
    made = decoded(rows, np.arange(len(rows)), Recipe(sweep.size, check_fit(sweep.fit), rule))
    _check_bits(rows, made, used)
    attribute, unknown = _attributes(cells, rows, roles.get("attribute"), sweep.attributes)
    labels = places[rows.labels]
    secret = hashlib.blake2b(made.content.tobytes(), digest_size=32, person=b"patients").digest()
    notes = [rows.left_out_words(), unknown, f"window {window[0]:g} to {window[1]:g} given by hand" if window else ""]
    names = [sweep.classes[label] for label in labels]
    return ExternalImages(
        made.images,
        labels,
        attribute,
        image_keys(made.content),
        patient_keys(rows, secret),
        ExternalSet(
            name=name,
            file=rows.name,
            data_checksum=_checksum(made.content, names, attribute, rows),
            images={c: names.count(c) for c in sweep.classes},
            patients={}
            if rows.patients is None
            else {c: len(np.unique(rows.groups[labels == k])) for k, c in enumerate(sweep.classes)},
            note="; ".join(note for note in notes if note),
        ),
    )


def columns_for(own: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Columns of an external table by role: those given, else those of the sweep's own table.

    Args:
        own: Option ``columns`` of the sweep's table; empty where its data set is no table.
        given: Columns by role.

    Returns:
        The columns; bins of the sweep's stay. No column says a part: all of an external test set is tested.

    Raises:
        InputError: A role that there is not, or no column for path or label.

    Example:
        >>> own = {"path": "file", "label": {"column": "age", "bins": [65]}, "split": "part"}
        >>> columns_for(own, {"label": "years"})
        {'path': 'file', 'label': {'column': 'years', 'bins': [65]}}
    """
    for role in given:
        if role not in ROLES:
            raise unknown_name("role of a column", role, ROLES)
    columns = dict(own)
    for role, name in given.items():
        bins = columns.get(role)
        columns[role] = {**bins, "column": name} if isinstance(bins, Mapping) else name
    lacking = [role for role in ("path", "label") if not columns.get(role)]
    if lacking:
        raise InputError(
            f"--columns must name the column of the {' and the '.join(lacking)}, since the sweep's data set is no "
            "table: e.g. --columns path=file,label=diagnosis,group=patient"
        )
    return {role: column for role, column in columns.items() if role != "split" and column is not None}


def _class_places(rows: TableRows, classes: Sequence[str]) -> NDArray[np.int64]:
    """Place of each class of the table among those of the sweep."""
    present = [name for k, name in enumerate(rows.classes) if (rows.labels == k).any()]
    for name in present:
        if name not in classes:
            raise InputError(
                f"{unknown_name(f'class of {rows.name}', name, classes)}: name it in the table's label column as the "
                "sweep does, or leave those rows out"
            )
    lacking = [name for name in classes if name not in present]
    if lacking:
        raise InputError(
            f"{rows.name} must have images of every class of the sweep ({', '.join(classes)}), but has none of "
            f"{', '.join(lacking)}: add some"
        )
    places = {name: k for k, name in enumerate(classes)}
    return np.array([places.get(name, -1) for name in rows.classes], dtype=np.int64)


def _check_bits(rows: TableRows, made: Decoded, window: tuple[float, float] | None) -> None:
    if made.n_wide and window is None:
        raise InputError(
            f"{made.n_wide} of {len(rows)} images of {rows.name} have more than 8 bits, but those of the sweep have 8, "
            "so that nothing says what becomes black and white: give --window LOW,HIGH, or save them with 8 bits"
        )


def _attributes(cells: Cells, rows: TableRows, column: Any, known: Sequence[str]) -> tuple[list[int | None], str]:
    """Bias attribute of each row, where the table says one that the sweep has, and a note on the others."""
    role = Columns.of({"path": "path", "label": "label", "attribute": column}).attribute if column else None
    if role is None or role.name not in cells.names:
        return [None] * len(rows), ""
    positions = {line: k for k, line in enumerate(cells.lines)}
    texts = [cells.columns[role.name][positions[line]] for line in rows.lines.tolist()]
    said = [k for k, text in enumerate(texts) if text is not None]
    if role.bins:
        kept = [positions[rows.lines.tolist()[k]] for k in said]
        values, names = named_values(cells, "attribute", role, kept)
        texts = [None] * len(rows)
        for k, value in zip(said, values, strict=True):
            texts[k] = names[value]
    places = {name: k for k, name in enumerate(known)}
    attribute = [None if text is None else places.get(text) for text in texts]
    unknown = sorted({str(text) for text in texts if text is not None and text not in places})
    note = f"attributes that the sweep does not have: {', '.join(unknown[:3])}{' ...' if len(unknown) > 3 else ''}"
    return attribute, note if unknown else ""


def _checksum(
    content: NDArray[np.uint8], classes: Sequence[str], attribute: Sequence[int | None], rows: TableRows
) -> str:
    hashes = [one.tobytes().hex() for one in content]
    first: dict[int, str] = {}
    for group, one in zip(rows.groups.tolist(), hashes, strict=True):
        first[group] = min(one, first.get(group, one))
    patients = [first[group] if rows.patients is not None else "" for group in rows.groups.tolist()]
    entries = sorted(zip(hashes, classes, map(str, attribute), patients, strict=True))
    return hashlib.sha256(repr(entries).encode()).hexdigest()

"""Rows of a table, read and checked: where each image lies, its class, its bias attribute and its patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import nearest
from trainable.data.patients import PARTS
from trainable.data.table.reading.cells import Cells, read_cells
from trainable.data.table.reading.columns import Columns, check_spelling, named_values
from trainable.data.table.reading.sources import absolute
from trainable.errors import InputError

_LEAST_PATIENTS = {"class": 3, "attribute": 2}
"""One of each class is needed in each part."""


@dataclass(frozen=True)
class TableRows:
    """Rows of a table that can be used.

    Attributes:
        name: File name of the table, for messages.
        paths: Absolute address of each image, ``[N]``.
        lines: Line (of Parquet: row) at which each row stands, int64 ``[N]``.
        unit: ``line`` or ``row``.
        labels: Position of each class, int64 ``[N]``.
        attribute: Position of each bias attribute, int64 ``[N]``; None where there is no such column.
        groups: Number of each patient in the order of their first rows, int64 ``[N]``.
        patients: The patients' identifiers, in that order; None where every image is its own. They never leave this
            object but as keyed hashes.
        split: Part of each row, ``[N]``; None where there is no such column.
        classes: Names of the classes.
        attributes: Names of the attributes.
        left_out: Number of rows that were left out, by reason.
    """

    name: str
    paths: tuple[str, ...]
    lines: NDArray[np.int64]
    unit: str
    labels: NDArray[np.int64]
    attribute: NDArray[np.int64] | None
    groups: NDArray[np.int64]
    patients: tuple[str, ...] | None
    split: tuple[str, ...] | None
    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.paths)

    def at(self, row: int) -> str:
        """Place of a row in the table, for messages.

        Example:
            >>> zeros = np.zeros(1, np.int64)
            >>> TableRows("a.csv", ("/a.png",), zeros + 2, "line", zeros, None, zeros, None, None, (), (), {}).at(0)
            'line 2'
        """
        return f"{self.unit} {self.lines[row]}"

    def left_out_words(self) -> str:
        """Number of rows that were left out, with the reasons, or ""."""
        total = sum(self.left_out.values())
        reasons = ", ".join(f"{count} without {reason}" for reason, count in self.left_out.items())
        return f"{total} {self.unit}{'s' * (total > 1)} of {self.name} left out: {reasons}" if total else ""


def read_rows(file: str, columns: Mapping[str, Any]) -> TableRows:
    """Read the table of a data set and check all that can be checked without its images.

    Args:
        file: Address of the table, see ``read_cells``.
        columns: Option ``columns``, see ``Columns.of``.

    Returns:
        Its rows; those in which a value is missing are left out and counted.

    Raises:
        InputError: A column that it does not have, fewer than two classes or attributes, too few patients of one, an
            image that stands twice, a part that is none, or a patient in two parts.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lines = [f"{i}.png,{'ab'[i % 2]},{'xy'[i // 2 % 2]}" for i in range(8)] + ["8.png,,x"]
        ...     _ = Path(folder, "t.csv").write_text("\\n".join(["file,y,b", *lines]))
        ...     rows = read_rows(f"{folder}/t.csv", {"path": "file", "label": "y", "attribute": "b"})
        >>> len(rows), rows.classes, rows.attributes, rows.left_out_words()
        (8, ('a', 'b'), ('x', 'y'), '1 line of t.csv left out: 1 without label (column y)')
    """
    roles = Columns.of(columns)
    cells = read_cells(file, [column.name for _, column in roles])
    kept, left_out = _complete(cells, roles)
    if not kept:
        reasons = ", ".join(f"{count} without {reason}" for reason, count in left_out.items())
        raise InputError(f"{cells.name} has no row that can be used ({reasons or 'it has none at all'}): fill it in")
    labels, classes = named_values(cells, "label", roles.label, kept)
    attribute: list[int] | None = None
    attributes: tuple[str, ...] = ()
    if roles.attribute is not None:
        attribute, attributes = named_values(cells, "attribute", roles.attribute, kept)
    groups, patients = np.arange(len(kept), dtype=np.int64), None
    if roles.group is not None:
        texts = [str(cells.columns[roles.group.name][row]) for row in kept]
        check_spelling(cells, "group", roles.group.name, texts, kept)
        numbers = {text: k for k, text in enumerate(dict.fromkeys(texts))}
        groups, patients = np.array([numbers[text] for text in texts], dtype=np.int64), tuple(numbers)
    paths = tuple(absolute(str(cells.columns[roles.path.name][row]), cells.file) for row in kept)
    rows = TableRows(
        name=cells.name,
        paths=paths,
        lines=np.array([cells.lines[row] for row in kept], dtype=np.int64),
        unit=cells.unit,
        labels=np.array(labels, dtype=np.int64),
        attribute=None if attribute is None else np.array(attribute, dtype=np.int64),
        groups=groups,
        patients=patients,
        split=None if roles.split is None else _parts(cells, roles.split.name, kept),
        classes=classes,
        attributes=attributes,
        left_out=left_out,
    )
    _check(rows, roles)
    return rows


def _complete(cells: Cells, roles: Columns) -> tuple[list[int], dict[str, int]]:
    left_out: Counter[str] = Counter()
    kept = []
    for row in range(len(cells)):
        lacking = next((pair for pair in roles if cells.columns[pair[1].name][row] is None), None)
        if lacking is None:
            kept.append(row)
        else:
            left_out[f"{lacking[0]} (column {lacking[1].name})"] += 1
    return kept, dict(left_out)


def _parts(cells: Cells, column: str, kept: Sequence[int]) -> tuple[str, ...]:
    parts = []
    for row in kept:
        text = str(cells.columns[column][row])
        if text.lower() not in PARTS:
            near = nearest(text, PARTS)
            hint = f", did you mean '{near}'?" if near else ""
            raise InputError(
                f"column {column} of {cells.name} must say train, val or test, but {cells.unit} {cells.lines[row]} "
                f"says '{text}'{hint}: correct it, or leave the cell empty"
            )
        parts.append(text.lower())
    return tuple(parts)


def _check(rows: TableRows, roles: Columns) -> None:
    seen: dict[str, int] = {}
    for row, path in enumerate(rows.paths):
        if path in seen:
            raise InputError(
                f"each image must stand once in {rows.name}, but {rows.at(row)} names that of {rows.at(seen[path])} "
                f"again ({path}): leave one of them out"
            )
        seen[path] = row
    _check_values(rows, "class", roles.label.name, rows.labels, rows.classes)
    if rows.attribute is not None and roles.attribute is not None:
        _check_values(rows, "attribute", roles.attribute.name, rows.attribute, rows.attributes)
    if rows.split is not None and roles.split is not None:
        _check_split(rows, roles.split.name)


def _check_values(rows: TableRows, what: str, column: str, values: NDArray[np.int64], names: tuple[str, ...]) -> None:
    counts = np.bincount(values, minlength=len(names))
    if (counts > 0).sum() < 2:
        only = names[int(counts.argmax())]
        plural = {"class": "classes", "attribute": "attributes"}[what]
        raise InputError(
            f"{rows.name} must have two {plural} or more, but column {column} says '{only}' in all {len(rows)} "
            f"{rows.unit}s that can be used: choose another column"
        )
    # With parts of one's own, what each of them needs is checked there.
    least = 2 if rows.split is not None else _LEAST_PATIENTS[what]
    unit = "image" if rows.patients is None else "patient"
    for k, name in enumerate(names):
        own = np.flatnonzero(values == k)
        n = len(np.unique(rows.groups[own]))
        if n >= least:
            continue
        where = f" ({rows.at(own[0])})" if len(own) else ""
        raise InputError(
            f"every {what} of {rows.name} needs {least} {unit}s or more, but '{name}' has {n}{where}: leave it out, or "
            "merge it with another"
        )


def _check_split(rows: TableRows, column: str) -> None:
    parts = np.array(rows.split)
    if rows.patients is not None:
        first: dict[int, int] = {}
        for row, group in enumerate(rows.groups.tolist()):
            other = first.setdefault(group, row)
            if parts[other] != parts[row]:
                raise InputError(
                    f"the images of a patient must lie in one part, but {rows.at(other)} of {rows.name} says "
                    f"{parts[other]} and {rows.at(row)}, of the same patient, {parts[row]}: correct column {column}"
                )
    for part in ("train", *(["val"] if "val" in parts else []), "test"):
        for k, name in enumerate(rows.classes):
            if not ((rows.labels == k) & (parts == part)).any():
                raise InputError(
                    f"every part of {rows.name} needs images of every class, but column {column} gives '{name}' none "
                    f"in {part}: correct it"
                )

"""Guess of a table's columns, from their names and from what they hold."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from store.errors import InputError
from trainable.data.table.reading.cells import Cells, missing_column
from trainable.data.table.reading.columns import ROLES
from trainable.data.table.reading.sources import absolute, slice_of, states

_PEOPLE = ("patient", "subject", "participant", "person")
_NAMES = {
    "path": ("path", "file", "filename", "filepath", "imagepath", "imagefile", "image", "img", "png", "dicom"),
    "label": ("label", "class", "diagnosis", "dx", "y", "target", "finding", "disease", "outcome", "category"),
    "attribute": (
        *("attribute", "bias", "confounder", "shortcut", "artifact", "artefact", "marker", "device", "drain", "tube"),
        *("ruler", "scanner", "scannermodel", "manufacturer", "hospital", "site", "centre", "center", "view"),
        *("background", "sex", "gender", "age"),
    ),
    "group": (
        *(f"{who}{what}" for who in _PEOPLE for what in ("", "id", "no", "nr", "num", "number", "code", "name", "key")),
        *("pid", "mrn", "case", "caseid", "id"),
    ),
    "split": ("split", "set", "partition", "subset", "fold"),
}
"""Names of the columns of each role, lower case, letters and digits alone, the likeliest first."""
_PARTS = {"train", "val", "test"}
_ASKED = 50
_MOST_VALUES = 20
"""Number of different values up to which a column holds names."""
_MOST_ATTRIBUTES = 10


@dataclass(frozen=True)
class Guess:
    """Column of a role.

    Attributes:
        column: Its name.
        reason: Why it is taken, in words.
        bins: Where its numbers are cut; empty = they are names.
    """

    column: str
    reason: str
    bins: tuple[float, ...] = ()


def guess_columns(cells: Cells, given: Mapping[str, str]) -> dict[str, Guess]:
    """Guess which column holds what.

    Args:
        cells: The table, all its columns.
        given: Columns that are known, by role.

    Returns:
        Role -> guess, in the order of ``ROLES``. ``group`` and ``split`` may be missing.

    Raises:
        InputError: A column that there is not, or a role that no column fits.

    Example:
        >>> columns = {"y": ["a", "b", "a"], "sex": ["m", "f", "f"], "file": ["/1", "/2", "/3"], "pid": ["1", "1", "2"]}
        >>> cells = Cells("/t.csv", "t.csv", tuple(columns), columns, [2, 3, 4], "line")
        >>> guesses = guess_columns(cells, {"path": "file"})
        >>> {role: guess.column for role, guess in guesses.items()}
        {'path': 'file', 'label': 'y', 'attribute': 'sex', 'group': 'pid'}
    """
    found: dict[str, Guess] = {}
    for role, column in given.items():
        if column not in cells.names:
            raise missing_column(cells.name, column, cells.names)
        found[role] = Guess(column, "given", _cut(cells, column) if role == "attribute" else ())
    # In this order: the attribute is what remains, and looks at the label.
    for role, guess in (("path", _path), ("split", _split), ("group", _group), ("label", _label), ("attribute", _bias)):
        if role not in found:
            taken = {one.column for one in found.values()}
            proposed = guess(cells, taken, found)
            if proposed is not None:
                found[role] = proposed
    return {role: found[role] for role in ROLES if role in found}


def _path(cells: Cells, taken: set[str], found: Mapping[str, Guess]) -> Guess:
    shares = {column: _share_of_files(cells, column) for column in _remaining(cells, taken)}
    named = next((column for name in _NAMES["path"] if (column := _named(cells, name)) is not None), None)
    best = max(shares, key=lambda column: (shares[column], column == named), default=None)
    if best is None or not shares[best]:
        hint = f", nor those of '{named}'" if named else ""
        raise InputError(
            f"{cells.name} must name image files, but the values of no column are files beside it{hint}: give "
            "--path COL, and write paths that begin at the table's folder"
        )
    asked = min(_ASKED, len(cells))
    return Guess(best, f"{round(shares[best] * asked)} of its first {asked} values are files")


def _share_of_files(cells: Cells, column: str) -> float:
    texts = [
        text for text in cells.columns[column][:_ASKED] if text is not None and len(text) < 4096 and "\n" not in text
    ]
    # A word is no path to ask a store for, nor a number.
    likely = [text for text in texts if "." in text or "/" in text]
    if len(likely) < len(texts) / 2 or not likely:
        return 0.0
    files = [slice_of(absolute(text, cells.file))[0] for text in likely]
    return sum(state is not None for state in states(files).values()) / min(_ASKED, len(cells))


def _label(cells: Cells, taken: set[str], found: Mapping[str, Guess]) -> Guess:
    for name in _NAMES["label"]:
        column = _named(cells, name)
        if column is not None and column not in taken and 2 <= _n_values(cells, column) <= _MOST_VALUES:
            return Guess(column, f"its name, and {_n_values(cells, column)} different values")
    for name in _NAMES["label"]:
        column = _named(cells, name)
        if column is not None and column not in taken and _n_values(cells, column) < 2:
            raise InputError(
                f"{cells.name} must have two classes or more, but its column {column} has "
                f"{_n_values(cells, column)} value{'s' * (_n_values(cells, column) != 1)}: add images of another "
                "class, or name the column of the class by --label COL"
            )
    few = [column for column in _remaining(cells, taken) if 2 <= _n_values(cells, column) <= _MOST_VALUES]
    if len(few) == 1:
        return Guess(few[0], f"the only column left with 2 to {_MOST_VALUES} different values")
    raise InputError(
        f"the column of the class cannot be told by its name in {cells.name}: give --label COL, one of "
        f"{_listed(few or _remaining(cells, taken))}"
    )


def _bias(cells: Cells, taken: set[str], found: Mapping[str, Guess]) -> Guess:
    for name in _NAMES["attribute"]:
        column = _named(cells, name)
        if column is not None and column not in taken and _n_values(cells, column) > 1:
            bins = _cut(cells, column)
            if bins or _n_values(cells, column) <= _MOST_ATTRIBUTES:
                return Guess(column, "its name", bins)
    few = [column for column in _remaining(cells, taken) if 2 <= _n_values(cells, column) <= _MOST_ATTRIBUTES]
    if not few:
        raise InputError(
            f"no column of {cells.name} can be the bias attribute (2 to {_MOST_ATTRIBUTES} different values): give "
            f"--attribute COL, one of {_listed(_remaining(cells, taken)) or 'a new column'}"
        )
    told = {column: _told(cells, found["label"].column, column) for column in few}
    best = max(few, key=lambda column: told[column])
    return Guess(best, f"of the columns left it tells most of the class ({told[best]:.0%} of its entropy)")


def _group(cells: Cells, taken: set[str], found: Mapping[str, Guess]) -> Guess | None:
    for name in _NAMES["group"]:
        column = _named(cells, name)
        if column is None or column in taken:
            continue
        n, filled = _n_values(cells, column), sum(text is not None for text in cells.columns[column])
        # An identifier of the image is no patient, and neither is a name of a class.
        if (name not in ("id", "case") or n < filled) and n > _MOST_VALUES:
            return Guess(column, f"its name, and {n} different values in {filled} {cells.unit}s")
        if name.startswith((*_PEOPLE, "pid", "mrn")) and n > 1:
            return Guess(column, f"its name, and {n} different values in {filled} {cells.unit}s")
    return None


def _split(cells: Cells, taken: set[str], found: Mapping[str, Guess]) -> Guess | None:
    for name in _NAMES["split"]:
        column = _named(cells, name)
        if column is not None and column not in taken:
            values = {text.lower() for text in cells.columns[column] if text is not None}
            if {"train", "test"} <= values <= _PARTS:
                return Guess(column, f"its name, and its values {', '.join(sorted(values))}")
    return None


def _named(cells: Cells, name: str) -> str | None:
    """The column of a name, whatever its case, spaces and signs: ``Patient_ID``, ``patient id``, ``PatientID``."""
    plain = {re.sub(r"[\W_]", "", column).lower(): column for column in reversed(cells.names)}
    return plain.get(name)


def _remaining(cells: Cells, taken: set[str]) -> list[str]:
    return [name for name in cells.columns if name not in taken]


def _n_values(cells: Cells, column: str) -> int:
    return len({text for text in cells.columns[column] if text is not None})


def _cut(cells: Cells, column: str) -> tuple[float, ...]:
    """The median of a column of many numbers, else nothing."""
    if _n_values(cells, column) <= _MOST_ATTRIBUTES:
        return ()
    try:
        numbers = sorted(float(text) for text in cells.columns[column] if text is not None)
    except ValueError:
        return ()
    middle = numbers[len(numbers) // 2]
    return (middle,) if math.isfinite(middle) and numbers[0] < middle else ()


def _told(cells: Cells, label: str, column: str) -> float:
    """Share of the label's entropy that a column tells, their mutual information over H(label)."""
    pairs = [
        (one, other)
        for one, other in zip(cells.columns[label], cells.columns[column], strict=True)
        if one is not None and other is not None
    ]
    of_label, of_column = _entropy([one for one, _ in pairs]), _entropy([other for _, other in pairs])
    return (of_label + of_column - _entropy(pairs)) / of_label if of_label else 0.0


def _entropy(values: Sequence[object]) -> float:
    counts = Counter(values).values()
    return -sum(n / len(values) * math.log(n / len(values)) for n in counts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")

"""Option ``columns`` of a table: which column holds what, and where a number is cut into values."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainable.data.table.reading.cells import Cells
from trainable.errors import InputError, unknown_name
from trainable.texts import bounded

ROLES = ("path", "label", "attribute", "group", "split")
_CUT = ("label", "attribute")
_WHOLE = re.compile(r"[0-9]+(\.0+)?")
_FEW = 20
"""Number of different values from which on a column of numbers is no set of names."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Its name in the header.
        bins: Ascending numbers at which its values are cut; empty = they are names.
    """

    name: str
    bins: tuple[float, ...] = ()

    def values(self) -> tuple[str, ...]:
        """Names of the parts between the bins.

        Example:
            >>> Column("age", (40.0, 65.0)).values()
            ('age < 40', '40 <= age < 65', 'age >= 65')
        """
        low, high = f"{self.name} < {self.bins[0]:g}", f"{self.name} >= {self.bins[-1]:g}"
        pairs = zip(self.bins[:-1], self.bins[1:], strict=True)
        return (low, *(f"{one:g} <= {self.name} < {other:g}" for one, other in pairs), high)


@dataclass(frozen=True)
class Columns:
    """Columns of a table by what they hold.

    Attributes:
        path: The image's file.
        label: The class.
        attribute: The bias attribute; None where it is painted.
        group: The patient; None = every image is its own.
        split: ``train``, ``val`` or ``test``; None = drawn by patient.
    """

    path: Column
    label: Column
    attribute: Column | None = None
    group: Column | None = None
    split: Column | None = None

    @classmethod
    def of(cls, option: Any) -> Columns:
        """Read the option ``columns``.

        Args:
            option: Name of the column of each role, or ``{column: NAME, bins: [...]}``.

        Raises:
            InputError: A role that there is not, or one without a column.

        Example:
            >>> Columns.of({"path": "file", "label": "y", "attribute": {"column": "age", "bins": [65]}}).attribute
            Column(name='age', bins=(65.0,))
        """
        if not isinstance(option, Mapping):
            raise InputError(
                f"columns must name the column of each role, e.g. {{path: file, label: class}}, but is {option!r}"
            )
        for role in option:
            if role not in ROLES:
                raise unknown_name("role of a column", str(role), ROLES)
        given = {role: _column(role, value) for role, value in option.items() if value is not None}
        for role in ("path", "label"):
            if role not in given:
                raise InputError(f"columns must name the column of the {role}, but names {', '.join(given) or 'none'}")
        return cls(**given)

    @property
    def attribute_name(self) -> str:
        """Name of the attribute's column, or ``attribute`` where it is painted."""
        return "attribute" if self.attribute is None else self.attribute.name

    def __iter__(self) -> Iterator[tuple[str, Column]]:
        """Role and column of those that are given, in the order of ``ROLES``."""
        return iter([(role, column) for role in ROLES if (column := getattr(self, role)) is not None])


def _column(role: str, value: Any) -> Column:
    if not isinstance(value, Mapping):
        # A header may be a number, which YAML reads as one.
        return Column(str(value))
    known = ("column", "bins") if role in _CUT else ("column",)
    for key in value:
        if key not in known:
            raise unknown_name(f"key of columns.{role}", str(key), known)
    if "column" not in value:
        raise InputError(f"columns.{role} must name a column, e.g. {{column: age, bins: [65]}}, but is {dict(value)!r}")
    bins = value.get("bins", ())
    numbers = [bins] if isinstance(bins, (int, float)) else bins
    fits = isinstance(numbers, Sequence) and all(
        isinstance(one, (int, float)) and not isinstance(one, bool) and math.isfinite(one) for one in numbers
    )
    if not fits or list(numbers) != sorted(set(numbers)):
        raise InputError(f"bins of columns.{role} must be ascending numbers, e.g. [40, 65], but are {bins!r}")
    return Column(str(value["column"]), tuple(float(one) for one in numbers))


def named_values(cells: Cells, role: str, column: Column, kept: Sequence[int]) -> tuple[list[int], tuple[str, ...]]:
    """Positions of a column's values among their names.

    Args:
        cells: The table.
        role: ``label`` or ``attribute``, for messages.
        column: The column.
        kept: Rows that count; none lacks the value.

    Returns:
        The position of each kept row's value, and the names: in the order of the bins, else sorted, numbers as numbers.

    Raises:
        InputError: A value to be cut that is no number, or numbers without bins that are no names.

    Example:
        >>> cells = Cells("", "a.csv", ("y",), {"y": ["10", "9", "10"]}, [2, 3, 4], "line")
        >>> named_values(cells, "label", Column("y"), range(3))
        ([1, 0, 1], ('9', '10'))
    """
    texts = [str(cells.columns[column.name][row]) for row in kept]
    if column.bins:
        places = [_bin(cells, column, text, row) for text, row in zip(texts, kept, strict=True)]
        return places, column.values()
    check_spelling(cells, role, column.name, texts, kept)
    names = sorted(set(texts), key=_order)
    for name in names:
        # It is drawn in figures and printed by commands.
        if any(unicodedata.category(one) in ("Cc", "Zl", "Zp") for one in name):
            raise InputError(
                f"the {role} of {cells.name} must be one line of text, but {cells.unit} "
                f"{cells.lines[kept[texts.index(name)]]} holds {bounded(repr(name), 100)}: mend it"
            )
    if len(names) > max(_FEW, len(texts) // 20) and all(_number(name) is not None for name in names):
        middle = sorted(float(text) for text in texts)[len(texts) // 2]
        raise InputError(
            f"the {role} of {cells.name} must be a name, but column {column.name} has {len(names)} different numbers "
            f"in {len(texts)} {cells.unit}s: cut them, e.g. {role}: {{column: {column.name}, bins: [{middle:g}]}}"
        )
    place = {name: k for k, name in enumerate(names)}
    return [place[text] for text in texts], tuple(names)


def check_spelling(cells: Cells, role: str, column: str, texts: Sequence[str], kept: Sequence[int]) -> None:
    """Refuse a column that says the same in two ways, which would count as two values.

    Two texts are the same where they are one whole number (``12``, ``12.0``, ``012``), or one text in two codings of
    Unicode, or differ in the number of their spaces alone. Capitals count: letters are classes in some data sets.

    Args:
        cells: The table.
        role: ``label``, ``attribute`` or ``group``; a patient's identifier is not repeated in the message.
        column: Name of the column.
        texts: Its value in each kept row.
        kept: Rows that count.

    Raises:
        InputError: Two ways, with their lines.

    Example:
        >>> cells = Cells("", "a.csv", ("y",), {"y": ["1", "2", "1.0"]}, [2, 3, 4], "line")
        >>> check_spelling(cells, "label", "y", ["1", "2", "1.0"], range(3))
        Traceback (most recent call last):
            ...
        store.errors.InputError: the label of a.csv must be written in one way, but column y has '1' (line 2) and ...
    """
    first: dict[str, int] = {}
    for place, text in enumerate(texts):
        first.setdefault(text, place)
    same: dict[str, str] = {}
    for text in first:
        other = same.setdefault(_plain(text), text)
        if other == text:
            continue
        shown = [
            f"{'one' if role == 'group' else bounded(repr(one), 60)} ({cells.unit} {cells.lines[kept[first[one]]]})"
            for one in (other, text)
        ]
        raise InputError(
            f"the {role} of {cells.name} must be written in one way, but column {column} has {' and '.join(shown)} "
            "that differ in writing alone (spaces, leading zeros, a decimal point, the coding of an accent): "
            "give both the same text, or texts that differ more where they are two"
        )


def _plain(text: str) -> str:
    if _WHOLE.fullmatch(text):
        return str(int(text.partition(".")[0]))
    return " ".join(unicodedata.normalize("NFC", text).split())


def _bin(cells: Cells, column: Column, text: str, row: int) -> int:
    number = _number(text)
    if number is None:
        raise InputError(
            f"column {column.name} of {cells.name} must hold numbers, since it has bins, but {cells.unit} "
            f"{cells.lines[row]} holds '{text}': mend it, or leave the cell empty"
        )
    return sum(number >= one for one in column.bins)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _order(name: str) -> tuple[int, float, str]:
    number = _number(name)
    return (1, 0.0, name) if number is None else (0, number, name)

"""Conversion of reported rows to rows that a part can hold.

Trials report what users' code computes, and no value of it must end the sweep.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import types

from store.columns import KEYS, column_type
from trainable.texts import bounded, escaped, one_line

Row = dict[str, Any]


class Unfit(ValueError):
    """Predictions of a trial that no part can hold."""


_WHOLE = range(-(2**63), 2**63)
_UNCUT = ("hyperparameters",)
"""Columns with JSON that is read back, so that it must not be cut.

Their length is checked before the sweep starts.
"""


class Fitted(NamedTuple):
    """Reported row as a table can hold it.

    Attributes:
        row: The row, without what the table cannot hold.
        problems: A sentence about each thing that was left out.
    """

    row: Row
    problems: list[str]


def fitted(table: str, row: Mapping[str, Any]) -> Fitted:
    """Make a reported row one that can be written.

    Texts become one bounded line of valid Unicode. Single numbers of NumPy and torch become Python numbers.

    Args:
        table: ``trials`` or ``history``.
        row: The row, which is not changed.

    Example:
        >>> fitted("history", {"epoch": 3.0, "label_loss": "low"}).row
        {'epoch': 3, 'label_loss': None}
    """
    fits: Row = {}
    problems = []
    for name, value in row.items():
        kind = column_type(table, name)
        if kind is None:
            problems.append(f"{bounded(str(name), 60)} is no column of {table}")
            continue
        try:
            fits[escaped(name)] = None if value is None else _fit(kind, value, name in _UNCUT)
        except Exception:
            fits[escaped(name)] = None
            shown = one_line(_shown(value), 80)
            problems.append(f"{bounded(name, 60)} must be {_WORDS[kind.id]}, but is {shown} ({type(value).__name__})")
    return Fitted(fits, problems)


def check_predictions(table: pa.Table, trial_id: str) -> None:
    """Refuse predictions that are not exactly one for each variant and image of a trial.

    Args:
        table: Predictions, with the columns trial_id, variant and image.
        trial_id: Identifier of the trial.

    Raises:
        ValueError: The predictions are of another trial, a key is missing, or a key stands twice.

    Example:
        >>> table = pa.table({"trial_id": ["a", "a"], "variant": ["unbiased"] * 2, "image": ["i1", "i1"]})
        >>> check_predictions(table, "a")
        Traceback (most recent call last):
        ValueError: several are of one variant and image
    """
    if table["trial_id"].unique().to_pylist() not in ([], [trial_id]):
        raise ValueError("they are those of another trial")
    key = list(KEYS["predictions"])
    for name in key:
        if table[name].null_count:
            raise ValueError(f"some have no {name}")
    if table.group_by(key).aggregate([]).num_rows < len(table):
        raise ValueError("several are of one variant and image")


def _fit(kind: pa.DataType, value: Any, uncut: bool) -> Any:
    if types.is_string(kind):
        return (escaped if uncut else bounded)(value if isinstance(value, str) else str(value))
    if types.is_timestamp(kind):
        # As Arrow will: it must be a time between the years 1 and 9999.
        return pa.scalar(value, kind).as_py() if isinstance(value, datetime.datetime) else _refuse(value)
    number = value.item() if hasattr(value, "item") else value
    if types.is_boolean(kind):
        return number if isinstance(number, bool) else _refuse(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return _refuse(value)
    if types.is_floating(kind):
        return float(number)
    if math.isfinite(number) and int(number) == number and int(number) in _WHOLE:
        return int(number)
    return _refuse(value)


def _refuse(value: object) -> Any:
    raise ValueError(type(value).__name__)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return "something that cannot be shown"


_WORDS = {
    pa.string().id: "text",
    pa.float64().id: "a number",
    pa.int64().id: "a whole number",
    pa.bool_().id: "true or false",
    pa.timestamp("us").id: "a time",
}

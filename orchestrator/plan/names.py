"""Check of names and texts that become names of files, columns and rows, before anything starts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.config.name_rule import NAME_RULE, is_name
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.plan.cells import Cell, file_part
from store.errors import InputError
from trainable.data.base import Dataset
from trainable.methods.base import Choices
from trainable.texts import bounded, escaped

LONGEST_CELL = 180
"""Largest number of bytes of a cell's id.

File systems take names of 255 bytes. A trial's id, the name of a model file and its hidden name while it is written add
to the cell's id.
"""
LONGEST_CLASS = 100
LONGEST_HYPERPARAMETERS = 10_000
"""Largest number of characters of a trial's hyperparameters as JSON, which stand uncut in its row."""
_LONGEST_FILE = 255

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def check_out(out: str) -> None:
    """Refuse a sweep's directory that cannot be made.

    Raises:
        InputError: It is no text, or a part of the path is too long.

    Example:
        >>> check_out("results/demo")
        >>> check_out("x" * 300)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        store.errors.InputError: the name of a folder has at most 255 bytes, but --out has one of 300, ...
    """
    if escaped(out) != out:
        raise InputError(f"--out must be text in UTF-8 on one line, but got '{bounded(out, 100)}': rename the folder")
    if "://" in out:
        # Keys of an object store have no parts.
        return
    longest = max(out.split("/"), key=lambda part: len(part.encode()))
    if len(longest.encode()) > _LONGEST_FILE:
        raise InputError(
            f"the name of a folder has at most {_LONGEST_FILE} bytes, but --out has one of {len(longest.encode())}, "
            f"'{bounded(longest, 60)}': shorten it"
        )


def check_names(config: SweepConfig, cells: Sequence[Cell], dataset: Dataset) -> None:
    """Refuse names that would fail every trial, or every row of a cell, once the sweep runs.

    Raises:
        InputError: A name that is not valid, is too long or stands twice, or a value that JSON does not have.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm", "lnl"]}))
        >>> check_names(plan.config, plan.cells, plan.dataset)
    """
    for entry in config.methods:
        if not is_name(entry.label or entry.name):
            raise InputError(f"the method '{bounded(entry.name, 60)}' needs a label: {NAME_RULE}")
    for what, name in (("data set", config.dataset.name), ("network", file_part(config.network.name))):
        if not is_name(name) or not name[:1].isalnum():
            raise InputError(
                f"the name of a {what} becomes part of file names: {NAME_RULE}, and begin with a letter or a digit, "
                f"but got '{bounded(name, 60)}': register it under another name"
            )
    for cell in cells:
        if not _FILE.fullmatch(cell.id) or len(cell.id) > LONGEST_CELL:
            raise InputError(
                f"the id of a cell becomes part of file names: it must have at most {LONGEST_CELL} characters of A-Z, "
                f"a-z, 0-9, '.', '_', '+' and '-', but '{bounded(cell.id, 120)}' has {len(cell.id)}: shorten "
                "methods[].label, or the names of data set, network and bias parameters"
            )
    _check_classes(dataset)
    check_values("network", config.network.options)
    for cell in {cell.label: cell for cell in cells}.values():
        _check_hyperparameters(cell)


def _check_classes(dataset: Dataset) -> None:
    for name, count in Counter(dataset.classes).items():
        if not name or escaped(name) != name or len(name) > LONGEST_CLASS or count > 1:
            shown = f"'{bounded(name, LONGEST_CLASS)}'" + (f" {count} times" if count > 1 else "")
            raise InputError(
                f"the names of classes become names of columns: they must differ and have 1 to {LONGEST_CLASS} "
                f"characters of valid text on one line, but {dataset.name} has {shown}: rename the class"
            )
    name, count = next(iter(Counter(dataset.image_keys()).most_common(1)), ("", 0))
    if count > 1:
        raise InputError(
            f"every image of a data set has a key of its own, but {dataset.name} has {count} images with the key "
            f"'{bounded(str(name), 60)}': leave out images that stand several times"
        )


def _check_hyperparameters(cell: Cell) -> None:
    choices = {name: list(entry.values) if isinstance(entry, Choices) else None for name, entry in cell.space.items()}
    check_values(f"methods.{cell.label}.fixed", cell.fixed)
    check_values(f"methods.{cell.label}.space", choices)
    longest = {name: max(values, key=lambda v: len(json.dumps(v))) for name, values in choices.items() if values}
    length = len(json.dumps({**cell.fixed, **longest}))
    if length > LONGEST_HYPERPARAMETERS:
        raise InputError(
            f"the hyperparameters of a trial stand in its row, as JSON of at most {LONGEST_HYPERPARAMETERS:,} "
            f"characters, but those of {cell.label} have {length:,}: name a file instead of its content"
        )


def check_values(where: str, values: Mapping[str, Any]) -> None:
    """Refuse values that would change on their way through a trial's JSON.

    Args:
        where: Key of the sweep file that holds the values, for the message.
        values: Values by name.

    Raises:
        InputError: A value such as a date, bytes, or a mapping with other keys than text.

    Example:
        >>> check_values("network", {"weights": "f.safetensors", "split_at": 2})
        >>> check_values("network", {"width": (8, 16)})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        store.errors.InputError: network.width must be text, a number, true, false, null, ...
    """
    for name, value in values.items():
        try:
            same = repr(json.loads(json.dumps(value))) == repr(value)
        except (TypeError, ValueError):
            same = False
        if not same:
            raise InputError(
                f"{where}.{name} must be text, a number, true, false, null, a list of them or a mapping whose keys are "
                f"text, but got {bounded(repr(value), 100)} ({type(value).__name__}): put it in quotes"
            )

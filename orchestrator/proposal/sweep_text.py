"""Text of the sweep file that is proposed for a table of images."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.config.name_rule import LONGEST_NAME
from orchestrator.proposal.columns import Guess
from orchestrator.proposal.scarce import scarcest
from store.errors import InputError
from trainable.data.table.aligned import yaml_of

if TYPE_CHECKING:
    from trainable.data.table.image_table import ImageTable
    from trainable.data.table.rows import TableRows

_POINTS = (0.0, 0.5, 0.8, 1.0)
"""Bias values of the axis, as shares of the way from the unbiased share to 1."""
_STEPS = 600
"""Steps of the optimiser that a trial should have, where the limits of its epochs allow it."""
_EPOCHS = (8, 30)
_BATCHES = ((400, 16), (2000, 32), (20_000, 64))
_LARGEST_BATCH = 128
_LOOK = " (look whether it shows: lnl-sweep data preview)"


@dataclass(frozen=True)
class Axis:
    """Bias values that the images allow.

    Attributes:
        values: Ascending.
        size: Training images at each of them.
        alternatives: Size of the training sets where the axis begins at a later value, by that value, if it is larger.
    """

    values: tuple[float, ...]
    size: int
    alternatives: Mapping[float, int]


def options_of(file: str, guesses: Mapping[str, Guess], aligned: Mapping[str, str]) -> dict[str, Any]:
    """Options of the data set ``table``.

    Args:
        file: Address of the table.
        guesses: Column of each role.
        aligned: Attribute that is each class's own; that of the same name is left out.

    Example:
        >>> options_of("t.csv", {"label": Guess("y", "given")}, {"a": "a", "b": "b"})
        {'file': 't.csv', 'columns': {'label': 'y'}}
    """
    columns: dict[str, Any] = {
        role: {"column": guess.column, "bins": list(guess.bins)} if guess.bins else guess.column
        for role, guess in guesses.items()
    }
    differs = any(name != own for name, own in aligned.items())
    return {"file": file, "columns": columns, **({"aligned": dict(aligned)} if differs else {})}


def axis_of(dataset: ImageTable, wanted: Sequence[float] | None = None) -> Axis:
    """Bias values for a table, as far as its images go.

    Args:
        dataset: The table.
        wanted: Ascending values; None = from the unbiased share to 1.

    Raises:
        InputError: No two bias values can be drawn.
    """
    from trainable.data.table.law import LEAST_OF_CLASS

    share = dataset.axes[0].unbiased_at
    low = 1 / len(dataset.attributes) if share is None else share
    values = [float(f"{low + part * (1 - low):.4g}") for part in _POINTS] if wanted is None else list(wanted)
    sizes = {value: dataset.largest_set(value, values[-1]) for value in values}
    while len(values) > 1 and int(sizes[values[0]].min()) < LEAST_OF_CLASS:
        values.pop(0)
    if len(values) < 2:
        raise InputError(
            f"the images of {dataset.long_name} do not allow two bias values with {LEAST_OF_CLASS} training images of "
            "every class: collect more, above all conflicting ones (with another attribute than their class's own)"
        )
    size = int(sizes[values[0]].sum())
    later = {value: int(sizes[value].sum()) for value in values[1:-1]}
    return Axis(tuple(values), size, {value: more for value, more in later.items() if more > size})


def proposal(
    options: Mapping[str, Any],
    guesses: Mapping[str, Guess],
    rows: TableRows,
    dataset: ImageTable,
    values: Sequence[float] | None = None,
    aligned_by: str = "more frequent there than elsewhere: is it meant so?",
) -> str:
    """Text of the sweep file.

    Args:
        options: Options of the data set.
        guesses: Column of each role, with the reasons.
        rows: The table.
        dataset: The same, loaded.
        values: Bias values; None = from the unbiased share to 1.
        aligned_by: Why an attribute is a class's own.

    Returns:
        YAML with comments.
    """
    from trainable.networks.base import default_network

    axis = axis_of(dataset, values)
    batch = next((batch for limit, batch in _BATCHES if axis.size < limit), _LARGEST_BATCH)
    epochs = min(_EPOCHS[1], max(_EPOCHS[0], math.ceil(_STEPS / math.ceil(axis.size / batch))))
    ceiling = ["ceiling"] if dataset.axes[0].unbiased_at is not None else []
    own = options.get("aligned") or {name: name for name in dataset.classes}
    comments = [*_about(rows, dataset), "", *_guessed(guesses), "", *_law(dataset, axis, own)]
    columns = ", ".join(f"{role}: {_value(value)}" for role, value in options["columns"].items())
    lines = [
        # A spreadsheet's header may hold a line break.
        *(f"# {' '.join(line.splitlines())}".rstrip() for line in comments),
        f"name: {_name(dataset.long_name)}",
        "dataset:",
        "  name: table",
        f"  file: {_value(options['file'])}",
        f"  columns: {{{columns}}}",
    ]
    if "aligned" in options:
        lines.append(f"  aligned: {yaml_of(options['aligned'])}   # {aligned_by}")
    lines += [
        f"  image_size: {dataset.image_size}",
        *([f"  fit: {options['fit']}"] if "fit" in options else []),
        f"  bias: {{rho: {_numbers(axis.values)}}}   # share of each class's images with its own attribute",
        f"network: {{name: {default_network(dataset)}}}",
        f"methods: [{', '.join([*ceiling, 'erm', 'lnl'])}]",
        "search: {trials: 12}",
        "confirm: {seeds: 5}",
        f"training: {{epochs: {epochs}, batch_size: {batch}}}",
    ]
    return "\n".join(lines) + "\n"


def _about(rows: TableRows, dataset: ImageTable) -> list[str]:
    unit = "image" if rows.patients is None else "patient"
    patients = "" if rows.patients is None else f" of {len(rows.patients)} patients"
    lines = [f"Proposed by lnl-sweep init for {rows.name}: {len(rows)} images{patients}, by class and attribute:", ""]
    header = ["", *rows.attributes, "in all"]
    body = [
        [name, *(_cell(rows, k, b) for b in range(len(rows.attributes))), _cell(rows, k, None)]
        for k, name in enumerate(rows.classes)
    ]
    widths = [max(len(row[column]) for row in [header, *body]) for column in range(len(header))]
    lines += [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *body]
    ]
    lines.append(
        f"  (images, and the {unit}s they are of)"
        if unit == "patient"
        else "  (images, each its own patient: is there no column for that?)"
    )
    look = _LOOK if dataset.note != rows.left_out_words() else ""
    return [*lines, *(["", f"{dataset.note}{look}."] if dataset.note else [])]


def _cell(rows: TableRows, k: int, b: int | None) -> str:
    assert rows.attribute is not None
    own = np.flatnonzero((rows.labels == k) & ((rows.attribute == b) if b is not None else True))
    return str(len(own)) if rows.patients is None else f"{len(own)} ({len(np.unique(rows.groups[own]))})"


def _guessed(guesses: Mapping[str, Guess]) -> list[str]:
    lines = ["Columns, and why these:"]
    for role, guess in guesses.items():
        cut = f", cut at its median {guess.bins[0]:g}" if guess.bins else ""
        lines.append(f"  {role}: {guess.column} ({guess.reason}{cut})")
    unit = "patient" if "group" in guesses else "image"
    for role, meaning in (("group", "every image is its own patient"), ("split", f"the parts are drawn by {unit}")):
        if role not in guesses:
            lines.append(f"  {role}: none, so {meaning}")
    return lines


def _law(dataset: ImageTable, axis: Axis, own: Mapping[str, str]) -> list[str]:
    split = dataset.split(0)
    lines = [
        f"At every rho from {axis.values[0]:g} to {axis.values[-1]:g} a trial has about {axis.size} of the "
        f"{len(split.train)} images for training, no image twice ({len(split.val)} are for validation, "
        f"{len(split.test)} for testing).",
        *scarcest(dataset, split.train, own, axis.values[0], axis.values[-1]),
    ]
    if axis.alternatives:
        others = ", ".join(f"{size} from {value:g}" for value, size in axis.alternatives.items())
        lines.append(f"An axis that begins later allows more: {others}.")
    natural = dataset.natural
    if natural is not None:
        (low, high), rho = natural.interval["rho"], natural.bias["rho"]
        lines.append(
            f"As the images are, rho is {rho:.2f} (95 % interval {low:.2f} to {high:.2f}, by {natural.unit[:-1]})."
        )
    return [*lines, "The images lie where the table says; nothing of them is copied into the results."]


def _name(text: str) -> str:
    return _value(re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")[:LONGEST_NAME] or "table")


def _numbers(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{column: {_value(value['column'])}, bins: {_numbers(value['bins'])}}}"
    text = str(value)
    # Plain where YAML cannot read it as anything else.
    plain = re.fullmatch(r"[A-Za-z_/.][A-Za-z0-9_/.-]*", text) and not re.fullmatch(
        r"(?i)[yn]|yes|no|on|off|true|false|null|\.(inf|nan)", text
    )
    return text if plain else json.dumps(text, ensure_ascii=False)

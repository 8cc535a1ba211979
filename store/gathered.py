"""All trials of a finished sweep in one Arrow file beside its parts, with what ``analysis.load`` derives from them.

It opens many times as fast as the parts do. It stands for those parts and for the sweep's configuration: its name holds
a hash of the names and sizes of the former and of the content of the latter, so that it is not used once a part has
been added, removed or truncated, or ``sweep.yaml`` been changed. A checksum behind it tells whether it is whole. The
parts alone are the record of the sweep: the file can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from store.columns import SCHEMA_VERSION, arrow_schema
from store.errors import InputError
from store.open import SweepFiles
from store.parts import is_part, read_parts
from store.sealed import seal_bytes, unseal_bytes

GATHERED = "gathered"
"""Subfolder of the gathered files."""
ORDER = (("cell", "ascending"), ("phase", "descending"), ("trial_id", "ascending"))
"""Order of the trials, as ``analysis.load`` gives them."""
DERIVED = (
    "rules",
    "superseded",
    "seeds_planned",
    "headline_rule",
    "whole_axis",
    "search_seeds",
    "units_planned",
    "stronger",
)
"""Columns that ``analysis.load`` adds, in their order."""

_FORM = 6
"""Version of the file's form.

It is raised when ``DERIVED`` columns get another meaning or the file another form. Older files are not used then.
"""
_KEY = b"lnl_sweep.derived"


def gathered_name(folder: SweepFiles) -> str:
    """Name of the file that holds the trials of a sweep as it stands: ``trials-<16 hex characters>.arrow``."""
    try:
        config = folder.read("sweep.yaml")
    except FileNotFoundError:
        config = b""
    parts = [f"{name} {size}" for name, size in sorted(folder.sizes("trials").items()) if is_part(name)]
    text = "\n".join([f"{_FORM} {SCHEMA_VERSION}", hashlib.sha256(config).hexdigest(), *parts])
    return f"trials-{hashlib.sha256(text.encode()).hexdigest()[:16]}.arrow"


def gather(folder: SweepFiles, derive: Callable[[pa.Table], Mapping[str, Sequence[Any]]]) -> tuple[str, bytes] | None:
    """Build one file of the trials of all parts, in the order of ``analysis.load``.

    Args:
        folder: The sweep's folder; nobody else writes there.
        derive: Rows -> their ``DERIVED`` columns, a value for each row.

    Returns:
        Name and content of the file; None where it is there and whole, one part would do, or a part cannot be read: it
        is not to be passed over in silence.
    """
    name = gathered_name(folder)
    if len(folder.sizes("trials")) < 2 or _is_whole(folder, name):
        return None
    try:
        # A part that is left out is a warning to its reader: here nobody would see it.
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            rows = read_parts(folder, "trials").sort_by(list(ORDER))
    except UserWarning:
        return None
    if rows["sweep"].null_count:
        # They get the name of their folder, which may be another one tomorrow.
        return None
    rows = _with_derived(rows.combine_chunks(), derive(rows))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    return name, seal_bytes(name, sink.getvalue().to_pybytes())


def _is_whole(folder: SweepFiles, name: str) -> bool:
    try:
        unseal_bytes(name, folder.read(f"{GATHERED}/{name}"))
    except (OSError, InputError):
        return False
    return True


def _with_derived(rows: pa.Table, derived: Mapping[str, Sequence[Any]]) -> pa.Table:
    # Few combinations of rules for many rows: numbers in the column, what they stand for beside it.
    combinations = list(dict.fromkeys(derived["rules"]))
    number = {rules: i for i, rules in enumerate(combinations)}
    columns = {
        "rules": pa.array([number[rules] for rules in derived["rules"]], pa.int16()),
        "superseded": pa.array(derived["superseded"], pa.bool_()).cast(pa.uint8()),
        "seeds_planned": pa.array(derived["seeds_planned"], pa.float64()),
        "whole_axis": pa.array(derived["whole_axis"], pa.bool_()).cast(pa.uint8()),
        "search_seeds": pa.array(derived["search_seeds"], pa.int16()),
    }
    for column, values in columns.items():
        rows = rows.append_column(f"_{column}", values)
    beside = {
        "rules": combinations,
        "headline_rule": str(derived["headline_rule"][0]),
        "units_planned": int(derived["units_planned"][0]),
        "stronger": str(derived["stronger"][0]),
    }
    return rows.replace_schema_metadata({**(rows.schema.metadata or {}), _KEY: json.dumps(beside).encode()})


@dataclass(frozen=True)
class Gathered:
    """Trials of a gathered file, with their ``DERIVED`` columns.

    Attributes:
        rows: The trials.
        columns: Derived columns with a value for each row; ``rules`` holds positions in ``combinations``.
        combinations: Combinations of rules that chose a trial.
        same: Derived columns with one value for all rows.
    """

    rows: pa.Table
    columns: Mapping[str, pa.ChunkedArray]
    combinations: tuple[tuple[str, ...], ...]
    same: Mapping[str, Any]


def read_gathered(folder: SweepFiles) -> Gathered | None:
    """Read the gathered trials, or None where no whole file stands for the sweep as it is now."""
    try:
        name = gathered_name(folder)
        rows = pa.ipc.open_file(pa.BufferReader(unseal_bytes(name, folder.read(f"{GATHERED}/{name}")))).read_all()
        beside = json.loads(rows.schema.metadata[_KEY])
        same = {name: beside[name] for name in ("headline_rule", "units_planned", "stronger")}
        columns = {name: rows[f"_{name}"] for name in DERIVED if name not in same}
        combinations = tuple(tuple(rules) for rules in beside["rules"])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException, InputError):
        # The parts hold the same rows, and tell what is wrong with them.
        return None
    rows = rows.drop_columns([f"_{name}" for name in columns])
    schema = arrow_schema("trials")
    if not set(schema.names) <= set(rows.column_names):
        # As for parts: columns that came later than the file are null.
        rows = pa.concat_tables([schema.empty_table(), rows], promote_options="permissive")
    return Gathered(rows, columns, combinations, same)

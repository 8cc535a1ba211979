"""Column types of Parquet parts.

Known columns have the types of the schema, whoever wrote the part. Others have a type that all parts agree on.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from store.columns import BIAS, column_type
from store.errors import UnreadablePart
from store.names import CONFIRM_PATTERN, SEARCH_PATTERN

_KINDS = (
    lambda kind: types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind),
    lambda kind: types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind),
    types.is_boolean,
    lambda kind: types.is_timestamp(kind) or types.is_date(kind),
)
"""Kinds of types (numbers, text, booleans, times) within which a column may differ from the schema."""
BIAS_OF_VERSION_1 = ("rho", "gamma", "color_variance")
"""Bias parameters that had a column of their own, under their bare name, in schema version 1."""


def fitted(table: str, data: pa.Table) -> pa.Table:
    """Cast the known columns of a part to the schema's types.

    Args:
        table: ``trials``, ``history``, ``predictions`` or ``splits``.
        data: The part; columns that the schema does not know stay as they are.

    Raises:
        UnreadablePart: A known column cannot have its type.

    Example:
        >>> fitted("history", pa.table({"epoch": [1.0]})).schema.field("epoch").type
        DataType(int64)
    """
    for index, (name, actual) in enumerate(zip(data.schema.names, data.schema.types, strict=True)):
        wanted = column_type(table, name)
        if wanted is None or actual == wanted:
            continue
        reason = f"its column '{name}' must be of type {wanted}, but is of type {actual}"
        if not _same_kind(actual, wanted):
            raise UnreadablePart(reason)
        try:
            # Times are kept to the microsecond, whatever a part has.
            options = pc.CastOptions(target_type=wanted, allow_time_truncate=True)
            data = data.set_column(index, pa.field(name, wanted), data.column(index).cast(options=options))
        except pa.ArrowException as error:
            raise UnreadablePart(f"{reason} with values that do not fit ({str(error).splitlines()[0]})") from error
    return data


def from_version_1(table: str, data: pa.Table) -> pa.Table:
    """Convert a part of schema version 1 to the columns of the present version.

    Args:
        table: Name of its table.
        data: The whole part.

    Example:
        >>> rows = pa.table({"trial_id": ["c-r0-007"], "phase": ["search"], "rho": [1.0]})
        >>> from_version_1("trials", rows).column_names
        ['trial_id', 'phase', 'bias_rho', 'search_number', 'search_rule', 'seed_number']
    """
    if table != "trials":
        return data
    empty = [name for name in BIAS_OF_VERSION_1 if name in data.schema.names and data[name].null_count == len(data)]
    data = data.drop_columns(empty)
    renamed = [f"{BIAS}{name}" if name in BIAS_OF_VERSION_1 else name for name in data.schema.names]
    return with_places(data.rename_columns(renamed))


def together(tables: Sequence[pa.Table], source: str) -> pa.Table:
    """Concatenate parts, row below row.

    A column that is missing from a part is null there.

    Args:
        tables: Fitted parts.
        source: Where they come from, for the warning about a column of which they disagree.

    Returns:
        The rows of all, without the unknown columns whose types in different parts have no common type.

    Example:
        >>> together([pa.table({"a": [1]}), pa.table({"b": [2]})], "trials").to_pylist()
        [{'a': 1, 'b': None}, {'a': None, 'b': 2}]
    """
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException:
        apart = [
            name for name in dict.fromkeys(n for table in tables for n in table.schema.names) if _apart(tables, name)
        ]
        for name in apart:
            kinds = sorted({str(table.schema.field(name).type) for table in tables if name in table.schema.names})
            warnings.warn(
                f"left out column '{name}' of {source}: a column must have one type in all parts, but it has "
                f"{' and '.join(kinds)}",
                stacklevel=4,
            )
        kept = [table.drop_columns([name for name in apart if name in table.schema.names]) for table in tables]
        return pa.concat_tables(kept, promote_options="permissive")


def _apart(tables: Sequence[pa.Table], name: str) -> bool:
    try:
        pa.concat_tables([t.select([name]) for t in tables if name in t.schema.names], promote_options="permissive")
    except pa.ArrowException:
        return True
    return False


def _same_kind(actual: pa.DataType, wanted: pa.DataType) -> bool:
    if types.is_dictionary(actual):
        actual = actual.value_type
    return types.is_null(actual) or any(is_kind(actual) and is_kind(wanted) for is_kind in _KINDS)


def with_places(trials: pa.Table) -> pa.Table:
    """Add the columns of their places to trial rows of schema version 1.

    Args:
        trials: The rows.

    Example:
        >>> rows = pa.table({"trial_id": ["c-r0-007"], "phase": ["search"]})
        >>> with_places(rows).select(["search_number", "search_rule", "seed_number"]).to_pylist()
        [{'search_number': 7, 'search_rule': None, 'seed_number': 0}]
    """
    text = pa.string()
    phases = trials["phase"].cast(text) if "phase" in trials.schema.names else pa.nulls(len(trials), text)
    names, searched = trials["trial_id"].cast(text), pc.equal(phases, "search")
    of_search = pc.extract_regex(names, SEARCH_PATTERN)
    of_confirm = pc.extract_regex(names, CONFIRM_PATTERN)

    def part(groups: Any, name: str) -> Any:
        matched = pc.struct_field(groups, name)
        return pc.if_else(pc.equal(matched, ""), None, matched)

    zero = pa.scalar("0")
    seeds = pc.if_else(
        searched,
        pc.if_else(pc.is_valid(of_search), pc.coalesce(part(of_search, "seed_number"), zero), None),
        part(of_confirm, "seed_number"),
    )
    columns = {
        "search_number": pc.if_else(searched, part(of_search, "search_number"), None).cast(pa.int64()),
        "search_rule": pc.if_else(searched, part(of_search, "search_rule"), None),
        "seed_number": seeds.cast(pa.int64()),
    }
    for name, values in columns.items():
        trials = trials.append_column(pa.field(name, values.type), values)
    return trials

"""Parquet parts of one table into one Arrow table: the newest row of a key wins, also while they are written."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import InputError
from analysis.part_types import fitted, together
from analysis.schema import KEYS, SCHEMA_VERSION, VERSION_KEY, arrow_schema
from analysis.source import Folder

_NAME = re.compile(r"^(?P<cell>.+)\.(?P<generation>\d+)-(?P<driver>.+)-(?P<sequence>\d+)\.parquet$")
_ROUNDS = 6
_SMALL, _FEW = 2**20, 50
"""Bytes under which a part is not compressed, and rows under which repeated values are not looked for: a hundred
columns of a few rows each take many times as long to compress, and later to open, as to write."""
# Readers of a local folder only wait for one another; those of an object store wait for the network.
_READERS, _REMOTE_READERS = 1, 8


def read_parts(folder: Folder, table: str, columns: Sequence[str] | None = None, cell: str | None = None) -> pa.Table:
    """Read all parts of a table; of rows with the same key the one from the newest part stays.

    The listing is repeated until nothing new appears: compaction writes a new part before it deletes the old ones,
    so a reader that meets a deleted part finds its rows in a newer one.

    Args:
        folder: The sweep's folder.
        table: ``trials``, ``history``, ``predictions`` or ``splits``.
        columns: Columns to read, the key's included; None = all.
        cell: Only the parts written for this cell.

    Returns:
        The rows, oldest part first, known columns in the schema's types; no rows where there are no parts.

    Raises:
        InputError: A part was written by a newer version of lnl-sweep.
    """
    read: dict[str, pa.Table | None] = {}
    names: list[str] = []
    for _ in range(_ROUNDS):
        found = folder.files(table, "" if cell is None else f"{cell}.")
        names = [name for name in found if is_part(name) and cell in (None, part_cell(name))]
        new = [name for name in names if name not in read]
        if not new:
            break
        with ThreadPoolExecutor(_REMOTE_READERS if "://" in folder.name else _READERS) as pool:
            for name, part in zip(new, pool.map(lambda n: _read(folder, table, n, columns), new), strict=True):
                if isinstance(part, pa.Table):
                    read[name] = part
                elif isinstance(part, str):
                    read[name] = None
                    warnings.warn(f"left out {folder.name}/{table}/{name}: {part}", stacklevel=3)
    ordered = sorted((name for name in names if read.get(name) is not None), key=_age)
    schema = arrow_schema(table)
    if columns is not None:
        schema = pa.schema([field for field in schema if field.name in columns], metadata=schema.metadata)
    tables = [schema.empty_table(), *(read[name] for name in ordered)]
    rows = together(tables, f"{folder.name}/{table}")
    return rows if _disjoint(tables, KEYS[table][0]) else _newest(rows, KEYS[table])


def is_part(name: str) -> bool:
    """Whether a file is one that readers look at."""
    return name.endswith(".parquet") and not name.startswith((".", "_"))


def part_name(cell: str, generation: int, driver: str, sequence: int) -> str:
    """File name of a part: what it is about, and its age (generation of the driver, then sequence)."""
    return f"{cell}.{generation:04d}-{driver}-{sequence:06d}.parquet"


def part_bytes(data: pa.Table) -> bytes:
    """A part as it is written: large ones compressed, small ones quick to write and to open."""
    small, buffer = data.nbytes < _SMALL, io.BytesIO()
    pq.write_table(
        data,
        buffer,
        compression="none" if small else "zstd",
        use_dictionary=len(data) >= _FEW,
        write_statistics=not small,
    )
    return buffer.getvalue()


def part_cell(name: str) -> str | None:
    """What a part is about; None where the name is not that of a part."""
    match = _NAME.match(name)
    return match["cell"] if match else None


def part_generation(name: str) -> int:
    """Generation of the driver that wrote a part; 0 where the name is not that of a part."""
    match = _NAME.match(name)
    return int(match["generation"]) if match else 0


def _age(name: str) -> tuple[int, int, str]:
    match = _NAME.match(name)
    assert match is not None
    return int(match["generation"]), int(match["sequence"]), match["driver"]


def _read(folder: Folder, table: str, name: str, columns: Sequence[str] | None) -> pa.Table | str | None:
    """One part; the reason in words where it is left out; None where it is gone (its rows are in a newer part)."""
    if _NAME.match(name) is None:
        return "its name is not that of a part of a sweep"
    try:
        file = pq.ParquetFile(pa.BufferReader(folder.read(f"{table}/{name}")))
        version = int((file.schema_arrow.metadata or {}).get(VERSION_KEY, b"0"))
        if version > SCHEMA_VERSION:
            raise InputError(
                f"this version of lnl-sweep reads result files up to schema version {SCHEMA_VERSION}, but "
                f"{folder.name}/{table}/{name} has version {version}: update lnl-sweep"
            )
        if version < 1 or not set(KEYS[table]) <= set(file.schema_arrow.names):
            return "it is a Parquet file, but not one of lnl-sweep's"
        present = None if columns is None else [c for c in columns if c in file.schema_arrow.names]
        return fitted(table, file.read(columns=present, use_threads=False))
    except FileNotFoundError:
        return None
    except InputError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        return f"it cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})"


def _disjoint(tables: Sequence[pa.Table], first: str) -> bool:
    """Whether no two parts share a value of the key's first column, so that no key can stand twice.

    A part is written at once, of rows with different keys; after compaction this saves grouping millions of rows.
    """
    seen: set[object] = set()
    for table in tables:
        own = table[first].unique().to_pylist()
        if not seen.isdisjoint(own):
            return False
        seen.update(own)
    return True


def _newest(table: pa.Table, key: tuple[str, ...]) -> pa.Table:
    """Keep the last row of each key, in the order of the rows that stay."""
    position = pa.array(range(len(table)), pa.int64())
    last = pa.table({**{name: table[name] for name in key}, "position": position})
    kept = last.group_by(list(key), use_threads=False).aggregate([("position", "max")])["position_max"]
    if len(kept) == len(table):
        return table
    return table.take(kept.combine_chunks().sort())

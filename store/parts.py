"""Reading of a table's Parquet parts into one Arrow table, also while they are written.

Of rows with the same key the newest one wins.

A part's name holds the digest of its bytes, and its metadata the table and the sweep that it belongs to: of a part that
was damaged, exchanged or brought from elsewhere no row is ever read. Parts of older versions carry neither.
"""

from __future__ import annotations

import functools
import io
import re
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from store.columns import KEYS, SCHEMA_VERSION, VERSION_KEY, arrow_schema
from store.errors import DamagedFile, InputError, UnreadablePart
from store.open import SweepFiles
from store.part_types import fitted, from_version_1, together
from store.sealed import digest, sweep_of_sheet

T = TypeVar("T")

_NAME = re.compile(
    r"^(?P<cell>.+)\.(?P<generation>\d+)-(?P<driver>[^.]+)-(?P<sequence>\d+)(?:\.(?P<digest>[0-9a-f]{16}))?\.parquet$"
)
_ROUNDS = 6
_SMALL, _FEW = 2**20, 50
"""Bytes under which a part is not compressed, and rows under which repeated values are not looked for: a hundred
columns of a few rows each take many times as long to compress, and later to open, as to write."""
_REMOTE_READERS = 8
_OTHER_SWEEP = "it is a part of another sweep"
_SWEEP, _TABLE = b"lnl_sweep_id", b"lnl_sweep_table"
_FIRST_TIME, _LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds of the years 1 and 9999, beyond which Python has no date."""


@dataclass(frozen=True)
class Owner:
    """Sweep to which the parts of a folder must belong.

    Attributes:
        sweep: Its identity; None where its sheet has none, as those of older versions.
        sheet: Whether there is a ``sweep.yaml``.
        known: Whether it can be believed; else parts are judged by their bytes alone.
    """

    sweep: str | None
    sheet: bool = True
    known: bool = True


@dataclass(frozen=True)
class LeftOut:
    """A part whose rows are not read.

    Attributes:
        table: Its table.
        name: Its file name.
        reason: Why, in words.
    """

    table: str
    name: str
    reason: str


def owner_of(folder: SweepFiles) -> Owner:
    """Read from its sheet which sweep a folder holds.

    Example:
        >>> import tempfile
        >>> from store.open import Readable, folder_at
        >>> with tempfile.TemporaryDirectory() as empty:
        ...     owner_of(Readable(folder_at(empty)))
        Owner(sweep=None, sheet=False, known=True)
    """
    try:
        return Owner(sweep_of_sheet(folder.read("sweep.yaml")))
    except FileNotFoundError:
        return Owner(None, sheet=False)


def read_parts(
    folder: SweepFiles,
    table: str,
    columns: Sequence[str] | None = None,
    cell: str | None = None,
    left_out: list[LeftOut] | None = None,
) -> pa.Table:
    """Read all parts of a table.

    Of rows with the same key the one from the newest part stays.

    The listing is repeated until nothing new appears: compaction writes a new part before it deletes the old ones,
    so a reader that meets a deleted part finds its rows in a newer one.

    Args:
        folder: The sweep's folder.
        table: ``trials``, ``history``, ``predictions`` or ``splits``.
        columns: Columns to read, the key's included; None = all.
        cell: Only the parts written for this cell.
        left_out: Takes the parts that cannot be believed; None = a warning for each.

    Returns:
        The rows, oldest part first, known columns in the schema's types; no rows where there are no parts.

    Raises:
        InputError: A part was written by a newer version of lnl-sweep, or the sweep's sheet is gone.

    Example:
        >>> import tempfile
        >>> from store.columns import to_table
        >>> from store.open import Readable, folder_at
        >>> with tempfile.TemporaryDirectory() as path:
        ...     content = part_bytes(to_table("history", [{"trial_id": "a", "epoch": 1, "lr": 0.1}]))
        ...     folder_at(path).child("history").write(part_name("cell", 1, "driver", 1, content), content)
        ...     read_parts(Readable(folder_at(path)), "history", ["trial_id", "epoch", "lr"]).to_pylist()
        [{'trial_id': 'a', 'epoch': 1, 'lr': 0.1}]
    """
    read: dict[str, pa.Table | None] = {}
    names: list[str] = []
    owner: Owner | None = None
    reasons: list[LeftOut] = []
    for _ in range(_ROUNDS):
        listed = folder.files(table, "" if cell is None else f"{cell}.")
        names = [name for name in listed if is_part(name) and cell in (None, part_cell(name))]
        new = [name for name in names if name not in read]
        if not new:
            break
        owner = owner or owner_of(folder)
        reading = functools.partial(_read_or_leave, folder, table, columns, owner)
        for name, part in zip(new, _each(reading, new, "://" in folder.name), strict=True):
            if isinstance(part, pa.Table):
                read[name] = part
            elif isinstance(part, LeftOut):
                read[name] = None
                reasons.append(part)
    if owner is not None and any(part.reason == _OTHER_SWEEP for part in reasons):
        _check_sheet(folder, owner)
    if left_out is not None:
        left_out += reasons
    else:
        for part in reasons:
            warnings.warn(f"left out {folder.name}/{table}/{part.name}: {part.reason}", stacklevel=2)
    ordered = sorted((name for name in names if read.get(name) is not None), key=_age)
    schema = arrow_schema(table)
    if columns is not None:
        schema = pa.schema([field for field in schema if field.name in columns], metadata=schema.metadata)
    tables = [schema.empty_table(), *(read[name] for name in ordered)]
    rows = together(tables, f"{folder.name}/{table}")
    return rows if _disjoint(tables, KEYS[table][0]) else _newest(rows, KEYS[table])


def check_part(folder: SweepFiles, table: str, name: str, owner: Owner) -> None:
    """Refuse a part whose rows are not read.

    Args:
        folder: The sweep's folder.
        table: Name of the table.
        name: File name of the part.
        owner: Which sweep it must belong to.

    Raises:
        InputError: The reason.
        FileNotFoundError: It is gone.
    """
    _read(folder, table, None, owner, name)


def _each(work: Callable[[str], T], names: Sequence[str], remote: bool) -> list[T]:
    # Readers of a local folder would only wait for one another; those of an object store wait for the network.
    if not remote:
        return [work(name) for name in names]
    with ThreadPoolExecutor(_REMOTE_READERS) as pool:
        return list(pool.map(work, names))


def is_part(name: str) -> bool:
    """Report whether a file name is that of a part which readers look at.

    Example:
        >>> is_part("cell.0001-kept-000001.parquet"), is_part("_draft.parquet")
        (True, False)
    """
    return name.endswith(".parquet") and not name.startswith((".", "_"))


def part_name(cell: str, generation: int, driver: str, sequence: int, content: bytes | None = None) -> str:
    """File name of a part.

    Args:
        cell: What it is about.
        generation: Generation of the driver that writes it; with the sequence its age.
        driver: Identifier of the driver, without a dot.
        sequence: Its number among the driver's parts.
        content: Its bytes, whose digest is to stand in the name; None = a part without.

    Example:
        >>> part_name("cell", 1, "kept", 12, b"content")
        'cell.0001-kept-000012.ed7002b439e9ac84.parquet'
    """
    stem = f"{cell}.{generation:04d}-{driver}-{sequence:06d}"
    return f"{stem}.parquet" if content is None else f"{stem}.{digest(content)}.parquet"


def part_bytes(data: pa.Table, table: str | None = None, sweep: str | None = None) -> bytes:
    """Write a part as bytes: large ones compressed, small ones quick to write and to open.

    Args:
        data: Its rows.
        table: Name of its table.
        sweep: Identity of its sweep; both go into the metadata.

    Example:
        >>> part_bytes(pa.table({"epoch": [1, 2]}))[:4]
        b'PAR1'
    """
    if table is not None and sweep is not None:
        belongs = {_TABLE: table.encode(), _SWEEP: sweep.encode()}
        data = data.replace_schema_metadata({**(data.schema.metadata or {}), **belongs})
    small, buffer = data.nbytes < _SMALL, io.BytesIO()
    pq.write_table(
        data,
        buffer,
        compression="none" if small else "zstd",
        use_dictionary=len(data) >= _FEW,
        write_statistics=not small,
        write_page_checksum=True,
    )
    return buffer.getvalue()


def part_cell(name: str) -> str | None:
    """Cell that a part is about, or None where the name is not that of a part.

    Example:
        >>> part_cell("cell.0001-kept-000012.parquet")
        'cell'
    """
    match = _NAME.match(name)
    return match["cell"] if match else None


def part_generation(name: str) -> int:
    """Generation of the driver that wrote a part, or 0 where the name is not that of a part.

    Example:
        >>> part_generation("cell.0001-kept-000012.parquet")
        1
    """
    match = _NAME.match(name)
    return int(match["generation"]) if match else 0


def _age(name: str) -> tuple[int, int, str]:
    match = _NAME.match(name)
    assert match is not None
    return int(match["generation"]), int(match["sequence"]), match["driver"]


def _read_or_leave(
    folder: SweepFiles, table: str, columns: Sequence[str] | None, owner: Owner, name: str
) -> pa.Table | LeftOut | None:
    """Read one part, or give the reason why it is left out.

    It is None where the part is gone: its rows are in a newer part.
    """
    try:
        return _read(folder, table, columns, owner, name)
    except FileNotFoundError:
        return None
    except UnreadablePart as error:
        return LeftOut(table, name, str(error))


def _read(folder: SweepFiles, table: str, columns: Sequence[str] | None, owner: Owner, name: str) -> pa.Table:
    match = _NAME.match(name)
    if match is None:
        raise UnreadablePart("its name is not that of a part of a sweep: move it elsewhere")
    try:
        content = folder.read(f"{table}/{name}")
        if match["digest"] is not None and digest(content) != match["digest"]:
            raise UnreadablePart("it is damaged (its bytes do not agree with the digest in its name)")
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        meta = file.schema_arrow.metadata or {}
        version = int(meta.get(VERSION_KEY, b"0"))
        if version > SCHEMA_VERSION:
            raise InputError(
                f"this version of lnl-sweep reads result files up to schema version {SCHEMA_VERSION}, but "
                f"{folder.name}/{table}/{name} has version {version}: update lnl-sweep"
            )
        if version < 1 or not set(KEYS[table]) <= set(file.schema_arrow.names):
            raise UnreadablePart("it is a Parquet file, but not one of lnl-sweep's")
        _check_owner(folder, table, match["digest"] is not None, meta, owner)
        present = None if columns is None else [c for c in columns if c in file.schema_arrow.names]
        data = file.read(columns=present, use_threads=False)
        _validate(data)
        if version == 1 and columns is None:
            data = from_version_1(table, data)
        data = fitted(table, data)
        _check_times(data)
        return data
    except (FileNotFoundError, UnreadablePart):
        raise
    except DamagedFile as error:
        raise UnreadablePart(str(error)) from error
    except InputError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadablePart(f"it cannot be read ({reason})") from error


def _validate(data: pa.Table) -> None:
    # Bytes that are no text, and offsets out of range, must be found here and not by whoever uses the row.
    data.validate(full=True)


def _check_owner(folder: SweepFiles, table: str, named: bool, meta: dict[bytes, bytes], owner: Owner) -> None:
    """Refuse a part of another sweep or table."""
    sweep, of_table = meta.get(_SWEEP), meta.get(_TABLE)
    if not owner.known:
        return
    if sweep is None:
        if owner.sweep is not None:
            raise UnreadablePart("it carries no checksum, as every part of this sweep does")
        return
    if not owner.sheet:
        raise InputError(
            f"{folder.name}/sweep.yaml is missing, which says what the rows beside it mean: restore it from a copy"
        )
    if of_table != table.encode():
        raise UnreadablePart(f"it is a part of the table {(of_table or b'').decode('utf-8', 'replace')}")
    if owner.sweep is None:
        raise InputError(
            f"{folder.name}/sweep.yaml was replaced (it does not begin with the sweep that the parts beside it belong "
            "to): restore it from a copy"
        )
    if sweep.decode("utf-8", "replace") != owner.sweep:
        raise UnreadablePart(_OTHER_SWEEP)
    if not named:
        raise UnreadablePart("its name lacks the digest of its bytes")


def _check_sheet(folder: SweepFiles, owner: Owner) -> None:
    """Refuse a folder no part of which belongs to its sheet: it is the sheet that was brought from elsewhere."""
    for table in KEYS:
        for name in filter(is_part, folder.files(table)):
            if isinstance(_read_or_leave(folder, table, KEYS[table], owner, name), pa.Table):
                return
    raise InputError(
        f"{folder.name}/sweep.yaml is that of another sweep than the parts beside it: restore its own from a copy"
    )


def _check_times(data: pa.Table) -> None:
    """Refuse a part with a time that does not exist."""
    for field in data.schema:
        if not pa.types.is_timestamp(field.type):
            continue
        # As numbers: Python's dates end at the year 9999, and reading a later one would raise.
        ends = pc.min_max(data[field.name].cast(pa.int64())).as_py()
        if ends["min"] is not None and not _FIRST_TIME <= ends["min"] <= ends["max"] <= _LAST_TIME:
            raise UnreadablePart(f"it cannot be read (its column '{field.name}' holds times that do not exist)")


def _disjoint(tables: Sequence[pa.Table], first: str) -> bool:
    """Report whether no two parts share a value of the key's first column.

    No key can stand twice then.

    A part is written at once, of rows with different keys; after compaction this saves grouping millions of rows.
    """
    seen: set[object] = set()
    for table in tables:
        values = table[first].unique().to_pylist()
        if not seen.isdisjoint(values):
            return False
        seen.update(values)
    return True


def _newest(table: pa.Table, key: tuple[str, ...]) -> pa.Table:
    """Keep the last row of each key, in the order of the rows that stay."""
    position = pa.array(range(len(table)), pa.int64())
    last = pa.table({**{name: table[name] for name in key}, "position": position})
    kept = last.group_by(list(key), use_threads=False).aggregate([("position", "max")])["position_max"]
    if len(kept) == len(table):
        return table
    return table.take(kept.combine_chunks().sort())

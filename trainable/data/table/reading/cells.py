"""Cells of a table as texts: CSV with any of three delimiters, TSV, or Parquet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.errors import DamagedFile, Refused, Unreachable, nearest
from trainable.data.table.reading.sources import absolute, read_file, shown
from trainable.errors import DataOutOfReach, InputError
from trainable.texts import bounded

_MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "<na>")
_DELIMITERS = (",", ";", "\t")
_SHOWN_COLUMNS = 12


@dataclass(frozen=True)
class Cells:
    """Columns of a table.

    Attributes:
        file: Absolute address of the table.
        name: Its file name, for messages.
        names: Names of all its columns, in their order.
        columns: Texts of the columns that were asked for, by name; None = missing.
        lines: Number of each row: the line of the CSV at which it begins, from 1; in Parquet the row, from 1.
        unit: ``line`` or ``row``.
    """

    file: str
    name: str
    names: tuple[str, ...]
    columns: Mapping[str, Sequence[str | None]]
    lines: Sequence[int]
    unit: str

    def __len__(self) -> int:
        return len(self.lines)


def read_cells(file: str, wanted: Iterable[str] | None = None) -> Cells:
    """Read columns of a table as texts.

    An empty cell and one that says NA, N/A, NaN or null is missing. White space around a text is left out. Whole
    numbers of Parquet have no decimal point.

    Args:
        file: Path or ``s3://`` address; ``.parquet`` is Parquet, anything else text in UTF-8, with or without a byte
            order mark, delimited by comma, semicolon or tab.
        wanted: Names of the columns; None = all.

    Returns:
        The cells; rows in which every cell is empty are left out.

    Raises:
        InputError: There is no such file or column, or it is no table.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = '\\ufeffpath;label\\r\\n"a;1.png";01\\r\\nb.png;\\r\\n'
        ...     _ = Path(folder, "labels.csv").write_text(text, encoding="utf-8")
        ...     cells = read_cells(f"{folder}/labels.csv")
        >>> cells.names, cells.columns["path"], cells.columns["label"], cells.lines
        (('path', 'label'), ['a;1.png', 'b.png'], ['01', None], [2, 3])
    """
    if not isinstance(file, str) or not file.strip():
        raise InputError(f"file must be the path of a table, e.g. labels.csv, but is {bounded(repr(file), 100)}")
    address = absolute(file)
    name = address.partition("?")[0].rsplit("/", 1)[-1]
    try:
        data = read_file(address)
    except FileNotFoundError as error:
        raise DataOutOfReach(f"there is no table {shown(address)}: correct its path") from error
    except (Refused, Unreachable) as error:
        raise DataOutOfReach(
            f"{shown(address)} cannot be read ({error.reason}): check the address and the credentials"
        ) from error
    except DamagedFile as error:
        raise InputError(f"{str(error).removesuffix(': remove it')}: give the path of a CSV, TSV or Parquet") from error
    except InputError:
        raise
    except OSError as error:
        raise DataOutOfReach(f"{shown(address)} cannot be read: {error.strerror or error}") from error
    if data[:4] == b"PAR1":
        return _parquet(address, name, data, wanted)
    return _text(address, name, data, wanted)


def column_of(cells: Cells, names: Sequence[str]) -> str | None:
    """First of some names that is a column, whatever its case.

    Example:
        >>> column_of(Cells("", "", ("Path", "y"), {}, (), "line"), ("file", "path"))
        'Path'
    """
    lower = {name.lower(): name for name in reversed(cells.names)}
    return next((lower[name] for name in names if name in lower), None)


def missing_column(table: str, name: str, known: Sequence[str]) -> InputError:
    """Error for a column that a table does not have, with the nearest one that it has.

    Example:
        >>> print(missing_column("a.csv", "lable", ["path", "label"]))
        a.csv has no column 'lable': did you mean 'label'? its columns: path, label
    """
    near = nearest(name, known)
    more = f" and {len(known) - _SHOWN_COLUMNS} more" if len(known) > _SHOWN_COLUMNS else ""
    listed = ", ".join(known[:_SHOWN_COLUMNS]) + more
    return InputError(
        f"{table} has no column '{name}': " + (f"did you mean '{near}'? " if near else "") + f"its columns: {listed}"
    )


def _picked(name: str, names: Sequence[str], wanted: Iterable[str] | None) -> list[str]:
    if wanted is None:
        return [one for one in dict.fromkeys(names) if one]
    picked = list(dict.fromkeys(wanted))
    for one in picked:
        if one not in names:
            raise missing_column(name, one, [known for known in names if known])
        if names.count(one) > 1:
            raise InputError(f"{name} has {names.count(one)} columns '{one}': rename all but one")
    return picked


def _text(address: str, name: str, data: bytes, wanted: Iterable[str] | None) -> Cells:
    text = _decoded(name, data)
    names = [one.strip() for one in _header(name, text)]
    picked = _picked(name, names, wanted)
    places = [names.index(one) for one in picked]
    columns: dict[str, list[str | None]] = {one: [] for one in picked}
    lines = []
    records = _records(name, text, _delimiter(name, text))
    next(records)
    for line, record in records:
        if not any(cell.strip() for cell in record):
            continue
        if len(record) < len(names) or any(cell.strip() for cell in record[len(names) :]):
            remedy = (
                "add the missing ones, also where they are empty"
                if len(record) < len(names)
                else "put a text with a delimiter in it between quotes"
            )
            raise InputError(
                f"line {line} of {name} has {len(record)} cells, but the header has {len(names)}: {remedy}"
            )
        lines.append(line)
        for one, place in zip(picked, places, strict=True):
            cell = record[place].strip()
            columns[one].append(None if cell.lower() in _MISSING else cell)
    return Cells(address, name, tuple(names), columns, lines, "line")


def _decoded(name: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name} must be text in UTF-8, but line {line} holds the byte {data[error.start]:#x}: save it as CSV UTF-8"
        ) from error
    if "\0" in text[:10_000]:
        raise InputError(f"{name} must be CSV, TSV or Parquet, but is neither: it holds bytes that no text has")
    if not text.strip():
        raise InputError(f"{name} is empty: a table has a header and a line for each image")
    return text


def _header(name: str, text: str) -> list[str]:
    return next(_records(name, text, _delimiter(name, text)))[1]


def _delimiter(name: str, text: str) -> str:
    # That which parts the header most often: header names seldom hold one of the others.
    return max(_DELIMITERS, key=lambda one: len(next(csv.reader(io.StringIO(text, newline=""), delimiter=one))))


def _records(name: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for record in reader:
            yield line, record
            # A quoted cell may run over several lines.
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"line {line} of {name} cannot be read as CSV ({error}): close its quotes, and double those within a text"
        ) from error


def _parquet(address: str, name: str, data: bytes, wanted: Iterable[str] | None) -> Cells:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        names = list(file.schema_arrow.names)
        picked = _picked(name, names, wanted)
        table = file.read(columns=picked)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name} cannot be read as Parquet ({str(error).splitlines()[0]}): write it again") from error
    columns = {one: [_cell(value) for value in table.column(one).to_pylist()] for one in picked}
    return Cells(address, name, tuple(names), columns, range(1, table.num_rows + 1), "row")


def _cell(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        # A column of whole numbers with gaps has become one of floats somewhere on its way.
        return str(int(value))
    text = (value.decode(errors="replace") if isinstance(value, bytes) else str(value)).strip()
    return None if text.lower() in _MISSING else text

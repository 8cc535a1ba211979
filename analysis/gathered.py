"""All rows of a finished sweep's table in one Arrow file beside its parts, which opens many times as fast as they do.

It is derived from the parts and stands for exactly those: its name holds a hash of their names and sizes, so that it is
not used once a part has been added, removed, replaced or truncated. The parts stay what is true.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping

import pyarrow as pa

from analysis.errors import InputError
from analysis.parts import is_part, read_parts
from analysis.schema import SCHEMA_VERSION, VERSION_KEY, arrow_schema
from analysis.source import Folder

GATHERED = "gathered"
"""Subfolder of the gathered files."""
ORDER = (("cell", "ascending"), ("phase", "descending"), ("trial_id", "ascending"))
"""Order of the trials, as ``analysis.load`` gives them."""


def gathered_name(table: str, sizes: Mapping[str, int]) -> str:
    """Name of the file that holds the rows of these parts: ``<table>-<16 hex characters>.arrow``."""
    text = "\n".join(f"{name} {size}" for name, size in sorted(sizes.items()) if is_part(name))
    return f"{table}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.arrow"


def gather(folder: Folder) -> tuple[str, bytes] | None:
    """The trials of all parts as one file, in the order of ``analysis.load``.

    Args:
        folder: The sweep's folder; nobody else writes there.

    Returns:
        Name and content of the file; None where it exists already, one part would do, or a part cannot be read: it is
        not to be passed over in silence.
    """
    sizes = folder.sizes("trials")
    name = gathered_name("trials", sizes)
    if len(sizes) < 2 or name in folder.files(GATHERED):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            rows = read_parts(folder, "trials").sort_by(list(ORDER))
    except UserWarning:
        return None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    return name, bytes(sink.getvalue())


def read_gathered(folder: Folder, table: str) -> pa.Table | None:
    """The gathered rows of a table; None where there is no whole file that stands for the parts as they are now."""
    name = gathered_name(table, folder.sizes(table))
    try:
        file = pa.ipc.open_file(pa.BufferReader(folder.read(f"{GATHERED}/{name}")))
        if int((file.schema.metadata or {}).get(VERSION_KEY, b"0")) > SCHEMA_VERSION:
            return None
        # As for parts: columns that came later than the file are null.
        return pa.concat_tables([arrow_schema(table).empty_table(), file.read_all()], promote_options="permissive")
    except (OSError, ValueError, pa.ArrowException, InputError):
        # The parts hold the same rows, and tell what is wrong with them.
        return None

"""The sweep that is refused or begun, and what is compared before and after."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from store.columns import SCHEMA_VERSION, VERSION_KEY, to_table

SWEEP = """
name: tiny
dataset: {name: coloured_digits, bias: {color_variance: [0.02, 0.4]}}
network: {name: pixel_front}
methods: [erm, {name: lnl, fixed: {lr: 2e-2}}]
search: {trials: 2}
confirm: {seeds: 2}
training: {epochs: 2, batch_size: 64}
"""


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder with its bytes; directories have none."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


Refuse = Callable[..., str]


def part(row: dict[str, Any], version: int = SCHEMA_VERSION) -> bytes:
    table = to_table("trials", [row]).replace_schema_metadata({VERSION_KEY: str(version).encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()

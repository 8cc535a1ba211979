"""Proposal of a sweep file for a table of images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from orchestrator.proposal.columns import Guess, guess_columns
from orchestrator.proposal.published.data import Published
from orchestrator.proposal.sweep_text import options_of, proposal
from trainable.data.table.aligned import likely_aligned
from trainable.data.table.reading.cells import read_cells
from trainable.data.table.reading.columns import ROLES
from trainable.data.table.rows import read_rows

if TYPE_CHECKING:
    from trainable.data.table.image_table import ImageTable


def propose(table: str, given: Mapping[str, str], folder: Path | None = None) -> str:
    """Write a sweep file for a table, with what was guessed as comments at its beginning.

    Args:
        table: Path or address of the table.
        given: Column of each role that is not to be guessed.
        folder: Folder of the sweep file, from which a table below it is named; None = by its absolute path.

    Returns:
        The text.

    Raises:
        InputError: The table or its images cannot be used, or a column cannot be guessed.
    """
    from trainable.data.table.table import table as load_table

    cells = read_cells(table)
    guesses = guess_columns(cells, {role: given[role] for role in ROLES if role in given})
    columns = options_of(cells.file, guesses, {})["columns"]
    rows = read_rows(cells.file, columns)
    chosen = options_of(cells.file, guesses, likely_aligned(rows))
    dataset = cast("ImageTable", load_table(**chosen))
    file = cells.file if folder is None else _beside(cells.file, folder)
    return proposal({**chosen, "file": file}, guesses, rows, dataset)


def propose_published(file: Path, data: Published) -> str:
    """Write a sweep file for the table of a published data set.

    Args:
        file: The table, as it was written for the data set, in the folder of the sweep file.
        data: The data set.

    Returns:
        The text.

    Raises:
        InputError: Its images cannot be used.
    """
    from trainable.data.table.table import table as load_table

    reason = f"as in {data.title}"
    columns = {"path": "path", **data.roles}
    guesses = {role: Guess(columns[role], reason) for role in ROLES if role in columns}
    chosen = {**options_of(str(file), guesses, data.aligned), **data.options}
    rows = read_rows(str(file), chosen["columns"])
    dataset = cast("ImageTable", load_table(**chosen))
    text = proposal({**chosen, "file": file.name}, guesses, rows, dataset, data.values, "rho is its share")
    notes = "\n".join(f"# {note}" for note in data.notes())
    return f"{notes}\n#\n{text}"


def _beside(file: str, folder: Path) -> str:
    """Address of the table from a folder, where it lies in or below that."""
    if "://" in file:
        return file
    relative = os.path.relpath(file, folder)
    return file if relative.startswith("..") else relative

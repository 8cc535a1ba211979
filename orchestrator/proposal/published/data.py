"""A published data set as a table of images, and how its files are found and read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from store.errors import InputError
from trainable.data.table.reading.cells import Cells
from trainable.texts import bounded

PARTS = {"0": "train", "1": "val", "2": "test"}
"""Parts by their number in the files of Waterbirds and CelebA."""


@dataclass(frozen=True)
class Row:
    """Image of a table.

    Attributes:
        path: Absolute path of the image.
        cells: Its other cells, by column.
    """

    path: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Published:
    """A published data set.

    Attributes:
        title: Its name.
        about: Facts for the beginning of the sweep file, a sentence each.
        rows: Images; all have the same columns.
        left_out: Rows that are not among them, by the reason.
        roles: Column of each role but the path.
        aligned: Attribute that is each class's own.
        options: Further options of the data set ``table``.
        values: Bias values; None = what the images allow.
    """

    title: str
    about: tuple[str, ...]
    rows: Sequence[Row]
    left_out: Mapping[str, int]
    roles: Mapping[str, str]
    aligned: Mapping[str, str]
    options: Mapping[str, str | int]
    values: tuple[float, ...] | None = None

    def notes(self) -> list[str]:
        """Sentences for the beginning of the sweep file.

        Example:
            >>> data = Published("Birds", ("Birds on land and water.",), [], {"without place": 3}, {}, {}, {})
            >>> data.notes()
            ['Birds on land and water.', 'Left out: 3 without place.']
        """
        counts = [f"{n:,} {reason}" for reason, n in self.left_out.items() if n]
        return [*self.about, *([f"Left out: {', '.join(counts)}."] if counts else [])]


def find_file(folder: Path, names: Sequence[str], inside: Sequence[str] = ()) -> Path:
    """Find a file of a data set.

    Args:
        folder: Folder of the data set.
        names: Its names, the likeliest first.
        inside: Folders in that one where it may lie too.

    Returns:
        Its path.

    Raises:
        InputError: There is no such folder or file.

    Example:
        >>> find_file(Path("/no/such/folder"), ["metadata.csv"])
        Traceback (most recent call last):
            ...
        store.errors.InputError: there is no folder /no/such/folder: give the folder with metadata.csv
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: give the folder with {names[0]}")
    for name in names:
        for sub in ("", *inside):
            if (folder / sub / name).is_file():
                return folder / sub / name
    raise InputError(f"{folder} must hold {' or '.join(names)}, but does not: give the folder as it was published")


def find_root(file: Path, roots: Sequence[Path], paths: Sequence[str], most: int = 200) -> Path:
    """Find the folder from which paths of images begin.

    Args:
        file: File that names the images, for messages.
        roots: Folders that it may be, the likeliest first.
        paths: Paths of images.
        most: Number of images that are looked for.

    Returns:
        The folder in which most of them are.

    Raises:
        InputError: None is in any.
    """
    some = paths[:: max(1, len(paths) // most)]
    counts = [sum((root / path).is_file() for path in some) for root in roots]
    best = max(range(len(roots)), key=lambda place: (counts[place], -place))
    if not counts[best]:
        example = f", e.g. {bounded(str(roots[0] / paths[0]), 300)}" if paths else ""
        raise InputError(
            f"the images that {file} names must lie below {roots[0]}, but none of {len(some)} is there{example}: put "
            "them there as they were published"
        )
    return roots[best]


def code(cells: Cells, row: int, column: str, known: Mapping[str, str]) -> str | None:
    """Meaning of a cell that holds a number.

    Args:
        cells: The table.
        row: Position of the row.
        column: Name of the column.
        known: Meaning of each number, as text without a decimal point.

    Returns:
        The meaning, or None where the cell is empty.

    Raises:
        InputError: Another number or text.

    Example:
        >>> cells = Cells("", "metadata.csv", ("y",), {"y": ["1.0", None, "7"]}, [2, 3, 4], "line")
        >>> code(cells, 0, "y", {"0": "landbird", "1": "waterbird"}), code(cells, 1, "y", {})
        ('waterbird', None)
        >>> code(cells, 2, "y", {"0": "landbird", "1": "waterbird"})
        Traceback (most recent call last):
            ...
        store.errors.InputError: y of metadata.csv must be 0 or 1, but line 4 has '7': take the file as it was published
    """
    text = cells.columns[column][row]
    if text is None:
        return None
    meaning = known.get(text.removesuffix(".0"))
    if meaning is None:
        numbers = list(known)
        listed = f"{', '.join(numbers[:-1])} or {numbers[-1]}"
        raise InputError(
            f"{column} of {cells.name} must be {listed}, but {cells.unit} {cells.lines[row]} has "
            f"{bounded(repr(text), 60)}: take the file as it was published"
        )
    return meaning


def complete(
    file: Path, root: Path, rows: Sequence[tuple[str, Mapping[str, str | None]]], left_out: Counter[str]
) -> list[Row]:
    """Keep the rows whose cells are all filled in and whose image is there, and count the others.

    Args:
        file: File that names the images, for messages.
        root: Folder from which their paths begin.
        rows: Path of each image, and its cells.
        left_out: Counts by the reason, added to.

    Returns:
        The rows.

    Raises:
        InputError: None is left, or an image stands twice.
    """
    kept: list[Row] = []
    seen: set[str] = set()
    for path, cells in rows:
        lacking = next((column for column, text in cells.items() if text is None), None)
        if lacking is not None:
            left_out[f"without {lacking}"] += 1
        elif not (root / path).is_file():
            left_out[f"whose image is not below {root}"] += 1
        elif path in seen:
            raise InputError(
                f"each image must stand once in {file}, but {bounded(path, 300)} stands twice: leave one row out"
            )
        else:
            seen.add(path)
            kept.append(Row(str(root / path), {column: str(text) for column, text in cells.items()}))
    if not kept:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in left_out.items()) or "it has none"
        raise InputError(f"no image of {file} can be used ({reasons}): take the files as they were published")
    return kept

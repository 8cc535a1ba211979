"""Waterbirds (Sagawa et al., ICLR 2020, arXiv 1911.08731): birds of land and water on backgrounds of either."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from orchestrator.proposal.published.data import PARTS, Published, code, complete, find_file, find_root
from trainable.data.table.reading.cells import read_cells

_BIRDS = {"0": "landbird", "1": "waterbird"}
_PLACES = {"0": "land", "1": "water"}


def waterbirds(folder: Path) -> Published:
    """Read Waterbirds as published.

    Args:
        folder: ``waterbird_complete95_forest2water2``: ``metadata.csv`` (``img_filename``, ``y``, ``split``, ``place``
            and others) and the images below it.

    Returns:
        The data set: class ``bird``, attribute ``place``, the published split.

    Raises:
        InputError: A file is missing, or is not of this form.
    """
    file = find_file(folder, ["metadata.csv"])
    cells = read_cells(str(file), ["img_filename", "y", "split", "place"])
    rows: list[tuple[str, dict[str, str | None]]] = []
    left_out: Counter[str] = Counter()
    for row, path in enumerate(cells.columns["img_filename"]):
        if path is None:
            left_out["without img_filename"] += 1
            continue
        named = {"bird": ("y", _BIRDS), "place": ("place", _PLACES), "split": ("split", PARTS)}
        rows.append((path, {name: code(cells, row, column, known) for name, (column, known) in named.items()}))
    root = find_root(file, [folder], [path for path, _ in rows])
    return Published(
        title="Waterbirds",
        about=(
            "Waterbirds (Sagawa et al., ICLR 2020, arXiv 1911.08731), with the published split.",
            "95 % of its training images show the bird on its own background, which is where the axis ends. Its "
            "validation and test images of a class are on both alike.",
        ),
        rows=complete(file, root, rows, left_out),
        left_out=left_out,
        roles={"label": "bird", "attribute": "place", "split": "split"},
        aligned={"landbird": "land", "waterbird": "water"},
        options={"image_size": 224, "fit": "crop"},
        values=(0.5, 0.75, 0.9, 0.95),
    )

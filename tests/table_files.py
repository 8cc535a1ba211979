"""Writes folders as a researcher has them: 16-bit PNGs with several images a patient, and a CSV beside them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("none", "pneumothorax")
ATTRIBUTES = ("no_drain", "drain")
COLUMNS = {"path": "path", "label": "label", "attribute": "bias", "group": "patient"}
ALIGNED = {"none": "no_drain", "pneumothorax": "drain"}
IMAGES_A_PATIENT = 3
HIGHEST = 4095
"""Largest value of an image: 12 bits, as from a detector."""


def xray(number: int, label: int, attribute: int, side: tuple[int, int] = (72, 64)) -> NDArray[np.uint16]:
    """A 16-bit picture, rows by columns: the class is a dark disc at the upper left, the attribute a bright line."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[: side[0], : side[1]]
    image = 1500 + 6 * rows + rng.normal(0, 120, side)
    if label:
        image[(rows - side[0] * 0.3) ** 2 + (columns - side[1] * 0.3) ** 2 < (side[1] * 0.16) ** 2] -= 700
    if attribute:
        image[np.abs(rows - columns - side[0] * 0.1) < 2] += 1800
    return np.clip(image, 0, HIGHEST).astype(np.uint16)


def row_of(number: int, share: float = 0.8) -> tuple[int, int, int]:
    """Class, attribute and patient of an image, of whom a patient has one class; ``share`` of the rows are aligned."""
    patient = number // IMAGES_A_PATIENT
    label = patient % 2
    aligned = np.random.default_rng((7, number)).random() < share
    return label, label if aligned else 1 - label, patient


def write_pngs(folder: Path, n: int = 600, share: float = 0.8, first: int = 0) -> Path:
    """Write ``folder/images/0000.png`` and on, 16 bits each, and ``folder/labels.csv``; returns the CSV."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(first, first + n):
        label, attribute, patient = row_of(number, share)
        name = f"images/{number:04}.png"
        Image.fromarray(xray(number, label, attribute)).save(folder / name)
        rows.append([name, CLASSES[label], ATTRIBUTES[attribute], f"P{patient:03}", 20 + 7 * patient % 61])
    return write_csv(folder / "labels.csv", ("path", "label", "bias", "patient", "age"), rows)


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = ",") -> Path:
    """Write a table of texts as spreadsheets do, with CRLF."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(rows)
    return file


def options(file: Path, **changes: object) -> Mapping[str, object]:
    """Options of ``load_dataset("table", ...)`` for what ``write_pngs`` has written."""
    return {"file": str(file), "columns": COLUMNS, "aligned": ALIGNED, **changes}

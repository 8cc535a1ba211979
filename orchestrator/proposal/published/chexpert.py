"""CheXpert (Irvin et al., AAAI 2019, arXiv 1901.07031): pleural effusion with sex, as arXiv 2602.18502 takes them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath

from orchestrator.proposal.published.data import Published, complete, find_file, find_root
from store.errors import InputError
from trainable.data.table.reading.cells import Cells, read_cells

_FINDING, _VIEW = "Pleural Effusion", "Frontal/Lateral"
_COLUMNS = ("Path", "Sex", "Age", _VIEW, "AP/PA", _FINDING)
_CLASSES = {"1.0": "effusion", "1": "effusion", "0.0": "no_effusion", "0": "no_effusion"}
_UNCERTAIN = ("-1.0", "-1")
_SEXES = {"male": "male", "female": "female"}
_PATIENT = re.compile(r"patient\d+")
_PREVALENCES = (0.5, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.98)


def chexpert(folder: Path) -> Published:
    """Read CheXpert as published, full or small.

    Args:
        folder: ``CheXpert-v1.0-small`` (or the folder it lies in): ``train.csv``, perhaps ``valid.csv``, and the images
            in ``train/`` and ``valid/``. ``Path`` may begin with any folder above these.

    Returns:
        The data set: class ``effusion`` of the frontal images whose label is 1.0 or 0.0, attribute ``sex``, patient
        from the path.

    Raises:
        InputError: A file is missing, or is not of this form.
    """
    file = find_file(folder, ["train.csv"], sorted(path.name for path in folder.glob("CheXpert*") if path.is_dir()))
    left_out: Counter[str] = Counter()
    rows = _rows(read_cells(str(file), _COLUMNS), "train", left_out)
    about = [
        "CheXpert (Irvin et al., AAAI 2019, arXiv 1901.07031): pleural effusion with sex on frontal images, at shares "
        "of 50 to 98 % as in arXiv 2602.18502. Uncertain and blank labels are left out.",
        "The papers use images of 224 to 320 pixels: image_size changes that.",
    ]
    valid = file.with_name("valid.csv")
    if valid.is_file():
        more = _rows(read_cells(str(valid), _COLUMNS), "test", left_out)
        rows += more
        about.append(
            f"The parts are drawn by patient, from train.csv and the {len(more):,} images of valid.csv together. With "
            "split: split in columns those, labelled by radiologists, are the test part: few, with wide intervals."
        )
    root = find_root(file, [file.parent, file.parent.parent], [path for path, _ in rows])
    return Published(
        title="CheXpert",
        about=tuple(about),
        rows=complete(file, root, rows, left_out),
        left_out=left_out,
        roles={"label": "effusion", "attribute": "sex", "group": "patient"},
        aligned={"no_effusion": "female", "effusion": "male"},
        options={"image_size": 128},
        values=_PREVALENCES,
    )


def _rows(cells: Cells, part: str, left_out: Counter[str]) -> list[tuple[str, dict[str, str | None]]]:
    rows: list[tuple[str, dict[str, str | None]]] = []
    for row in range(len(cells)):
        path, sex, age, view, projection, finding = (cells.columns[name][row] for name in _COLUMNS)
        patient = None if path is None else _PATIENT.search(path)
        if path is None or patient is None:
            raise InputError(
                f"Path of {cells.name} must name a patient, e.g. patient00001, but line {cells.lines[row]} has "
                f"{path or 'nothing'}: take the file as it was published"
            )
        reason = _reason(cells, row, view, sex, finding)
        if reason:
            left_out[reason] += 1
            continue
        filled = {"effusion": _CLASSES[str(finding)], "sex": _SEXES[str(sex).lower()], "patient": patient.group()}
        rows.append((_below(path), {**filled, "split": part, "age": age or "", "view": projection or ""}))
    return rows


def _reason(cells: Cells, row: int, view: str | None, sex: str | None, finding: str | None) -> str:
    """Why a row is left out, or ""."""
    if (view or "").lower() != "frontal":
        return "not frontal"
    if finding is None:
        return f"with a blank {_FINDING}"
    if finding in _UNCERTAIN:
        return f"with an uncertain {_FINDING}"
    if finding not in _CLASSES:
        raise InputError(
            f"{_FINDING} of {cells.name} must be 1.0, 0.0, -1.0 or blank, but line {cells.lines[row]} has '{finding}': "
            "take the file as it was published"
        )
    return "" if (sex or "").lower() in _SEXES else "of unknown sex"


def _below(path: str) -> str:
    """Path from the folder of ``train`` or ``valid`` on, whatever folders it begins with."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    begin = next((place for place, part in enumerate(parts) if part in ("train", "valid")), 0)
    return str(PurePosixPath(*parts[begin:]))

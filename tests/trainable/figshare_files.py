"""Writes files of exactly the form of figshare article 1512427: MATLAB v7.3 is HDF5 with the columns first."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

N = 12
"""Slices of the archive that tests share."""
QUARTERS = ("brainTumorDataPublic_1-766", "_767-1532", "_1533-2298", "_2299-3064")


def patient_of(number: int) -> str:
    """Four slices a patient, classes in turn: ``MR017260A`` and so on."""
    return f"MR0172{60 + (number - 1) // 4}{'ABCDE'[(number - 1) // 4 % 5]}"


def label_of(number: int) -> int:
    return (number - 1) // 4 % 3 + 1


def slice_file(number: int, side: int = 512, **changes: Any) -> bytes:
    """``number.mat``; ``changes`` replaces a field, or removes it where it is None."""
    rng = np.random.default_rng(number)
    small = rng.normal(400, 60, (side // 16, side // 16)).repeat(16, axis=0).repeat(16, axis=1)
    image = np.clip(small + np.arange(side)[:, None] * 0.5, 0, 4000).astype(np.int16)
    rows, columns = np.mgrid[:side, :side]
    # Wider than high, so that rows and columns cannot be taken for one another.
    cx, cy, a, b = side * 0.6, side * 0.35, side * 0.14, side * 0.07
    mask = (((columns + 0.5 - cx) / a) ** 2 + ((rows + 0.5 - cy) / b) ** 2 <= 1).astype(np.uint8)
    image[mask > 0] += 900
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    border = np.stack([cx + 0.5 + a * np.cos(angle), cy + 0.5 + b * np.sin(angle)], axis=1)
    codes = np.array([ord(c) for c in patient_of(number)], dtype=np.uint16)
    fields: dict[str, Any] = {
        "label": np.array([[float(label_of(number))]]),
        "PID": codes[:, None],
        "image": image.T,
        "tumorBorder": border.reshape(-1, 1).T,
        "tumorMask": mask.T,
    } | changes
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        group = opened.create_group("cjdata")
        for name, value in fields.items():
            if value is not None:
                group.create_dataset(name, data=value)
    return file.getvalue()


def in_cells(data: bytes, field: str, values: int = 1) -> bytes:
    """A file in which a variable is a MATLAB cell that holds it so many times: references to what lies elsewhere."""
    file = io.BytesIO(data)
    with h5py.File(file, "r+") as opened:
        group = opened.get("cjdata", opened)
        content = f"#refs#/{len(opened.get('#refs#', ()))}"
        opened.move(f"{group.name}/{field}", content)
        cell = group.create_dataset(field, (values, 1), dtype=h5py.ref_dtype)
        cell.attrs["MATLAB_class"] = np.bytes_(b"cell")
        for i in range(values):
            cell[i, 0] = opened[content].ref
    return file.getvalue()


def folds_file(n: int, values: Any = None) -> bytes:
    """``cvind.mat``: a fold for every slice, none divides a patient."""
    folds = np.array([(i // 12) % 5 + 1 for i in range(n)], dtype=np.float64) if values is None else values
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened.create_dataset("cvind", data=np.asarray(folds, dtype=np.float64)[None, :])
    return file.getvalue()


def all_files(n: int, small: tuple[int, ...] = (2,)) -> dict[str, bytes]:
    """The .mat files of ``n`` slices; those of ``small`` are of 256 x 256 pixels."""
    return {f"{i}.mat": slice_file(i, 256 if i in small else 512) for i in range(1, n + 1)}


def write_folder(folder: Path, files: dict[str, bytes], folds: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in {**files, "cvind.mat": folds}.items():
        (folder / name).write_bytes(data)
    (folder / "README.txt").write_text("This brain tumor dataset contains T1-weighted contrast-enhanced images.")
    return folder


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return file.getvalue()


def write_zips(folder: Path, files: dict[str, bytes], folds: bytes) -> dict[str, bytes]:
    """The four inner zips, ``cvind.mat`` and ``README.txt``, in a folder; also returned by name."""
    names = list(files)
    quarter = -(-len(names) // 4)
    outer = {
        f"{title}.zip": zipped({name: files[name] for name in names[i * quarter : (i + 1) * quarter]})
        for i, title in enumerate(QUARTERS)
    }
    outer |= {"cvind.mat": folds, "README.txt": b"This brain tumor dataset ..."}
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in outer.items():
        (folder / name).write_bytes(data)
    return outer

"""From the files of figshare article 1512427 to memory-mapped arrays in the cache: once, restartable, all or nothing.

Files are read in blocks; a finished block appears whole in a work folder, so a preparation that was killed goes on
with the next one. Patients' identifiers are replaced by keyed hashes before anything is written. The key is random,
made once and kept beside the arrays (``key_file.py``): no one without it can try identifiers out. Nothing
but the hashes depends on it: patients are numbered in the order of their first files.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.arrays.cache import cache_folder, locked
from trainable.data.arrays.folder import Arrays, load_arrays, remove_drafts, save_arrays, source_key
from trainable.data.brain import resize
from trainable.data.brain.figshare import mat_file
from trainable.data.brain.figshare.archive import Archive
from trainable.data.brain.figshare.key_file import key_beside, make_key
from trainable.data.brain.figshare.mat_file import FileProblem, Slice, read_slice, to_grey
from trainable.data.brain.resize import area_resize
from trainable.errors import InputError

FOLDER = "brain_mri"
SIDE = 256
"""Side of the stored images, pixels."""
BLOCK = 64
_WORK = f"{FOLDER}-preparing-"
CITATION = (
    "Cheng, Jun (2017): brain tumor dataset, figshare, https://doi.org/10.6084/m9.figshare.1512427.v5; "
    "Cheng et al. 2015, PLoS ONE 10(10): e0140381; Cheng et al. 2016, PLoS ONE 11(6): e0157112"
)
LICENCE = "CC BY 4.0 (the article's page on figshare decides): use it with attribution"
_NAMED = 5

Progress = Callable[[int, int], None]
"""Function that is called with (files done, files in all)."""


@dataclass(frozen=True)
class Prepared:
    """Result of a preparation.

    Attributes:
        folder: Where the arrays lie.
        checksum: Hex digest over them.
        slices: Number of slices of each class, in label order.
        patients: Number of patients.
        small: Slices of 256 x 256 pixels.
    """

    folder: Path
    checksum: str
    slices: tuple[int, ...]
    patients: int
    small: int


def prepare(source: Path, progress: Progress = lambda done, total: None) -> Prepared:
    """Read the whole archive into the cache, where ``brain_mri`` finds it.

    Args:
        source: The zip ``1512427.zip``, the folder of its inner zips, or a folder of .mat files; with ``cvind.mat``.
        progress: Called after every file.

    Returns:
        What was made. Of several preparations at once, all but one wait.

    Raises:
        InputError: A file is corrupt, missing, extra or breaks a rule (all are named, with their number), a patient
            lies in two folds, what lies in the cache has no key, or the cache cannot be written.
    """
    archive = Archive(source)
    folds = archive.folds()
    # Held to the end, so that whatever other work lies there is nobody's.
    with locked(cache_folder() / FOLDER) as alone:
        made = _prepare(archive, folds, progress)
        if alone:
            _remove_leftovers()
    return made


def _remove_leftovers() -> None:
    """Remove what failed and killed preparations left, also of other sources.

    The caller holds the lock.
    """
    remove_drafts(cache_folder() / FOLDER)
    for work in cache_folder().glob(f"{_WORK}*"):
        shutil.rmtree(work, ignore_errors=True)


def _prepare(archive: Archive, folds: NDArray[np.int64], progress: Progress) -> Prepared:
    problems: dict[str, list[str]] = {}
    _check_names(archive, len(folds), problems)
    key = _key()
    work = cache_folder() / f"{_WORK}{archive.state()[:16]}-{_code()}-{_hash(b'blocks', key)[:8]}"
    blocks: list[Arrays] = []
    numbers = [number for number in range(1, len(folds) + 1) if number in archive.slices]
    for start in range(0, len(numbers), BLOCK):
        some = numbers[start : start + BLOCK]
        saved = load_arrays(work / f"block-{start:05d}")
        if saved is None and (block := _read_block(archive, some, key, problems)) is not None and not problems:
            saved = _save(work / f"block-{start:05d}", block)
        if saved is not None:
            blocks.append(saved[0])
        progress(start + len(some), len(numbers))
    if problems:
        raise InputError(_sentence(problems, len(folds)))
    arrays = _join(blocks, folds)
    _, checksum = _save(cache_folder() / FOLDER, arrays, replace=True)
    small = sum(int((block["native"] == SIDE).sum()) for block in blocks)
    shutil.rmtree(work, ignore_errors=True)
    return Prepared(
        folder=cache_folder() / FOLDER,
        checksum=checksum,
        slices=tuple(int(count) for count in np.bincount(arrays["labels"], minlength=mat_file.N_LABELS)),
        patients=len(np.unique(arrays["groups"])),
        small=small,
    )


def _code() -> str:
    return source_key((SIDE, BLOCK), mat_file.__name__, resize.__name__, __name__)[:8]


def _save(folder: Path, arrays: Arrays, replace: bool = False) -> tuple[Arrays, str]:
    try:
        checksum = save_arrays(folder, arrays, replace)
    except OSError as error:
        raise InputError(f"cannot write to the cache {folder}: {error.strerror}; set LNL_SWEEP_CACHE") from error
    return load_arrays(folder) or (arrays, checksum)


def _check_names(archive: Archive, n: int, problems: dict[str, list[str]]) -> None:
    for name in archive.broken:
        problems.setdefault("corrupt (a zip that cannot be read)", []).append(name)
    for number in range(1, n + 1):
        if number not in archive.slices:
            problems.setdefault("missing", []).append(f"{number}.mat")
    for number, members in sorted(archive.slices.items()):
        if number > n:
            problems.setdefault(f"extra (cvind.mat knows {n} slices)", []).append(f"{number}.mat")
        elif len(members) > 1:
            problems.setdefault("extra (the same number twice, with different content)", []).append(f"{number}.mat")
    for member in archive.others:
        problems.setdefault("extra (no number)", []).append(member.file_name)


def _key() -> bytes:
    """Key of the hashes.

    It is refused where the arrays that are there would get other hashes without a word.
    """
    folder = cache_folder() / FOLDER
    key = key_beside(folder)
    if key is None and load_arrays(folder) is not None:
        raise InputError(
            f"{folder} was prepared without a key of its own (by an earlier version, or elsewhere), and prepared again "
            "its patients and images would have other names, with which no sweep on it could go on: move it away to "
            "prepare anew, or keep using it as it is"
        )
    return key if key is not None else make_key(folder)


def _read_block(archive: Archive, numbers: list[int], key: bytes, problems: dict[str, list[str]]) -> Arrays | None:
    rows: list[Mapping[str, Any]] = []
    for number in numbers:
        data = archive.read(archive.slices[number][0])
        try:
            if data is None:
                raise FileProblem("corrupt (cannot be unpacked)")
            rows.append(_row(read_slice(data), key))
        except FileProblem as problem:
            problems.setdefault(problem.kind, []).append(f"{number}.mat")
    if len(rows) < len(numbers):
        return None
    block: Arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0] if name != "outline"}
    block["outlines"] = np.concatenate([row["outline"] for row in rows])
    return block


def _row(one: Slice, key: bytes) -> Mapping[str, Any]:
    grey, mask = to_grey(one.image), one.mask.astype(np.uint8) * 255
    small = area_resize(mask[None], SIDE)[0] >= 128
    return {
        "grey": area_resize(grey[None], SIDE)[0],
        "masks": np.packbits(small, axis=1),
        "outline": one.outline,
        "points": np.int64(len(one.outline)),
        "labels": np.int64(one.label),
        "native": np.int64(one.image.shape[0]),
        "image_keys": np.str_(_hash(one.image.tobytes(), key)),
        "patient_keys": np.str_(_hash(one.patient.encode(), key)),
    }


def _hash(content: bytes, key: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8, key=key).hexdigest()


def _join(blocks: list[Arrays], folds: NDArray[np.int64]) -> Arrays:
    names = ("grey", "masks", "outlines", "labels", "image_keys", "patient_keys", "points")
    arrays: Arrays = {name: np.concatenate([block[name] for block in blocks]) for name in names}
    arrays["starts"] = np.concatenate([[0], np.cumsum(arrays.pop("points"))]).astype(np.int64)
    arrays["groups"] = _numbered(arrays["patient_keys"])
    arrays["folds"] = folds
    # A patient in two folds would be both trained and tested on.
    torn = [g for g in np.unique(arrays["groups"]) if len(np.unique(folds[arrays["groups"] == g])) > 1]
    if torn:
        first = int(np.flatnonzero(arrays["groups"] == torn[0])[0]) + 1
        raise InputError(
            f"the folds of cvind.mat must not divide a patient, but {len(torn)} patients lie in two or more (one of "
            f"them that of {first}.mat): download cvind.mat again"
        )
    return arrays


def _numbered(names: NDArray[np.str_]) -> NDArray[np.int64]:
    """Number names in the order in which they come: splits draw from the numbers, and must not depend on the key."""
    _, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def _sentence(problems: Mapping[str, list[str]], n: int) -> str:
    parts = []
    for kind, names in problems.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        parts.append(f"{len(names)} {kind}: {', '.join(names[:_NAMED])}{more}")
    total = sum(len(names) for names in problems.values())
    return (
        f"every one of the {n} slices must be usable, but {total} files are not ({'; '.join(parts)}): nothing was "
        "prepared; replace these files and start again"
    )

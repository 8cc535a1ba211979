"""Check of a data set's keys and parts: nobody in two of them, nothing that identifies a patient."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainable.data.base import Dataset, load_dataset
from trainable.data.parts import Split
from trainable.errors import InputError
from trainable.plugins import load_plugins, loaded_plugins
from trainable.testing.findings import Finding, count, some_of
from trainable.texts import reason_of

SEEDS = (0, 1, 2)
PARTS = ("train", "val", "test")
LEAST_HEX = 8
"""Digits of a keyed hash.

A shorter text may be an identifier.
"""
WAIT_SECONDS = 120.0


def keys(dataset: Dataset) -> Iterator[Finding]:
    """Check that keys are unique, always the same, and hashes.

    Args:
        dataset: The data set.
    """
    what, labels = f"data set {dataset.name}", dataset.labels()
    if labels.dtype != np.int64 or len(labels) == 0 or labels.min() < 0 or labels.max() >= len(dataset.classes):
        yield Finding(
            "FAIL",
            what,
            f"labels() must be int64 in [0, {len(dataset.classes) - 1}], but are {labels.dtype}"
            + (f" in [{labels.min()}, {labels.max()}]" if len(labels) else ", of no image"),
        )
        return
    empty = [name for k, name in enumerate(dataset.classes) if not (labels == k).any()]
    if empty:
        yield Finding("FAIL", what, f"there is no image of class {some_of(empty)}: leave it out of classes")
    names = dataset.image_keys()
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        yield Finding(
            "FAIL", what, f"image_keys() must be unique, but {twice!r} stands twice: predictions would be mixed"
        )
    if dataset.image_keys() != names:
        yield Finding("FAIL", what, "image_keys() must be the same each time: hash what does not change")
    patients, groups = dataset.patient_keys(), dataset.groups()
    if patients is not None:
        raw = _no_hashes(set(patients))
        if raw:
            yield Finding(
                "FAIL",
                what,
                "patient_keys() must be keyed hashes, since they stand in files that are shared, but "
                f"{some_of(raw, 2)} may identify a patient: use hashlib.blake2b(PATIENT, key=SECRET)",
            )
        if len(set(zip(patients, groups.tolist(), strict=True))) != len(set(patients)) or len(set(patients)) != len(
            np.unique(groups)
        ):
            yield Finding("FAIL", what, "patient_keys() and groups() must tell the same patients apart, but do not")
    people = "" if patients is None else f" of {count(len(set(patients)), 'patient')}"
    yield Finding("ok", what, f"{count(len(names), 'key')} of images{people}")


def _no_hashes(keys: set[str]) -> list[str]:
    """Keys that are no hash, and decimal numbers among them where these are more than chance gives."""
    others = {key for key in keys if len(key) < LEAST_HEX or re.fullmatch(r"[0-9a-f]+", key) is None}
    decimal = {key for key in keys - others if key.isdecimal()}
    # One hash of 16 digits in 1,800 has no letter.
    return sorted(others | decimal if len(decimal) > 0.1 * len(keys) else others)


def splits(dataset: Dataset) -> Iterator[Finding]:
    """Check the parts of some seeds and folds.

    Args:
        dataset: The data set.
    """
    what = f"data set {dataset.name}"
    for fold in [None, *_folds(dataset)]:
        divided = {seed: dataset.split(seed, fold) for seed in SEEDS}
        words = "" if fold is None else f" in fold {fold}"
        # What is wrong with one seed is most often wrong with all.
        found = (list(_problems(dataset, split, words)) for split in divided.values())
        problems = next((some for some in found if some), [])
        yield from problems
        first = divided[SEEDS[0]]
        if any(not np.array_equal(first.test, split.test) for split in divided.values()):
            yield Finding(
                "FAIL",
                what,
                f"the test part must be the same for every seed{words}, but differs between seeds {SEEDS[0]} and "
                f"{SEEDS[1]}: draw it once, for the data set",
            )
        again = dataset.split(SEEDS[0], fold)
        if any(not np.array_equal(first.part(part), again.part(part)) for part in PARTS):  # type: ignore[arg-type]
            yield Finding(
                "FAIL", what, f"split(0) must be the same each time{words}, but differs: draw it from the seed"
            )
        if not problems:
            sizes = ", ".join(f"{len(first.part(part)):,} {part}" for part in PARTS)  # type: ignore[arg-type]
            yield Finding("ok", what, f"{sizes} images{words}, no patient in two parts, every class in each")


def _folds(dataset: Dataset) -> list[int]:
    """The first fold and the last, where the options of the data set allow any."""
    if not dataset.n_folds:
        return []
    try:
        dataset.split(SEEDS[0], 0)
    except InputError:
        return []
    return sorted({0, dataset.n_folds - 1})


def _problems(dataset: Dataset, split: Split, words: str) -> Iterator[Finding]:
    what, labels, groups = f"data set {dataset.name}", dataset.labels(), dataset.groups()
    patients = dataset.patient_keys()
    for one in PARTS:
        index = split.part(one)  # type: ignore[arg-type]
        if index.dtype != np.int64 or len(index) == 0 or index.min() < 0 or index.max() >= len(labels):
            yield Finding("FAIL", what, f"the {one} part must hold int64 positions of images{words}, but does not")
            return
        if len(np.unique(index)) < len(index):
            yield Finding("FAIL", what, f"no image may stand twice in the {one} part{words}, but one does")
        missing = [name for k, name in enumerate(dataset.classes) if not (labels[index] == k).any()]
        if missing:
            yield Finding("FAIL", what, f"every part needs every class, but {one} has no {some_of(missing)}{words}")
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        a, b = split.part(one), split.part(other)  # type: ignore[arg-type]
        shared = np.intersect1d(groups[a], groups[b])
        if len(shared):
            kind = "patient" if patients is not None else "group"
            known = patients[int(np.flatnonzero(groups == shared[0])[0])] if patients is not None else str(shared[0])
            yield Finding(
                "FAIL",
                what,
                f"{count(len(shared), kind)} ({known}) in both {one} and {other}{words}: split by groups() "
                "(trainable.data.patients.split_patients), else a network is tested on whom it was trained on",
            )


def elsewhere(dataset: Dataset, name: str, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that another process loads the same images, labels and keys.

    Args:
        dataset: The data set as it is here.
        name: Its registered name.
        options: Its options.
    """
    what = f"data set {dataset.name}"
    answer = _answer_of(name, options)
    if "error" in answer:
        yield Finding("FAIL", what, f"another process cannot load it ({answer['error']}): a worker could not either")
        return
    own = fingerprint(dataset)
    different = [part for part, digest in own.items() if answer[part] != digest]
    if different:
        yield Finding(
            "FAIL",
            what,
            f"{some_of(different)} differ in another process: derive them from the data alone, never from hash(), the "
            "time or the order of a set",
        )
    else:
        yield Finding("ok", what, "another process loads the same checksum, labels, keys, split and images")


def fingerprint(dataset: Dataset) -> dict[str, str]:
    """Digests of what must be the same in every process, by its name.

    Args:
        dataset: The data set.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> sorted(fingerprint(load_dataset("coloured_digits")))
        ['checksum', 'groups()', 'image_keys()', 'images', 'labels()', 'patient_keys()', 'split(0)']
    """
    from trainable.testing.datasets import ends

    split = dataset.split(0)
    point = {axis.name: axis.default for axis in dataset.axes if axis.default is not None} | ends(dataset)[-1]
    images = dataset.train_images(point, 0, split.train[:4], "biased")
    values: dict[str, Any] = {
        "checksum": dataset.checksum,
        "labels()": dataset.labels().tobytes(),
        "groups()": dataset.groups().tobytes(),
        "image_keys()": dataset.image_keys(),
        "patient_keys()": dataset.patient_keys(),
        "split(0)": b"".join(split.part(part).tobytes() for part in PARTS),  # type: ignore[arg-type]
        "images": images.pixels().numpy().tobytes(),
    }
    return {
        name: hashlib.sha256(value if isinstance(value, bytes) else repr(value).encode()).hexdigest()
        for name, value in values.items()
    }


_ROOT = str(Path(__file__).parents[2])
_CODE = """
import pickle, sys
sys.path.insert(0, sys.argv[1])
from trainable.testing.parts import load_there
load_there(sys.argv[2])
"""


def _answer_of(name: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Answer of a new process, which shares nothing with this one, not even its seed of ``hash``."""
    with tempfile.TemporaryDirectory(prefix="lnl-sweep-check-") as folder:
        file = Path(folder, "data")
        file.write_bytes(pickle.dumps((loaded_plugins(), name, dict(options))))
        command = [sys.executable, "-P", "-c", _CODE, _ROOT, str(file)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONHASHSEED"}
        try:
            done = subprocess.run(command, capture_output=True, timeout=WAIT_SECONDS, env=environment, check=False)
        except subprocess.TimeoutExpired:
            return {"error": f"it took over {WAIT_SECONDS:.0f} s"}
        answer = Path(folder, "answer")
        if not answer.is_file():
            return {"error": f"it ended with exit code {done.returncode}"}
        kept: dict[str, str] = pickle.loads(answer.read_bytes())
        return kept


def load_there(file: str) -> None:
    """Load a data set that another process names, and leave its fingerprint beside the file.

    Args:
        file: Plug-ins, name and options, pickled.
    """
    plugins, name, options = pickle.loads(Path(file).read_bytes())
    answer: dict[str, str]
    try:
        load_plugins(plugins)
        answer = fingerprint(load_dataset(name, **options))
    except BaseException as error:
        answer = {"error": reason_of(error)}
    Path(file).with_name("answer").write_bytes(pickle.dumps(answer))

"""Checksums of the source of methods and data sets, and of what they are put together from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainable import provenance
from trainable.data import base
from trainable.methods.base import get_method
from trainable.provenance import dataset_checksum, method_checksum

DATASET = "import painter_of_own\n\n\ndef make(**options):\n    return painter_of_own.paint\n"
PAINTER = "INK = 'red'\n\n\ndef paint():\n    return INK\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a data set of the user's own: a file and the painter beside it."""
    (tmp_path / "dataset_of_own.py").write_text(DATASET)
    (tmp_path / "painter_of_own.py").write_text(PAINTER)
    (tmp_path / "unrelated_of_own.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import dataset_of_own  # type: ignore[import-not-found]

    monkeypatch.setitem(base._DATASETS, "own", dataset_of_own.make)
    yield tmp_path
    for name in [name for name in sys.modules if name.endswith("_of_own")]:
        del sys.modules[name]


def test_a_changed_painter_is_another_data_set(own: Path) -> None:
    before = dataset_checksum("own")
    (own / "unrelated_of_own.py").write_text("x = 2\n")
    assert dataset_checksum("own") == before
    (own / "painter_of_own.py").write_text(PAINTER.replace("red", "blue"))
    assert dataset_checksum("own") != before


def edit(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    read = provenance._module_source

    def edited(name: str) -> bytes | None:
        source = read(name)
        return source + b"\n# edited\n" if name == module and source is not None else source

    monkeypatch.setattr(provenance, "_module_source", edited)


@pytest.mark.parametrize(
    ("name", "module", "counts"),
    [
        ("brain_phantom", "trainable.data.brain_phantom", True),
        ("brain_phantom", "trainable.data.paint", True),
        ("brain_phantom", "trainable.data.coloured_digits", False),
        ("coloured_digits", "trainable.data.palette", True),
        # What all data sets share is versioned by NUMERICS.
        ("coloured_digits", "trainable.data.base", False),
    ],
)
def test_what_counts_as_source_of_a_data_set(
    name: str, module: str, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dataset_checksum(name)
    edit(monkeypatch, module)
    assert (dataset_checksum(name) != before) is counts


@pytest.mark.parametrize(
    ("name", "module", "counts"),
    [
        ("lnl", "trainable.methods.lnl", True),
        ("lnl", "trainable.methods.adversary", True),
        # They borrow its step.
        ("permuted_bias", "trainable.methods.lnl", True),
        ("grl", "trainable.methods.lnl", True),
        ("erm", "trainable.methods.lnl", False),
        ("erm", "trainable.methods.base", False),
    ],
)
def test_what_counts_as_source_of_a_method(
    name: str, module: str, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = method_checksum(get_method(name))
    edit(monkeypatch, module)
    assert (method_checksum(get_method(name)) != before) is counts

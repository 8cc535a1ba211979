"""Checksums of source: which files count for a data set, a method and a network."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainable.data import base
from trainable.methods.base import get_method
from trainable.trial import provenance
from trainable.trial.provenance import dataset_checksum, method_checksum, network_checksum

DATASET = "import painter_of_own\n\n\ndef make(**options):\n    return painter_of_own.paint\n"
PAINTER = "INK = 'red'\n\n\ndef paint():\n    return INK\n"


def of_method(name: str) -> str:
    return method_checksum(get_method(name))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a data set of the user's own: a file and the painter beside it."""
    (tmp_path / "dataset_of_own.py").write_text(DATASET)
    (tmp_path / "painter_of_own.py").write_text(PAINTER)
    (tmp_path / "unrelated_of_own.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import dataset_of_own  # type: ignore[import-not-found]

    monkeypatch.setitem(base.DATASETS.entries, "own", dataset_of_own.make)
    yield tmp_path
    for name in [name for name in sys.modules if name.endswith("_of_own")]:
        del sys.modules[name]


def test_a_changed_painter_is_another_data_set(own: Path) -> None:
    before = dataset_checksum("own")
    (own / "unrelated_of_own.py").write_text("x = 2\n")
    assert dataset_checksum("own") == before
    (own / "painter_of_own.py").write_text(PAINTER.replace("red", "blue"))
    assert dataset_checksum("own") != before


@pytest.mark.parametrize(
    ("checksum", "name", "module", "counts"),
    [
        (dataset_checksum, "brain_phantom", "trainable.data.brain.phantom", True),
        (dataset_checksum, "brain_phantom", "trainable.data.brain.paint", True),
        (dataset_checksum, "brain_phantom", "trainable.data.digits.coloured_digits", False),
        (dataset_checksum, "coloured_digits", "trainable.data.digits.palette", True),
        (of_method, "lnl", "trainable.methods.lnl", True),
        (of_method, "lnl", "trainable.methods.adversary", True),
        # They borrow its step.
        (of_method, "permuted_bias", "trainable.methods.lnl", True),
        (of_method, "grl", "trainable.methods.lnl", True),
        (of_method, "erm", "trainable.methods.lnl", False),
        (network_checksum, "pixel_front", "trainable.networks.digits", True),
        (network_checksum, "pixel_front", "trainable.networks.heads", True),
        (network_checksum, "pixel_front", "trainable.networks.small_cnn", False),
        (network_checksum, "resnet18", "trainable.networks.torchvision", True),
        (network_checksum, "resnet18", "trainable.networks.graph_cut", True),
        (network_checksum, "resnet18", "trainable.networks.digits", False),
        # What all data sets, methods or networks share is versioned by NUMERICS.
        (dataset_checksum, "coloured_digits", "trainable.data.base", False),
        (of_method, "erm", "trainable.methods.base", False),
        (network_checksum, "resnet18", "trainable.networks.base", False),
        (network_checksum, "pixel_front", "trainable.data.base", False),
    ],
)
def test_what_counts_as_source(
    checksum: Callable[[str], str], name: str, module: str, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, read = checksum(name), provenance._module_source

    def edited(wanted: str) -> bytes | None:
        source = read(wanted)
        return source + b"\n# edited\n" if wanted == module and source is not None else source

    monkeypatch.setattr(provenance, "_module_source", edited)
    assert (checksum(name) != before) is counts

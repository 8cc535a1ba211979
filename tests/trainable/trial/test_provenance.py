"""Checksums that tell whether rows come from the same network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.table_files import options, write_pngs
from trainable.data.base import load_dataset
from trainable.networks import base as networks
from trainable.networks.base import list_networks
from trainable.trial.provenance import bytes_checksum, files_checksum, network_checksum, weights_checksum

NETWORK = """
from torch import nn

from trainable.networks.base import Blueprint


def lay_out(dataset):
    from {package} import blocks

    return Blueprint(lambda: (blocks.features(), nn.Flatten()), nn.Identity)
"""
BLOCKS = "from torch import nn\n\n\ndef features():\n    return nn.ReLU()\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package with a network of the user's own, registered as ``own``."""
    package = tmp_path / "package_of_own"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "net.py").write_text(NETWORK.format(package=package.name))
    (package / "blocks.py").write_text(BLOCKS)
    (package / "unrelated.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from package_of_own import net  # type: ignore[import-not-found]

    monkeypatch.setitem(networks.NETWORKS.entries, "own", networks._Registered(net.lay_out, "", ""))
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == package.name]:
        del sys.modules[name]


def test_a_changed_network_has_another_checksum(own: Path) -> None:
    before = network_checksum("own")
    (own / "unrelated.py").write_text("x = 2\n")
    assert network_checksum("own") == before
    # Imported only when the network is built, from another file.
    (own / "blocks.py").write_text(BLOCKS.replace("ReLU", "GELU"))
    changed = network_checksum("own")
    assert changed != before
    (own / "net.py").write_text(NETWORK.format(package="package_of_own").replace("Flatten", "Identity"))
    assert network_checksum("own") not in (before, changed)


def test_each_network_has_its_own_checksum() -> None:
    names = [*list_networks(), "resnet18", "densenet121"]
    assert len({network_checksum(name) for name in names}) == len(names)


def test_a_network_without_source_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def typed(dataset: object) -> None: ...

    typed.__module__ = "__main__"
    for name in ("one", "other"):
        monkeypatch.setitem(networks.NETWORKS.entries, name, networks._Registered(typed, "", ""))  # type: ignore[arg-type]
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert network_checksum("one") != network_checksum("other")


def test_a_changed_weights_file_has_another_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    path = tmp_path / "weights.pt"
    path.write_bytes(b"one")
    options = {"split_at": "layer2", "weights": str(path)}
    before = weights_checksum("resnet18", options)
    assert before is not None
    path.write_bytes(b"two")
    assert weights_checksum("resnet18", options) != before
    (tmp_path / "moved.pt").write_bytes(b"one")
    assert weights_checksum("resnet18", {"weights": str(tmp_path / "moved.pt")}) == before
    # An option of any network may name a file.
    assert weights_checksum("own", {"start": str(tmp_path / "moved.pt")}) == before
    assert weights_checksum("resnet18", {"split_at": "layer2", "weights": None}) is None
    # Torchvision's own weights are a file as well.
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert weights_checksum("resnet18", {"weights": "imagenet"}) is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resnet18-f37072fd.pth").write_bytes(b"one")
    assert weights_checksum("resnet18", {"weights": "imagenet"}) == before


def test_the_bytes_of_a_table_do_not_count_and_its_patients_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths that are corrected, and a column that nobody reads, change no number."""
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    table = write_pngs(tmp_path / "data", 48)
    given = options(table, image_size=32)
    first, data = files_checksum("table", given), load_dataset("table", **given).checksum
    assert first is not None and bytes_checksum("table", given) is None
    (table.parent / "images").rename(table.parent / "moved")
    text = table.read_text().replace("images/", "moved/").replace("age", "alter")
    changed = {**given, "file": str(table.with_name("changed.csv"))}
    Path(changed["file"]).write_text(text)
    assert files_checksum("table", changed) == first and load_dataset("table", **changed).checksum == data
    renamed = {**given, "file": str(table.with_name("renamed.csv"))}
    Path(renamed["file"]).write_text(text.replace("P001", "P999"))
    assert load_dataset("table", **renamed).checksum == data and files_checksum("table", renamed) != first

"""A prepared data set comes to a node once, whole or not at all, and is what the shared place says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store.errors import InputError, Unreachable
from store.folder import Folder, LocalFolder
from store.open import folder_at
from trainable.data.arrays import shared as prepared
from trainable.data.arrays.folder import cached_arrays, checksum, load_arrays, save_arrays
from trainable.data.arrays.shared import prepared_arrays, share
from trainable.data.brain.mri import BrainMRI
from trainable.environment import store_environment

NAME = "brain_mri"
PROCESSES = 4
ARRAYS = {"labels": np.arange(50), "grey": np.ones((3, 4, 4), dtype=np.uint8), "keys": np.array(["ab", "c"])}
COPY = """
import os, sys, time
from pathlib import Path
from trainable.data.arrays.shared import prepared_arrays
from store.folder import LocalFolder

place, real = Path(sys.argv[1]), LocalFolder.pieces

def pieces(self, name):
    with open(place / f"read-{name}", "ab", buffering=0) as file:
        file.write(b"x")
    if name != "manifest.json":
        time.sleep(0.2)
    return real(self, name)

LocalFolder.pieces = pieces
(place / f"ready-{os.getpid()}").touch()
while not (place / "go").exists():
    time.sleep(0.001)
print(prepared_arrays("brain_mri")[1])
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache of a node that has nothing yet; the shared place is ``shared``."""
    save_arrays(tmp_path / "shared" / NAME, ARRAYS)
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LNL_SWEEP_DATA", str(tmp_path / "shared"))
    yield tmp_path / "cache"


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_it_is_copied_once_and_mapped(node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepared_arrays(NAME)
    assert found is not None and found[1] == checksum(ARRAYS) == checksum(found[0])
    assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in found[0].values())
    assert visible(node) == [NAME] and visible(node / NAME) == visible(tmp_path / "shared" / NAME)

    monkeypatch.setattr(prepared, "_copy", lambda *_: pytest.fail("copied again"))
    assert prepared_arrays(NAME) is not None
    monkeypatch.delenv("LNL_SWEEP_DATA")
    assert prepared_arrays(NAME) is not None and prepared_arrays("other") is None
    monkeypatch.setenv("LNL_SWEEP_DATA", "")
    assert prepared_arrays("other") is None


def test_of_several_processes_that_start_at_once_one_copies(node: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", COPY, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("ready-*"))) < PROCESSES:
        assert time.monotonic() < end
        time.sleep(0.005)
    (tmp_path / "go").touch()
    told = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert told == [checksum(ARRAYS)] * PROCESSES
    assert {name: (tmp_path / f"read-{name}.npy").read_bytes() for name in ARRAYS} == dict.fromkeys(ARRAYS, b"x")


def test_a_copy_is_never_in_memory_as_a_whole(node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    save_arrays(tmp_path / "shared" / "big", {"x": np.zeros(2**26, dtype=np.uint8)})
    monkeypatch.setattr("store.folder.PIECE", 2**20)
    tracemalloc.start()
    try:
        assert prepared_arrays("big") is not None
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_data_that_changed_there_replace_the_copy(node: Path, tmp_path: Path) -> None:
    first = prepared_arrays(NAME)
    assert first is not None
    other = {**ARRAYS, "labels": np.arange(50)[::-1]}
    save_arrays(tmp_path / "shared" / NAME, other, replace=True)
    second = prepared_arrays(NAME)
    assert second is not None and second[1] == checksum(other) == checksum(second[0])
    assert first[0]["labels"][0] == 0, "who has mapped the old copy keeps it"
    assert visible(node) == [NAME]


def test_a_copy_does_without_a_store_that_is_away(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: Folder, name: str) -> Iterator[bytes]:
        raise Unreachable("it is away")

    real = LocalFolder.pieces
    monkeypatch.setattr(LocalFolder, "pieces", away)
    with pytest.raises(Unreachable, match=r"LNL_SWEEP_DATA is '.*shared': it is away"):
        prepared_arrays(NAME)
    assert not node.exists()
    monkeypatch.setattr(LocalFolder, "pieces", real)
    assert prepared_arrays(NAME) is not None
    monkeypatch.setattr(LocalFolder, "pieces", away)
    assert prepared_arrays(NAME) is not None


def damage(folder: Path, how: str) -> None:
    grey, manifest = folder / "grey.npy", folder / "manifest.json"
    if how == "one bit":
        data = bytearray(grey.read_bytes())
        data[-1] ^= 1
        grey.write_bytes(data)
    elif how == "torn":
        grey.write_bytes(grey.read_bytes()[:-9])
    elif how == "gone":
        grey.unlink()
    elif how == "other checksum":
        text = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**text, "checksum": "0123"}))
    elif how == "name that leads away":
        text = json.loads(manifest.read_text())
        text["arrays"]["../../x"] = text["arrays"].pop("grey")
        manifest.write_text(json.dumps(text))
    else:
        manifest.write_text(how)


@pytest.mark.parametrize(
    "how", ["one bit", "torn", "gone", "other checksum", "name that leads away", "{", "[]", '{"arrays": 1}', "\0"]
)
@pytest.mark.parametrize("before", ["nothing", "an older copy"])
def test_what_is_damaged_there_is_refused_and_changes_nothing(
    how: str, before: str, node: Path, tmp_path: Path
) -> None:
    old: Any = None
    if before == "an older copy":
        old = prepared_arrays(NAME)
        save_arrays(tmp_path / "shared" / NAME, {**ARRAYS, "labels": np.zeros(3)}, replace=True)
    damage(tmp_path / "shared" / NAME, how)
    with pytest.raises(InputError, match=r"LNL_SWEEP_DATA is '.*is not whole \(.*lnl-sweep data prepare") as caught:
        prepared_arrays(NAME)
    assert "\n" not in str(caught.value)
    assert visible(tmp_path) == (["cache", "shared"] if node.exists() else ["shared"])
    if old is None:
        assert not node.exists() or visible(node) == []
    else:
        found = load_arrays(node / NAME)
        assert found is not None and found[1] == old[1] == checksum(found[0]) and visible(node) == [NAME]


def test_places_without_it(node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for place in ("/no/such/folder", str(tmp_path), str(tmp_path / "file")):
        monkeypatch.setenv("LNL_SWEEP_DATA", place)
        with pytest.raises(InputError, match=f"LNL_SWEEP_DATA is '{place}': there is no brain_mri in it"):
            prepared_arrays(NAME)
    monkeypatch.setenv("LNL_SWEEP_DATA", "ftp://host/x")
    with pytest.raises(InputError, match=r"LNL_SWEEP_DATA is 'ftp://host/x': .* is not a directory"):
        prepared_arrays(NAME)


def test_a_cache_that_cannot_be_written(node: Path) -> None:
    node.write_text("a file")
    with pytest.raises(InputError, match=r"cannot be copied to .*: .*set LNL_SWEEP_CACHE"):
        prepared_arrays(NAME)


def test_arrays_of_something_else(node: Path) -> None:
    with pytest.raises(InputError, match=r"must hold the arrays folds, .*, but holds grey, keys, labels"):
        BrainMRI()


def test_sharing_writes_the_manifest_last_and_removes_that_of_other_data(
    node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {**ARRAYS, "labels": np.zeros(7)}
    save_arrays(node / NAME, other)
    place, manifest = folder_at(tmp_path / "shared"), tmp_path / "shared" / NAME / "manifest.json"
    sent: list[str] = []
    real = LocalFolder.upload

    def upload(self: Folder, source: Path, name: str) -> None:
        assert not manifest.exists()
        sent.append(name)
        if len(sent) == 2:
            raise InputError("no space")
        real(self, source, name)

    monkeypatch.setattr(LocalFolder, "upload", upload)
    with pytest.raises(InputError, match="no space"):
        share(NAME, place)
    assert not manifest.exists()
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "second"))
    with pytest.raises(InputError, match="there is no brain_mri in it"):
        prepared_arrays(NAME)

    monkeypatch.setattr(LocalFolder, "upload", real)
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(node))
    assert share(NAME, place) == str(tmp_path / "shared" / NAME)
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "second"))
    found = prepared_arrays(NAME)
    assert found is not None and found[1] == checksum(other)
    # The same once more mends what is damaged there, and never takes it away from others meanwhile.
    damage(tmp_path / "shared" / NAME, "one bit")
    monkeypatch.setattr(LocalFolder, "remove", lambda *_: pytest.fail("the manifest was taken away"))
    share(NAME, place)
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "third"))
    assert prepared_arrays(NAME) is not None


def test_what_is_damaged_here_is_not_shared(node: Path, tmp_path: Path) -> None:
    place = folder_at(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"nothing to put in .*elsewhere: add --from"):
        share(NAME, place)
    prepared_arrays(NAME)
    damage(node / NAME, "one bit")
    with pytest.raises(InputError, match="differs from its checksum"):
        share(NAME, place)
    assert not (tmp_path / "elsewhere").exists()


def test_a_worker_is_told_where_the_data_are(node: Path) -> None:
    assert store_environment()["LNL_SWEEP_DATA"] == str(node.parent / "shared")


def test_a_changed_bit_is_found_and_data_from_the_shared_place_are_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LNL_SWEEP_DATA", raising=False)
    folder = tmp_path / "cache" / NAME
    expected = save_arrays(folder, ARRAYS)
    share(NAME, folder_at(str(tmp_path / "shared")))
    assert prepared_arrays(NAME) is not None
    flip(folder / "grey.npy")
    with pytest.raises(InputError, match=f"{NAME} is damaged .* data prepare {NAME} --from"):
        prepared_arrays(NAME)
    monkeypatch.setenv("LNL_SWEEP_DATA", str(tmp_path / "shared"))
    found = prepared_arrays(NAME)
    assert found is not None and found[1] == expected == checksum(found[0])


def test_derived_arrays_that_have_changed_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path))
    made = []

    def build() -> dict[str, Any]:
        made.append(1)
        return dict(ARRAYS)

    for _ in range(2):
        cached_arrays("thing", build)
    flip(tmp_path / "thing" / "grey.npy")
    found, expected = cached_arrays("thing", build)
    assert len(made) == 2 and checksum(found) == expected == checksum(ARRAYS)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))

"""Files appear whole or not at all; errors of a place that cannot be used are one sentence."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from store import folder as folder_module
from store.errors import InputError
from store.folder import Folder, LocalFolder
from store.object_store import ObjectFolder
from store.open import folder_at


@pytest.fixture(params=["local", "file", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "object store":
        # pyarrow's in-memory file system takes the way of s3:// without a server.
        return folder_at("mock:///sweep")
    return folder_at(f"file://{tmp_path}/sweep" if request.param == "file" else str(tmp_path / "sweep"))


def test_round_trip(folder: Folder) -> None:
    if isinstance(folder, ObjectFolder):
        folder.store.filesystem.create_dir(folder.child("a", "b").path)
    assert folder.names() == [] or folder.local is None
    deep = folder.child("a", "b")
    deep.write("x.bin", b"one")
    deep.write("x.bin", b"two")
    deep.write(".hidden", b"")
    deep.write("draft.tmp", b"")
    assert deep.read("x.bin") == b"two" and deep.exists("x.bin") and not deep.exists("y.bin")
    assert deep.names() == ["x.bin"] and deep.folders() == []
    assert folder.folders() == ["a"] and folder.child("a").folders() == ["b"] and folder.names() == []
    deep.remove("x.bin")
    deep.remove("x.bin")
    assert deep.names() == []
    folder.child("a").remove_tree()
    folder.child("a").remove_tree()
    assert folder.folders() == []
    with pytest.raises(FileNotFoundError):
        deep.read("x.bin")


def test_large_files_go_piece_by_piece(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "PIECE", 1000)
    if isinstance(folder, ObjectFolder):
        folder.store.filesystem.create_dir(folder.path)
    for size in (0, 999, 1000, 2500):
        source = tmp_path / "source"
        source.write_bytes(os.urandom(size))
        folder.upload(source, "big")
        assert folder.read("big") == source.read_bytes() and folder.names() == ["big"]
        pieces = list(folder.pieces("big"))
        assert b"".join(pieces) == source.read_bytes() and max(map(len, pieces), default=0) <= 1000
    with pytest.raises(FileNotFoundError):
        list(folder.pieces("none"))


def test_the_time_of_the_last_write_is_told(folder: Folder) -> None:
    if isinstance(folder, ObjectFolder):
        folder.store.filesystem.create_dir(folder.path)
    folder.write("one", b"1")
    folder.write("two", b"2")
    assert 0 <= folder.modified("two") - folder.modified("one") < 60
    with pytest.raises(FileNotFoundError):
        folder.modified("none")


def test_missing_folder_is_empty(folder: Folder) -> None:
    missing = folder.child("none")
    assert missing.names() == missing.folders() == [] and not missing.exists()


def test_uri_names_the_same_folder(tmp_path: Path) -> None:
    child = folder_at(tmp_path).child("trials", "x")
    child.write("f", b"1")
    assert folder_at(child.uri).read("f") == b"1" and child.local == tmp_path / "trials" / "x"
    remote = folder_at("s3://bucket/sweep/?endpoint_override=http://127.0.0.1:1&region=us-east-1").child("trials")
    assert remote.uri == "s3://bucket/sweep/trials?endpoint_override=http://127.0.0.1:1&region=us-east-1"
    assert folder_at(remote.uri).uri == remote.uri and remote.local is None


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_at(tmp_path)
    folder.write("f", b"old")

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        folder.write("f", b"new")
    assert folder.read("f") == b"old" and [path.name for path in tmp_path.iterdir()] == ["f"]


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to .*file.* name a place that exists and is writable"):
        folder_at(tmp_path / "file").write("f", b"")
    with pytest.raises(InputError, match="cannot list"):
        folder_at(tmp_path / "file").names()
    with pytest.raises(InputError, match=r"cannot write to .*file/f"):
        folder_at(tmp_path / "file").upload(tmp_path / "file", "f")
    with pytest.raises(InputError, match="is not a directory that can be used"):
        folder_at("ftp://host/path")


def test_a_write_while_the_folder_is_being_deleted_says_that_it_has_vanished(tmp_path: Path) -> None:
    """A deletion removes file by file, and may come to the file that keeps the folder last."""
    sheet = tmp_path / "sweep" / "sweep.yaml"
    sheet.parent.mkdir()
    sheet.touch()
    folder = LocalFolder(tmp_path / "sweep").kept(sheet.name).child("trials_open")

    def deleted(*arguments: object, **named: object) -> None:
        threading.Timer(0.2, sheet.unlink).start()
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError, match=r"sweep\.yaml has vanished"):
        patch.setattr("store.folder.replacing", deleted)
        folder.write("spec.json", b"{}")

"""Where results shall go and cannot."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.cli import main
from tests.bad_input.support import Refuse

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


@pytest.mark.parametrize("words", [["run"], ["run", "--dry-run"]])
@pytest.mark.parametrize(
    ("out", "named"), [("caf\udce9", "'caf\\udce9'"), ("a\nb", "'a\\nb'"), (f"a/{'b' * 256}/c", "at most 255 bytes")]
)
def test_a_folder_that_cannot_be_made(refuse: Refuse, sweep: Path, words: list[str], out: str, named: str) -> None:
    assert named in refuse(*words, sweep, "--out", out)


def test_a_file_in_the_place_of_the_directory(refuse: Refuse, sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    assert "taken" in refuse("run", sweep, "--out", tmp_path / "taken")


def test_a_directory_below_a_file(refuse: Refuse, sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    assert "taken" in refuse("run", sweep, "--out", tmp_path / "taken" / "below")


def test_a_place_where_nothing_can_be_created(refuse: Refuse, sweep: Path) -> None:
    assert "/proc/nowhere" in refuse("run", sweep, "--out", "/proc/nowhere/sweep")


@contextmanager
def modes_of_files_hold() -> Iterator[None]:
    """Let modes of files hold for root too: without these capabilities it is an owner like any other."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    # For the lower and the upper 32 capabilities: effective, permitted, inheritable.
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets):
        pytest.skip("the capabilities of root cannot be read here")
    before, without = sets[0], sets[0] & ~(1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH)
    try:
        sets[0] = without
        assert libc.capset(header, sets) == 0
        yield
    finally:
        sets[0] = before
        assert libc.capset(header, sets) == 0


def test_a_directory_that_may_not_be_written(refuse: Refuse, sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with modes_of_files_hold():
        assert "locked" in refuse("run", sweep, "--out", tmp_path / "locked" / "sweep")


def test_an_unknown_kind_of_place(refuse: Refuse, sweep: Path) -> None:
    assert "gopher://host/x" in refuse("run", sweep, "--out", "gopher://host/x")


LOGGED = "logging: {tensorboard: %s}\n"
BEFORE_A_RUN = [["run"], ["run", "--smoke"], ["run", "--dry-run"], ["plan"]]


@pytest.mark.parametrize("words", BEFORE_A_RUN)
@pytest.mark.parametrize("kind", ["below a file", "on no file system", "not to be written", "a link to nowhere"])
def test_a_folder_of_tensorboard_that_cannot_be_written(
    refuse: Refuse, sweep: Path, tmp_path: Path, words: list[str], kind: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "link").symlink_to("nowhere")
    folders = {
        "below a file": tmp_path / "taken" / "events",
        "on no file system": Path("/proc/nowhere/events"),
        "not to be written": tmp_path / "locked" / "a" / "b",
        "a link to nowhere": tmp_path / "link",
    }
    sweep.write_text(sweep.read_text() + LOGGED % f"{{folder: '{folders[kind]}'}}")
    with modes_of_files_hold():
        told = refuse(*words, sweep)
    assert f"logging.tensorboard.folder must be a folder that can be written, but '{folders[kind]}' cannot (" in told
    assert "name another, or leave folder out" in told


@pytest.mark.parametrize("words", [["run"], ["run", "--dry-run"]])
def test_tensorboard_without_a_folder_beside_a_directory_in_s3(
    refuse: Refuse, sweep: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    # Asked before the store, which is written to in order to know whether it can be used.
    monkeypatch.setattr("store.object_store.ObjectFolder.check_usable", lambda self: pytest.fail("the store was used"))
    sweep.write_text(sweep.read_text() + LOGGED % "true")
    told = refuse(*words, sweep, "--out", "s3://bucket/sweep")
    assert "need a local folder, but the sweep's directory is s3://bucket/sweep: give logging.tensorboard" in told


def test_a_folder_of_tensorboard_that_is_not_there_yet(sweep: Path, tmp_path: Path) -> None:
    sweep.write_text(sweep.read_text() + LOGGED % f"{{folder: '{tmp_path}/new/events'}}")
    assert main(["plan", str(sweep)]) == 0
    assert not (tmp_path / "new").exists()

"""Where results shall go and cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bad_input.support import Refuse


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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written(refuse: Refuse, sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "locked" in refuse("run", sweep, "--out", tmp_path / "locked" / "sweep")


def test_an_unknown_kind_of_place(refuse: Refuse, sweep: Path) -> None:
    assert "gopher://host/x" in refuse("run", sweep, "--out", "gopher://host/x")

"""Ray of our own on a machine that is busy."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cluster.nodes import START_ATTEMPTS, _start_own, make_log_folder
from store.errors import InputError


def test_a_start_that_fails_once_is_tried_again() -> None:
    outcomes = [RuntimeError("timed out"), None]

    def start() -> None:
        error = outcomes.pop(0)
        if error is not None:
            raise error

    _start_own(start)
    assert not outcomes


def test_a_start_that_always_fails_is_one_sentence() -> None:
    tried = []

    def start() -> None:
        tried.append(1)
        raise RuntimeError("the node\ntimed out")

    with pytest.raises(InputError, match=r"Ray does not start on this machine \(the node timed out\)"):
        _start_own(start)
    assert len(tried) == START_ATTEMPTS


def test_a_file_in_the_place_of_rays_logs_is_named(tmp_path: Path) -> None:
    (tmp_path / "ray").write_text("")
    with pytest.raises(InputError, match=r"Ray's logs need the folder .*/ray, which cannot be made \(File exists\)"):
        make_log_folder(tmp_path)
    make_log_folder(tmp_path / "new")
    assert (tmp_path / "new" / "ray").is_dir()

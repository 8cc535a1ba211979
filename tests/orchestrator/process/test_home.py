"""Homes that are read-only or missing, as in containers and on batch nodes."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private.authentication import authentication_token_setup as setup

from orchestrator.cluster import own_ray
from orchestrator.process.home import ensure_home
from tests.integration.support import driver, rows
from trainable.data.arrays import cache
from trainable.data.arrays.cache import cache_folder

SWEEP = """
dataset: {name: coloured_digits, bias: {color_variance: 0.4}}
network: {name: pixel_front}
methods: [erm]
search: {trials: 1}
confirm: {seeds: 1}
training: {epochs: 1}
"""
NOWHERE = "/dev/null"
"""A home in which nobody, root included, can make anything."""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.delenv("LNL_SWEEP_CACHE", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(folder))
    cache._temporary.cache_clear()
    yield folder
    cache._temporary.cache_clear()


def homeless() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_the_cache_is_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "lnl-sweep"


@pytest.mark.parametrize("missing", [True, False])
def test_without_one_it_is_in_the_temporary_folder_and_a_sentence_says_so_once(
    missing: bool, temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if missing:
        monkeypatch.setattr(Path, "home", homeless)
    else:
        monkeypatch.setenv("HOME", NOWHERE)
    found = cache_folder()
    assert cache_folder() == found and found.parent == temporary
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and f"the cache of data is {found}, since" in shown and "LNL_SWEEP_CACHE" in shown


def test_a_cache_that_was_filled_before_its_disk_was_made_read_only_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / ".cache" / "lnl-sweep"
    usual.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(cache, "_can_be_written", lambda folder: False)
    assert cache_folder() != usual
    (usual / "digits.npy").write_bytes(b"")
    assert cache_folder() == usual


def test_a_temporary_folder_that_others_can_write_is_not_believed(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", NOWHERE)
    (temporary / f"lnl-sweep-cache-{os.geteuid()}").mkdir()
    (temporary / f"lnl-sweep-cache-{os.geteuid()}").chmod(0o777)
    assert not cache_folder().exists()


def test_a_process_without_home_gets_one(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", "kept")
    monkeypatch.setenv("USER", "somebody")
    ensure_home()
    assert os.environ["HOME"] == "kept"
    monkeypatch.setattr(Path, "home", homeless)
    ensure_home()
    home = Path(os.environ["HOME"])
    assert home.parent == temporary and stat.S_IMODE(home.stat().st_mode) == 0o700
    assert capsys.readouterr().err.count("\n") == 1
    home.chmod(0o777)
    ensure_home()
    assert Path(os.environ["HOME"]) != home


@pytest.mark.parametrize("closed", [True, False])
def test_rays_token_lies_elsewhere_where_the_home_folder_cannot_be_written(
    closed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(setup, "enable_token_auth_by_default"):
        pytest.skip(f"Ray {ray.__version__} makes no token by itself")
    tried = []

    def ensure(*_: Any) -> None:
        tried.append(1)
        if len(tried) == 1:
            raise OSError("read-only file system")

    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        # What is set in the test goes with it.
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(setup, "enable_token_auth_by_default", lambda: True)
    monkeypatch.setattr(setup, "ensure_token_if_auth_enabled", ensure)
    monkeypatch.setattr(own_ray, "private_folder", lambda: str(tmp_path / "ray") if closed else None)
    own_ray.make_token()
    assert len(tried) == 2
    if closed:
        path = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
        assert len(path.read_text()) == 64 and stat.S_IMODE(path.stat().st_mode) == 0o600
    else:
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.slow
def test_a_sweep_in_a_process_whose_home_cannot_be_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    short = Path(subprocess.check_output(["mktemp", "-d", "/tmp/lnlXXXX"], text=True).strip())
    try:
        (short / "tiny.yaml").write_text(SWEEP)
        variables = {"HOME": NOWHERE, "TMPDIR": str(short)}
        with driver(
            short, short / "out", "run", short / "tiny.yaml", "--out", short / "out", variables=variables
        ) as ran:
            assert ran.wait() == 0, ran.text()
        assert len(rows(short / "out")) == 2 and "the cache of data is" in ran.text()
    finally:
        subprocess.run(["rm", "-r", str(short)], check=True)

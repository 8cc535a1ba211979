"""Places of files as a shell, a mask or a careless name leaves them."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.report import page as report_module
from analysis.report.page import place_report
from analysis.writing import replacing, write_text
from orchestrator.cli import main
from orchestrator.config.sweep_file import parse_config
from store.errors import InputError
from store.local import expanded
from trainable.data.arrays.folder import drafted

SWEEP = "dataset: {name: coloured_digits, bias: {color_variance: 0.4}}\nmethods: [erm]\n"


@pytest.fixture
def mask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(report_module, "render", lambda findings: "<html>")
    return SimpleNamespace()


def test_a_report_in_the_place_of_a_folder_is_refused(findings: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a report is one file, but .* is a folder: give .*/report\.html"):
        place_report(findings, tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_file_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a file to be written, but it is a folder"):
        write_text(tmp_path, "text")


def test_a_disk_that_is_full_while_a_file_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No space left on device"), replacing(tmp_path / "file") as draft:
        draft.unlink()
        draft.symlink_to("/dev/full")
        draft.write_text("text")
    assert list(tmp_path.iterdir()) == []


def test_a_home_folder_that_the_shell_did_not_fill_in(
    findings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place_report(findings, tmp_path, "~/x/report.html") == tmp_path / "x" / "report.html"
    with pytest.raises(InputError, match="the ~ in ~no-such-user/x stands for a home folder, but there is none"):
        expanded("~no-such-user/x")


def test_a_picture_goes_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert main(["data", "preview", "coloured_digits", "--color_variance", "0.1", "--out=~/sheet.png"]) == 0
    assert (tmp_path / "sheet.png").exists() and not (tmp_path / "~").exists()


@pytest.mark.usefixtures("mask")
def test_what_is_closed_to_others_stays_so(tmp_path: Path) -> None:
    assert mode(write_text(tmp_path / "report.html", "<html>")) == 0o600
    with drafted(tmp_path / "arrays"):
        pass
    assert mode(tmp_path / "arrays") == 0o700


def test_what_others_may_read_stays_so(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        assert mode(write_text(tmp_path / "report.html", "<html>")) == 0o644
        with drafted(tmp_path / "arrays"):
            pass
        assert mode(tmp_path / "arrays") == 0o755
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", [".", "..", "..."])
def test_a_name_of_dots_alone(name: str) -> None:
    with pytest.raises(InputError, match="not dots alone"):
        parse_config(f"name: {name!r}\n{SWEEP}")
    with pytest.raises(InputError, match="not dots alone"):
        parse_config(SWEEP.replace("[erm]", f"[{{name: erm, label: {name!r}}}]"))


def test_names_with_dots() -> None:
    assert parse_config(f"name: v1.2\n{SWEEP}").name == "v1.2"


@pytest.mark.parametrize("words", [["run", "tiny.yaml"], ["status", "out"], ["report", "out"], ["data", "list"]])
def test_the_current_folder_is_gone(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "gone"
    place.mkdir()
    monkeypatch.chdir(place)
    shutil.rmtree(place)
    assert main(words) == 2
    assert capsys.readouterr().err == (
        "lnl-sweep: error: the current folder does not exist any more: change to one that does\n"
    )
    with pytest.raises(InputError, match="the current folder does not exist any more"):
        expanded("x")

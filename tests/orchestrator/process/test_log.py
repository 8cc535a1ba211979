"""The log of a sweep: what was passed over leaves its traceback there, and no secret."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from orchestrator.process.log import LOG, LOG_FILE, passed_over, sweep_log
from store.object_store import CREDENTIALS


def test_what_is_passed_over_leaves_its_traceback_in_the_log_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ray" / LOG_FILE
    with sweep_log(path):
        with passed_over("the look"):
            raise OSError("no such place")
        LOG.info("gone on")
    text = path.read_text()
    assert "WARNING lnl_sweep: the look failed; the sweep goes on without it" in text and text.count("gone on") == 1
    assert f'File "{__file__}"' in text and "OSError: no such place" in text
    with passed_over("a look without a log"):
        raise OSError("nowhere")
    assert path.read_text() == text
    shown = capfd.readouterr()
    assert shown.out == "" and shown.err == ""


def test_other_exceptions_and_interruptions_are_not_passed_over(tmp_path: Path) -> None:
    with sweep_log(tmp_path / LOG_FILE):
        with pytest.raises(KeyError), passed_over("the look", OSError, ValueError):
            raise KeyError("name")
        with pytest.raises(KeyboardInterrupt), passed_over("the look"):
            raise KeyboardInterrupt
    assert not (tmp_path / LOG_FILE).exists()


def test_the_logger_is_as_it_was_after_a_sweep(tmp_path: Path) -> None:
    before = (list(LOG.handlers), LOG.level, LOG.propagate)
    with sweep_log(tmp_path / LOG_FILE):
        assert not LOG.propagate
    assert (list(LOG.handlers), LOG.level, LOG.propagate) == before


def test_a_log_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "ray").touch()
    for path in (tmp_path / "ray" / LOG_FILE, tmp_path / "gone" / "ray" / LOG_FILE):
        with sweep_log(path):
            LOG.warning("nobody reads it")
    assert [file.name for file in tmp_path.rglob("*")] == ["ray"]


@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials_become_stars(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "planted-secret")
    with sweep_log(tmp_path / LOG_FILE) as file:
        other = logging.getLogger("another")
        other.addHandler(file)
        other.warning("it is %s", "planted-secret")
        other.removeHandler(file)
        with passed_over("the request"):
            raise OSError("refused planted-secret!")
    text = (tmp_path / LOG_FILE).read_text()
    assert "planted-secret" not in text and "it is ***" in text and "refused ***!" in text

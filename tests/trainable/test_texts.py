"""Texts from elsewhere: on one line, bounded, valid Unicode."""

from __future__ import annotations

import pytest

from trainable.texts import LONGEST, bounded, escaped, one_line, reason_of


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("Zürich 漢字 🙂", "Zürich 漢字 🙂"),
        ("\ud800 half", "\\ud800 half"),
        ("a\x00b\x1b[31m", "a\\x00b\\x1b[31m"),
        ("one\ntwo", "one\\ntwo"),
        ("one\u2028two\u2029", "one\\u2028two\\u2029"),
    ],
)
def test_what_is_no_text_becomes_an_escape(text: str, line: str) -> None:
    assert escaped(text) == line
    line.encode()


def test_a_long_text_keeps_its_ends_and_says_that_it_was_cut() -> None:
    line = bounded("start" + "x" * 5_000_000 + "end")
    assert line.startswith("startx") and line.endswith("xend") and len(line) < LONGEST + 50
    assert "[... cut from 5000008 characters ...]" in line
    assert len(bounded("\ud800" * LONGEST)) < LONGEST + 50
    assert bounded("x" * LONGEST) == "x" * LONGEST


def test_white_space_is_folded_also_where_there_is_much_of_it() -> None:
    assert one_line("a\n\t b\r\n") == "a b"
    line = one_line("a \n" * 10**6)
    assert line.startswith("a a a") and "[... cut from 3000000 characters ...]" in line and len(line) < LONGEST + 50


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("two\nlines"), "ValueError: two lines"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (RuntimeError("\ud800 x"), "RuntimeError: \\ud800 x"),
        (Broken(), "Broken: (its message cannot be made: RuntimeError)"),
    ],
)
def test_an_exception_is_its_type_and_its_message(error: BaseException, reason: str) -> None:
    assert reason_of(error) == reason

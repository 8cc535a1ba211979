"""Texts from elsewhere, an exception's say, as every file can hold them: one line, bounded, valid Unicode."""

from __future__ import annotations

import unicodedata

LONGEST = 1000
"""Characters of a text that are kept."""

_BREAKING = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories that a line of text must not hold: control characters, lone surrogates, line separators."""


def escaped(text: str) -> str:
    r"""Write characters that are no text as escapes.

    Example:
        >>> print(escaped("caf\udce9\x00"))
        caf\udce9\x00
    """
    if text.isprintable():
        return text
    return "".join(_escape(char) if unicodedata.category(char) in _BREAKING else char for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def bounded(text: str, longest: int = LONGEST, length: int | None = None) -> str:
    """Escape a text and cut its middle out where it is too long, with a mark that says how much.

    Args:
        text: Any text.
        longest: Characters that are kept.
        length: Characters that it had from the start, for the mark.

    Returns:
        One line; at most some 40 characters longer than ``longest``.

    Example:
        >>> bounded("a" * 100, longest=12)
        'aaaaaaaa [... cut from 100 characters ...] aaaa'
    """
    if len(text) <= longest and len(line := escaped(text)) <= longest:
        return line
    # Escapes are up to ten times as long as what they stand for: each end is cut once more.
    head, tail = 2 * longest // 3, longest // 3
    start, end = escaped(text[:head])[:head], escaped(text[-tail:])[-tail:]
    return f"{start} [... cut from {length or len(text)} characters ...] {end}"


def one_line(text: str, longest: int = LONGEST) -> str:
    r"""Put a text on one line, bounded.

    Args:
        text: Any text.
        longest: Characters that are kept.

    Returns:
        One line, in which a run of white space is one blank.

    Example:
        >>> one_line("two\n  lines")
        'two lines'
    """
    # Of a text of megabytes only the ends are looked at, of which only a part is shown.
    ends = 50 * longest
    some = text if len(text) <= 2 * ends else text[:ends] + text[-ends:]
    return bounded(" ".join(some.split()), longest, len(text))


def reason_of(error: BaseException) -> str:
    """Say what an exception is, in one bounded line: its type and its message.

    Example:
        >>> reason_of(ValueError("no such file"))
        'ValueError: no such file'
    """
    name = type(error).__name__
    try:
        message = one_line(str(error))
    except Exception as broken:
        message = f"(its message cannot be made: {type(broken).__name__})"
    return one_line(f"{name}: {message}" if message else name, LONGEST + 200)

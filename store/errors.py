"""Exceptions of bad input and of damaged files, and the search for the name that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input from the user: one sentence that states the rule, the value found and what to do.

    The command line prints the message alone and exits with code 2.
    """


class DamagedFile(InputError):
    """A file whose content is not what was written: its checksum does not agree, or it cannot be read at all."""


class UnreadablePart(DamagedFile):
    """A part whose rows are not read: it is damaged, of another sweep, or no part at all.

    The rows of the parts beside it are read.
    """


class Refused(InputError):
    """An object store that refused a request, or an address of none: only the user can mend it.

    Attributes:
        reason: What the store said, without what was asked of it.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class Unreachable(OSError):
    """An object store that did not answer within the retry budget.

    It may answer later.

    Attributes:
        reason: The last error, without what was asked of the store.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Find the known name that is most like a given one.

    Args:
        name: The name that was given; upper and lower case are the same.
        known: The names to choose from.
        cutoff: Least similarity, in [0, 1] (``difflib.SequenceMatcher.ratio``).

    Returns:
        The known name, or None where none is like it.

    Example:
        >>> nearest("ADAM", ["adam", "sgd"])
        'adam'
    """
    lower = {entry.lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)
    return lower[near[0]] if near else None


def unknown_name(what: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for a name that is not registered, naming the nearest known one.

    Args:
        what: The kind of thing, as a noun ("method", "data set").
        name: The name that was given.
        known: Every name that would have been right.

    Returns:
        The exception, ready to be raised.

    Example:
        >>> print(unknown_name("method", "lnk", ["erm", "lnl"]))
        unknown method 'lnk': did you mean 'lnl'? known: erm, lnl
    """
    names = sorted(known)
    near = nearest(str(name), names)
    hint = f"did you mean '{near}'? " if near else ""
    return InputError(f"unknown {what} '{name}': {hint}known: {', '.join(names)}")

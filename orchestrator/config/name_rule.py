"""Rule for names that a sweep file gives and that become names of files."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator

from trainable.texts import bounded

LONGEST_NAME = 60
"""Largest number of characters of a sweep's name and of a label, which become names of files."""
NAME_RULE = (
    f"it must have at most {LONGEST_NAME} characters, all of them A-Z, a-z, 0-9, '.', '_' or '-', and not dots alone"
)
_NAME = re.compile(rf"(?!\.+$)[A-Za-z0-9._-]{{0,{LONGEST_NAME}}}")
NAME_SCHEMA: dict[str, Any] = {"pattern": r"^(?!\.+$)[A-Za-z0-9._-]*$", "maxLength": LONGEST_NAME}


def is_name(text: str) -> bool:
    """Tell if a text may be a sweep's name or a label.

    Example:
        >>> is_name("lnl-0.3"), is_name("my method")
        (True, False)
    """
    return _NAME.fullmatch(text) is not None


def _checked_name(value: str) -> str:
    if not is_name(value):
        raise ValueError(f"{NAME_RULE}, but got {len(value)} characters, '{bounded(value, 60)}': shorten or rename it")
    return value


Name = Annotated[str, AfterValidator(_checked_name)]

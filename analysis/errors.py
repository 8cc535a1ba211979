"""The exception of bad input in the analysis package, which shares no code with the packages that train."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from the user: one sentence that states the rule, the value found and what to do."""

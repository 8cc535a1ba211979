"""Exceptions of bad input, under the names by which this package's users know them."""

from __future__ import annotations

from store.errors import DamagedFile, InputError, unknown_name

__all__ = ["DamagedFile", "DataOutOfReach", "InputError", "unknown_name"]


class DataOutOfReach(InputError):
    """Data that this node cannot get: no fault of the trial that asks for them."""

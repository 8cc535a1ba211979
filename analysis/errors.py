"""Exceptions of bad input, under the names by which this package's users know them."""

from __future__ import annotations

from store.errors import DamagedFile, InputError

__all__ = ["DamagedFile", "InputError"]

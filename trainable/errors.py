"""Exceptions of bad input, under the names by which this package's users know them."""

from __future__ import annotations

from store.errors import DamagedFile, InputError, unknown_name

__all__ = ["DamagedFile", "DataOutOfReach", "ImpossibleDraw", "InputError", "unknown_name"]


class DataOutOfReach(InputError):
    """Data that this node cannot get: no fault of the trial that asks for them."""


class ImpossibleDraw(InputError):
    """Training images that a data set cannot give without using one twice.

    Attributes:
        largest: Images of the largest training set that it can give there.
    """

    def __init__(self, message: str, largest: int = 0) -> None:
        super().__init__(message)
        self.largest = largest

"""Data sets: what one is (base.py), one file for each of ours, and tables of one's own images (table/)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainable.data.base import Dataset, register_dataset
    from trainable.data.table.image_table import ImageTable

_HOMES = {
    "Dataset": "base",
    "ImageTable": "table.image_table",
    "register_dataset": "base",
}

__all__ = ["Dataset", "ImageTable", "register_dataset"]


def __getattr__(name: str) -> Any:
    # As in the package above: torch takes seconds to import, and small modules beside these do not need it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

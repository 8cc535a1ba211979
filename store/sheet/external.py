"""Sheet of an external test set: ``external/NAME.json`` beside the predictions that a sweep's models made on it.

Its predictions stand among those on the sweep's own test images, under a variant of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from store.sealed import seal_json

FOLDER = "external"
"""Subfolder of a sweep's folder."""
PREFIX = "external:"
"""Beginning of the variant of predictions on an external test set, which no test variant of a data set has."""


@dataclass(frozen=True)
class ExternalSet:
    """An external test set.

    Attributes:
        name: Its name in the sweep.
        file: File name of its table, without the folder.
        data_checksum: Hash of the images with their classes, attributes and patients, whatever their order.
        images: Number of images of each class.
        patients: Number of patients of each class; empty where the table names none.
        note: What a reader must know: rows that were left out, a window of its own; "" = nothing.
    """

    name: str
    file: str
    data_checksum: str
    images: Mapping[str, int]
    patients: Mapping[str, int]
    note: str = ""

    @property
    def variant(self) -> str:
        """The variant of its predictions."""
        return f"{PREFIX}{self.name}"

    def sealed(self) -> bytes:
        """The sheet as a file.

        Example:
            >>> import json
            >>> sheet = ExternalSet("other", "other.csv", "ab", {"a": 3}, {})
            >>> external_of(json.loads(sheet.sealed())) == sheet
            True
        """
        return seal_json(asdict(self))


def is_external(variant: str) -> bool:
    """Tell if a variant of predictions is that of an external test set.

    Example:
        >>> is_external("external:other"), is_external("unbiased")
        (True, False)
    """
    return variant.startswith(PREFIX)


def external_of(content: Mapping[str, Any]) -> ExternalSet | None:
    """Read a sheet, leniently.

    Args:
        content: The content of the file.

    Returns:
        The test set; None where it has no name.

    Example:
        >>> external_of({"name": "other"}).variant, external_of({}) is None
        ('external:other', True)
    """
    if not isinstance(content.get("name"), str):
        return None
    name, file, checksum, note = (str(content.get(key) or "") for key in ("name", "file", "data_checksum", "note"))
    return ExternalSet(name, file, checksum, _counts(content.get("images")), _counts(content.get("patients")), note)


def _counts(value: object) -> dict[str, int]:
    entries = value.items() if isinstance(value, Mapping) else ()
    return {str(k): v for k, v in entries if isinstance(v, int) and not isinstance(v, bool)}

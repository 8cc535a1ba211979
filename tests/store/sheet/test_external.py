"""The sheet of an external test set."""

from __future__ import annotations

import json

from store.sealed import is_whole
from store.sheet.external import ExternalSet, external_of, is_external

SHEET = ExternalSet("other", "other.csv", "ab" * 32, {"a": 3, "b": 4}, {"a": 1, "b": 2}, "2 lines left out")


def test_what_is_written_is_read_back_and_sealed() -> None:
    data = SHEET.sealed()
    assert external_of(json.loads(data)) == SHEET and is_whole("external/other.json", data)
    assert not is_whole("external/other.json", data.replace(b"other.csv", b"which.csv"))
    assert is_external(SHEET.variant) and not is_external("unbiased")


def test_nonsense_says_nothing() -> None:
    assert external_of({"name": 3}) is None
    assert external_of({"name": "x", "images": [1], "patients": {"a": True}}) == ExternalSet("x", "", "", {}, {})

"""A torn small file is told from a whole one, and is read again."""

from __future__ import annotations

import json
import math

import pytest
import yaml

from store import sealed
from store.sealed import is_whole, read_whole, seal_json, seal_yaml

OLD = {"name": "s", "cells": [{"x": 0.1 + 0.2, "best": None}], "nan": math.nan, "ü": "ß"}
NEW = {**OLD, "cells": [], "longer": "x" * 50}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "PAUSE_SECONDS", 0.0)


def contents(name: str) -> tuple[bytes, bytes]:
    if name.endswith(".yaml"):
        old, new = (seal_yaml(yaml.safe_dump(entry, allow_unicode=True)) for entry in (OLD, NEW))
    elif name.endswith(".jsonl"):
        old = seal_json(OLD) + b"\n"
        new = old + seal_json(NEW) + b"\n"
    else:
        old, new = seal_json(OLD), seal_json(NEW)
    return old, new


@pytest.mark.parametrize("name", ["sweep.yaml", "status.json", "changes.jsonl"])
class TestEachKind:
    def test_whole_files_are_whole(self, name: str) -> None:
        assert all(is_whole(name, data) for data in contents(name))

    def test_no_part_of_a_file_and_no_mixture_is_whole(self, name: str) -> None:
        old, new = contents(name)
        whole = {old, new, b""}
        for cut in range(1, len(new)):
            for torn in (new[:cut], old[:cut] + new[cut:], new[:cut] + old[cut:]):
                if torn not in whole:
                    assert not is_whole(name, torn), (cut, torn)

    def test_a_torn_file_is_read_again(self, name: str) -> None:
        old, new = contents(name)
        readings = [new[: len(old) // 2], new[: len(old) // 3], new]
        assert read_whole(name, lambda: readings.pop(0)) == new

    def test_a_file_without_checksum_is_believed_when_it_stays_the_same(self, name: str) -> None:
        plain = b"name: by hand\n" if name.endswith(".yaml") else b'{"name": "by hand"}'
        readings = [plain, plain, b"never read"]
        assert not is_whole(name, plain) and read_whole(name, lambda: readings.pop(0)) == plain


def test_the_content_is_what_it_was() -> None:
    assert yaml.safe_load(seal_yaml("a: 1")) == {"a": 1}
    entry = json.loads(seal_json({"a": 1}))
    assert list(entry) == ["a", "checksum"] and entry["a"] == 1
    assert seal_json(entry) == seal_json({"a": 1})

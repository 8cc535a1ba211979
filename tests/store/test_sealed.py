"""A torn small file is told from a whole one, and is read again."""

from __future__ import annotations

import contextlib
import json
import math

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import yaml

from store import sealed
from store.errors import DamagedFile
from store.sealed import (
    check_tensors,
    check_whole,
    is_whole,
    read_whole,
    seal_bytes,
    seal_json,
    seal_sheet,
    seal_tensors,
    seal_yaml,
    sweep_of_sheet,
    unseal_bytes,
)

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


class TestSheets:
    TEXT = "name: s\ntraining:\n  epochs: 2\n"

    def test_it_names_its_sweep(self) -> None:
        data = seal_sheet(self.TEXT, "0123456789abcdef")
        assert sweep_of_sheet(data) == "0123456789abcdef" and yaml.safe_load(data)["training"] == {"epochs": 2}
        assert check_whole("sweep.yaml", data, "DIR/sweep.yaml") == data
        assert sweep_of_sheet(seal_yaml(self.TEXT)) is None

    def test_no_bit_of_it_can_change(self) -> None:
        data = seal_sheet(self.TEXT, "0123456789abcdef")
        for bit in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(DamagedFile, match="--set key=value"):
                check_whole("sweep.yaml", bytes(damaged), "DIR/sweep.yaml")

    def test_nor_can_its_end_be_cut_off(self) -> None:
        data = seal_sheet(self.TEXT, "0123456789abcdef")
        # Less than its first words could be anybody's file.
        for end in range(20, len(data)):
            with pytest.raises(DamagedFile):
                check_whole("sweep.yaml", data[:end], "DIR/sweep.yaml")


class TestBytes:
    def test_they_come_back(self) -> None:
        assert bytes(unseal_bytes("a", seal_bytes("a", b"content"))) == b"content"
        assert bytes(unseal_bytes("a", seal_bytes("a", b""))) == b""

    @pytest.mark.parametrize("damaged", [b"", b"content", b"\nlnl-sweep sha256 "])
    def test_without_a_checksum_they_are_not_believed(self, damaged: bytes) -> None:
        with pytest.raises(DamagedFile, match=r"a is (cut short|damaged)"):
            unseal_bytes("a", damaged)

    def test_no_bit_of_them_can_change_nor_their_name(self) -> None:
        data = seal_bytes("a", b"content")
        for bit in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(DamagedFile):
                unseal_bytes("a", bytes(damaged))
        with pytest.raises(DamagedFile, match="b is damaged"):
            unseal_bytes("b", data)


class TestTensors:
    def test_every_tool_reads_them_and_no_bit_can_change(self) -> None:
        values = {"f.w": np.arange(6, dtype="float32").reshape(2, 3), "g.b": np.ones(1, dtype="int64")}
        data = seal_tensors(bytes(safetensors.numpy.save(values, {"spec": "{}"})))
        read = safetensors.numpy.load(data)
        assert all((read[name] == values[name]).all() for name in values)
        assert check_tensors("m", data)["spec"] == "{}"
        unseen = []
        for bit in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            try:
                check_tensors("m", bytes(damaged))
                unseen.append(bit)
            except DamagedFile:
                continue
        # Blanks behind the header, and the names of the checksum's own keys: no value changes with them.
        for bit in unseen:
            with contextlib.suppress(safetensors.SafetensorError):
                read = safetensors.numpy.load(flipped(data, bit))
                assert all((read[name] == values[name]).all() for name in values)
        assert len(unseen) <= 8 * (len("sha256") + len("__metadata__") + 8)

    def test_one_of_an_older_version_has_none(self) -> None:
        data = bytes(safetensors.numpy.save({"w": np.ones(2)}, {"spec": "{}"}))
        assert check_tensors("m", data) == {"spec": "{}"}


def flipped(data: bytes, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)

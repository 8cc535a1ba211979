"""Names and texts that become names of files, columns and rows are refused before anything starts."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.plan.names import LONGEST_CELL, check_names
from store.errors import InputError
from tests.orchestrator.support import FakeData, sweep_cells, sweep_config
from trainable.methods import base
from trainable.methods.base import Choices, register_method
from trainable.methods.erm import erm


@dataclass
class Named(FakeData):
    classes: tuple[str, ...] = ("cat", "dog")
    keys: tuple[str, ...] = ("i1", "i2")

    def image_keys(self) -> list[str]:
        return list(self.keys)


def check(data: Named | None = None, **changes: Any) -> None:
    config = sweep_config(data, **changes)
    check_names(config, sweep_cells(config, data), data or Named())


def refusal(data: Named | None = None, **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        check(data, **changes)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 1000
    return message


@pytest.fixture
def methods() -> Any:
    """Registers a method under any name."""
    names = []

    def register(name: str, **traits: Any) -> None:
        names.append(name)
        register_method(name, long_name=name, reference="none", **traits)(erm)

    yield register
    for name in names:
        base.METHODS.entries.pop(name, None)


def test_ordinary_names_are_accepted() -> None:
    check()
    check(methods=[{"name": "erm", "label": "x" * 60}])
    check(Named(classes=("Zürich", "two words", "a" * 100)))


@pytest.mark.parametrize("classes", [("",), ("a", "a"), ("\ud800",), ("a\nb",), ("a\x00",), ("a" * 101,)])
def test_classes_that_cannot_be_columns(classes: tuple[str, ...]) -> None:
    assert "the names of classes become names of columns" in refusal(Named(classes=classes))


def test_images_that_share_a_key() -> None:
    assert "has 2 images with the key 'i1'" in refusal(Named(keys=("i1", "i2", "i1")))


@pytest.mark.parametrize("name", ["a/b", "my method", "m" * 61])
def test_a_method_whose_name_is_no_label_needs_one(name: str, methods: Any) -> None:
    methods(name)
    assert "needs a label: it must have at most 60 characters" in refusal(methods=[name])
    check(methods=[{"name": name, "label": "mine"}])


@pytest.mark.parametrize("name", ["a/b", ".hidden", "_left_out", "", "n" * 61])
def test_a_network_or_a_data_set_whose_name_is_no_file_name(name: str) -> None:
    if name:
        assert "the name of a network becomes part of file names" in refusal(network={"name": name})
    data = {"name": name, "bias": {"rho": [0.0]}}
    assert "the name of a data set becomes part of file names" in refusal(Named(name=name), dataset=data)


def test_a_network_of_timm_has_a_name_that_files_can_have() -> None:
    config = sweep_config(network={"name": "timm:resnet18.a1_in1k"})
    check_names(config, cells := sweep_cells(config), Named())
    assert cells[0].id == "fake-rho0-gamma0-timm-resnet18.a1_in1k-erm"
    assert "the name of a network becomes part of file names" in refusal(network={"name": "tim:resnet18"})


def test_a_cell_whose_files_would_have_too_long_names() -> None:
    long = {"network": {"name": "n" * 60}, "methods": [{"name": "erm", "label": "l" * 60}]}
    check(dataset={"name": "d" * 30, "bias": {"rho": [0.5]}}, **long)
    message = refusal(dataset={"name": "d" * 60, "bias": {"rho": [0.5]}}, **long)
    assert f"at most {LONGEST_CELL} characters" in message and "shorten methods[].label" in message


@pytest.mark.parametrize(
    "value", [datetime.date(2026, 1, 1), b"bytes", {1: "a"}, {"a": {2}}, datetime.datetime(2026, 1, 1)]
)
def test_values_that_json_does_not_have(value: Any, methods: Any) -> None:
    assert "network.width must be text" in refusal(network={"name": "net", "width": value})
    methods("odd", space={"kind": Choices((value, "b"))}, defaults={"kind": "b"})
    assert "methods.odd.space.kind must be text" in refusal(methods=["odd"])


def test_hyperparameters_that_are_too_long_for_a_row(methods: Any) -> None:
    methods("wordy", defaults={"prompt": "p" * 9_000})
    check(methods=["wordy"])
    methods("wordier", space={"kind": Choices(("a", "b" * 2_000))}, defaults={"prompt": "p" * 9_000, "kind": "a"})
    assert "10,000 characters, but those of wordier have 11," in refusal(methods=["wordier"])

"""The bias of the data as they are, as a sheet holds it; and whether a sheet lets images be shown."""

from __future__ import annotations

from typing import Any

import pytest

from store.sheet.natural import NaturalBias, natural_of
from store.sheet.sheet import Sheet

NATURAL = NaturalBias({"rho": 0.83}, {"rho": (0.79, 0.87)}, 0.34, (0.26, 0.43), "images")


def test_what_is_written_is_read_back() -> None:
    assert Sheet({"dataset_info": {"natural": NATURAL.content()}}).natural == NATURAL
    bare = NaturalBias({"rho": 0.83})
    assert natural_of({"natural": bare.content()}) == bare


@pytest.mark.parametrize(
    "natural",
    [None, [], "rho", {}, {"bias": {}}, {"bias": {"rho": "high"}}, {"bias": {"rho": float("nan")}}, {"bias": [1]}],
)
def test_a_sheet_without_a_place_has_none(natural: Any) -> None:
    assert natural_of({"natural": natural}) is None and Sheet({}).natural is None


def test_damaged_intervals_count_as_none() -> None:
    entry = {"bias": {"rho": 1}, "interval": {"rho": [0.9], "gamma": [0, 1]}, "strength": True, "unit": "weeks"}
    assert natural_of({"natural": entry}) == NaturalBias({"rho": 1.0})


@pytest.mark.parametrize(
    ("content", "shared"),
    [
        ({"dataset_info": {"share_images": True}}, True),
        ({"dataset": {"name": "brain_mri"}, "dataset_info": {"share_images": False}}, False),
        ({"dataset": {"name": "brain_mri"}}, True),
        ({"dataset": {"name": "xray"}}, False),
        ({"dataset": {"name": "xray"}, "dataset_info": {"share_images": "yes"}}, False),
        ({}, False),
    ],
)
def test_images_are_shown_where_the_sheet_lets_them(content: dict[str, Any], shared: bool) -> None:
    assert Sheet(content).share_images is shared

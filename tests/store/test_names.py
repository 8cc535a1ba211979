"""Identifiers: built in one place, and taken apart only where version 1 left no columns."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest

from store.columns import to_table
from store.names import Place, cell_id, confirm_id, place_of_version_1, search_id
from store.part_types import from_version_1, with_places
from store.rules import RULES

PLACE_COLUMNS = ["search_number", "search_rule", "seed_number"]
CELL = "brain_mri-rho0.9-gamma1-fold2-resnet18-lnl_2"
SEARCHES = list(itertools.product((0, 3), (0, 7, 1234), (None, *RULES), (0, 2)))
CONFIRMS = list(itertools.product((0, 3), (None, 0, 4), (0, 11)))


def test_a_cell_is_named_by_its_place_in_the_grid() -> None:
    assert cell_id("brain_mri", {"rho": 0.9, "gamma": 1.0}, 2, "resnet18", "lnl_2") == CELL
    assert cell_id("d", {"rho": 0.1234567}, None, "n", "erm") == "d-rho0.1234567-n-erm"


@pytest.mark.parametrize(("repeat", "number", "rule", "k"), SEARCHES)
def test_the_place_of_a_search_trial_of_version_1(repeat: int, number: int, rule: str | None, k: int) -> None:
    name = search_id(CELL, repeat, number, rule, k)  # type: ignore[arg-type]
    assert place_of_version_1(name, "search") == Place(number, rule, k)  # type: ignore[arg-type]


@pytest.mark.parametrize(("repeat", "split", "k"), CONFIRMS)
def test_the_place_of_a_confirm_trial_of_version_1(repeat: int, split: int | None, k: int) -> None:
    name = confirm_id(CELL, {"lr": 0.1}, k, repeat, split)
    assert place_of_version_1(name, "confirm") == Place(None, None, k)


def test_all_rows_at_once_are_the_same() -> None:
    names = [(search_id(CELL, r, n, rule, k), "search") for r, n, rule, k in SEARCHES]  # type: ignore[arg-type]
    names += [(confirm_id(CELL, {"lr": 0.1}, k, repeat, split), "confirm") for repeat, split, k in CONFIRMS]
    names += [("odd", "search"), ("odd", "confirm")]
    rows = with_places(pa.table({"trial_id": [n for n, _ in names], "phase": [p for _, p in names]})).to_pylist()
    found = [Place(row["search_number"], row["search_rule"], row["seed_number"]) for row in rows]
    assert found == [place_of_version_1(*pair) for pair in names]


def test_rows_of_version_1_get_the_columns_in_their_types() -> None:
    new = to_table("trials", [{"trial_id": search_id(CELL, 0, 7, "val_biased", 1), "phase": "search"}])
    old = new.drop_columns(PLACE_COLUMNS)
    row = from_version_1("trials", old)
    assert {row.schema.field(name) for name in PLACE_COLUMNS} == {new.schema.field(name) for name in PLACE_COLUMNS}
    assert row.select(PLACE_COLUMNS).to_pylist() == [
        {"search_number": 7, "search_rule": "val_biased", "seed_number": 1}
    ]

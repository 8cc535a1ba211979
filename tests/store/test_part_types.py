"""Parts whose columns have other types than the schema: no readable part may be lost through them."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis
from store.columns import arrow_schema, to_table
from store.open import open_folder
from store.parts import read_parts

KEYS: dict[str, dict[str, Any]] = {
    "trials": {"trial_id": "odd"},
    "history": {"trial_id": "odd", "epoch": 1},
    "predictions": {"trial_id": "odd", "variant": "unbiased", "image": "i"},
    "splits": {"seed": 1, "fold": 0, "image": "i"},
}


@pytest.fixture
def folder(tmp_path: Path, synthetic: ModuleType) -> Path:
    made: Path = synthetic.write_sweep(
        tmp_path / "sweep",
        synthetic.Sweep(values=(0.10,), methods=("erm",), seeds=(1, 2), n_search=3, n_images=10),
    )
    return made


def odd_part(folder: Path, table: str, name: str = "odd", **columns: pa.Array) -> None:
    """A part of one row, some of whose columns are other ones than the schema's."""
    data = to_table(table, [KEYS[table] | {"trial_id": name}] if "trial_id" in KEYS[table] else [KEYS[table]])
    for column, values in columns.items():
        data = data.drop_columns([column]) if column in data.schema.names else data
        data = data.append_column(column, values)
    (folder / table).mkdir(exist_ok=True)
    pq.write_table(data, folder / table / f"{name}.0001-d-000001.parquet")


def read(folder: Path, table: str) -> tuple[pa.Table, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = read_parts(open_folder(folder), table)
    return rows, [str(w.message) for w in caught]


@pytest.mark.parametrize(
    ("table", "column", "wanted"),
    [
        ("trials", "val_biased", "double"),
        ("trials", "recall_2", "double"),
        ("history", "train_loss", "double"),
        ("predictions", "p_0", "float"),
        ("splits", "u", "double"),
    ],
)
def test_text_in_a_column_of_numbers_is_named_and_left_out(folder: Path, table: str, column: str, wanted: str) -> None:
    before, _ = read(folder, table)
    odd_part(folder, table, **{column: pa.array(["0.5"])})
    rows, said = read(folder, table)
    assert len(said) == 1
    assert said[0].endswith(f"odd.0001-d-000001.parquet: its column '{column}' must be of type {wanted}, but is of "
                            "type string")  # fmt: skip
    assert rows.equals(before)


def test_the_other_parts_load_beside_one_with_another_type(folder: Path) -> None:
    trials, history = analysis.load(folder), analysis.load_history(folder)
    odd_part(folder, "trials", val_biased=pa.array(["high"]))
    odd_part(folder, "history", train_loss=pa.array([True]))
    with pytest.warns(UserWarning, match=r"left out .*odd.*'val_biased' must be of type double, but is of type string"):
        assert len(analysis.load(folder)) == len(trials)
    with pytest.warns(UserWarning, match=r"left out .*odd.*'train_loss' must be of type double, but is of type bool"):
        assert len(analysis.load_history(folder)) == len(history)


def test_values_that_do_not_fit_are_named(folder: Path) -> None:
    odd_part(folder, "trials", image_size=pa.array([14.5]))
    _, said = read(folder, "trials")
    assert len(said) == 1 and "'image_size' must be of type int64, but is of type double with values" in said[0]


def test_widths_are_cast(folder: Path) -> None:
    odd_part(
        folder,
        "trials",
        val_biased=pa.array([0.5], pa.float32()),
        image_size=pa.array([14], pa.int16()),
        seed=pa.array([7.0]),
        label=pa.array(["erm"]).dictionary_encode(),
        error=pa.nulls(1),
        finished_at=pa.array([1_767_225_600_000_000_001], pa.timestamp("ns", "UTC")),
    )
    rows, said = read(folder, "trials")
    assert not said
    assert {field.name: field.type for field in arrow_schema("trials")}.items() <= {
        field.name: field.type for field in rows.schema
    }.items()
    odd = rows.filter(pa.compute.equal(rows["trial_id"], "odd")).to_pylist()[0]
    assert (odd["val_biased"], odd["image_size"], odd["seed"], odd["label"]) == (0.5, 14, 7, "erm")


@pytest.mark.parametrize("table", ["trials", "history"])
def test_unknown_columns_stay_and_those_of_two_types_are_left_out_alone(folder: Path, table: str) -> None:
    before, _ = read(folder, table)
    odd_part(folder, table, "one", note=pa.array(["x"]), more=pa.array([1]))
    rows, said = read(folder, table)
    assert not said and set(rows["note"].to_pylist()) == {None, "x"}
    odd_part(folder, table, "two", note=pa.array([1.5]), more=pa.array([2], pa.int8()))
    rows, said = read(folder, table)
    assert len(said) == 1
    assert f"left out column 'note' of {folder}/{table}: a column must have one type" in said[0]
    assert "double and string" in said[0]
    assert len(rows) == len(before) + 2 and "note" not in rows.column_names
    assert {1, 2} <= set(rows["more"].to_pylist())

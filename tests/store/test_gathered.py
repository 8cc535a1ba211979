"""All trials in one file beside the parts: the same rows, and never in place of other parts."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis
from analysis.loading import derive
from store.gathered import GATHERED, gather, read_gathered
from store.open import open_folder
from store.sealed import seal_bytes, unseal_bytes


@pytest.fixture
def folder(sweep_dir: Path, tmp_path: Path) -> Path:
    place = tmp_path / "sweep"
    shutil.copytree(sweep_dir, place)
    return place


def gather_trials(folder: Path) -> tuple[str, bytes] | None:
    place = open_folder(folder)
    return gather(place, lambda rows: derive(place, rows))


def gathered(folder: Path) -> Path:
    found = gather_trials(folder)
    assert found is not None
    (folder / GATHERED).mkdir(exist_ok=True)
    file = folder / GATHERED / found[0]
    file.write_bytes(found[1])
    return file


def used(folder: Path) -> bool:
    return read_gathered(open_folder(folder)) is not None


def test_the_rows_are_those_of_the_parts(folder: Path) -> None:
    before = analysis.load(folder, superseded=True)
    gathered(folder)
    assert used(folder)
    pd.testing.assert_frame_equal(analysis.load(folder, superseded=True), before)
    assert gather_trials(folder) is None


def truncate(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-9])


def add(part: Path) -> None:
    shutil.copy(part, part.with_name(part.name.replace(".parquet", "9.parquet")))


@pytest.mark.parametrize("change", [truncate, add, Path.unlink])
def test_it_is_not_used_when_the_parts_are_others(folder: Path, change: Callable[[Path], None]) -> None:
    gathered(folder)
    change(min((folder / "trials").glob("*.parquet")))
    assert not used(folder)


def test_it_is_not_used_when_the_configuration_is_another(folder: Path) -> None:
    gathered(folder)
    with (folder / "sweep.yaml").open("a") as file:
        file.write("\n# changed\n")
    assert not used(folder)


def test_rows_without_a_sweeps_name_are_not_gathered(folder: Path) -> None:
    for part in (folder / "trials").glob("*.parquet"):
        rows = pq.read_table(part)
        nothing = pa.nulls(len(rows), rows.schema.field("sweep").type)
        pq.write_table(rows.set_column(rows.schema.get_field_index("sweep"), "sweep", nothing), part)
    assert gather_trials(folder) is None


def test_a_damaged_part_is_still_named(folder: Path) -> None:
    gathered(folder)
    part = min((folder / "trials").glob("*.parquet"))
    truncate(part)
    with pytest.warns(UserWarning, match=part.name):
        analysis.load(folder)
    # Nor is it passed over in a new gathered file.
    assert gather_trials(folder) is None


def test_a_torn_file_costs_nothing(folder: Path, synthetic: ModuleType) -> None:
    before = analysis.load(folder)
    truncate(gathered(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pd.testing.assert_frame_equal(analysis.load(folder), before)


def test_one_part_is_left_as_it_is(folder: Path) -> None:
    parts = sorted((folder / "trials").glob("*.parquet"))
    for part in parts[1:]:
        part.unlink()
    assert pq.read_table(parts[0]).num_rows and gather_trials(folder) is None


def test_columns_that_came_later_are_null(folder: Path) -> None:
    file = gathered(folder)
    rows = pa.ipc.open_file(unseal_bytes(file.name, file.read_bytes())).read_all().drop_columns(["flip_rate"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    file.write_bytes(seal_bytes(file.name, sink.getvalue().to_pybytes()))
    assert used(folder) and analysis.load(folder)["flip_rate"].isna().all()

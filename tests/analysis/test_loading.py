from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import analysis
from store.columns import VERSION_KEY, to_table
from store.errors import InputError
from store.open import open_folder
from store.parts import read_parts


@pytest.fixture
def folder(tmp_path: Path, synthetic: ModuleType) -> Path:
    """A small sweep that a test may change."""
    made: Path = synthetic.write_sweep(
        tmp_path / "sweep",
        synthetic.Sweep(values=(0.10, 0.02), methods=("erm", "lnl"), seeds=(1, 2), n_search=3, n_images=10),
    )
    return made


def row(synthetic: ModuleType, **more: object) -> dict[str, object]:
    made: dict[str, object] = synthetic.search_row("erm", 0.1, 0, hyperparameters="{}", **more)
    return made


def test_rows_and_added_columns(folder: Path, synthetic: ModuleType) -> None:
    trials = analysis.load(folder)
    assert trials["trial_id"].is_unique
    assert set(trials["phase"]) == {"search", "confirm"}
    assert set(trials.query("phase == 'confirm'")["seeds_planned"]) == {2.0}
    assert set(trials["headline_rule"]) == {"val_counterfactual"}


def test_sweeps_of_the_same_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    places = [tmp_path / "a" / "x" / "demo", tmp_path / "b" / "x" / "demo", tmp_path / "b" / "other"]
    for place in places:
        shutil.copytree(folder, place)
    trials = analysis.load(places)
    (name,) = analysis.load(folder)["sweep"].unique()
    assert list(trials["sweep"].unique()) == [f"{name} (a/x/demo)", f"{name} (b/x/demo)", f"{name} (other)"]
    with pytest.raises(InputError, match=r"can be loaded once, but .*demo was given 2 times"):
        analysis.load([places[0], places[0]])


def test_a_label_that_a_sweep_file_would_refuse_today_still_loads(folder: Path, synthetic: ModuleType) -> None:
    label = "an older label, " * 20
    sheet = yaml.safe_load((folder / "sweep.yaml").read_text())
    sheet["methods"][0] = {"name": "erm", "label": label}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sheet))
    older = {**row(synthetic, label=label), "trial_id": "older"}
    synthetic.write_part(folder, "trials", "older", [older], (2, "new", 1))
    assert label in set(analysis.load(folder)["label"])


def test_search_trials_that_are_no_longer_planned_are_left_out(folder: Path) -> None:
    sheet = yaml.safe_load((folder / "sweep.yaml").read_text())
    before = analysis.load(folder)
    for cell in sheet["cells"]:
        cell["trials"] = 2
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sheet))
    after = analysis.load(folder)
    numbers = after.query("phase == 'search'")["trial_id"].str[-1]
    assert set(before.query("phase == 'search'")["trial_id"].str[-1]) == {"0", "1", "2"} and set(numbers) == {"0", "1"}
    every = analysis.load(folder, superseded=True)
    assert (
        len(every) == len(before) and every.query("phase == 'search'")["superseded"].sum() == before["cell"].nunique()
    )


def test_seeds_beyond_two_to_the_53_stay_exact(tmp_path: Path, synthetic: ModuleType) -> None:
    seeds = (9007199254740993, 2)
    made = synthetic.write_sweep(tmp_path / "s", synthetic.Sweep(values=(0.1,), methods=("erm",), seeds=seeds))
    confirm = analysis.load(made).query("phase == 'confirm'")
    assert set(confirm["seed"]) == set(seeds)


def test_the_newest_row_of_a_key_wins(folder: Path, synthetic: ModuleType) -> None:
    orders = [((1, "a", 1), 0.3), ((0, "zz", 9), 0.2), ((1, "b", 1), 0.4), ((1, "a", 2), 0.5)]
    for order, value in orders:
        synthetic.write_part(folder, "trials", "cell", [row(synthetic, val_biased=value)], order)
        found = analysis.load(folder)
        found = found[found["trial_id"] == row(synthetic)["trial_id"]]
        assert len(found) == 1
    assert found["val_biased"].item() == 0.5


def test_history_and_splits_are_deduplicated_by_their_keys(folder: Path, synthetic: ModuleType) -> None:
    epochs = [{"trial_id": "x", "epoch": e, "train_loss": float(e)} for e in (1, 2)]
    synthetic.write_part(folder, "history", "x", epochs, (0, "d", 1))
    synthetic.write_part(folder, "history", "x", [{**epochs[1], "train_loss": 9.0}], (1, "d", 1))
    found = analysis.load_history(folder).query("trial_id == 'x'")
    assert list(found["train_loss"]) == [1.0, 9.0]
    split = {"seed": 1, "image": "i", "label": 0, "split": "train", "u": 0.5}
    synthetic.write_part(folder, "splits", "x", [split], (0, "d", 1))
    synthetic.write_part(folder, "splits", "x", [{**split, "split": "val"}], (0, "d", 2))
    assert list(analysis.load_splits(folder)["split"]) == ["val"]


def test_truncated_foreign_and_misnamed_parts_are_named_and_left_out(folder: Path, synthetic: ModuleType) -> None:
    before = len(analysis.load(folder))
    good = next((folder / "trials").glob("*.parquet"))
    (folder / "trials" / "cut.0001-d-000001.parquet").write_bytes(good.read_bytes()[:-300])
    pq.write_table(pa.table({"trial_id": ["x"]}), folder / "trials" / "foreign.0001-d-000001.parquet")
    shutil.copy(good, folder / "trials" / "copy of something.parquet")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(analysis.load(folder)) == before
    texts = " ".join(str(w.message) for w in caught)
    for name in ("cut.0001", "foreign.0001", "copy of something"):
        assert name in texts


def test_files_being_written_are_ignored(folder: Path) -> None:
    before = len(analysis.load(folder))
    for name in (
        ".hidden.0001-d-000001.parquet",
        "_x.0001-d-000001.parquet",
        "x.0001-d-000001.parquet.tmp",
        "notes.txt",
    ):
        (folder / "trials" / name).write_bytes(b"half")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(analysis.load(folder)) == before


def test_a_newer_schema_is_refused_in_one_sentence(folder: Path, synthetic: ModuleType) -> None:
    table = to_table("trials", [row(synthetic)]).replace_schema_metadata({VERSION_KEY: b"99"})
    pq.write_table(table, folder / "trials" / "new.0001-d-000001.parquet")
    with pytest.raises(InputError, match=r"up to schema version 2, but .*new\.0001.* has version 99: update"):
        analysis.load(folder)


def test_columns_that_a_part_lacks_are_null(folder: Path, synthetic: ModuleType) -> None:
    old = to_table("trials", [row(synthetic) | {"trial_id": "old-007"}]).drop_columns(["flip_rate", "ece"])
    pq.write_table(old, folder / "trials" / "old.0001-d-000001.parquet")
    found = analysis.load(folder).query("trial_id == 'old-007'")
    assert found["flip_rate"].isna().all()


def test_a_compaction_during_the_read_loses_and_repeats_nothing(folder: Path, synthetic: ModuleType) -> None:
    opened = open_folder(folder)
    expected = read_parts(opened, "trials").num_rows
    parts = sorted((folder / "trials").glob("*.parquet"))
    compacted = pa.concat_tables([pq.read_table(p) for p in parts])
    read = opened.read

    def read_and_compact(path: str) -> bytes:
        if parts[0].exists():
            pq.write_table(compacted, folder / "trials" / "all.0001-d-000001.parquet")
            for part in parts:
                part.unlink()
        return read(path)

    opened.read = read_and_compact  # type: ignore[method-assign]
    table = read_parts(opened, "trials")
    assert table.num_rows == expected == len(set(table["trial_id"].to_pylist()))


@pytest.mark.parametrize("make", ["absent", "empty", "file"])
def test_a_wrong_folder_is_one_sentence(tmp_path: Path, make: str) -> None:
    place = tmp_path / "place"
    if make == "empty":
        place.mkdir()
    elif make == "file":
        place.write_text("x")
    with pytest.raises(InputError) as caught:
        analysis.load(place)
    assert "give" in str(caught.value)


def test_no_rows_yet_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("name: x\n")
    with pytest.raises(InputError, match="has finished yet"):
        analysis.load(tmp_path)
    assert analysis.load_history(tmp_path).empty
    assert analysis.load_predictions(tmp_path).empty


def test_rows_that_no_rule_chooses_are_one_sentence(folder: Path, synthetic: ModuleType) -> None:
    rows = [row for row in read_parts(open_folder(folder), "trials").to_pylist() if row["phase"] == "confirm"]
    for part in (folder / "trials").glob("*.parquet"):
        part.unlink()
    synthetic.write_part(folder, "trials", "cell", rows, (0, "d", 1))
    for command in (analysis.load, analysis.write_report):
        with pytest.raises(InputError, match=rf"no trial of .*sweep counts: its {len(rows)} rows .* no selection rule"):
            command(folder)
    assert len(analysis.load(folder, superseded=True)) == len(rows)


def test_damaged_yaml_is_named(folder: Path) -> None:
    (folder / "sweep.yaml").write_text("a: [")
    with pytest.raises(InputError, match=r"sweep\.yaml must be YAML"):
        analysis.load_config(folder)


def test_without_a_configuration_the_rows_still_load(folder: Path) -> None:
    (folder / "sweep.yaml").unlink()
    trials = analysis.load(folder)
    assert len(trials) and trials["seeds_planned"].isna().all()


def test_a_rule_may_have_its_own_number_of_seeds(folder: Path) -> None:
    config = analysis.load_config(folder)
    config["confirm"]["rules"] = ["val_counterfactual", {"rule": "val_biased", "seeds": 7}]
    (folder / "sweep.yaml").write_text(yaml.safe_dump(config))
    trials = analysis.load(folder).query("phase == 'confirm'")
    planned = {rules: set(rows["seeds_planned"]) for rules, rows in trials.groupby("rules")}
    assert planned[("val_biased",)] == {7.0}
    assert planned[("val_counterfactual",)] == {2.0}


def test_a_packed_sweep_reads_like_its_folder(folder: Path, tmp_path: Path) -> None:
    packed = tmp_path / "sweep.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, Path("sweep") / path.relative_to(folder))
    assert len(analysis.load(packed)) == len(analysis.load(folder))
    assert len(analysis.load_predictions(packed, "unbiased")) == len(analysis.load_predictions(folder))


def test_an_address_reads_like_a_path(folder: Path) -> None:
    assert len(analysis.load(folder.as_uri())) == len(analysis.load(folder))
    with pytest.raises(InputError, match="check the address"):
        analysis.load("nothing://bucket/sweep")


def test_several_sweeps_of_one_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "second")
    trials = analysis.load([folder, tmp_path / "second"])
    assert set(trials["sweep"]) == {"synthetic (sweep)", "synthetic (second)"}


def test_calling_the_package_name_loads_also_after_the_module_was_imported(folder: Path) -> None:
    import analysis.loading

    assert len(analysis.load(folder)) == len(analysis.loading.load(folder))


def test_importing_analysis_is_light() -> None:
    code = (
        "import sys, analysis, store.columns, store.errors\n"
        "bad = {'pandas', 'plotly', 'scipy', 'torch', 'ray', 'trainable', 'orchestrator'} & set(sys.modules)\n"
        "assert not bad, bad\n"
        "import analysis.report.page\n"
        "bad = {'torch', 'ray', 'trainable', 'orchestrator'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_20_000_trials_load_fast(tmp_path: Path, synthetic: ModuleType) -> None:
    for part in range(100):
        cell = f"c{part:03d}"
        rows = [
            row(synthetic, cell=cell) | {"trial_id": f"{cell}-r0-{i:03d}", "val_biased": i / 200} for i in range(200)
        ]
        synthetic.write_part(tmp_path, "trials", cell, rows, (0, "d", 1))
    start = time.perf_counter()
    assert len(analysis.load(tmp_path)) == 20_000
    assert time.perf_counter() - start < 5


def test_a_zip_file_of_two_sweeps_is_refused(sweep_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for name in ("one", "another"):
            archive.write(sweep_dir / "sweep.yaml", f"results/{name}/sweep.yaml")
    with pytest.raises(InputError, match=r"both\.zip holds 2: unpack it"):
        analysis.load(tmp_path / "both.zip")


def test_a_folder_whose_name_is_no_text(sweep_dir: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(sweep_dir, tmp_path / os.fsdecode(b"caf\xe9")))
    assert analysis.load(place)["directory"].unique().tolist() == [f"{tmp_path}/caf\\xe9"]
    assert analysis.write_report(place).exists()

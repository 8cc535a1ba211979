"""The sweep files that ship: each is valid, and those whose data ship too can be planned."""

from __future__ import annotations

from pathlib import Path

import pytest

import sweeps
from orchestrator.plan import make_plan
from orchestrator.sheet import sweep_sheet
from orchestrator.sweep_file import read_config
from trainable.errors import InputError

FILES = sorted(Path(sweeps.__path__[0]).glob("*.yaml"))
SMALL = [
    "dataset.patients=30",
    "dataset.slices=2",
    "dataset.image_size=32",
    "dataset.name=brain_phantom",
    "network={name: small_cnn}",
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_valid_and_named_after_its_file(path: Path) -> None:
    assert read_config(path).name == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_can_be_planned(path: Path) -> None:
    mri = "brain" in path.stem or "seed" in path.stem
    plan = make_plan(read_config(path, SMALL if mri else []))
    sheet = sweep_sheet(plan)
    assert len({cell.id for cell in plan.cells}) == len(plan.cells)
    assert set(sheet["dataset_info"]["sizes"]["test"]) == set(plan.dataset.classes)


def test_the_sizes_count_images_and_patients() -> None:
    plan = make_plan(read_config(Path(sweeps.__path__[0]) / "brain_phantom.yaml", SMALL))
    sizes = sweep_sheet(plan)["dataset_info"]["sizes"]
    counts = [sizes[part]["glioma"] for part in ("train", "val", "test")]
    assert [entry["patients"] for entry in counts] == [7, 1, 2]
    assert [entry["images"] for entry in counts] == [14, 2, 4]


def test_the_sizes_are_counted_in_each_fold() -> None:
    overrides = [*SMALL, "dataset.patients=33", "dataset.folds=all"]
    plan = make_plan(read_config(Path(sweeps.__path__[0]) / "brain_phantom.yaml", overrides))
    info = sweep_sheet(plan)["dataset_info"]
    assert not {"sizes", "n_train", "n_val", "n_test"} & info.keys(), "one fold's sizes must not pass for all"
    assert list(info["sizes_by_fold"]) == ["0", "1", "2", "3", "4"]
    for fold, sizes in info["sizes_by_fold"].items():
        labels = plan.dataset.labels()[plan.dataset.split(0, int(fold)).test]
        for k, name in enumerate(plan.dataset.classes):
            assert sizes["test"][name]["images"] == (labels == k).sum() == 2 * sizes["test"][name]["patients"]
    of_test = [sizes["test"]["glioma"]["patients"] for sizes in info["sizes_by_fold"].values()]
    assert sum(of_test) == 11 and len(set(of_test)) > 1


def test_a_rule_that_is_null_in_a_cell_is_refused_before_the_start() -> None:
    config = read_config(
        Path(sweeps.__path__[0]) / "brain_phantom.yaml", [*SMALL, "confirm.rules=[val_counterfactual, val_reweighted]"]
    )
    with pytest.raises(InputError, match=r"'val_reweighted' cannot be computed on brain_phantom in cell .*rho1-gamma0"):
        make_plan(config)

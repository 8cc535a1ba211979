"""The sweep files that ship: each is valid, and those whose data ship too can be planned."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import sweeps
from orchestrator.commands import run as commands
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import load_yaml, read_config, validate
from orchestrator.directory.sheet import sweep_sheet
from orchestrator.plan.plan import make_plan
from store.errors import InputError
from trainable.data.samples import sample_index
from trainable.methods.base import METHODS, Range, Stage, register_method
from trainable.methods.erm import erm

FILES = sorted(Path(sweeps.__path__[0]).glob("*.yaml"))
SMALL = [
    "dataset.patients=30",
    "dataset.slices=2",
    "dataset.image_size=32",
    "dataset.name=brain_phantom",
    "network={name: small_cnn}",
]
DIVIDED = ["dataset.test_patients=null", "dataset.test_slices=null", "dataset.val_patients=null"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_valid_and_named_after_its_file(path: Path) -> None:
    assert read_config(path).name == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_editor_finds_nothing_wrong_with_it(path: Path) -> None:
    checked = Draft202012Validator(SweepConfig.model_json_schema())
    assert list(checked.iter_errors(load_yaml(path.read_text()))) == []


def test_the_schema_takes_the_short_forms_and_no_unknown_key() -> None:
    checked = Draft202012Validator(SweepConfig.model_json_schema())
    short = {"dataset": {"name": "brain_phantom", "bias": {"rho": 1}}, "network": "small_cnn", "methods": ["erm"]}
    assert list(checked.iter_errors(short)) == [] and validate(short)
    for label, fits in (("l" * 60, True), ("l" * 61, False), ("a b", False)):
        labelled = {**short, "methods": [{"name": "erm", "label": label}]}
        assert checked.is_valid(labelled) == fits
    wrong = {**short, "methods": [], "serch": {}}
    assert sorted(error.message for error in checked.iter_errors(wrong)) == [
        "Additional properties are not allowed ('serch' was unexpected)",
        "[] should be non-empty",
    ]


def test_a_smoke_run_trains_what_the_methods_are_about() -> None:
    config = commands._smoke(read_config(Path(sweeps.__path__[0]) / "coloured_digits_paper.yaml"))
    pretraining = [method.fixed["pretrain_epochs"] for method in config.methods if "pretrain_epochs" in method.fixed]
    assert config.training.epochs == 1 and pretraining == [0, 0]


def test_a_smoke_run_has_an_epoch_for_each_stage() -> None:
    stages = (Stage("first", epochs="T"), Stage("second", epochs=2), Stage("third"))
    space = {"T": Range(1, 9, integer=True)}
    try:
        register_method("staged", long_name="Staged", reference="none", space=space, defaults={"T": 3}, stages=stages)(
            erm
        )
        dataset = {"name": "coloured_digits", "bias": {"color_variance": 0.1}}
        config = commands._smoke(validate({"dataset": dataset, "methods": ["erm", "staged"]}))
        assert config.training.epochs == 4 and config.methods[1].fixed == {"T": 1}
        make_plan(config)
    finally:
        METHODS.entries.pop("staged", None)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_can_be_planned(path: Path) -> None:
    mri = "brain" in path.stem or "seed" in path.stem
    plan = make_plan(read_config(path, SMALL if mri else []))
    sheet = sweep_sheet(plan)
    assert len({cell.id for cell in plan.cells}) == len(plan.cells)
    assert set(sheet["dataset_info"]["sizes"]["test"]) == set(plan.dataset.classes)


@pytest.mark.parametrize("name", ["brain_phantom", "brain_phantom_study", "coloured_digits"])
def test_every_method_searches_a_learning_rate_among_as_many_candidates(name: str) -> None:
    tree = load_yaml((Path(sweeps.__path__[0]) / f"{name}.yaml").read_text())
    methods = {entry["name"]: entry for entry in tree["methods"]}
    assert methods.pop("permuted_bias")["like"] == "lnl"
    weights = {"lnl": {"lambda_", "mu"}, "grl": {"mu"}, "blind_eye": {"lambda_"}}
    for method, entry in methods.items():
        heads = weights[method] | {"lr_bias"} if method in weights else set()
        assert set(entry["space"]) == {"lr", *heads}
        for low, high in (entry["space"][rate]["log"] for rate in {"lr", *heads}):
            assert high >= 10 * low
        assert entry["space"]["lr"] == methods["erm"]["space"]["lr"]
        assert set(entry["fixed"]) <= {"weight_decay", "repaint_share"}
    assert tree["primary"]["at"] == "strongest" and tree["primary"]["margin"] == 0.05


def test_the_demo_tests_on_many_patients_and_asks_the_rivals_at_full_bias() -> None:
    tree = load_yaml((Path(sweeps.__path__[0]) / "brain_phantom.yaml").read_text())
    data = tree["dataset"]
    assert (data["test_patients"], data["test_slices"], tree["seed"], tree["search"]["trials"]) == (198, 2, 0, 6)
    narrow = {entry["name"] for entry in tree["methods"] if entry.get("bias") == [{"rho": 1}]}
    assert narrow == {"grl", "repaint", "permuted_bias"}


def test_the_sizes_count_images_and_patients() -> None:
    plan = make_plan(read_config(Path(sweeps.__path__[0]) / "brain_phantom.yaml", [*SMALL, *DIVIDED]))
    sizes = sweep_sheet(plan)["dataset_info"]["sizes"]
    counts = [sizes[part]["glioma"] for part in ("train", "val", "test")]
    assert [entry["patients"] for entry in counts] == [7, 1, 2]
    assert [entry["images"] for entry in counts] == [14, 2, 4]


def test_the_sizes_count_patients_that_were_drawn_for_a_part() -> None:
    more = ["dataset.test_patients=9", "dataset.test_slices=1", "dataset.val_patients=6"]
    plan = make_plan(read_config(Path(sweeps.__path__[0]) / "brain_phantom.yaml", [*SMALL, *more]))
    info = sweep_sheet(plan)["dataset_info"]
    counts = [info["sizes"][part]["glioma"] for part in ("train", "val", "test")]
    assert [(entry["patients"], entry["images"]) for entry in counts] == [(10, 20), (2, 4), (3, 3)]
    assert (info["n_images"], info["n_test"]) == (60 + 12 + 9, 9)
    assert set(sample_index(plan.dataset)) <= set(range(60)), "pictures show training patients"


def test_the_sizes_are_counted_in_each_fold() -> None:
    overrides = [*SMALL, *DIVIDED, "dataset.patients=33", "dataset.folds=all"]
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

"""May a directory's sweep go on? What is allowed to differ, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import validate
from orchestrator.directory.sheet import configuration_of, sweep_sheet
from orchestrator.plan.continuation import changed_numbers, check_config, check_provenance
from orchestrator.plan.plan import Plan
from store.errors import InputError
from store.sheet.declaration import parts_of
from tests.orchestrator.support import sweep_config

OLD = {
    "data_checksum": "d1",
    "numerics": 1,
    "method_checksums": {"erm": "e1", "lnl": "l1"},
    "dataset_checksum": "s1",
    "network_checksum": "n1",
    "weights_checksum": "w1",
    "lnl_sweep_version": "0.1.0",
    "torch_version": "2.14.1",
    "python_version": "3.11.7",
}


def tree(config: SweepConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", by_alias=True)


def changed(**changes: Any) -> dict[str, tuple[Any, Any]]:
    return check_config(tree(sweep_config()), sweep_config(**changes), "DIR")


def test_the_same_configuration_goes_on() -> None:
    assert changed() == {}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"confirm": {"seeds": 5}}, "confirm.seeds"),
        ({"confirm": {"seeds": 2, "rules": ["val_biased"]}}, "confirm.rules"),
        ({"search": {"trials": 9}}, "search.trials"),
        ({"dataset": {"name": "fake", "bias": {"rho": [0.0, 1.0]}}}, "dataset.bias.rho"),
        (
            {"dataset": {"name": "fake", "bias": {"rho": [0.0, 0.5, 1.0]}, "share_images": True}},
            "dataset.share_images",
        ),
        ({"methods": ["erm", "lnl", "grl"]}, "methods"),
        ({"methods": ["erm"]}, "methods"),
        ({"methods": ["erm", {"name": "lnl", "resources": {"gpu": "1/2"}}]}, "methods"),
        ({"methods": ["erm", {"name": "lnl", "resources": {"cpu": 1}}]}, "methods"),  # that of the sweep
        ({"limits": {"max_hours": 2}}, "limits.max_hours"),
        ({"resources": {"gpu": "1/2"}}, "resources.gpu"),
        ({"primary": {"compare": ["lnl", "erm"]}}, "primary.compare"),
        ({"name": "renamed"}, "name"),
    ],
)
def test_what_adds_to_a_sweep_or_changes_no_trial_may_differ(changes: dict[str, Any], key: str) -> None:
    assert key in changed(**changes)


def test_old_and_new_value_are_reported() -> None:
    assert changed(confirm={"seeds": 5}) == {"confirm.seeds": (2, 5)}


@pytest.mark.parametrize(
    ("changes", "key", "was"),
    [
        ({"training": {"epochs": 3}}, "training.epochs", "2"),
        ({"training": {"epochs": 2, "batch_size": 64}}, "training.batch_size", "128"),
        ({"training": {"epochs": 2, "clip_norm": None}}, "training.clip_norm", "1.0"),
        ({"seed": 1}, "seed", "0"),
        ({"metric": "auroc"}, "metric", "'accuracy'"),
        ({"network": "resnet18"}, "network.name", "'pixel_front'"),
        ({"network": {"name": "pixel_front", "width": 3}}, "network.width", "None"),
        ({"dataset": {"name": "fake", "bias": {"rho": [0.0, 0.5, 1.0]}, "image_size": 28}}, "dataset.image_size", ""),
        ({"search": {"trials": 5, "sampler": "random"}}, "search.sampler", "'qmc'"),
        ({"search": {"trials": 5, "rule": "val_biased"}}, "search.rule", "'val_counterfactual'"),
        ({"search": {"trials": 5, "early_stopping": {"min_epochs": 1}}}, "search.early_stopping", "'off'"),
        ({"resources": {"cpu": 2}}, "resources.cpu", "1"),
    ],
)
def test_what_would_make_rows_incomparable_is_refused_by_name(changes: dict[str, Any], key: str, was: str) -> None:
    with pytest.raises(InputError) as caught:
        changed(**changes)
    assert key in str(caught.value) and was in str(caught.value) and "--out" in str(caught.value)


@pytest.mark.parametrize(
    "method",
    [
        {"name": "lnl", "fixed": {"mu": 1}},
        {"name": "lnl", "space": {"mu": {"log": [0.1, 1]}}},
        {"name": "grl", "label": "lnl"},
        {"name": "lnl", "resources": {"cpu": 2}},
        {"name": "lnl", "label": "lnl", "draw": "balanced"},
    ],
)
def test_a_label_stays_with_its_method_and_settings(method: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="'lnl' with other settings"):
        changed(methods=["erm", method])


def test_a_key_that_a_later_version_added_is_no_change() -> None:
    old = tree(sweep_config())
    old["methods"] = [{key: value for key, value in method.items() if key != "resources"} for method in old["methods"]]
    assert check_config(old, sweep_config(), "DIR") == {}


def test_a_natural_draw_is_what_an_older_sheet_means() -> None:
    old = tree(sweep_config())
    old["methods"] = [{key: value for key, value in method.items() if key != "draw"} for method in old["methods"]]
    now = sweep_config(methods=[{"name": "erm", "draw": "natural"}, "lnl"])
    assert check_config(old, now, "DIR") == {} and parts_of(old) == parts_of(tree(now))


def test_a_new_variant_under_a_label_of_its_own_may_be_added() -> None:
    assert "methods" in changed(methods=["erm", "lnl", {"name": "lnl", "label": "lnl-2", "fixed": {"mu": 1}}])


class TestProvenance:
    def check(self, mix: bool = False, **changes: Any) -> list[str]:
        return check_provenance(OLD, {**OLD, **changes}, mix, "DIR")

    def test_nothing_changed(self) -> None:
        assert self.check() == []

    @pytest.mark.parametrize("mix", [False, True])
    def test_changed_data_are_always_refused(self, mix: bool) -> None:
        with pytest.raises(InputError, match=r"the data have changed .*d1.*d2"):
            self.check(mix, data_checksum="d2")

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"numerics": 2}, "numerics 1 -> 2"),
            ({"method_checksums": {"erm": "e1", "lnl": "l2"}}, "method lnl"),
            ({"dataset_checksum": "s2"}, "source of the data set"),
            ({"network_checksum": "n2"}, "source of the network"),
            ({"weights_checksum": "w2"}, "weights file"),
            ({"weights_checksum": None}, "weights file"),
        ],
    )
    def test_changed_numbers_are_refused_unless_accepted(self, changes: dict[str, Any], named: str) -> None:
        with pytest.raises(InputError, match=f"{named}.*--mix-versions"):
            self.check(**changes)
        assert any(named in line for line in self.check(True, **changes))

    def test_the_sheet_of_an_older_version_says_nothing_of_its_network(self) -> None:
        old = {key: value for key, value in OLD.items() if not key.startswith(("dataset", "network", "weights"))}
        assert check_provenance(old, {**OLD, "torchvision_version": "0.29.1"}, False, "DIR") == []
        assert changed_numbers(old, OLD) == {}

    def test_both_are_named_at_once(self) -> None:
        with pytest.raises(InputError, match="numerics 1 -> 2 and the source of method erm"):
            self.check(numerics=2, method_checksums={"erm": "e2", "lnl": "l1"})

    def test_what_was_accepted_is_noted_by_its_key(self) -> None:
        new = {**OLD, "numerics": 2, "method_checksums": {"erm": "e1", "lnl": "l2", "grl": "g1"}}
        assert changed_numbers(OLD, new) == {"numerics": (1, 2), "method_checksums.lnl": ("l1", "l2")}
        assert changed_numbers(OLD, OLD) == {}

    def test_another_version_is_named_and_goes_on(self) -> None:
        assert self.check(torch_version="3.0") == ["torch_version 2.14.1 -> 3.0"]

    def test_a_method_that_is_new_or_gone_is_no_change(self) -> None:
        assert self.check(method_checksums={"erm": "e1", "grl": "g1"}) == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training": {"epochs": 20, "clip_norm": None}, "limits": {"max_hours": 1}},
        {"methods": ["erm", {"name": "lnl", "space": {"mu": {"choice": [1, 2]}, "lr": {"log": [1e-3, 1e-2]}}}]},
        {"primary": {"compare": ["lnl", "erm"]}, "search": {"trials": 30, "early_stopping": {"min_epochs": 1}}},
        {"network": {"name": "pixel_front", "weights": None}},
        {"confirm": {"seeds": 3, "rules": ["val_biased", {"rule": "val_unbiased", "seeds": 1}]}},
    ],
)
def test_what_sweep_yaml_says_is_what_was_run(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from trainable.data.base import load_dataset

    dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.4]}}
    config = sweep_config(**{"dataset": dataset, **changes})
    sheet = sweep_sheet(Plan(config, load_dataset("coloured_digits"), []))
    read = configuration_of(yaml.safe_load(yaml.safe_dump(sheet)))
    assert read == tree(config)
    assert check_config(read, config, "DIR") == {}


def test_the_sheet_of_a_sweep_is_a_sweep_file_that_repeats_it(tmp_path: Path) -> None:
    from orchestrator.config.sweep_file import read_config
    from orchestrator.plan.plan import make_plan
    from store.sealed import seal_sheet

    tree = {
        "name": "one",
        "dataset": {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.4]}},
        "methods": ["erm", {"name": "lnl", "fixed": {"lr": 2e-2}}],
        "training": {"epochs": 2},
    }
    plan = make_plan(validate(tree))
    path = tmp_path / "sweep.yaml"
    path.write_bytes(seal_sheet(yaml.safe_dump(sweep_sheet(plan), sort_keys=False), "0123456789abcdef"))
    again = make_plan(read_config(path))
    assert again.config == plan.config and again.cells == plan.cells
    # What is to be different is set on the way.
    assert read_config(path, ["training.epochs=3"]).training.epochs == 3
    # A file that only has such a key is a mistake.
    path.write_text(yaml.safe_dump({**tree, "provenance": "home-made"}))
    with pytest.raises(InputError, match="unknown key 'provenance'"):
        read_config(path)


def test_a_weights_file_is_named_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers run in directories of their own, and a resume in any."""
    from orchestrator.plan import plan as plan_module
    from trainable.trial.provenance import weights_checksum

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan_module, "_check_network", lambda plan: None)
    (tmp_path / "weights.pt").write_bytes(b"weights")
    tree = {
        "dataset": {"name": "coloured_digits", "bias": {"color_variance": 0.02}},
        "network": {"name": "resnet18", "split_at": "layer2", "weights": "weights.pt"},
        "methods": ["erm"],
    }
    plan = plan_module.make_plan(validate(tree))
    options = {"split_at": "layer2", "weights": str(tmp_path / "weights.pt")}
    assert (plan.config.network.name, plan.config.network.options) == ("resnet18", options)
    sheet = sweep_sheet(plan)
    assert sheet["provenance"]["weights_checksum"] == weights_checksum("resnet18", options) is not None
    # What is refused is another file, wherever the sweep is resumed from.
    monkeypatch.chdir("/")
    assert check_config(configuration_of(sheet), plan_module.make_plan(plan.config).config, "DIR") == {}
    (tmp_path / "weights.pt").write_bytes(b"others!")
    again = sweep_sheet(plan_module.make_plan(plan.config))
    with pytest.raises(InputError, match="the network's weights file changed"):
        check_provenance(sheet["provenance"], again["provenance"], False, "DIR")

"""The sweep file: what is read, what ``--set`` changes, and what is refused with the nearest known name."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import apply_override, load_yaml, parse_config, validate
from store.errors import InputError

TEXT = """
dataset: {name: coloured_digits, bias: {color_variance: [0.02, 0.4]}}
methods: [erm, {name: lnl, label: mine, fixed: {mu: 1}}]
search: {trials: 4}
"""


def parsed(*overrides: str) -> SweepConfig:
    return parse_config(TEXT, list(overrides))


def refusal(*overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        parsed(*overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1e-3", "1.e-3", ".1e-2"])
def test_a_number_in_exponent_notation_is_a_number(text: str) -> None:
    assert load_yaml(text) == 1e-3
    assert isinstance(load_yaml(text), float)


@pytest.mark.parametrize("text", ["e3", "1e", "1e-", "lr1e-3"])
def test_what_only_looks_like_an_exponent_stays_text(text: str) -> None:
    assert load_yaml(text) == text


def test_a_range_in_exponent_notation_reaches_the_space() -> None:
    config = parsed("methods.erm.space={lr: {log: [1e-4, 1e-1]}}")
    assert config.methods[0].space["lr"].log == (1e-4, 1e-1)


def test_an_override_of_a_dotted_key() -> None:
    config = parsed("search.trials=7", "training.epochs=3", "confirm.rules=[val_biased]")
    assert (config.search.trials, config.training.epochs, config.confirm.rules) == (7, 3, ["val_biased"])


def test_overrides_apply_in_order() -> None:
    assert parsed("search.trials=7", "search.trials=9").search.trials == 9


def test_a_method_is_addressed_by_its_label() -> None:
    assert parsed("methods.mine.fixed.mu=3").methods[1].fixed == {"mu": 3}


def test_a_method_given_by_its_name_alone_is_addressed_by_it() -> None:
    assert parsed("methods.erm.fixed.lr=1e-2").methods[0].fixed == {"lr": 1e-2}


def test_a_list_entry_is_addressed_by_its_position() -> None:
    assert parsed("dataset.bias.color_variance.1=0.1").dataset.bias == {"color_variance": [0.02, 0.1]}


def test_an_unknown_list_entry_is_named_with_those_there_are() -> None:
    message = refusal("methods.grl.fixed.mu=1")
    assert "'grl'" in message and "erm" in message and "mine" in message


@pytest.mark.parametrize("override", ["search.trials", "=3", ""])
def test_an_override_without_key_and_value_is_refused(override: str) -> None:
    assert f"'{override}'" in refusal(override)


def test_an_override_through_a_number_is_refused() -> None:
    assert "'1' lies below a single value" in refusal("dataset.bias.color_variance.0.1=1")


def test_an_override_adds_a_section_that_the_file_lacks() -> None:
    assert parsed("limits.max_hours=2").limits.max_hours == 2


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("serch={trials: 3}", "search"),
        ("search.trails=3", "trials"),
        ("training.epoch_s=3", "epochs"),
        ("search.early_stopping={min_epoch: 3}", "min_epochs"),
        ("methods.erm.spaces={}", "space"),
        ("methods.erm.space={lr: {lgo: [1, 2]}}", "log"),
        ("confirm.rules=[{rule: val_biased, seed: 3}]", "seeds"),
    ],
)
def test_an_unknown_key_names_the_nearest(override: str, nearest: str) -> None:
    assert f"did you mean '{nearest}'?" in refusal(override)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("search.trials=0", "search.trials", "0"),
        ("search.trials=many", "search.trials", "'many'"),
        ("training.ramp=1.5", "training.ramp", "1.5"),
        ("metric=f1", "metric", "'f1'"),
        ("search.sampler=cmaes", "search.sampler", "'cmaes'"),
        ("dataset.bias.color_variance=lots", "dataset.bias", "'lots'"),
        ("search.early_stopping=sometimes", "search.early_stopping", "'sometimes'"),
        ("search.early_stopping={min_epochs: 0}", "search.early_stopping.min_epochs", "0"),
        ("confirm.rules=[val_best]", "confirm.rules", "'val_best'"),
        ("confirm.rules=[{rule: val_biased, seeds: 0}]", "confirm.rules.0.seeds", "0"),
        ("resources.gpu=0.5", "resources.gpu", "0.5"),
        ("methods.erm.space={lr: {log: [1]}}", "methods.0.space.lr.log", ""),
        ("methods.erm.space={lr: {log: [1, 2], uniform: [1, 2]}}", "methods.0.space.lr", "uniform"),
        ("methods.erm.label=a/b", "methods.0.label", "'a/b'"),
        ("name=../elsewhere", "name", "'../elsewhere'"),
    ],
)
def test_a_bad_value_is_named_with_its_key(override: str, key: str, value: str) -> None:
    message = refusal(override)
    assert key in message and value in message
    assert not any(word in message for word in ("SearchConfig", "RuleSeeds", "EarlyStopping", "function-", "literal["))


def test_a_missing_key_is_named() -> None:
    with pytest.raises(InputError, match="the key 'methods' is missing"):
        parse_config("dataset: {name: coloured_digits, bias: {color_variance: 0.1}}")


@pytest.mark.parametrize("text", ["", "- a\n- b", "just words", "3"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="must hold a mapping"):
        parse_config(text)


def test_broken_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(InputError, match="at line 2"):
        parse_config("a: 1\nb: }")


def test_a_single_bias_value_is_a_list_of_one() -> None:
    assert validate({"dataset": {"name": "x", "bias": {"rho": 1}}, "methods": ["erm"]}).dataset.bias == {"rho": [1.0]}


@pytest.mark.parametrize("bias", [{}, [], {"rho": []}])
def test_a_sweep_needs_a_bias_value(bias: Any) -> None:
    with pytest.raises(InputError, match="at least one bias value"):
        validate({"dataset": {"name": "x", "bias": bias}, "methods": ["erm"]})


def test_yaml_reads_off_as_false_and_it_means_off() -> None:
    assert load_yaml("off") is False
    assert parsed("search.early_stopping=off").search.early_stopping == "off"


def test_a_rule_may_have_seeds_of_its_own() -> None:
    config = parsed("confirm.seeds=5", "confirm.rules=[val_counterfactual, {rule: val_biased, seeds: 3}]")
    assert config.confirm.seeds_of() == {"val_counterfactual": 5, "val_biased": 3}


def test_two_methods_of_one_label_are_refused() -> None:
    assert "'erm' stands twice" in refusal("methods=[erm, erm]")


def test_a_label_tells_two_variants_of_one_method_apart() -> None:
    config = parsed("methods=[erm, {name: erm, label: erm-2}]")
    assert [method.label for method in config.methods] == ["", "erm-2"]


def test_the_primary_comparison_names_methods_of_the_sweep() -> None:
    assert parsed("primary={compare: [mine, erm]}").primary is not None
    assert "'grl'" in refusal("primary={compare: [grl, erm]}")


@pytest.mark.parametrize(
    ("gpu", "on_cpus", "on_two_gpus"), [("auto", 0.0, 1.0), ("1/4", 0.25, 0.25), (0, 0.0, 0.0), (2, 2.0, 2.0)]
)
def test_the_share_of_a_gpu(gpu: Any, on_cpus: float, on_two_gpus: float) -> None:
    resources = parsed(f"resources.gpu={gpu}").resources
    assert (resources.gpu_share(0), resources.gpu_share(2)) == (on_cpus, on_two_gpus)


@pytest.mark.parametrize("gpu", ["2/3", "1/0", "-1", "true", "1/4.5", "half"])
def test_a_share_that_cannot_fill_a_gpu_is_refused(gpu: str) -> None:
    assert "1/k" in refusal(f"resources.gpu={gpu}")


def test_a_written_configuration_reads_back_the_same() -> None:
    config = parsed(
        "training.clip_norm=null",
        "search.early_stopping={min_epochs: 3}",
        "methods.erm.space={lr: {choice: [0.1, 0.01]}}",
        "confirm.rules=[{rule: val_biased, seeds: 3}]",
    )
    assert validate(config.model_dump(mode="json", by_alias=True)) == config


def test_apply_override_leaves_other_keys_alone() -> None:
    tree = {"a": {"b": 1, "c": 2}}
    apply_override(tree, "a.b=3")
    assert tree == {"a": {"b": 3, "c": 2}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("methods: [lnl]\n", "the key 'methods' stands twice, first in line 3"),
        ("training: {epochs: 3, epochs: 4}", "the key 'training.epochs' stands twice"),
        ("limits:\n  max_hours: 1\n  max_hours: 2", "the key 'limits.max_hours' stands twice"),
        ("limits: {max_hours: 1:30}", "limits.max_hours: 1:30"),
        ("training: {epochs: 010}", "training.epochs: 010"),
        ("training: {epochs: 0b11}", "training.epochs: 0b11"),
        ("confirm: {rules: [{rule: val_biased, seeds: 07}]}", "confirm.rules.0.seeds: 07"),
    ],
)
def test_what_two_versions_of_yaml_read_differently_is_refused_with_its_line(text: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_config(TEXT + text)
    assert named in str(caught.value) and " at line " in str(caught.value) and "\n" not in str(caught.value)


def test_a_merge_key_may_be_overwritten() -> None:
    text = "a: &a {epochs: 3, ramp: 0.5}\nb: {<<: *a, epochs: 4}"
    assert load_yaml(text)["b"] == {"epochs": 4, "ramp": 0.5}


def test_plain_numbers_dates_and_texts_are_read() -> None:
    assert load_yaml('[0, 0.5, -1, 1_000, 0x10, "010", "1:30", 10:00 h]') == [
        *(0, 0.5, -1, 1000, 16),
        *("010", "1:30", "10:00 h"),
    ]


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("search.trials=true", "search.trials"),
        ("training.ramp=off", "training.ramp"),
        ("limits.max_hours=yes", "limits.max_hours"),
        ("dataset.bias.color_variance=on", "dataset.bias"),
        ("dataset.bias.color_variance=[0.02, on]", "dataset.bias"),
        ("methods.erm.space={lr: {log: [1e-3, true]}}", "methods.0.space.lr.log"),
        ("resources.cpu=true", "resources.cpu"),
    ],
)
def test_a_truth_value_is_no_number(override: str, key: str) -> None:
    message = refusal(override)
    assert key in message and "must be a number" in message


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("Methods=[erm]", "unknown key 'Methods': did you mean 'methods'?"),
        ("Seed=3", "unknown key 'Seed': did you mean 'seed'?"),
        ("T_max=3", "unknown key 'T_max': known here: "),
        ("training={Epochs: 3}", "unknown key 'training.Epochs': did you mean 'epochs'?"),
        ("epochs=3", "unknown key 'epochs': did you mean 'training.epochs'?"),
        ("search.early_stopping={Reduction: 3}", "unknown key 'search.early_stopping.Reduction': did you mean"),
        ("methods.erm.Space={}", "unknown key 'methods.0.Space': did you mean 'space'?"),
    ],
)
def test_an_unknown_key_of_any_case_is_named(override: str, named: str) -> None:
    assert named in refusal(override)

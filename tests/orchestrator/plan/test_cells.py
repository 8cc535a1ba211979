"""The grid: bias points, ids, spaces, anchors, and the defaults that depend on the data set."""

from __future__ import annotations

import re
from typing import Any

import pytest

from orchestrator.config.sweep_config import EarlyStopping
from orchestrator.config.sweep_file import validate
from orchestrator.plan.cells import bias_axis, bias_points
from orchestrator.plan.identity import trial_spec
from orchestrator.plan.plan import make_plan
from orchestrator.plan.space import default_in
from store.columns import arrow_schema
from store.errors import InputError
from tests.orchestrator.support import FakeData, sweep_cells, sweep_config
from trainable.api import make_spec
from trainable.data.base import Axis
from trainable.methods.base import Choices, Range, get_method, list_methods
from trainable.networks.base import default_network
from trainable.spec import TrialSpec
from trainable.trial.outcome import spec_row


def grid(bias: Any) -> dict[str, Any]:
    return {"dataset": {"name": "fake", "bias": bias}}


def only_cell(method: Any, **search: Any) -> Any:
    given = {"methods": [method], "search": {"trials": 4, **search}, "training": {"epochs": 8}}
    (cell,) = sweep_cells(sweep_config(**grid({"rho": [1.0]}), **given))
    return cell


def test_several_bias_parameters_are_a_product() -> None:
    config = sweep_config(**grid({"rho": [0, 1], "gamma": [0, 0.5]}))
    points = [tuple(point.values()) for point in bias_points(config, FakeData())]
    assert points == [(0, 0), (0, 0.5), (1, 0), (1, 0.5)]


def test_a_list_of_maps_is_exactly_those_points() -> None:
    config = sweep_config(**grid([{"rho": 0.2}, {"rho": 0.9, "gamma": 0.9}]))
    assert bias_points(config, FakeData()) == [{"rho": 0.2, "gamma": 0.0}, {"rho": 0.9, "gamma": 0.9}]


@pytest.mark.parametrize(
    ("bias", "axis"),
    [({"rho": [0, 1]}, "rho"), ({"rho": [1], "gamma": [0, 1]}, "gamma"), ({"gamma": [1], "rho": [1]}, "rho")],
)
def test_the_axis_is_the_first_declared_parameter_that_varies(bias: Any, axis: str) -> None:
    config = sweep_config(**grid(bias))
    assert bias_axis(bias_points(config, FakeData()), FakeData()) == axis
    assert {cell.bias_axis for cell in sweep_cells(config)} == {axis}


def test_every_bias_parameter_may_vary_and_has_a_column() -> None:
    data = FakeData(axes=(Axis("rho", "rho", 0.0, 1.0, "larger", 0.0), Axis("size", "size", 0, 9, "larger", 0.0, 1.0)))
    assert {cell.bias_axis for cell in sweep_cells(sweep_config(data, **grid({"rho": 1, "size": [2, 3]})), data)} == {
        "size"
    }
    both = sweep_cells(sweep_config(data, **grid({"rho": [0, 1], "size": [2, 3]})), data)
    assert {(cell.bias["rho"], cell.bias["size"]) for cell in both} == {(0, 2), (0, 3), (1, 2), (1, 3)}
    row = spec_row(trial_spec(sweep_config(data), both[0], "search", "t", {"lr": 1e-3}, 0), "failed")
    assert (row["bias_rho"], row["bias_size"]) == (0.0, 2.0) and arrow_schema("trials", row)


def test_a_bias_parameter_whose_column_is_taken_is_refused() -> None:
    data = FakeData(axes=(Axis("rho", "rho", 0.0, 1.0, "larger", 0.0), Axis("value", "v", 0, 9, "larger", 0.0, 1.0)))
    with pytest.raises(InputError, match=r"fake has one called value, and bias_value is a column of every trial"):
        sweep_cells(sweep_config(data, **grid({"rho": [0, 1]})), data)


@pytest.mark.parametrize("name", ["seed", "mu", "rules"])
def test_a_bias_parameter_whose_bare_name_is_taken_is_refused(name: str) -> None:
    data = FakeData(axes=(Axis("rho", "rho", 0.0, 1.0, "larger", 0.0), Axis(name, "v", 0, 9, "larger", 0.0, 1.0)))
    with pytest.raises(InputError, match=rf"fake has one called {name}, which is a column of every trial: give it"):
        sweep_cells(sweep_config(data, **grid({"rho": [0, 1]})), data)


def test_ids_are_unique_and_usable_as_file_names() -> None:
    config = sweep_config(
        **grid({"rho": [0, 1e-7, 0.1, 1 / 3, 1], "gamma": [0, 1]}), methods=["erm", {"name": "erm", "label": "b.c_d"}]
    )
    ids = [cell.id for cell in sweep_cells(config)]
    assert len(set(ids)) == len(ids) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in ids)


def test_values_that_differ_by_little_are_different_cells() -> None:
    ids = [cell.id for cell in sweep_cells(sweep_config(**grid({"rho": [0.1234567, 0.1234568]}), methods=["erm"]))]
    assert len(set(ids)) == 2


def test_a_bias_value_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="stands twice"):
        sweep_cells(sweep_config(**grid({"rho": [0.5, 0.5]})))


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.1, float("inf")])
def test_a_bias_value_outside_its_range_is_refused(value: float) -> None:
    with pytest.raises(InputError, match=re.escape(str(value))):
        sweep_cells(sweep_config(**grid({"rho": [value]})))


def test_an_unknown_bias_parameter_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'gamma'"):
        sweep_cells(sweep_config(**grid({"rho": [1], "gama": [1]})))


@pytest.mark.parametrize("name", ["lr", "weight_decay"])
def test_every_method_searches_the_common_hyperparameters_over_the_same_range(name: str) -> None:
    ranges = {method: get_method(method).space[name] for method in list_methods()}
    assert len(ranges) >= 5 and len(set(ranges.values())) == 1


def test_every_method_gets_the_same_number_of_trials() -> None:
    cells = sweep_cells(sweep_config(methods=list_methods(), search={"trials": 6}, training={"epochs": 8}))
    assert {cell.trials for cell in cells} == {6}


def test_a_method_with_nothing_to_search_has_one_trial() -> None:
    cell = only_cell({"name": "erm", "fixed": {"lr": 1e-2, "weight_decay": 0}})
    assert (cell.trials, dict(cell.space), cell.anchor) == (1, {}, None)


def test_a_fixed_hyperparameter_is_not_searched() -> None:
    cell = only_cell({"name": "lnl", "fixed": {"mu": 1}})
    assert "mu" not in cell.space and cell.fixed["mu"] == 1


def test_a_space_of_ones_own_replaces_the_methods_range() -> None:
    cell = only_cell({"name": "lnl", "space": {"lambda_": {"uniform": [0, 2]}, "pretrain_epochs": {"int": [0, 1]}}})
    assert cell.space["lambda_"] == Range(0, 2)
    assert cell.space["pretrain_epochs"] == Range(0, 1, integer=True)


def test_every_hyperparameter_is_searched_or_fixed() -> None:
    for method in list_methods():
        cell = only_cell(method)
        assert set(cell.space) | set(cell.fixed) == set(get_method(method).defaults)
        assert not set(cell.space) & set(cell.fixed)


@pytest.mark.parametrize(
    ("method", "named"),
    [
        ({"name": "erm", "fixed": {"lamda": 1}}, "lamda"),
        ({"name": "lnl", "space": {"lamda_": {"log": [1, 2]}}}, "did you mean 'lambda_'"),
        ({"name": "lnl", "space": {"mu": {"log": [1, 2]}}, "fixed": {"mu": 1}}, "'mu' is both"),
        ({"name": "lnl", "space": {"mu": {"log": [2, 1]}}}, "'mu': low <= high"),
        ({"name": "lnl", "space": {"mu": {"log": [0, 1]}}}, "'mu': a log range"),
        ({"name": "lnl", "space": {"mu": {"log": [1, float("inf")]}}}, "'mu' must be a finite number, but got inf"),
        ({"name": "lnl", "space": {"mu": {"uniform": [float("nan"), 1]}}}, "'mu'"),
        ({"name": "lnl", "space": {"mu": {"choice": []}}}, "'mu'"),
        ({"name": "lnl", "space": {"mu": {"choice": [1, "two"]}}}, "'mu' must be a finite number, but got 'two'"),
        ({"name": "lnl", "fixed": {"mu": "strong"}}, "'mu' must be a finite number, but got 'strong'"),
        ({"name": "lnl", "fixed": {"mu": float("nan")}}, "'mu' must be a finite number, but got nan"),
        ({"name": "erm", "fixed": {"lr": -0.02}}, "'lr' must be at least 1e-10, but got -0.02"),
        ({"name": "erm", "fixed": {"lr": 0}}, "'lr' must be at least 1e-10, but got 0"),
        ({"name": "erm", "fixed": {"weight_decay": 1.5}}, "'weight_decay' must lie in [0, 1], but got 1.5"),
        ({"name": "lnl", "fixed": {"lambda_": -1}}, "'lambda_' must be at least 0, but got -1"),
        ({"name": "grl", "fixed": {"lr_bias": -1}}, "'lr_bias' must be at least 1e-10, but got -1"),
        ({"name": "lnl", "space": {"mu": {"uniform": [-1, 1]}}}, "'mu' must be at least 0, but got -1"),
        ({"name": "lnl", "space": {"mu": {"choice": [1, -2]}}}, "'mu' must be at least 0, but got -2"),
        ({"name": "lnl", "fixed": {"pretrain_epochs": 1.5}}, "'pretrain_epochs' must be a whole number, but got 1.5"),
        ({"name": "lnl", "fixed": {"pretrain_epochs": 500}}, "'pretrain_epochs' must be less than the "),
        ({"name": "lnl", "space": {"pretrain_epochs": {"int": [0, 20]}}}, "'pretrain_epochs' must be less than the "),
        ({"name": "repaint", "fixed": {"repaint_share": 5}}, "'repaint_share' must lie in [0, 1], but got 5"),
        ("lln", "did you mean 'lnl'"),
    ],
)
def test_an_impossible_method_is_refused_by_name(method: Any, named: str) -> None:
    with pytest.raises(InputError, match=re.escape(named)):
        only_cell(method)


@pytest.mark.parametrize("method", [name for name in list_methods() if get_method(name).anchor])
def test_the_anchor_of_a_method_is_plain_training(method: str) -> None:
    anchor = only_cell(method).anchor
    assert {name: anchor[name] for name in get_method(method).anchor} == get_method(method).anchor
    assert set(get_method(method).anchor.values()) == {0.0}
    assert set(anchor) == set(get_method(method).defaults)


@pytest.mark.parametrize("method", [name for name in list_methods() if not get_method(name).anchor])
def test_a_plain_method_has_no_anchor(method: str) -> None:
    assert only_cell(method).anchor is None


@pytest.mark.parametrize(
    ("fixed", "has_anchor"),
    [({}, True), ({"mu": 1}, False), ({"mu": 0}, True), ({"lambda_": 0, "mu": 0}, False), ({"lr": 0.1}, True)],
)
def test_there_is_an_anchor_where_zero_pressure_differs_from_every_other_trial(fixed: Any, has_anchor: bool) -> None:
    assert (only_cell({"name": "lnl", "fixed": fixed}).anchor is not None) is has_anchor


def test_the_anchor_takes_fixed_values_and_the_methods_defaults() -> None:
    anchor = only_cell({"name": "lnl", "fixed": {"lr": 0.05}}).anchor
    defaults = get_method("lnl").defaults
    assert (anchor["lr"], anchor["lr_bias"]) == (0.05, defaults["lr_bias"])


def test_a_single_trial_is_no_anchor() -> None:
    assert only_cell("lnl", trials=1).anchor is None


@pytest.mark.parametrize(
    ("entry", "default", "expected"),
    [
        (Range(1e-4, 1e-1, log=True), 1e-3, 1e-3),
        (Range(1e-2, 1.0, log=True), 1e-3, 0.1),
        (Range(0.0, 1.0), 5.0, 0.5),
        (Range(1, 4, integer=True), 9, 2),
        (Choices((1, 2, 3)), 3, 3),
        (Choices((1, 2, 3)), 7, 2),
    ],
)
def test_the_default_within_a_range(entry: Any, default: float, expected: float) -> None:
    assert default_in(entry, default) == pytest.approx(expected)


@pytest.mark.parametrize(("trials", "sampler"), [(24, "qmc"), (25, "tpe")])
def test_sampler_auto(trials: int, sampler: str) -> None:
    assert sweep_config(search={"trials": trials}).search.sampler == sampler


@pytest.mark.parametrize(
    ("epochs", "ramp", "stopping"),
    [(9, 0.3, "off"), (10, 0.3, EarlyStopping(min_epochs=4)), (20, 1.0, EarlyStopping(min_epochs=26)),
     (20, 0.0, EarlyStopping(min_epochs=2))],
)  # fmt: skip
def test_early_stopping_auto_starts_beyond_the_ramp(epochs: int, ramp: float, stopping: Any) -> None:
    assert sweep_config(training={"epochs": epochs, "ramp": ramp}).search.early_stopping == stopping


@pytest.mark.parametrize(("renderer", "rule"), [(True, "val_counterfactual"), (False, "val_reweighted")])
def test_the_rule_follows_what_the_data_set_can_render(renderer: bool, rule: str) -> None:
    config = sweep_config(FakeData(has_renderer=renderer), primary={"compare": ["lnl", "erm"]})
    assert (config.search.rule, list(config.confirm.seeds_of())) == (rule, [rule])
    assert config.primary is not None and config.primary.rule == rule


@pytest.mark.parametrize(("counts", "metric"), [((61, 39), "balanced_accuracy"), ((60, 40), "accuracy")])
def test_the_metric_follows_the_largest_class(counts: tuple[int, int], metric: str) -> None:
    assert sweep_config(FakeData(counts=counts)).metric == metric


def test_the_network_is_the_data_sets_own_where_none_is_named() -> None:
    assert sweep_config(FakeData(default_network="kim2019")).network.name == "kim2019"
    assert sweep_config(network={"split_at": 1}).network.model_dump() == {"name": "pixel_front", "split_at": 1}
    assert sweep_config(network="small_cnn").network.name == "small_cnn"


@pytest.mark.parametrize(("own", "side", "name"), [(None, 96, "small_cnn"), (None, 97, "resnet18"), ("n", 500, "n")])
def test_else_the_network_follows_the_size_of_the_images(own: str | None, side: int, name: str) -> None:
    data = FakeData()
    data.default_network, data.image_size = own, side  # type: ignore[assignment]
    assert default_network(data) == name  # type: ignore[arg-type]


@pytest.mark.parametrize("dataset", ["coloured_digits", "brain_phantom"])
def test_run_and_train_have_one_default_network(dataset: str) -> None:
    bias = {"color_variance": 0.1} if dataset == "coloured_digits" else {"rho": 1.0}
    plan = make_plan(validate({"dataset": {"name": dataset, "bias": bias}, "methods": ["erm"]}))
    assert plan.config.network.name == make_spec(dataset, **bias).network


def test_what_the_file_says_is_kept() -> None:
    config = sweep_config(
        FakeData(counts=(90, 10)), metric="accuracy", search={"trials": 4, "sampler": "random", "rule": "val_biased"}
    )
    assert (config.metric, config.search.sampler, config.search.rule) == ("accuracy", "random", "val_biased")


@pytest.mark.parametrize(
    "changes",
    [
        {"search": {"rule": "val_reweighted"}},
        {"confirm": {"rules": ["val_reweighted"]}},
        {"primary": {"compare": ["lnl", "erm"], "rule": "val_reweighted"}},
    ],
)
def test_a_rule_that_the_data_set_cannot_compute_is_refused(changes: Any) -> None:
    with pytest.raises(InputError, match="'val_reweighted' cannot be computed"):
        sweep_config(FakeData(rules=("val_counterfactual", "val_biased")), **changes)


def test_resolving_twice_changes_nothing() -> None:
    from orchestrator.plan.cells import resolve

    config = sweep_config(search={"trials": 40}, training={"epochs": 30}, primary={"compare": ["lnl", "erm"]})
    assert resolve(config, FakeData()) == config


def test_a_specification_survives_its_json() -> None:
    config = sweep_config(training={"epochs": 2, "augmentation": ["flip"]})
    cell = sweep_cells(config)[0]
    spec = trial_spec(config, cell, "search", "t", {"lr": 1e-3}, 3)
    assert TrialSpec.from_json(spec.to_json()) == spec


def test_a_ceiling_that_never_sees_the_bias_is_one_cell_that_no_change_of_the_grid_moves() -> None:
    data = FakeData(variants_depend_on_bias=False)
    short_grid, long_grid = (
        sweep_cells(sweep_config(**grid({"rho": rho}), methods=["ceiling", "erm"]), data)
        for rho in ([0.5, 1], [0, 0.5, 0.9, 1])
    )
    ceilings = [[cell.id for cell in cells if cell.method == "ceiling"] for cells in (short_grid, long_grid)]
    assert len(ceilings[0]) == 1
    assert ceilings[0] == ceilings[1]
    assert [cell.bias_value for cell in short_grid if cell.method == "erm"] == [0.5, 1]


def test_a_method_may_be_kept_to_some_of_the_bias_values() -> None:
    config = sweep_config(**grid({"rho": [0.5, 1]}), methods=["erm", {"name": "permuted_bias", "bias": {"rho": 1}}])
    assert [(cell.label, cell.bias_value) for cell in sweep_cells(config)] == [
        ("erm", 0.5),
        ("erm", 1),
        ("permuted_bias", 1),
    ]


def test_a_method_at_a_bias_value_that_the_sweep_lacks_is_refused() -> None:
    config = sweep_config(**grid({"rho": [0.5]}), methods=[{"name": "erm", "bias": {"rho": 1}}])
    with pytest.raises(InputError, match=r"methods\.erm\.bias .* rho = 1, gamma = 0 is not: add it"):
        sweep_cells(config)


def test_each_fold_has_cells_of_its_own() -> None:
    for folds, numbers in (("all", [0, 1, 2]), ([2, 0], [2, 0]), (None, [None])):
        config = sweep_config(dataset={"name": "fake", "bias": {"rho": [1]}, "folds": folds}, methods=["erm"])
        cells = sweep_cells(config)
        assert [cell.fold for cell in cells] == numbers
        assert len({cell.id for cell in cells}) == len(numbers)


@pytest.mark.parametrize(("n_folds", "said"), [(0, "has no folds"), (3, "the folds 0 to 2, but got 4")])
def test_a_fold_that_does_not_exist_is_refused(n_folds: int, said: str) -> None:
    config = sweep_config(dataset={"name": "fake", "bias": {"rho": [1]}, "folds": [4]}, methods=["erm"])
    with pytest.raises(InputError, match=said):
        sweep_cells(config, FakeData(n_folds=n_folds))


def test_a_balanced_variant_has_a_label_cells_and_trials_of_its_own() -> None:
    config = sweep_config(methods=["erm", {"name": "erm", "draw": "balanced"}, {"name": "lnl", "draw": "natural"}])
    cells = sweep_cells(config)
    assert [(cell.label, cell.draw) for cell in cells[:3]] == [
        ("erm", "natural"),
        ("erm_balanced", "balanced"),
        ("lnl", "natural"),
    ]
    specs = [trial_spec(config, cell, "search", f"t{i}", {}, 0) for i, cell in enumerate(cells[:2])]
    assert [spec.draw for spec in specs] == ["natural", "balanced"]
    assert [spec_row(spec, "failed")["draw"] for spec in specs] == ["natural", "balanced"]
    # Another label may be given, but no other draw.
    assert sweep_config(methods=[{"name": "erm", "label": "equal", "draw": "balanced"}]).methods[0].label == "equal"
    with pytest.raises(InputError, match="draw"):
        sweep_config(methods=[{"name": "erm", "draw": "even"}])

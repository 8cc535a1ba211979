from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import analysis
from analysis import accuracy_vs_bias
from analysis.selection import mark
from store.errors import InputError

M, E, C = [0.90, 0.92, 0.88, 0.91, 0.93], [0.68, 0.66, 0.70, 0.67, 0.69], [0.95, 0.96, 0.955, 0.95, 0.965]


@pytest.fixture
def trials(tmp_path: Path, synthetic: ModuleType) -> pd.DataFrame:
    accuracies = {}
    for method, values in (("lnl", M), ("erm", E), ("ceiling", C)):
        accuracies[method, 0.02] = list(values)
        accuracies[method, 0.05] = [v + 0.01 for v in values]
    return analysis.load(synthetic.write_values(tmp_path / "s", accuracies))


def at(frame: pd.DataFrame, label: str, value: float) -> pd.Series:
    (row,) = (r for _, r in frame[(frame["label"] == label) & (frame["bias_value"] == value)].iterrows())
    return row


def test_a_point_by_hand(trials: pd.DataFrame) -> None:
    curve = analysis.accuracy_vs_bias(trials)
    row = at(curve, "lnl", 0.02)
    # t_{.975, 4} * s / sqrt(5), s^2 = sum (x - .908)^2 / 4
    s = math.sqrt(sum((v - 0.908) ** 2 for v in M) / 4)
    assert row["mean"] == pytest.approx(0.908)
    assert row["high"] - row["mean"] == pytest.approx(2.776445105198 * s / math.sqrt(5))
    assert row["median"] == 0.91
    assert (row["n_seeds"], row["n_planned"], row["n_collapsed"], row["band"]) == (5, 5, 0, "seeds only")
    assert row["values"] == tuple(M)
    assert "given the selected hyperparameters and these 200 test images" in row["caption"]


def test_weak_bias_comes_first(trials: pd.DataFrame) -> None:
    curve = analysis.accuracy_vs_bias(trials)
    assert list(curve[curve["label"] == "erm"]["bias_value"]) == [0.05, 0.02]


def test_the_band_with_predictions_is_over_images_within_classes(sweep_dir: Path) -> None:
    trials = analysis.load(sweep_dir)
    predictions = analysis.load_predictions(sweep_dir)
    with_images, seeds_only = analysis.accuracy_vs_bias(trials, predictions), analysis.accuracy_vs_bias(trials)
    assert set(with_images["band"]) == {"seeds and images"}
    assert set(with_images["n_patients"]) == {200}
    assert (with_images["mean"] == seeds_only["mean"]).all()
    row = with_images.iloc[0]
    ids = trials[(trials["label"] == row["label"]) & (trials["bias_value"] == row["bias_value"])]
    ids = ids[ids["rules"].map(lambda rules: row["rule"] in rules)]["trial_id"]
    rows = predictions[predictions["trial_id"].isin(ids)]
    rows = rows.assign(hit=(rows["label"] == rows["predicted"]).astype(float))
    hits = rows.pivot_table(index="trial_id", columns="image", values="hit")
    label = rows.groupby("image")["label"].first()[hits.columns].to_numpy()
    # An image left out, the others of its class in its place: the accuracy moves by -(x - mean_c) / (n_c - 1) n_c / n.
    n, parts, counts, both = len(label), [], [], 0.0
    for c in np.unique(label):
        own = hits.loc[:, label == c].to_numpy()
        share = own.shape[1] / n
        moved = share * (own - own.mean(axis=1, keepdims=True)) / (own.shape[1] - 1)
        scale = (own.shape[1] - 1) / own.shape[1]
        parts.append(scale * (moved.mean(axis=0) ** 2).sum())
        both += scale * ((moved - moved.mean(axis=0)) ** 2).sum() / (5 * 4)
        counts.append(own.shape[1])
    seeds = hits.mean(axis=1).var(ddof=1) / 5
    total = max(seeds + sum(parts) - both, seeds, sum(parts))
    within = sum(v**2 / (m - 1) for v, m in zip(parts, counts, strict=True))
    df = total**2 / (seeds**2 / 4 + within + both**2 / (4 * (n - len(counts))))
    half = stats.t.ppf(0.975, df) * math.sqrt(total)
    assert row["high"] == pytest.approx(min(1.0, row["mean"] + half))
    assert row["low"] == pytest.approx(row["mean"] - half)


def test_patients_are_named_in_the_band(tmp_path: Path, synthetic: ModuleType) -> None:
    made = synthetic.write_sweep(
        tmp_path / "s", synthetic.Sweep(values=(0.1,), methods=("erm",), patients=20, n_search=3)
    )
    curve = analysis.accuracy_vs_bias(analysis.load(made), analysis.load_predictions(made))
    assert set(curve["band"]) == {"seeds and patients"}
    assert set(curve["n_patients"]) == {20}
    assert "these 20 test patients" in curve["caption"].iloc[0]


def test_one_seed_has_no_band(tmp_path: Path, synthetic: ModuleType) -> None:
    made = synthetic.write_values(tmp_path / "s", {("erm", 0.02): [0.5]})
    row = analysis.accuracy_vs_bias(analysis.load(made)).iloc[0]
    assert row["band"] == "none" and math.isnan(row["low"])
    assert "one seed (no interval)" in row["caption"]
    assert analysis.summary_table(analysis.load(made)).loc["erm", "0.02"] == "0.500 (1 seed)"


def test_a_failed_seed_is_named_with_the_worst_case(tmp_path: Path, synthetic: ModuleType) -> None:
    made = synthetic.write_values(tmp_path / "s", {("erm", 0.02): [0.5, 0.7, None]}, seeds=4)
    row = analysis.accuracy_vs_bias(analysis.load(made)).iloc[0]
    assert (row["n_seeds"], row["n_planned"], row["n_failed"]) == (2, 4, 1)
    assert row["mean"] == pytest.approx(0.6)
    assert row["worst_case"] == pytest.approx(0.3)
    assert "2 of 4 seeds finished" in row["caption"]


def test_a_point_of_failed_seeds_only_stays_without_a_number(tmp_path: Path, synthetic: ModuleType) -> None:
    made = synthetic.write_values(tmp_path / "s", {("erm", 0.02): [None, None], ("erm", 0.05): [0.7, 0.8]})
    curve = analysis.accuracy_vs_bias(analysis.load(made))
    assert math.isnan(at(curve, "erm", 0.02)["mean"])
    assert "no seed finished (2 planned)" in at(curve, "erm", 0.02)["caption"]


def test_collapsed_seeds_are_counted_and_stay_in_the_mean(tmp_path: Path, synthetic: ModuleType) -> None:
    made = synthetic.write_values(tmp_path / "s", {("lnl", 0.02): [0.9, 0.1]})
    trials = analysis.load(made)
    trials.loc[trials["test_accuracy"] == 0.1, "collapsed"] = True
    row = analysis.accuracy_vs_bias(trials).iloc[0]
    assert row["n_collapsed"] == 1 and row["mean"] == pytest.approx(0.5)


def test_won_back_by_hand(trials: pd.DataFrame) -> None:
    row = at(analysis.won_back(trials), "lnl", 0.02)
    assert row["text"] == "0.83 [0.74, 0.90]"
    assert row["low"] == pytest.approx(0.738494899018)
    assert (row["n_seeds"], row["band"]) == (5, "seeds only")


def test_won_back_pairs_on_the_seeds_all_three_have(tmp_path: Path, synthetic: ModuleType) -> None:
    accuracies = {("lnl", 0.02): M, ("erm", 0.02): [*E[:4], None], ("ceiling", 0.02): C}
    found = analysis.won_back(analysis.load(synthetic.write_values(tmp_path / "s", accuracies)))
    assert found["n_seeds"].tolist() == [4]
    assert found["ratio"].iloc[0] == pytest.approx(
        (np.mean(M[:4]) - np.mean(E[:4])) / (np.mean(C[:4]) - np.mean(E[:4]))
    )


def test_won_back_is_a_dash_where_there_is_no_gap(tmp_path: Path, synthetic: ModuleType) -> None:
    accuracies = {
        ("lnl", 0.02): M,
        ("erm", 0.02): C,
        ("ceiling", 0.02): [v - 0.01 * (-1) ** k for k, v in enumerate(C)],
    }
    found = analysis.won_back(analysis.load(synthetic.write_values(tmp_path / "s", accuracies)))
    assert found["text"].tolist() == ["-"]


def test_breaking_points(tmp_path: Path, synthetic: ModuleType) -> None:
    accuracies = {
        ("erm", 0.10): [0.90, 0.92],
        ("erm", 0.02): [0.50, 0.52],
        ("lnl", 0.10): [0.90, 0.92],
        ("lnl", 0.02): [0.90, 0.93],
    }
    trials = analysis.load(synthetic.write_values(tmp_path / "s", accuracies))
    found = analysis.breaking_points(trials, threshold=0.71).set_index("label")
    assert found.loc["erm", "value"] == pytest.approx(0.06)  # halfway from .91 to .51
    assert found.loc["lnl", "text"] == "< 0.02"
    assert found.loc["lnl", "not_better_from"] == "< 0.02"
    assert analysis.breaking_points(trials).empty, "without a ceiling there is no default threshold"


def test_breaking_points_have_an_interval_with_predictions(sweep_dir: Path) -> None:
    trials, predictions = analysis.load(sweep_dir), analysis.load_predictions(sweep_dir, "unbiased")
    found = analysis.breaking_points(trials, predictions, rule="val_counterfactual", threshold=0.7).set_index("label")
    row = found.loc["erm"]
    assert float(row["low"]) >= row["value"] >= float(row["high"])


def test_a_ceiling_in_one_cell_serves_the_whole_axis(tmp_path: Path, synthetic: ModuleType) -> None:
    accuracies = {("erm", 0.10): E, ("erm", 0.02): E, ("ceiling", 0.10): C, ("lnl", 0.02): M, ("lnl", 0.10): M}
    cells = [{"cell": "x", "method": "ceiling", "bias_value": 0.10}, {"cell": "y", "method": "erm", "bias_value": 0.02}]
    trials = analysis.load(synthetic.write_values(tmp_path / "s", accuracies, cells=cells))
    curve = analysis.accuracy_vs_bias(trials)
    ceiling = curve[curve["label"] == "ceiling"]
    assert list(ceiling["bias_value"]) == [0.10, 0.02]
    assert ceiling["shared"].all()
    assert set(analysis.won_back(trials)["bias_value"]) == {0.10, 0.02}


def test_a_ceiling_that_is_half_finished_does_not(tmp_path: Path, synthetic: ModuleType) -> None:
    accuracies = {("erm", 0.10): E, ("erm", 0.02): E, ("ceiling", 0.10): C}
    made = synthetic.write_values(tmp_path / "s", accuracies)
    curve = analysis.accuracy_vs_bias(analysis.load(made))
    assert list(curve[curve["label"] == "ceiling"]["bias_value"]) == [0.10]


def test_folds_make_one_replicate_a_seed(tmp_path: Path, synthetic: ModuleType) -> None:
    made = synthetic.write_values(tmp_path / "s", {("erm", 0.02): [0.5, 0.6], ("erm", 0.05): [0.9, 0.8]})
    trials = analysis.load(made)
    trials["fold"] = trials["bias_value"].map({0.02: 0, 0.05: 1})
    trials["bias_value"], trials["bias_strength"], trials["bias_color_variance"] = 0.02, 0.98, 0.02
    trials.loc[trials["fold"] == 1, "n_test"] = 600  # the other fold has 200
    row = analysis.accuracy_vs_bias(trials).iloc[0]
    assert row["values"] == pytest.approx((0.25 * 0.5 + 0.75 * 0.9, 0.25 * 0.6 + 0.75 * 0.8))
    assert (row["n_seeds"], row["n_test"]) == (2, 800)


def test_a_seed_without_all_its_folds_does_not_count(tmp_path: Path, synthetic: ModuleType) -> None:
    made = synthetic.write_values(tmp_path / "s", {("erm", 0.02): [0.5, 0.6], ("erm", 0.05): [0.9, None]})
    trials = analysis.load(made)
    trials["bias_value"], trials["bias_color_variance"] = 0.02, 0.02
    row = analysis.accuracy_vs_bias(trials).iloc[0]
    assert (row["n_seeds"], row["n_planned"]) == (1, 2)


def test_other_bias_parameters_that_vary_are_facets(trials: pd.DataFrame) -> None:
    trials["bias_gamma"] = np.where(trials["label"] == "lnl", 1.0, 0.0)
    curve = analysis.accuracy_vs_bias(trials)
    assert set(curve.loc[curve["label"] == "lnl", "facet"]) == {"gamma = 1"}
    assert set(curve.loc[curve["label"] == "erm", "facet"]) == {"gamma = 0"}
    trials["bias_gamma"] = 1.0
    assert set(analysis.accuracy_vs_bias(trials)["facet"]) == {""}


def test_summary_table(trials: pd.DataFrame) -> None:
    table = analysis.summary_table(trials)
    assert list(table.columns) == ["0.05", "0.02"]
    assert table.loc["lnl", "0.02"] == "0.908 ± 0.024"
    assert table.columns.name == "color_variance"


def test_a_clipped_band_is_shown_as_a_range(tmp_path: Path, synthetic: ModuleType) -> None:
    made = synthetic.write_values(tmp_path / "s", {("erm", 0.02): [0.97, 0.99]})
    assert analysis.summary_table(analysis.load(made)).loc["erm", "0.02"] == "0.980 [0.853, 1.000]"


def test_selected_hyperparameters_name_the_anchor(sweep_dir: Path) -> None:
    selected = analysis.selected_hyperparameters(analysis.load(sweep_dir))
    biased = selected[(selected["rule"] == "val_biased") & (selected["label"] == "lnl")]
    assert biased["anchor"].all()
    honest = selected[(selected["rule"] == "val_counterfactual") & (selected["label"] == "lnl")]
    assert not honest["anchor"].any()
    assert set(honest["candidates"]) == {12}


def test_cost_counts_phases_apart(sweep_dir: Path) -> None:
    cost = analysis.cost(analysis.load(sweep_dir)).set_index(["label", "phase"])
    assert cost.loc[("lnl", "search"), "trials"] == 48
    assert cost.loc[("lnl", "search"), "hours"] == pytest.approx(48 * 5 / 3600)


def test_other_columns_and_wrong_ones(sweep_dir: Path) -> None:
    trials = analysis.load(sweep_dir)
    assert (analysis.accuracy_vs_bias(trials, column="test_conflicting_accuracy")["band"] == "seeds only").all()
    with pytest.raises(InputError, match="no column 'test_nonsense'"):
        analysis.accuracy_vs_bias(trials, column="test_nonsense")
    mixed = trials.copy()
    mixed.loc[0, "metric"] = "auroc"
    with pytest.raises(InputError, match="one metric"):
        analysis.accuracy_vs_bias(mixed)


def test_repetitions_of_search_and_confirm_are_the_replicates(synthetic: ModuleType) -> None:
    search, confirm = [], []
    for repeat, values in enumerate([(0.5, 0.7), (0.8, 0.8), (0.6, 0.9)]):
        text = json.dumps({"lr": repeat})
        search.append(synthetic.search_row("erm", 0.1, 0, repeat=repeat, val_biased=0.9, hyperparameters=text))
        confirm += [
            synthetic.confirm_row(
                "erm", 0.1, k, seed=10 * repeat + k, repeat=repeat, hyperparameters=text, test_accuracy=value
            )
            for k, value in enumerate(values)
        ]
    trials = pd.DataFrame([*search, *confirm])
    trials["trial_id"] = [f"t{i}-{i:03d}" for i in range(len(trials))]
    trials = mark(trials, ["val_biased"]).assign(seeds_planned=2.0, whole_axis=False)
    (row,) = accuracy_vs_bias(trials).to_dict("records")
    means = [0.6, 0.8, 0.75]
    assert row["values"] == pytest.approx(means)
    assert (row["n_seeds"], row["n_planned"], row["band"]) == (3, 3, "repetitions only")
    half = 4.302653 * np.std(means, ddof=1) / np.sqrt(3)
    assert row["high"] - row["mean"] == pytest.approx(min(half, 1 - row["mean"]), abs=1e-5)
    assert "3 of 3 repetitions finished" in row["caption"]
    assert "each with a search of its own" in row["caption"]

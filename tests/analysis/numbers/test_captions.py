"""Every result says in words which rule chose, over how many seeds, and for which test images or patients it holds."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

import analysis
from analysis.export.paper import table_tex
from analysis.findings import Findings, gather
from analysis.numbers.captions import collapsed_words
from analysis.report.results import won_back_section

RULE = "val_counterfactual"


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> Path:
    """A sweep with patients."""
    sweep = synthetic.Sweep(patients=40, values=(0.1, 0.05, 0.02), methods=("ceiling", "erm", "lnl"))
    return Path(synthetic.write_sweep(tmp_path_factory.mktemp("clinic") / "s", sweep))


@pytest.fixture(scope="module")
def trials(clinic: Path) -> pd.DataFrame:
    return analysis.load(clinic)


@pytest.fixture(scope="module")
def predictions(clinic: Path) -> pd.DataFrame:
    return analysis.load_predictions(clinic)


@pytest.fixture(scope="module")
def findings(clinic: Path) -> Findings:
    return gather([clinic])


def test_a_share_won_back_says_what_it_holds_for(trials: pd.DataFrame, predictions: pd.DataFrame) -> None:
    rows = analysis.won_back(trials, predictions)
    assert set(rows["n_patients"]) == {40} and set(rows["n_planned"]) == {5} and set(rows["n_seeds"]) == {5}
    row = rows[(rows["rule"] == "val_unbiased") & (rows["bias_value"] == 0.02)].iloc[0]
    assert row["caption"] == (
        f"lnl at color_variance = 0.02, chosen by oracle: wins back {row['text']} of the gap between erm and the "
        "ceiling (Fieller), 95 % over seeds and patients, paired on 5 of 5 seeds planned, given the selected "
        "hyperparameters and these 40 test patients"
    )


def test_without_predictions_the_images_are_named_and_the_band_is_of_seeds(trials: pd.DataFrame) -> None:
    rows = analysis.won_back(trials, rule=RULE)
    assert set(rows["n_patients"]) == {0}
    assert rows["caption"].str.contains("95 % over seeds only", regex=False).all()
    assert rows["caption"].str.endswith("these 200 test images").all()


def test_an_area_has_a_band_and_says_what_it_is_compared_with(trials: pd.DataFrame, predictions: pd.DataFrame) -> None:
    rows = analysis.areas(trials, predictions, rule=RULE).set_index("label")
    assert set(rows["band"]) == {"seeds and patients"} and set(rows["n_patients"]) == {40}
    assert rows.loc["erm", "n_seeds"] == 5 and rows.loc["erm", "n_pairs"] == 0 and rows.loc["lnl", "n_pairs"] == 5
    assert "against erm paired on 5 seeds" in rows.loc["lnl", "caption"]
    assert "against" not in rows.loc["erm", "caption"]
    assert "chosen by counterfactual validation" in rows.loc["erm", "caption"]
    assert rows["caption"].str.endswith("5 of 5 seeds planned, given the selected hyperparameters and these 40 test "
                                        "patients").all()  # fmt: skip


def test_an_area_that_is_void_says_why(trials: pd.DataFrame) -> None:
    gone = trials[~((trials["label"] == "lnl") & (trials["bias_value"] == 0.05) & (trials["phase"] == "confirm"))]
    row = analysis.areas(gone, rule=RULE).set_index("label").loc["lnl"]
    assert row["caption"].endswith("no area, no finished seed at 0.05") and row["band"] == "none"


def test_an_area_without_a_difference_says_why(trials: pd.DataFrame) -> None:
    gone = trials[~((trials["label"] == "erm") & (trials["bias_value"] == 0.05) & (trials["phase"] == "confirm"))]
    row = analysis.areas(gone, rule=RULE).set_index("label").loc["lnl"]
    assert row["caption"].startswith("lnl, chosen by counterfactual validation: mean over the axis 0.")
    assert f"no difference to erm ({row['reason']})" in row["caption"] and "erm" in row["reason"]


def test_a_breaking_point_says_what_its_interval_covers(trials: pd.DataFrame, predictions: pd.DataFrame) -> None:
    row = analysis.breaking_points(trials, predictions, rule=RULE).set_index("label").loc["erm"]
    assert (row["band"], row["n_seeds"], row["n_patients"]) == ("seeds and patients", 5, 40)
    assert "percentiles of the crossed bootstrap" in row["caption"] and "40 test patients" in row["caption"]
    alone = analysis.breaking_points(trials, rule=RULE).set_index("label").loc["erm"]
    assert (alone["band"], alone["n_patients"]) == ("none", 0) and "no interval" in alone["caption"]


def test_seeds_that_are_missing_or_came_late_are_counted(trials: pd.DataFrame) -> None:
    short = trials[~((trials["label"] == "lnl") & trials["trial_id"].str.endswith("-s4"))].assign(seeds_added=2)
    for frame in (analysis.won_back(short), analysis.areas(short), analysis.breaking_points(short)):
        row = frame[frame["label"] == "lnl"].iloc[0]
        assert (row["n_seeds"], row["n_planned"], row["n_added"]) == (4, 5, 2)
        assert "4 of 5 seeds planned, 2 of these were added after results had been seen" in row["caption"]


def test_the_confusion_counts_seeds_and_images(trials: pd.DataFrame, predictions: pd.DataFrame) -> None:
    rows = analysis.confusion_by_strength(trials, predictions, "val_unbiased")
    row = rows[(rows["label"] == "erm") & (rows["true"] == 3) & (rows["predicted"] == 3)].iloc[0]
    assert row["caption"].startswith(f"erm at color_variance = {row['bias_value']:g}, chosen by oracle: ")
    assert "5 of 5 seeds finished" in row["caption"] and "these 20 test images of that class" in row["caption"]


def test_tables_of_the_search_say_that_no_test_image_was_seen(trials: pd.DataFrame) -> None:
    for frame in (
        analysis.lambda_map(trials, rule="val_unbiased"),
        analysis.expected_validation(trials, "val_unbiased"),
        analysis.selected_hyperparameters(trials).query("rule == 'val_unbiased'"),
    ):
        assert frame["caption"].str.contains("oracle").all() and frame["caption"].str.contains("no test image").all()
    shown = analysis.lambda_map(trials)
    assert (shown["caption"].str.endswith("which chose it") == shown["chosen"]).all()


def test_the_cost_says_what_it_counts(trials: pd.DataFrame) -> None:
    assert "all selection rules together" in analysis.cost(trials).attrs["caption"]
    assert "prices are lower bounds" in analysis.cost(trials, 2.0).attrs["caption"]


def test_the_summary_table_carries_its_caption(trials: pd.DataFrame, predictions: pd.DataFrame) -> None:
    said = analysis.summary_table(trials, predictions, rule="val_unbiased").attrs["caption"]
    assert said == (
        "Accuracy, mean over 5 seeds with 95 % interval over seeds and patients, given the hyperparameters chosen by "
        "oracle and these 40 test patients; weak bias to the left."
    )
    one = trials[(trials["phase"] == "search") | trials["trial_id"].str.endswith("-s0")]
    said = analysis.summary_table(one).attrs["caption"]
    assert "of one seed without an interval" in said and "these 200 test images" in said
    assert "At 9 of 9 points fewer seeds have finished than planned." in said


def test_print_and_report_name_the_test_patients(findings: Findings) -> None:
    assert "these 40 test patients; weak bias to the left" in table_tex(findings)
    assert "the selected hyperparameters and these 40 test patients." in won_back_section(findings)


def test_runs_that_collapsed_are_counted_in_their_splits() -> None:
    """Four runs in two splits are not "4 of 2"."""
    assert collapsed_words(1, 5, "seeds") == "1 of 5 seeds"
    assert (
        collapsed_words(4, 2, "splits") == "4 runs in 2 splits"
        and collapsed_words(1, 3, "repetitions") == "1 run in 3 repetitions"
    )

"""The curves between two bias values, by hand, and at a value that was measured."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import analysis
from store.sheet.natural import NaturalBias
from tests.analysis.three_lines import ACCURACIES

T = 4.302652729749
"""t_{.975} with two degrees of freedom."""


def load(folder: Path, synthetic: ModuleType, *without: str, **natural: Any) -> pd.DataFrame:
    kept = {key: values for key, values in ACCURACIES.items() if key[0] not in without}
    config = {"dataset_info": {"natural": NaturalBias(**natural).content()}} if natural else {}
    return analysis.load(synthetic.write_values(folder / "s", kept, **config))


def test_a_place_between_two_values_by_hand(tmp_path: Path, synthetic: ModuleType) -> None:
    table = analysis.at_bias(load(tmp_path, synthetic), value=0.04, rule="val_counterfactual").set_index("label")
    erm, lnl, ceiling = (table.loc[name] for name in ("erm", "lnl", "ceiling"))
    # Three quarters of the strong value: .73, .72 and .74 of the seeds.
    assert (erm["below"], erm["above"], erm["reference"]) == (0.02, 0.1, "ceiling")
    assert erm["mean"] == pytest.approx(0.73) and erm["high"] - erm["mean"] == pytest.approx(T * 0.01 / math.sqrt(3))
    # The ceiling's .9525, .9575 and .955 less those: .2225, .2375 and .215.
    sd = math.sqrt((0.0025**2 + 0.0125**2 + 0.01**2) / 2)
    assert erm["lost"] == pytest.approx(0.225)
    assert erm["lost_high"] - erm["lost"] == pytest.approx(T * sd / math.sqrt(3))
    # .91, .92 and .8925 less those of erm.
    assert lnl["gained"] == pytest.approx((0.18 + 0.20 + 0.1525) / 3) and lnl["lost"] == pytest.approx(0.0475)
    assert lnl["share"] == pytest.approx(0.1775 / 0.225) and lnl["share_text"].startswith("0.79 [")
    assert math.isnan(erm["gained"]) and math.isnan(ceiling["lost"]) and math.isnan(ceiling["gained"])
    assert "interpolated linearly between 0.02 and 0.1, 95 % over seeds only" in erm["caption"]


def test_without_a_ceiling_the_weakest_bias_is_the_reference(tmp_path: Path, synthetic: ModuleType) -> None:
    table = analysis.at_bias(load(tmp_path, synthetic, "ceiling"), value=0.04, rule="val_counterfactual").set_index(
        "label"
    )
    erm = table.loc["erm"]
    assert erm["reference"] == "erm at color_variance = 0.1" and erm["lost"] == pytest.approx(0.15)
    assert erm["lost_high"] - erm["lost"] == pytest.approx(T * 0.03 / math.sqrt(3))
    assert table.loc["lnl", "share"] == pytest.approx(0.1775 / 0.15)


def test_at_a_value_measured_the_curve_itself_is_said(sweep_dir: Path) -> None:
    trials, predictions = analysis.load(sweep_dir), analysis.load_predictions(sweep_dir)
    curve = analysis.accuracy_vs_bias(trials, predictions, rules=["val_biased"])
    here = analysis.at_bias(trials, predictions, 0.05, rule="val_biased").set_index("label")
    for row in curve[curve["bias_value"] == 0.05].to_dict("records"):
        assert here.loc[row["label"], ["mean", "low", "high"]].tolist() == [row["mean"], row["low"], row["high"]]
        assert here.loc[row["label"], "band"] == row["band"] == "seeds and images"
    won = analysis.won_back(trials, predictions, rule="val_biased")
    shares = won[won["bias_value"] == 0.05].set_index("label")["ratio"]
    assert here.loc[shares.index, "share"].to_numpy() == pytest.approx(shares.to_numpy())


@pytest.mark.parametrize("value", [0.5, 0.01])
def test_nothing_is_extrapolated(tmp_path: Path, synthetic: ModuleType, value: float) -> None:
    table = analysis.at_bias(load(tmp_path, synthetic), value=value)
    assert table["mean"].isna().all() and table["lost"].isna().all() and (table["n_seeds"] == 0).all()
    assert table["reason"].str.contains(f"= {value:g} lies outside the values measured").all()


def test_a_missing_cell_is_named_and_not_leapt_over(tmp_path: Path, synthetic: ModuleType) -> None:
    accuracies = {**ACCURACIES, ("erm", 0.05): [0.8, 0.8, 0.8], ("lnl", 0.05): [None, None, None]}
    table = analysis.at_bias(analysis.load(synthetic.write_values(tmp_path / "s", accuracies)), value=0.04)
    lnl = table[table["label"] == "lnl"].iloc[0]
    assert math.isnan(lnl["mean"]) and lnl["reason"] == "no finished seed at color_variance 0.05"


def test_without_plain_training_the_place_alone_is_said(tmp_path: Path, synthetic: ModuleType) -> None:
    table = analysis.at_bias(load(tmp_path, synthetic, "erm"), value=0.04)
    assert table["mean"].notna().all() and table["lost"].isna().all()
    assert set(table["reason"]) == {"there is no erm to compare with"}


def test_the_place_of_the_data_is_the_default(tmp_path: Path, synthetic: ModuleType) -> None:
    trials = load(tmp_path, synthetic, bias={"color_variance": 0.04})
    pd.testing.assert_frame_equal(analysis.at_bias(trials), analysis.at_bias(trials, value=0.04))
    table = analysis.summary_table(trials)
    assert table.loc["erm", "data as they are: 0.04"] == "0.730 ± 0.025" and list(table.columns)[:2] == ["0.1", "0.02"]
    bare = load(tmp_path / "bare", synthetic)
    with pytest.raises(analysis.InputError, match=r"no sweep\.yaml says the bias of the data as they are"):
        analysis.at_bias(bare)
    assert not [name for name in analysis.summary_table(bare) if "data as" in str(name)]


def test_several_sweeps_have_each_its_own_place(tmp_path: Path, synthetic: ModuleType) -> None:
    for name, value in (("a", 0.04), ("b", 0.06)):
        load(tmp_path / name, synthetic, bias={"color_variance": value})
    table = analysis.at_bias(analysis.load([tmp_path / "a" / "s", tmp_path / "b" / "s"]))
    assert dict(zip(table["sweep"], table["bias_value"], strict=True)) == {
        "synthetic (a/s)": 0.04,
        "synthetic (b/s)": 0.06,
    }

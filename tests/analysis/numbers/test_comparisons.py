"""Normalised areas and their paired differences, by hand."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

import analysis

M, E = [0.90, 0.92, 0.88, 0.91, 0.93], [0.68, 0.66, 0.70, 0.67, 0.69]


@pytest.fixture
def trials(tmp_path: Path, synthetic: ModuleType) -> pd.DataFrame:
    accuracies = {
        (m, v): [a + shift for a in listed]
        for m, listed in (("lnl", M), ("erm", E))
        for v, shift in ((0.02, 0.0), (0.05, 0.01))
    }
    return analysis.load(synthetic.write_values(tmp_path / "s", accuracies))


def test_areas_and_the_primary_comparison(trials: pd.DataFrame) -> None:
    found = analysis.areas(trials).set_index("label")
    assert found.loc["lnl", "area"] == pytest.approx(0.913)  # mean of .908 and .918
    assert found.loc["lnl", "difference"] == pytest.approx(0.908 - 0.68)
    assert math.isnan(found.loc["erm", "p"])
    primary = analysis.primary_comparison(trials, ("lnl", "erm"), "val_counterfactual")
    assert primary.difference.mean == pytest.approx(0.228)
    assert primary.test is not None and primary.test.sign_flip_p == 0.0625
    reverse = analysis.primary_comparison(trials, ("erm", "lnl"), "val_counterfactual")
    assert reverse.difference.mean == pytest.approx(-0.228)


def labelled(trials: pd.DataFrame, **labels: str) -> pd.DataFrame:
    return trials.assign(label=trials["label"].replace(labels))


def test_the_reference_is_found_by_its_method_where_it_has_another_label(trials: pd.DataFrame) -> None:
    rows = labelled(trials, erm="plain")
    expected, found = (analysis.areas(t).set_index("label") for t in (trials, rows))
    numbers = ["difference", "difference_low", "difference_high", "p", "p_holm", "n_seeds", "reason"]
    assert expected.loc["lnl", "difference"] > 0.2
    pd.testing.assert_frame_equal(found.loc[["lnl"], numbers], expected.loc[["lnl"], numbers])
    assert math.isnan(found.loc["plain", "p"]) and found.loc["plain", "reason"] == ""


def test_a_difference_that_cannot_be_had_has_a_reason(
    trials: pd.DataFrame, tmp_path: Path, synthetic: ModuleType
) -> None:
    without = analysis.areas(trials[trials["method"] != "erm"]).set_index("label")
    assert without.loc["lnl", "area"] == pytest.approx(0.913)
    assert without.loc["lnl", "reason"] == "there is no erm to compare with"
    twice = pd.concat([labelled(trials, erm="plain"), labelled(trials[trials["method"] == "erm"], erm="other")])
    both = analysis.areas(twice.reset_index(drop=True)).set_index("label")
    assert both.loc["lnl", "reason"] == "other and plain are both erm: name one as the reference"
    one = analysis.areas(twice.reset_index(drop=True), reference="plain").set_index("label")
    assert one.loc["lnl", "difference"] == pytest.approx(0.228) and one.loc["lnl", "reason"] == ""
    single = {(method, v): listed[:1] for method, listed in (("lnl", M), ("erm", E)) for v in (0.02, 0.05)}
    found = analysis.areas(analysis.load(synthetic.write_values(tmp_path / "one", single))).set_index("label")
    assert found.loc["lnl", "reason"] == "only one seed can be paired with erm" and math.isnan(found.loc["lnl", "p"])


def test_one_missing_cell_voids_an_area(tmp_path: Path, synthetic: ModuleType) -> None:
    accuracies = {("lnl", 0.02): M, ("lnl", 0.05): M, ("erm", 0.02): [None] * 5, ("erm", 0.05): E}
    trials = analysis.load(synthetic.write_values(tmp_path / "s", accuracies))
    found = analysis.areas(trials).set_index("label")
    assert "0.02" in found.loc["erm", "reason"] and math.isnan(found.loc["erm", "area"])
    primary = analysis.primary_comparison(trials, ("lnl", "erm"), "val_counterfactual")
    assert primary.test is None and "erm has no finished seed at color_variance 0.02" in primary.reason


def test_the_primary_comparison_says_who_is_missing(trials: pd.DataFrame) -> None:
    found = analysis.primary_comparison(trials, ("lnl", "dfr"), "val_counterfactual")
    assert found.reason.startswith("dfr has no finished confirm trial")

"""Ranks, differences to plain training and the atlas's table of a synthetic sweep of 18 methods."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.findings import gather
from analysis.many.ranks import best_words
from analysis.report.many import multiplicity_words
from analysis.report.results import won_back_section
from analysis.statistics.intervals import holm
from store.errors import InputError

M = [0.90, 0.92, 0.88, 0.91, 0.93]
E = [0.68, 0.66, 0.70, 0.67, 0.69]
C = [0.95, 0.96, 0.955, 0.95, 0.965]


@pytest.fixture(scope="module")
def read(many_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return analysis.load(many_dir), analysis.load_predictions(many_dir)


@pytest.fixture(scope="module")
def ranks(read: tuple[pd.DataFrame, pd.DataFrame]) -> pd.DataFrame:
    return analysis.ranks(*read)


# --------------------------------------------------------------------- ranks


def test_every_method_has_a_rank_with_its_interval_at_every_strength(ranks: pd.DataFrame) -> None:
    assert len(ranks) == 17 * 8 and "ceiling" not in set(ranks["label"])
    there = ranks[ranks["rank"].notna()]
    assert (there["rank_low"] <= there["rank"]).all() and (there["rank"] <= there["rank_high"]).all()
    assert (there["may_be_best"] == (there["rank_low"] == 1)).all()
    for _, at in there.groupby("bias_value"):
        assert at["share_first"].sum() == pytest.approx(1) and at["n_methods"].iloc[0] == len(at)
        assert at.loc[at["rank"] == 1, "may_be_best"].all(), "the highest is always among those that may be the best"


def test_a_method_that_is_not_applicable_has_no_rank_and_says_why(ranks: pd.DataFrame, many_lines: ModuleType) -> None:
    absent = ranks[ranks["rank"].isna()]
    assert set(absent["label"]) == set(many_lines.ABSENT) and set(absent["bias_value"]) == {1.0}
    assert absent["reason"].str.startswith("not applicable: it needs").all()
    assert set(ranks.loc[ranks["bias_value"] == 1.0, "n_methods"]) == {13}


def test_best_is_said_only_where_it_can_be_told_apart(ranks: pd.DataFrame) -> None:
    sentences = best_words(ranks)
    assert len(sentences) == 8
    for sentence, (_, at) in zip(sentences, ranks.groupby("bias_strength"), strict=True):
        open_ = set(at.loc[at["may_be_best"], "label"])
        assert ("told apart from every other one" in sentence) is (len(open_) == 1)
        assert "no single best" in sentence or len(open_) == 1


def test_seeds_alone_give_wider_or_other_ranks_and_say_so(read: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    assert set(analysis.ranks(read[0])["band"]) - {"none"} == {"seeds only"}


def test_a_column_without_a_better_direction_has_no_ranks(read: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    with pytest.raises(InputError, match="ranks need a column of which high or low is better"):
        analysis.ranks(read[0].assign(confidence_gap=0.1), column="confidence_gap")


def test_of_a_column_where_low_is_better_the_lowest_is_first(tmp_path: Path, synthetic: ModuleType) -> None:
    trials = analysis.load(synthetic.write_values(tmp_path / "s", {("erm", 0.1): E, ("lnl", 0.1): M, ("grl", 0.1): C}))
    trials["flip_rate"] = 1 - trials["test_accuracy"]
    high, low = analysis.ranks(trials), analysis.ranks(trials, column="flip_rate")
    columns = ["label", "rank", "rank_low", "rank_high"]
    assert high[columns].equals(low[columns])


def test_methods_with_other_seeds_are_compared_on_those_that_both_have(tmp_path: Path, synthetic: ModuleType) -> None:
    runs = {("erm", 0.1): [*E[:4], None], ("lnl", 0.1): M, ("grl", 0.1): [None, *C[1:]]}
    table = analysis.ranks(analysis.load(synthetic.write_values(tmp_path / "s", runs))).set_index("label")
    assert table["rank"].to_dict() == {"erm": 3, "lnl": 2, "grl": 1}
    assert table.loc["erm", ["rank_low", "rank_high"]].tolist() == [3, 3]


def test_one_seed_leaves_all_ranks_open(tmp_path: Path, synthetic: ModuleType) -> None:
    table = analysis.ranks(
        analysis.load(synthetic.write_values(tmp_path / "s", {("erm", 0.1): [0.5], ("lnl", 0.1): [0.9]}))
    )
    assert table["may_be_best"].all() and (table["rank_high"] == 2).all()
    assert table["caption"].str.contains("leaves every rank open").all()


# ------------------------------------------------------- against plain training


def test_p_values_are_adjusted_over_the_methods_and_over_the_table(read: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = analysis.against_erm(*read)
    tested = table[table["reason"] == ""]
    assert len(table) == 16 * 8 and len(tested) == 16 * 8 - 4
    for _, at in tested.groupby("bias_value"):
        assert at["p_holm"].tolist() == pytest.approx(holm(at["p"].tolist()))
        assert set(at["n_tests"]) == {len(at)}
    assert tested["p_holm_table"].tolist() == pytest.approx(holm(tested["p"].tolist()))
    assert (tested["p"] <= tested["p_holm"]).all() and (tested["p_holm"] <= tested["p_holm_table"] + 1e-12).all()
    # The interval stays that of one difference: it agrees with the unadjusted p.
    assert ((tested["low"] > 0) | (tested["high"] < 0)).equals(tested["p"] < 0.05)


def test_the_declared_comparison_alone_is_not_adjusted(read: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    declared = analysis.primary_comparison(read[0], ("lnl", "erm"), "val_counterfactual", read[1])
    table = analysis.against_erm(*read, primary=declared)
    row = table[table["declared"]].iloc[0]
    assert table["declared"].sum() == 1 and (row["label"], row["bias_value"]) == ("lnl", 1.0)
    assert row["p"] == declared.p and math.isnan(row["p_holm"]) and math.isnan(row["p_holm_table"])
    assert "declared beforehand and not adjusted" in row["caption"]
    others = table[~table["declared"] & (table["reason"] == "")]
    assert others["p_holm_table"].tolist() == pytest.approx(holm(others["p"].tolist()))
    assert "123 tests are made here" in multiplicity_words(table)
    assert "it alone stands unadjusted" in multiplicity_words(table)


@pytest.mark.parametrize("at", ["area", "strongest"])
def test_areas_are_a_family_of_their_own_without_the_declared_one(
    read: tuple[pd.DataFrame, pd.DataFrame], at: str
) -> None:
    declared = analysis.primary_comparison(read[0], ("lnl", "erm"), "val_counterfactual", read[1], at=at)
    areas = analysis.areas(*read, primary=declared)
    others = areas[~areas["declared"] & areas["p"].notna() & (areas["method"] != "ceiling")]
    assert others["p_holm"].tolist() == pytest.approx(holm(others["p"].tolist()))
    assert areas.loc[areas["declared"], "label"].tolist() == (["lnl"] if at == "area" else [])
    if at == "area":
        row = areas[areas["declared"]].iloc[0]
        assert row["p"] == declared.p and math.isnan(row["p_holm"]) and len(others) == 15
        # No area is among the tests at single bias values, of which none is declared then.
        table = analysis.against_erm(*read, primary=declared)
        assert not table["declared"].any() and set(table["n_tests_table"]) - {0} == {124}
        assert "it alone stands unadjusted" not in multiplicity_words(table)
    else:
        assert len(others) == 16


def test_the_report_does_not_adjust_a_declared_area(small_dir: Path) -> None:
    findings = gather([small_dir])
    assert findings.sweeps[0].primary is not None and findings.sweeps[0].primary.at == "area"
    assert set(findings.areas.loc[findings.areas["declared"], "label"]) == {"lnl"}
    assert ">declared<" in won_back_section(findings)


def test_a_difference_without_spread_has_no_p_and_counts_as_a_test(tmp_path: Path, synthetic: ModuleType) -> None:
    runs = {("erm", 0.1): [0.0] * 3, ("lnl", 0.1): [1.0] * 3, ("grl", 0.1): [0.4, 0.5, 0.6]}
    table = analysis.against_erm(analysis.load(synthetic.write_values(tmp_path / "s", runs))).set_index("label")
    assert math.isnan(table.loc["lnl", "p"]) and math.isnan(table.loc["lnl", "low"])
    assert "no spread" in table.loc["lnl", "caption"]
    assert table.loc["grl", "p_holm"] == pytest.approx(2 * table.loc["grl", "p"])


# ---------------------------------------------------------------------- atlas


def test_the_table_of_the_atlas(read: tuple[pd.DataFrame, pd.DataFrame], many_lines: ModuleType) -> None:
    table = analysis.atlas_table(*read, values=[0.9, 0.97, 1.0, 2.0]).set_index("label")
    assert len(table) == 17
    for label in many_lines.ABSENT:
        assert table.loc[label, "won_back_1"] == "not applicable" and math.isnan(table.loc[label, "won_back_1_share"])
        assert table.loc[label, "won_back_0.97"] != "not applicable", "between two values at which it is applicable"
        assert "not applicable at 1" in table.loc[label, "breaks_at"]
    assert set(table["won_back_2"]) == {"outside the axis"}
    assert table.loc["erm", "won_back_0.9"] == "0 by definition"
    back = analysis.won_back(*read)
    there = back[(back["label"] == "lnl") & (back["bias_value"] == 0.9)].iloc[0]
    assert table.loc["lnl", "won_back_0.9"] == there["text"]
    assert table.loc["lnl", "won_back_0.9_low"] == pytest.approx(there["low"])
    assert table.loc["lnl", ["trainings_search", "trainings_confirm", "trainings"]].tolist() == [16, 40, 56]
    assert table.loc["dfr", "trainings"] == 49 and table.loc["lnl", "seconds"] == pytest.approx(56 * 5.0)
    assert "Intervals are not adjusted" in table.attrs["caption"]


def test_breaks_at_names_margin_and_reference(tmp_path: Path, synthetic: ModuleType) -> None:
    high = [0.90, 0.92]
    runs = {("erm", 0.1): high, ("erm", 0.02): [0.50, 0.52], ("lnl", 0.1): high, ("lnl", 0.02): [0.9, 0.91]}
    runs |= {("ceiling", 0.1): [0.94, 0.96], ("ceiling", 0.02): [0.94, 0.96], ("grl", 0.1): E[:2], ("grl", 0.02): E[:2]}
    trials = analysis.load(synthetic.write_values(tmp_path / "s", runs))
    table = analysis.breaks_at(trials, margin=0.14).set_index("label")
    assert set(table["threshold"]) == {"ceiling - 0.14"}
    # .04 below the ceiling at .1 and .44 below it at .02: a quarter of the way.
    assert table.loc["erm", "value"] == pytest.approx(0.08) and table.loc["erm", "text"] == "0.08"
    assert table.loc["lnl", "text"] == "not within the axis" and table.loc["grl", "text"] == "at 0.1 already"
    own = analysis.breaks_at(trials, margin=0.1, reference="own").set_index("label")
    assert own.loc["erm", "value"] == pytest.approx(0.08) and own.loc["grl", "text"] == "not within the axis"
    assert own.loc["erm", "threshold"] == "its own at color_variance = 0.1 - 0.1"


@pytest.mark.parametrize(("options", "message"), [({"margin": 0.0}, "margin must be"), ({"reference": "x"}, "or own")])
def test_what_breaks_at_refuses(
    read: tuple[pd.DataFrame, pd.DataFrame], options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        analysis.breaks_at(read[0], **options)  # type: ignore[arg-type]


def test_of_one_strength_nothing_breaks_within_the_axis(tmp_path: Path, synthetic: ModuleType) -> None:
    trials = analysis.load(
        synthetic.write_values(tmp_path / "s", {("erm", 0.1): E, ("lnl", 0.1): M, ("ceiling", 0.1): C})
    )
    table = analysis.atlas_table(trials).set_index("label")
    assert table.loc["lnl", "breaks_at"] == "not measured at enough bias values"
    assert table.loc["lnl", "won_back_0.1"].startswith("0.83 [")


def test_the_bootstrap_of_breaking_points_is_paired_and_bracketed(read: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = analysis.breaks_at(*read, margin=0.2)
    inside = table[table["value"].notna() & ~table["low"].str.contains("[<>]") & ~table["high"].str.contains("[<>]")]
    assert len(inside) > 5
    assert (inside["low"].astype(float) <= inside["value"] + 0.005).all()
    assert (inside["high"].astype(float) >= inside["value"] - 0.005).all()
    assert np.isfinite(inside["value"]).all()

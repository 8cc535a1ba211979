from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis.points.measures import TEST_MEASURES, measure_of, measures_in
from store.columns import TRIALS


@pytest.fixture(scope="module")
def trials(sweep_dir: Path) -> pd.DataFrame:
    return analysis.load(sweep_dir)


def test_every_measure_is_a_column_with_a_sentence() -> None:
    for measure in TEST_MEASURES:
        assert measure.column in TRIALS and measure.says.endswith(".") and measure.better in ("higher", "lower", "0")


def test_only_measured_ones_are_shown(trials: pd.DataFrame) -> None:
    assert [m.column for m in measures_in(trials)] == [
        "test_accuracy", "test_conflicting_accuracy", "flip_rate", "bias_probe_accuracy",
    ]  # fmt: skip


def test_a_column_without_an_entry_has_a_plain_one() -> None:
    assert measure_of("recall_3").name == "recall 3"


@pytest.mark.parametrize(("column", "worst"), [("test_conflicting_accuracy", 0.64), ("flip_rate", 0.28)])
def test_a_missing_seed_counts_as_the_worst_value(trials: pd.DataFrame, column: str, worst: float) -> None:
    rows = trials[(trials["label"] == "lnl") & (trials["bias_value"] == 0.02)].copy()
    rows[column] = rows[column].where(rows[column].isna(), 0.8 if column.startswith("test") else 0.1)
    last = rows["trial_id"].str.endswith("0123abcd-s4")
    rows.loc[last, "status"] = "failed"
    curve = analysis.accuracy_vs_bias(rows, column=column, rules=["val_counterfactual"])
    assert curve["worst_case"].iloc[0] == pytest.approx(worst)
    assert "4 of 5 seeds finished" in curve["caption"].iloc[0]


def test_a_ceiling_is_called_one_on_the_clean_variant_alone(trials: pd.DataFrame) -> None:
    for column, name in (
        ("test_accuracy", "ceiling"),
        ("test_conflicting_accuracy", "trained without bias"),
        ("flip_rate", "trained without bias"),
    ):
        curve = analysis.accuracy_vs_bias(trials, column=column, rules=["val_counterfactual"])
        own = curve[curve["method"] == "ceiling"]
        assert set(own["label"]) == {"ceiling"}, "the identifier stays"
        assert own["caption"].str.startswith(f"{name} at ").all()
        drawn = {trace.name for trace in analysis.plot_accuracy_vs_bias(curve).data}
        assert name in drawn and len({"ceiling", "trained without bias"} & drawn) == 1


def test_the_report_has_a_ceiling_in_the_clean_figures_alone(sweep_dir: Path) -> None:
    text = Path(analysis.write_report(sweep_dir)).read_text()
    more = text[text.index('id="more"') :].split("</section>")[0]
    assert "ceiling:" not in more and "trained without bias: " in more
    assert "ceiling: " in text[text.index('id="curve"') :].split("</section>")[0]

"""Test figures of one's own: a column added to the trials, from the curve to the report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import analysis
from analysis.export.csv import csv_of
from analysis.findings import gather
from analysis.points import measures
from analysis.points.measures import measure_of
from store.errors import InputError

ACCURACIES = {(m, v): [0.8, 0.82, 0.87, 0.85, 0.81] for m in ("erm", "lnl") for v in (0.05, 0.02)}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(measures, "_OWN", {})
    yield


@pytest.fixture
def folder(tmp_path: Path, synthetic: ModuleType) -> Path:
    made: Path = synthetic.write_values(tmp_path / "s", ACCURACIES)
    return made


def cost_of(trials: pd.DataFrame) -> pd.Series:
    """A hundred times the accuracy: far from any share."""
    return (100 * trials.set_index("trial_id")["test_accuracy"]).dropna()


def test_a_column_of_ones_own_has_a_curve_in_its_own_range(folder: Path) -> None:
    trials = analysis.load(folder)
    trials["cost"] = trials["trial_id"].map(cost_of(trials))
    for predictions in (None, analysis.load_predictions(folder)):
        row = analysis.accuracy_vs_bias(trials, predictions, column="cost").iloc[0]
        assert row["mean"] == pytest.approx(83.0) and row["band"] == "seeds only"
        assert row["high"] - row["mean"] == pytest.approx(3.6200415215)
    assert analysis.summary_table(trials, column="cost").loc["erm", "0.05"] == "83.000 ± 3.620"
    low, high = analysis.plot_accuracy_vs_bias(analysis.accuracy_vs_bias(trials, column="cost")).layout.yaxis.range
    assert low < 79.4 and high > 87


def test_what_is_registered_clips_and_names(folder: Path) -> None:
    analysis.register_measure("cost", name="mean cost", better="lower", bounds=(0, 84), says="Of an image.")
    trials = analysis.load(folder)
    trials["cost"] = trials["trial_id"].map(cost_of(trials))
    assert analysis.accuracy_vs_bias(trials, column="cost").iloc[0]["high"] == 84
    assert measure_of("cost").worst == 84 and measure_of("cost").name == "mean cost"


def test_missing_seeds_have_a_worst_case_only_in_a_known_range(tmp_path: Path, synthetic: ModuleType) -> None:
    trials = analysis.load(synthetic.write_values(tmp_path / "s", {("erm", 0.02): [0.8, 0.9, None]}))
    trials["cost"] = trials["trial_id"].map(cost_of(trials))
    row = analysis.accuracy_vs_bias(trials, column="cost").iloc[0]
    assert math.isnan(row["worst_case"]) and "at worst" not in row["caption"] and row["n_seeds"] == 2
    analysis.register_measure("cost", better="lower", bounds=(0, 100))
    assert analysis.accuracy_vs_bias(trials, column="cost").iloc[0]["worst_case"] == pytest.approx(90.0)


def test_the_report_and_the_tables_have_it(folder: Path, tmp_path: Path) -> None:
    analysis.register_measure("cost", name="mean cost", better="lower", says="Cost of an image.")
    values = cost_of(analysis.load(folder))
    html = Path(analysis.write_report(folder, tmp_path / "r.html", columns={"cost": values})).read_text("utf-8")
    text = re.sub(r"<[^>]+>", " ", html)
    assert "Cost of an image." in text and "mean cost (lower is better)" in html
    files = {path.name: path for path in csv_of(gather([folder], {"cost": values}), tmp_path / "csv")}
    assert "trials,cost,float64,Cost of an image." in files["codebook.csv"].read_text()
    assert "cost" in files["measures.csv"].read_text()
    # The columns of one report are not those of the next.
    assert "mean cost" not in Path(analysis.write_report(folder, tmp_path / "s.html")).read_text("utf-8")


def test_several_sweeps_are_named_with_their_trials(tmp_path: Path, synthetic: ModuleType) -> None:
    folders = [synthetic.write_values(tmp_path / name, ACCURACIES) for name in ("a", "b")]
    trials = analysis.load(folders)
    ids = trials.loc[trials["phase"] == "confirm", "trial_id"].unique()
    values = {f"synthetic (a)/{i}": 1.0 for i in ids} | dict.fromkeys(ids, 2.0)
    curve = gather(folders, {"cost": values}).measures["cost"]
    assert curve.groupby("sweep")["mean"].unique().map(list).to_dict() == {
        "synthetic (a)": [1.0],
        "synthetic (b)": [2.0],
    }


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"column": "test_accuracy"}, "is one of lnl-sweep"),
        ({"column": "recall_a"}, "is one of lnl-sweep"),
        ({"column": "cost", "better": "less"}, "must be higher, lower or 0, but got 'less'"),
        ({"column": "cost", "bounds": (1, 0)}, "lowest and the highest value, but got 1 and 0"),
    ],
)
def test_what_cannot_be_registered(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        analysis.register_measure(**options)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"cost": {"another": 1.0}}, "none of its 1 values is one for a trial of synthetic"),
        ({"cost": {}}, "none of its 0 values"),
        ({"rules": {}}, "the trials have a column rules"),
    ],
)
def test_columns_that_are_refused(folder: Path, columns: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        analysis.write_report(folder, columns=columns)

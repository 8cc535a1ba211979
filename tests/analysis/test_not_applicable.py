"""A method that is not applicable at a bias value: named everywhere, drawn nowhere, and no line crosses the place."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import analysis
from analysis.figures.curve import curve_figure
from analysis.figures.plotly_curve import draw_curve
from analysis.figures.print import draw as draw_for_print
from analysis.findings import gather
from analysis.not_applicable import absent_words
from analysis.numbers.comparisons import area_rows
from analysis.report.page import render
from analysis.report.warnings import unfinished_cells
from analysis.results import Results
from tests.analysis.synthetic import Sweep, cell_name, write_sweep

REASON = "grl needs training images whose bias is that of another class, but coloured_digits has none there"


def written(folder: Path, *places: float, **knobs: Any) -> Path:
    """A sweep in which grl is not applicable at some values."""
    write_sweep(folder, Sweep(**knobs))
    config = yaml.safe_load((folder / "sweep.yaml").read_text())
    for cell in config["cells"]:
        if cell["label"] == "grl" and cell["bias_value"] in places:
            cell |= {"not_applicable": REASON, "trials": 0}
            for part in folder.glob(f"*/{cell_name('grl', cell['bias_value'])}.*"):
                part.unlink()
    (folder / "sweep.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("inside") / "sweep", 0.10)


@pytest.fixture(scope="module")
def strongest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("strongest") / "sweep", 0.02)


def results_of(folder: Path) -> Results:
    return Results(analysis.load(folder), analysis.load_predictions(folder))


def test_the_curve_has_a_row_without_numbers_and_with_the_reason(strongest: Path) -> None:
    curve = results_of(strongest).curve()
    rows = curve[curve["not_applicable"].notna()]
    assert (
        set(rows["label"]) == {"grl"} and set(rows["bias_value"]) == {0.02} and set(rows["rule"]) == set(curve["rule"])
    )
    row = rows.iloc[0]
    assert row["n_seeds"] == row["n_planned"] == 0 and math.isnan(row["mean"]) and row["bias_strength"] == 0.98
    assert (
        row["caption"] == f"grl at color_variance = 0.02, chosen by counterfactual validation: not applicable: {REASON}"
    )
    assert curve.loc[curve["not_applicable"].isna(), "n_seeds"].min() > 0


def test_the_table_names_it(strongest: Path) -> None:
    table = results_of(strongest).table()
    assert table.loc["grl", "0.02"] == "not applicable" and "±" in table.loc["erm", "0.02"]
    assert f"Not applicable: grl at color_variance = 0.02 ({REASON})." in table.attrs["caption"]


def test_the_area_is_that_of_the_common_values_alone(strongest: Path) -> None:
    results = results_of(strongest)
    areas = results.areas("val_biased").set_index("label")
    assert areas.loc["grl", "left_out"] == "0.02" and areas.loc["lnl", "left_out"] == ""
    assert areas.loc["grl", "reason"] == ""
    assert "without color_variance = 0.02, where the method is not applicable," in areas.loc["grl", "caption"]
    elsewhere = [p for p in results.of("val_biased") if p.bias_value != 0.02]
    alone = area_rows(elsewhere).set_index("label")
    # Both the area and the difference are what a sweep without the value has; those of the others keep the whole axis.
    for name in ("area", "low", "high", "difference", "p"):
        assert areas.loc["grl", name] == alone.loc["grl", name]
    assert areas.loc["erm", "area"] != alone.loc["erm", "area"]


def test_no_share_is_won_back_there_and_the_curve_breaks_within_what_was_measured(strongest: Path) -> None:
    results = results_of(strongest)
    won = results.won_back("val_biased")
    assert set(won.loc[won["label"] == "grl", "bias_value"]) == {0.40, 0.10, 0.05}
    breaking = results.breaking("val_biased").set_index("label")
    assert breaking.loc["grl", "left_out"] == "0.02" and "not applicable" in breaking.loc["grl", "caption"]
    place = results.at_bias(0.03, "val_biased").set_index("label")
    assert place.loc["grl", "reason"] == "not applicable at color_variance = 0.02"
    assert place.loc["erm", "reason"] == ""


def test_a_comparison_there_says_why_there_is_none(strongest: Path) -> None:
    results = results_of(strongest)
    comparison = results.primary(("grl", "erm"), "val_biased", 0.02)
    assert comparison.reason == f"grl is not applicable at color_variance 0.02: {REASON}"
    area = results.primary(("grl", "erm"), "val_biased", "area")
    assert area.reason == "" and area.left_out == "0.02"


def test_a_line_is_interrupted_where_its_method_is_not_applicable(inside: Path, strongest: Path) -> None:
    figure = curve_figure(results_of(inside).curve(), rule="val_biased")
    assert figure.note.endswith("not applicable: grl at color_variance = 0.1")
    line = next(line for line in figure.lines if line.name == "grl")
    assert line.x.tolist() == [0.40, 0.05, 0.02] and line.breaks == (1,)
    assert [run.tolist() for run in line.runs()] == [[0], [1, 2]]
    assert all(other.breaks == () for other in figure.lines if other is not line)
    traces = {trace.meta: trace for trace in draw_curve(figure).data if trace.name == "grl"}
    assert np.isnan(traces["mean"].y).tolist() == [False, True, False, False]
    assert traces["mean"].customdata[1] == "" and len(traces["mean"].customdata) == 4
    assert np.isnan(traces["band"].x).sum() == 1 and len(traces["dots"].x) == 3 * 5
    drawn = draw_for_print(figure, (152, 102)).axes[0]
    assert any(np.isnan(line.get_ydata().astype(float)).sum() == 1 for line in drawn.lines)
    ending = next(
        line for line in curve_figure(results_of(strongest).curve(), rule="val_biased").lines if line.name == "grl"
    )
    assert ending.breaks == () and ending.x.tolist() == [0.40, 0.10, 0.05]


def test_the_report_names_it_and_misses_nothing(strongest: Path) -> None:
    findings = gather([strongest])
    assert unfinished_cells(findings, findings.sweeps[0]) == []
    page = render(findings)
    assert "not applicable: grl at color_variance = 0.02" in page and REASON in page
    assert "without color_variance 0.02 (not applicable)" in page
    assert "the other values alone, for both methods" in page
    assert "Short of seeds" not in page and "not finished" not in page


def test_a_declared_comparison_of_areas_says_what_it_leaves_out(tmp_path: Path) -> None:
    primary = {"compare": ["grl", "erm"], "rule": "val_counterfactual", "at": "area"}
    folder = written(tmp_path / "sweep", 0.02, n_search=3, config={"primary": primary})
    page = render(gather([folder]))
    assert "without color_variance = 0.02, where one of them is not applicable" in page
    assert "at the strongest common bias (color_variance = 0.05)" in page


def test_without_such_a_cell_nothing_is_said(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", Sweep(values=(0.4, 0.1), n_search=3))
    curve = results_of(folder).curve()
    assert absent_words(curve) == "" and curve["not_applicable"].isna().all()
    assert "not applicable" not in render(gather([folder]))

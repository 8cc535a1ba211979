"""Small multiples: a panel for each method, on screen and in print, and the report that begins with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import analysis
from analysis.figures.bias_axis import make_axis
from analysis.figures.curve import curve_figure
from analysis.figures.measures import plot_measure
from analysis.figures.print import _TYPE, WIDTHS_MM, draw, draw_panels
from analysis.figures.small_multiples import multiples
from analysis.points.measures import many, measure_of
from store.errors import InputError


@pytest.fixture(scope="module")
def curve(many_dir: Path) -> pd.DataFrame:
    return analysis.accuracy_vs_bias(analysis.load(many_dir), analysis.load_predictions(many_dir))


def titles(figure: object) -> list[str]:
    return [re.sub("<.*?>", "", a.text) for a in figure.layout.annotations if a.name == "panel"]  # type: ignore[attr-defined]


def test_each_method_has_a_panel_with_erm_and_the_ceiling_beside_it(curve: pd.DataFrame) -> None:
    figure = analysis.plot_small_multiples(curve)
    labels = set(curve["label"]) - {"erm", "ceiling"}
    assert many(curve) and set(titles(figure)) == labels and len(titles(figure)) == 16
    for number in range(16):
        axis = "x" if number == 0 else f"x{number + 1}"
        inside = [trace for trace in figure.data if (trace.xaxis or "x") == axis]
        assert sorted(t.name for t in inside if t.meta == "beside") == ["ceiling", "erm"]
        assert {t.legendgroup for t in inside if t.meta == "mean"} == {titles(figure)[number]}
        assert {t.meta for t in inside} == {"beside", "band", "dots", "mean"}
    ranges = {tuple(figure.layout[name].range) for name in figure.layout if str(name).startswith("yaxis")}
    assert len(ranges) == 1


def test_panels_stand_in_the_stated_order(curve: pd.DataFrame, many_lines: ModuleType) -> None:
    common = curve[curve["bias_value"] < 1]
    means = common.groupby("label")["mean"].mean().drop(["erm", "ceiling"])
    assert titles(analysis.plot_small_multiples(curve)) == list(means.sort_values(ascending=False).index)
    at = common[common["bias_value"] == 0.99].set_index("label")["mean"].drop(["erm", "ceiling"])
    strongest = titles(analysis.plot_small_multiples(curve, order="strongest"))
    assert [at[label] for label in strongest] == sorted(at, reverse=True)
    assert titles(analysis.plot_small_multiples(curve, order="name")) == sorted(means.index)
    assert titles(analysis.plot_small_multiples(curve, order=["lnl", "end"]))[:2] == ["lnl", "end"]
    with pytest.raises(InputError, match="order must be one of mean, strongest"):
        analysis.plot_small_multiples(curve, order="best")  # type: ignore[arg-type]


def test_places_where_a_method_is_not_applicable_are_marked(curve: pd.DataFrame, many_lines: ModuleType) -> None:
    figure = analysis.plot_small_multiples(curve)
    absent = [a for a in figure.layout.annotations if a.name == "absent"]
    assert len(absent) == len(many_lines.ABSENT) and {a.x for a in absent} == {7.0}
    assert "not applicable: dfr at rho = 1" in figure.layout.title.text


def test_strengths_stand_at_equal_distances_weak_to_strong(curve: pd.DataFrame) -> None:
    figure = analysis.plot_small_multiples(curve)
    assert list(figure.layout.xaxis.tickvals) == list(range(8))
    assert list(figure.layout.xaxis.ticktext) == ["0.1", "0.5", "0.7", "0.8", "0.9", "0.95", "0.99", "1"]
    to_scale = analysis.plot_small_multiples(curve, x="bias_strength")
    (mean,) = [t for t in to_scale.data if t.meta == "mean" and t.legendgroup == "lnl"]
    assert mean.x[1] == pytest.approx(0.25)


def test_one_strength_and_two_methods_have_panels_too(curve: pd.DataFrame) -> None:
    one = curve[curve["bias_value"] == 0.9]
    assert len(titles(analysis.plot_small_multiples(one))) == 16
    two = curve[curve["label"].isin(["erm", "lnl", "grl", "ceiling"])]
    assert not many(two) and titles(analysis.plot_small_multiples(two)) == ["lnl", "grl"]
    with pytest.raises(InputError, match="need a method besides erm and the ceiling"):
        analysis.plot_small_multiples(curve[curve["label"] == "erm"])


def test_other_test_figures_have_a_panel_for_each_method_too(many_dir: Path, curve: pd.DataFrame) -> None:
    trials, predictions = analysis.load(many_dir), analysis.load_predictions(many_dir)
    flips = analysis.accuracy_vs_bias(trials, predictions, column="flip_rate")
    order = titles(analysis.plot_small_multiples(curve))
    figure = plot_measure(flips, measure_of("flip_rate"), None, order)
    assert titles(figure) == order and "in the order of the headline curve" in figure.layout.title.text
    assert titles(plot_measure(flips, measure_of("flip_rate"))) == sorted(order)
    (y_title,) = (a.text for a in figure.layout.annotations if a.name == "y title")
    assert y_title == "flip rate (lower is better)"
    beside = {t.name for t in figure.data if t.meta == "beside"}
    assert beside == {"erm", "trained without bias"}, "the ceiling is none of a figure of another test variant"


def test_a_best_value_and_null_values_are_marked_in_every_panel(curve: pd.DataFrame) -> None:
    null = curve.assign(mean=0.04)
    null.loc[null["label"] == "lnl", "mean"] = 0.06
    figure = plot_measure(curve, measure_of("ece"), null)
    bands = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert {(b.y0, b.y1) for b in bands} == {(0.04, 0.06)} and len({b.yref for b in bands}) == 16
    assert "grey: null value" in figure.layout.title.text and "guessing" not in figure.layout.title.text
    signed = plot_measure(curve, measure_of("confidence_gap"))
    levels = [shape for shape in signed.layout.shapes if shape.type == "line"]
    assert {level.y0 for level in levels} == {0.0} and len(levels) == 16
    assert "dotted: the best value" in signed.layout.title.text


def test_few_methods_share_one_picture_of_another_test_figure(curve: pd.DataFrame) -> None:
    few = curve[curve["label"].isin(["erm", "lnl", "grl", "ceiling"])]
    assert titles(plot_measure(few, measure_of("ece"))) == []


# ---------------------------------------------------------------------- print


@pytest.fixture
def in_print() -> Iterator[None]:
    with mpl.rc_context(_TYPE):
        yield


def nothing_is_cut(figure: Figure) -> None:
    """Fail where an axis with its labels, a title or the legend leaves the figure, or the legend lies over an axis."""
    FigureCanvasAgg(figure).draw()
    shown = [axes for axes in figure.axes if axes.get_visible()]
    (legend,) = figure.legends
    boxes = [legend.get_window_extent(), *(axes.get_tightbbox() for axes in shown)]
    boxes += [text.get_window_extent() for text in figure.texts]
    for box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1
        assert box.x1 <= figure.bbox.width + 1 and box.y1 <= figure.bbox.height + 1
    assert not any(legend.get_window_extent().overlaps(axes.get_tightbbox()) for axes in shown)


@pytest.mark.parametrize("width", list(WIDTHS_MM))
@pytest.mark.usefixtures("in_print")
def test_small_multiples_in_print_cut_nothing(curve: pd.DataFrame, width: int) -> None:
    content = multiples(curve, title="", note="synthetic numbers", axis_title="share of biased images")
    figure = draw_panels(content, width)
    assert figure.get_size_inches()[0] * 25.4 == pytest.approx(width) and figure.get_size_inches()[1] * 25.4 < 250
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == [panel.label for panel in content.panels]
    assert list(shown[0].get_lines()[-1].get_ydata()) == list(content.panels[0].lines[0].mean)
    nothing_is_cut(figure)


@pytest.mark.parametrize("width", list(WIDTHS_MM))
@pytest.mark.parametrize("facets", [1, 2])
@pytest.mark.usefixtures("in_print")
def test_a_legend_of_many_lines_makes_the_print_higher_and_is_not_cut(
    curve: pd.DataFrame, width: int, facets: int
) -> None:
    few = curve[curve["label"].isin(["erm", "ceiling", "lnl", "grl", "jtt", "lff", "hsic", "mmd"])]
    every = pd.concat([few.assign(facet=f"gamma = {k}" if facets > 1 else "") for k in range(facets)])
    every.attrs = curve.attrs
    note = "synthetic numbers; chosen by counterfactual validation, which is a note of more than one line in a column"
    figure = draw(curve_figure(every, title="", note=note), (width, WIDTHS_MM[width]))
    texts = [t.get_text() for t in figure.legends[0].get_texts()]
    assert len(texts) == 8 * facets
    nothing_is_cut(figure)


def test_ticks_whose_labels_would_lie_over_each_other_have_none(curve: pd.DataFrame) -> None:
    axis = make_axis(curve, "bias_value", None)
    assert axis.labels(0.0) == ["0.1", "0.5", "0.7", "0.8", "0.9", "0.95", "0.99", "1"]
    assert axis.labels(0.012) == ["0.1", "0.5", "0.7", "0.8", "0.9", "", "", "1"]
    assert [t.partition("<")[0] for t in analysis.plot_accuracy_vs_bias(curve).layout.xaxis.ticktext][-1] == "1"


# --------------------------------------------------------------------- report


def test_the_report_of_many_methods(many_dir: Path, tmp_path: Path) -> None:
    file = analysis.write_report(many_dir, tmp_path / "r.html")
    text = Path(file).read_text(encoding="utf-8")
    assert len(text) < 6e6
    assert '<section id="ranks">' in text and '<section id="against-erm">' in text
    assert "panels: highest mean over the axis first" in text
    assert text.count("in the order of the headline curve") >= 1
    assert "cannot be told from the best" in text and "123 tests are made here" in text
    names = {path.stem for path in analysis.write_csv(many_dir, tmp_path / "csv")}
    assert {"ranks", "against_erm"} <= names


def test_the_report_of_few_methods_has_none_of_it(sweep_dir: Path, tmp_path: Path) -> None:
    text = Path(analysis.write_report(sweep_dir, tmp_path / "r.html")).read_text(encoding="utf-8")
    assert 'id="ranks"' not in text and 'id="against-erm"' not in text and "panels:" not in text
    assert np.char.count(text, 'id="figure-curve"') == 1

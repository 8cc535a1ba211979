from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.figures.curve import curve_figure, make_axis
from analysis.figures.learning import learning_curves
from analysis.figures.print import draw
from analysis.figures.style import styles
from analysis.natural import with_natural
from store.errors import InputError
from store.sheet.natural import NaturalBias


@pytest.fixture(scope="module")
def trials(sweep_dir: Path) -> pd.DataFrame:
    return analysis.load(sweep_dir)


@pytest.fixture(scope="module")
def curve(trials: pd.DataFrame) -> pd.DataFrame:
    return analysis.accuracy_vs_bias(trials)


def test_stronger_bias_is_to_the_right_on_a_log_axis(curve: pd.DataFrame) -> None:
    figure = analysis.plot_accuracy_vs_bias(curve)
    left, right = figure.layout.xaxis.range
    assert figure.layout.xaxis.type == "log"
    assert left > math.log10(0.40) - 0.5 and right < math.log10(0.02) + 0.1 and left > right
    assert any(a.text == "stronger bias" for a in figure.layout.annotations)


def test_an_axis_that_holds_zero_is_linear(curve: pd.DataFrame) -> None:
    rows = curve.assign(bias_value=curve["bias_value"].replace({0.40: 0.0}), bias_axis="rho")
    rows["bias_strength"] = rows["bias_value"]
    place = make_axis(rows, "bias_value", None)
    assert not place.log and place.ticks == (0.0, 0.02, 0.05, 0.10) and place.stronger == "larger"


def test_a_figure_without_a_published_method_has_no_marks(curve: pd.DataFrame) -> None:
    alone = curve[curve["label"] == "lnl"].assign(label="mine")
    figure = analysis.plot_accuracy_vs_bias(alone, published=analysis.published_numbers("coloured_digits"))
    assert not [t for t in figure.data if t.meta == "published"]


def test_line_band_and_dots_share_a_legend_group(curve: pd.DataFrame) -> None:
    figure = analysis.plot_accuracy_vs_bias(curve)
    by_group: dict[str, set[str]] = {}
    for trace in figure.data:
        by_group.setdefault(trace.legendgroup, set()).add(trace.meta)
    assert set(by_group) == {"ceiling", "erm", "grl", "lnl"}
    assert all(kinds == {"band", "dots", "mean"} for kinds in by_group.values())
    assert sum(trace.showlegend is not False for trace in figure.data) == 4


def test_every_seed_is_a_dot_and_hover_tells_the_interval(curve: pd.DataFrame) -> None:
    figure = analysis.plot_accuracy_vs_bias(curve)
    dots = next(t for t in figure.data if t.meta == "dots" and t.legendgroup == "lnl")
    mean = next(t for t in figure.data if t.meta == "mean" and t.legendgroup == "lnl")
    assert len(dots.y) == 4 * 5
    assert "95 %, seeds only" in mean.customdata[0] and "5 of 5 seeds" in mean.customdata[0]
    assert "lambda_" in mean.customdata[0]


def test_the_oracle_is_called_so_and_notes_are_in_the_title(curve: pd.DataFrame) -> None:
    figure = analysis.plot_accuracy_vs_bias(curve, rule="val_unbiased", note="toy <network>")
    assert "oracle" in figure.layout.title.text
    assert "toy &lt;network&gt;" in figure.layout.title.text


def test_a_figure_of_the_phantom_says_unasked_that_it_is_synthetic(curve: pd.DataFrame) -> None:
    assert "synthetic" not in analysis.plot_accuracy_vs_bias(curve).layout.title.text
    rows = curve.assign(dataset="brain_phantom")
    assert "synthetic slices" in analysis.plot_accuracy_vs_bias(rows).layout.title.text
    assert "my own" in analysis.plot_accuracy_vs_bias(rows, note="my own").layout.title.text


def test_user_text_is_escaped_in_names(curve: pd.DataFrame) -> None:
    figure = analysis.plot_accuracy_vs_bias(curve, names={"lnl": "<a href='http://x'>y</a>"})
    assert all("<a" not in str(trace.name) for trace in figure.data)


def test_published_numbers_are_hollow_and_optional(curve: pd.DataFrame) -> None:
    plain = analysis.plot_accuracy_vs_bias(curve)
    assert not [t for t in plain.data if t.meta == "published"]
    figure = analysis.plot_accuracy_vs_bias(curve, published=analysis.published_numbers("coloured_digits"))
    hollow = [t for t in figure.data if t.meta == "published"]
    assert {t.marker.symbol for t in hollow if t.visible is True} == {"circle-open", "square-open"}
    assert {t.legendgroup for t in hollow if t.visible == "legendonly"} == {"published/SABAF 2023"}
    strength = analysis.plot_accuracy_vs_bias(
        curve, x="bias_strength", published=analysis.published_numbers("coloured_digits")
    )
    assert not [t for t in strength.data if t.meta == "published"], "published numbers have no strength"


def test_a_short_facet_is_drawn_as_marks(curve: pd.DataFrame) -> None:
    rows = curve.copy()
    rows.loc[(rows["label"] == "lnl") & (rows["bias_value"] == 0.02), "facet"] = "gamma = 1"
    figure = analysis.plot_accuracy_vs_bias(rows)
    marks = next(t for t in figure.data if t.legendgroup == "lnl, gamma = 1" and t.meta == "mean")
    assert marks.mode == "markers" and marks.error_y.array is not None


def test_search_figures_keep_facets_apart(trials: pd.DataFrame) -> None:
    rows = trials.copy()
    rows["bias_gamma"] = rows["bias_value"].map({0.40: 0.0, 0.10: 0.0, 0.05: 0.0, 0.02: 1.0})
    rows.loc[rows["bias_value"] == 0.02, "bias_value"] = 0.05
    names = {trace.name for trace in analysis.plot_search_budget(rows).data}
    assert {"lnl, gamma = 0", "lnl, gamma = 1"} <= names
    assert "0.05<br>gamma = 1" in analysis.plot_lambda_map(rows, "lnl").data[0].x


def test_strength_lays_data_sets_over_one_another(curve: pd.DataFrame) -> None:
    figure = analysis.plot_accuracy_vs_bias(curve, x="bias_strength")
    assert figure.layout.xaxis.range[0] < figure.layout.xaxis.range[1]
    assert figure.layout.xaxis.type == "linear"


def test_methods_differ_in_colour_dash_and_marker() -> None:
    labels = ["ceiling", "erm", "lnl", "grl", "blind_eye", "permuted_bias", *(f"own{i}" for i in range(12))]
    found = styles(labels)
    assert len({(s.color, s.dash, s.symbol) for s in found.values()}) == len(labels)
    assert len({s.dash for s in list(found.values())[:6]}) == 6


def test_search_figures(trials: pd.DataFrame, sweep_dir: Path) -> None:
    history = analysis.load_history(sweep_dir)
    figure = analysis.plot_lambda_map(trials, "lnl")
    assert list(dict.fromkeys(figure.data[0].x)) == ["0.4", "0.1", "0.05", "0.02"]
    assert sum(width > 1 for width in figure.data[0].marker.line.width) == 4
    assert figure.layout.yaxis.ticktext[0] == "0"
    assert len(analysis.plot_learning_curves(trials, history).data) == 4 * 5
    assert len(analysis.plot_search_budget(trials).data) == 4


def with_methods(trials: pd.DataFrame, history: pd.DataFrame, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of so many methods besides plain training and the ceiling, each a copy of lnl's."""
    parts, epochs = [trials[trials["label"].isin(["erm", "ceiling"])]], [history]
    for k in range(n):
        rows = trials[trials["label"] == "lnl"]
        ids = "m" + str(k) + "/" + rows["trial_id"]
        parts.append(rows.assign(label=f"m{k}", trial_id=ids))
        own = history[history["trial_id"].isin(rows["trial_id"])]
        epochs.append(own.assign(trial_id=f"m{k}/" + own["trial_id"]))
    many = pd.concat(parts, ignore_index=True)
    many.attrs = trials.attrs
    return many, pd.concat(epochs, ignore_index=True)


def test_lines_of_many_methods_lie_in_panels(trials: pd.DataFrame, sweep_dir: Path) -> None:
    history = analysis.load_history(sweep_dir)
    six, seven = (with_methods(trials, history, n) for n in (6, 7))
    for rows, epochs in (six, seven):
        order = ["m3", "m1"] if rows is seven[0] else None
        learning = analysis.plot_learning_curves(rows, epochs, order=order)
        budget = analysis.plot_search_budget(rows, order=order)
        for figure in (learning, budget):
            panels = [note.text for note in figure.layout.annotations if note.name == "panel"]
            # Six fit into one picture, as before.
            assert panels == ([] if order is None else [f"<b>m{k}</b>" for k in (3, 1, 0, 2, 4, 5, 6)])
            if order is not None:
                # Plain training and the ceiling, muted, in each panel, and once in the legend.
                muted = [trace for trace in figure.data if trace.meta == "beside"]
                assert len(muted) % 7 == 0 and sum(trace.showlegend for trace in muted) == len(muted) / 7
                assert {trace.legendgroup for trace in muted} <= {"erm", "ceiling"}
                narrow = figure.layout.meta["narrow"]
                assert narrow["xaxis2"]["domain"][1] == 1 and narrow["xaxis7"]["domain"][0] == 0
                assert len({trace.uid for trace in figure.data}) == len(figure.data)
    # A line per seed, of plain training their mean.
    shown = learning_curves(*seven)
    erm = [line for line in shown.lines if line.label == "erm"]
    drawn = next(trace for trace in learning.data if trace.legendgroup == "erm")
    assert list(drawn.y) == pytest.approx(np.mean([line.y for line in erm], axis=0), abs=1e-4)
    own = [trace for trace in learning.data if trace.meta is None and trace.xaxis == "x"]
    assert len(own) == sum(line.label == "m3" for line in shown.lines) == 5
    assert all(trace.xaxis in {"x", *(f"x{k}" for k in range(2, 8))} for trace in learning.data)


def test_figures_without_rows_say_so(trials: pd.DataFrame, curve: pd.DataFrame, sweep_dir: Path) -> None:
    with pytest.raises(InputError, match="but there is none: finish the sweep"):
        analysis.plot_accuracy_vs_bias(curve.iloc[:0])
    with pytest.raises(InputError, match="search first"):
        analysis.plot_lambda_map(trials, "erm")
    with pytest.raises(InputError, match="finish the sweep"):
        analysis.plot_learning_curves(trials, analysis.load_history(sweep_dir).iloc[:0])


def test_both_backends_draw_the_computed_numbers(curve: pd.DataFrame) -> None:
    shown = curve_figure(curve)
    on_screen = {t.name: t for t in analysis.plot_accuracy_vs_bias(curve).data if t.meta == "mean"}
    (axes,) = draw(shown, (85, 70)).axes
    in_print = {line.get_label(): line for line in axes.lines}
    assert set(on_screen) == {line.name for line in shown.lines} <= set(in_print)
    for line in shown.lines:
        assert list(in_print[line.name].get_ydata()) == list(on_screen[line.name].y) == list(line.mean)
        assert list(in_print[line.name].get_xdata()) == list(on_screen[line.name].x) == list(line.x)
    assert axes.get_ylim() == pytest.approx(shown.y_range)


def test_learning_curves_are_counted_from_what_is_computed(trials: pd.DataFrame, sweep_dir: Path) -> None:
    shown = learning_curves(trials, analysis.load_history(sweep_dir))
    table = shown.by_epoch()
    assert set(table["n_seeds"]) == {5}
    for name, (first, last) in shown.ends().items():
        means = table.loc[table["line"] == name, "mean"]
        assert (first, last) == (pytest.approx(means.iloc[0]), pytest.approx(means.iloc[-1]))


def placed(frame: pd.DataFrame, value: float, low: float, high: float) -> pd.DataFrame:
    bias = NaturalBias({"color_variance": value}, {"color_variance": (low, high)}, 0.55, (0.4, 0.7))
    return with_natural(frame.copy(), dict.fromkeys(frame["sweep"], bias))


def test_the_data_as_they_are_are_a_tick_and_a_band_and_no_trace(curve: pd.DataFrame) -> None:
    bare = analysis.plot_accuracy_vs_bias(curve)
    figure = analysis.plot_accuracy_vs_bias(placed(curve, 0.07, 0.06, 0.09))
    # Of a logarithmic axis: shapes at the value, words at its logarithm.
    word = next(a for a in figure.layout.annotations if a.text == "data as they are")
    assert word.x == pytest.approx(math.log10(0.07))
    assert word.hovertext == "data as they are: color_variance = 0.07 [0.06, 0.09], 95 % over patients"
    band, tick = figure.layout.shapes
    assert (band.x0, band.x1, band.layer) == (0.06, 0.09, "below") and (tick.x0, tick.y0) == (0.07, 0)
    assert len(figure.data) == len(bare.data) and figure.layout.xaxis.range == bare.layout.xaxis.range
    strengths = analysis.plot_accuracy_vs_bias(placed(curve, 0.07, 0.06, 0.09), x="bias_strength")
    assert [shape.x0 for shape in strengths.layout.shapes] == [0.4, 0.55]


def test_an_axis_reaches_to_the_data_as_they_are(curve: pd.DataFrame) -> None:
    weak = analysis.plot_accuracy_vs_bias(placed(curve, 2.0, 1.0, 50.0))
    left, right = weak.layout.xaxis.range
    assert left > math.log10(2.0) and right == pytest.approx(math.log10(0.02), abs=0.2)
    # The band ends where the axis does.
    assert weak.layout.shapes[0].x1 == pytest.approx(10**left)
    strong = curve_figure(placed(curve, 0.001, 0.0, 0.01)).axis.range()
    assert strong[1] < math.log10(0.001)


def test_the_print_has_the_same_mark(curve: pd.DataFrame) -> None:
    axes = draw(curve_figure(placed(curve, 0.07, 0.06, 0.09)), (85, 70)).axes[0]
    assert [text.get_text() for text in axes.texts] == ["data as they are"]
    assert axes.texts[0].get_position()[0] == 0.07
    assert not draw(curve_figure(curve), (85, 70)).axes[0].texts


def test_the_map_of_the_search_marks_the_place_between_its_columns(trials: pd.DataFrame) -> None:
    figure = analysis.plot_lambda_map(placed(trials, 0.06, 0.05, 0.07), "lnl")
    # Columns .4, .1, .05, .02: four fifths of the way from .1 to .05.
    assert [shape.x0 for shape in figure.layout.shapes] == [1.8]
    assert not analysis.plot_lambda_map(trials, "lnl").layout.shapes

"""The map of ranks: one picture of 17 methods at 8 strengths."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.export.png import report_figures
from analysis.findings import gather
from analysis.many.rank_map import rank_map
from store.errors import InputError


@pytest.fixture(scope="module")
def ranks(many_dir: Path) -> pd.DataFrame:
    return analysis.ranks(analysis.load(many_dir), analysis.load_predictions(many_dir))


def test_a_cell_holds_the_rank_and_its_interval(ranks: pd.DataFrame) -> None:
    figure = analysis.plot_ranks(ranks)
    (heat,) = figure.data
    assert list(heat.x) == ["0.1", "0.5", "0.7", "0.8", "0.9", "0.95", "0.99", "1"] and len(heat.y) == 17
    for i, label in enumerate(heat.y):
        for k, value in enumerate(heat.x):
            row = ranks[(ranks["label"] == label) & (ranks["bias_value"] == float(value))].iloc[0]
            if np.isnan(row["rank"]):
                assert heat.text[i][k] == "" and np.isnan(heat.z[i][k])
                continue
            star = "*" if row["may_be_best"] else ""
            low, high = int(row["rank_low"]), int(row["rank_high"])
            assert heat.text[i][k] == f"<b>{int(row['rank'])}{star}</b><br>[{low}, {high}]"
            assert heat.z[i][k] == pytest.approx(1 - (row["rank"] - 1) / (row["n_methods"] - 1), abs=1e-3)
            assert f"mean {row['mean']:.3f}" in heat.hovertext[i][k]


def test_methods_stand_by_their_mean_place_and_absent_ones_are_marked(
    ranks: pd.DataFrame, many_lines: ModuleType
) -> None:
    shown = rank_map(ranks)
    assert list(shown.mean_place) == sorted(shown.mean_place)
    notes = [note for note in analysis.plot_ranks(ranks).layout.annotations if note.name == "absent"]
    assert {shown.names[note.y] for note in notes} == set(many_lines.ABSENT)
    assert {note.x for note in notes} == {7} and {note.text for note in notes} == {"n/a"}
    assert all("it needs training images" in note.hovertext for note in notes)


def test_lines_of_one_label_are_told_apart_and_data_sets_are_never_mixed(ranks: pd.DataFrame) -> None:
    facets = pd.concat([ranks, ranks.assign(facet="gamma = 1")], ignore_index=True)
    facets.loc[facets["facet"] == "", "facet"] = "gamma = 0"
    names = rank_map(facets).names
    assert len(names) == 2 * 17 and {"lnl, gamma = 0", "lnl, gamma = 1"} <= set(names)
    with pytest.raises(InputError, match="ranks on one data set, but got many_digits and other"):
        analysis.plot_ranks(pd.concat([ranks, ranks.assign(dataset="other")]))
    with pytest.raises(InputError, match="there are none under 'val_biased'"):
        analysis.plot_ranks(ranks, "val_biased")


def test_one_method_and_one_seed_have_a_map(ranks: pd.DataFrame) -> None:
    one = ranks[(ranks["label"] == "lnl") & (ranks["bias_value"] == 0.9)].assign(rank=1, n_methods=1)
    assert analysis.plot_ranks(one).data[0].z.tolist() == [[1.0]]


def test_report_and_png_have_it(many_dir: Path, tmp_path: Path) -> None:
    text = Path(analysis.write_report(many_dir, tmp_path / "r.html")).read_text(encoding="utf-8")
    assert 'id="figure-ranks-0"' in text and "The ranks as a table" in text
    assert "ranks" in report_figures(gather([many_dir]))

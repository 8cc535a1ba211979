"""The weights of debiasing terms are those that the sheet names, also where they are neither lambda nor mu."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

import analysis
from analysis.carried.pressures import CARRIED_PRESSURES, pressures_of, without_debiasing
from analysis.figures.search import searched_weight
from store.columns import PRESSURES


@pytest.fixture
def folder(tmp_path: Path, synthetic: ModuleType) -> Path:
    """A sweep whose ``lnl`` weights its terms by ``alpha`` and ``beta``, as ``end`` does."""
    small = synthetic.Sweep(values=(0.1, 0.02), methods=("ceiling", "erm", "lnl", "grl"), n_search=3, n_images=40)
    written: Path = synthetic.write_sweep(tmp_path / "s", small)
    for part in sorted((written / "trials").glob("*.parquet")):
        rows = pq.read_table(part).to_pylist()
        if rows[0]["method"] != "lnl":
            continue
        for row in rows:
            values = json.loads(row["hyperparameters"])
            values |= {"alpha": values.pop("lambda_"), "beta": values.pop("mu")}
            row |= {"lambda_": None, "mu": None, "hyperparameters": json.dumps(values), "method": "end"}
        part.unlink()
        synthetic.write_part(written, "trials", part.name.split(".")[0], rows, (0, "driver", 1))
    sheet = yaml.safe_load((written / "sweep.yaml").read_text())
    sheet["methods_info"]["lnl"] |= {"method": "end", "pressures": ["alpha", "beta"]}
    (written / "sweep.yaml").write_text(yaml.safe_dump(sheet, sort_keys=False))
    return written


def test_load_carries_the_weights_that_the_sheet_names(folder: Path) -> None:
    trials = analysis.load(folder)
    assert pressures_of(trials, "synthetic", "lnl") == ("alpha", "beta")
    assert pressures_of(trials[trials["phase"] == "search"], "synthetic", "grl") == ("mu",)
    assert pressures_of(trials, "synthetic", "erm") == PRESSURES, "an older sheet does not say it"


def test_the_anchor_of_other_weights_is_told(folder: Path) -> None:
    trials = analysis.load(folder)
    search = trials[(trials["phase"] == "search") & without_debiasing(trials)]
    assert set(search["label"]) == {"lnl", "grl"} and set(search["search_number"]) == {0}
    first = (trials["search_number"] == 0) & (trials["label"] == "lnl")
    chosen = trials.assign(val_counterfactual=trials["val_counterfactual"].mask(first, 2.0))
    selected = analysis.selected_hyperparameters(chosen)
    assert selected.loc[(selected["label"] == "lnl") & (selected["rule"] == "val_counterfactual"), "anchor"].all()
    budget = analysis.expected_validation(chosen).query("label == 'lnl'")
    assert budget["n"].max() == 2 and budget["expected"].max() < 1


def test_other_weights_have_a_map(folder: Path, tmp_path: Path) -> None:
    trials = analysis.load(folder)
    rows = analysis.lambda_map(trials)
    assert set(rows["label"]) == {"lnl", "grl"}
    assert rows.loc[rows["label"] == "lnl", ["alpha", "beta"]].notna().all(axis=None)
    assert rows.loc[rows["label"] == "grl", ["alpha", "beta"]].isna().all(axis=None)
    assert searched_weight(trials, rows[rows["label"] == "lnl"]) == "alpha"
    assert analysis.plot_lambda_map(trials, "lnl").layout.yaxis.title.text == "alpha"
    assert analysis.plot_lambda_map(trials, "grl").layout.yaxis.title.text == "mu"
    with pytest.raises(analysis.InputError, match="needs search trials with gamma"):
        analysis.plot_lambda_map(trials, "lnl", "gamma")
    text = Path(analysis.write_report(folder, tmp_path / "r.html")).read_text(encoding="utf-8")
    assert "lnl: alpha against bias" in text and "grl: mu against bias" in text
    exported = {path.stem: path for path in analysis.write_csv(folder, tmp_path / "csv")}
    assert {"alpha", "beta"} <= set(pd.read_csv(exported["lambda_map"]).columns)


def test_rows_without_a_sheet_have_lambda_and_mu(folder: Path) -> None:
    trials = analysis.load(folder)
    del trials.attrs[CARRIED_PRESSURES]
    assert set(analysis.lambda_map(trials)["label"]) == {"grl"}
    assert list(analysis.lambda_map(trials).columns).count("alpha") == 0


def test_a_sheet_whose_parts_refer_to_its_cells_is_read_whole(folder: Path) -> None:
    sheet = folder / "sweep.yaml"
    text = sheet.read_text().replace("cells:\n- cell:", "cells:\n- &first\n  cell:", 1)
    sheet.write_text(f"{text}\nmore: *first\n")
    assert pressures_of(analysis.load(folder), "synthetic", "lnl") == ("alpha", "beta")

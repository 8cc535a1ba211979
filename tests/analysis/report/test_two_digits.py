"""Coloured and biased digits in one report: no table and no line holds numbers of both."""

from __future__ import annotations

import html
import re
from pathlib import Path
from types import ModuleType

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

import analysis
from analysis.findings import Findings, gather
from analysis.report.page import render

SHARE = {0.1: 0.9, 0.05: 0.99, 0.02: 0.999}
"""Share of aligned images in place of each colour variance."""


def as_biased_digits(folder: Path, synthetic: ModuleType) -> Path:
    """Turn a sweep over the colour variance into one of ``biased_digits`` over the share of aligned images."""
    for number, part in enumerate(sorted((folder / "trials").glob("*.parquet"))):
        rows = pq.read_table(part).to_pylist()
        for row in rows:
            share = SHARE[row["bias_value"]]
            row |= {"dataset": "biased_digits", "bias_axis": "rho", "bias_value": share, "bias_rho": share}
            row |= {"bias_color_variance": None}
        part.unlink()
        synthetic.write_part(folder, "trials", f"cell{number}", rows, (0, "driver", 1))
    sheet = yaml.safe_load((folder / "sweep.yaml").read_text())
    sheet["dataset"] = {"name": "biased_digits", "bias": {"rho": list(SHARE.values())}}
    axis = {"name": "rho", "long_name": "share of aligned images", "low": 0.1, "high": 1.0, "stronger": "larger"}
    sheet["dataset_info"] |= {"long_name": "Biased digits (SYNTHETIC)", "axes": [axis]}
    for cell in sheet["cells"]:
        share = SHARE[cell["bias_value"]]
        cell |= {"bias": {"rho": share}, "bias_axis": "rho", "bias_value": share}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sheet, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> tuple[Path, Path]:
    to = tmp_path_factory.mktemp("digits")
    knobs = {"values": tuple(SHARE), "methods": ("ceiling", "erm", "lnl"), "n_search": 3, "n_images": 40}
    first = synthetic.write_sweep(to / "coloured", synthetic.Sweep(**knobs, name="coloured"))
    second = synthetic.write_sweep(to / "biased", synthetic.Sweep(**knobs, name="biased"))
    return first, as_biased_digits(second, synthetic)


@pytest.fixture(scope="module")
def findings(both: tuple[Path, Path]) -> Findings:
    return gather(both)


def cells_of(row: str) -> list[str]:
    return [html.unescape(re.sub("<.*?>", "", cell)).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]


def test_no_table_of_the_report_holds_both(findings: Findings) -> None:
    text = render(findings)
    assert text.count("on coloured_digits") >= 5 and text.count("on biased_digits") >= 5
    tables = re.findall(r"<table.*?</table>", text, re.S)
    checked = 0
    for table in tables:
        head, *rows = (cells_of(row) for row in re.findall(r"<tr.*?</tr>", table, re.S))
        named = {name for name in ("coloured", "biased") if any(f"({name}" in row[0] for row in rows)}
        place = next((name for name in ("color_variance", "rho") if any(name in title for title in head)), None)
        # Costs are hours, and the first table says what the sweeps share: neither holds a result.
        if "hours of training" in head or "shared by" in head:
            continue
        assert len(named) < 2, (head, rows[:2])
        if place in head:
            values = {float(row[head.index(str(place))]) for row in rows}
            assert values <= set(SHARE if place == "color_variance" else SHARE.values()), (head, values)
            checked += 1
    assert checked >= 8


def test_a_curve_has_lines_of_one_data_set_each(findings: Findings) -> None:
    curve = findings.curve
    assert set(curve.groupby(["sweep"])["dataset"].nunique()) == {1}
    figure = analysis.plot_accuracy_vs_bias(curve, x="bias_strength")
    means = {t.legendgroup: t for t in figure.data if t.meta == "mean"}
    assert len(means) == 6 and all(("coloured_digits" in name) != ("biased_digits" in name) for name in means)
    assert all(len(trace.x) == 3 for trace in means.values())


def test_every_panel_is_of_one_data_set(findings: Findings) -> None:
    curve = findings.curve
    curve = curve[curve["rule"] == "val_counterfactual"]
    figure = analysis.plot_small_multiples(curve, x="bias_strength")
    titles = [re.sub("<.*?>", "", note.text) for note in figure.layout.annotations if note.name == "panel"]
    assert sorted(titles) == ["lnl, biased_digits", "lnl, coloured_digits"]
    for number, title in enumerate(titles):
        inside = [t for t in figure.data if (t.xaxis or "x") == ("x" if number == 0 else f"x{number + 1}")]
        assert len(inside) >= 4 and all(title.split(", ")[1] in t.name for t in inside)
    assert sum(bool(t.showlegend) for t in figure.data if t.meta == "beside") == 4, "each has erm and a ceiling"


def test_each_has_the_numbers_published_for_it(findings: Findings) -> None:
    sources = findings.beside.groupby("dataset")["source"].unique().map(set).to_dict()
    assert sources["coloured_digits"] == {"Kim et al. 2019", "SABAF 2023"}
    assert "biased_digits" not in sources, "none is published of these methods at these shares"


def test_numbers_are_those_that_each_sweep_has_alone(both: tuple[Path, Path], findings: Findings) -> None:
    for folder, name in zip(both, ("coloured", "biased"), strict=True):
        alone = gather([folder])
        for table in ("curve", "areas", "breaking", "won_back"):
            mine, shared = getattr(alone, table), getattr(findings, table)
            shared = shared[shared["sweep"] == f"synthetic ({name})"].reset_index(drop=True)
            # The captions and identifiers of several sweeps name the sweep.
            same = [c for c in mine if pd.api.types.is_numeric_dtype(mine[c])]
            pd.testing.assert_frame_equal(shared[same], mine[same], check_dtype=False)

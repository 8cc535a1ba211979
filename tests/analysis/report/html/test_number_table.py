"""The tables under the report's figures: what they hold, what their CSV holds, and what stays out of the page."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from types import ModuleType

import pandas as pd
import pytest

import analysis
from analysis.findings import Findings, gather
from analysis.report.confusion import diagnosis_section
from analysis.report.curve import measures_section
from analysis.report.html.number_table import MOST_ROWS, fit, numbers
from analysis.report.search import learning_section, search_section

RULE = "val_counterfactual"


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> Findings:
    small = synthetic.Sweep(values=(0.1, 0.02), methods=("ceiling", "erm", "lnl"))
    return gather([synthetic.write_sweep(tmp_path_factory.mktemp("small") / "small", small)])


def downloads(html: str) -> dict[str, pd.DataFrame]:
    found = re.findall(r'download="([^"]+)" href="data:text/csv;charset=utf-8;base64,([^"]+)"', html)
    return {name: pd.read_csv(io.BytesIO(base64.b64decode(data))) for name, data in found}


def shown(html: str, title: str) -> list[list[str]]:
    """Cells of the table that opens under a title."""
    block = html.split(f"<summary>The numbers: {title}</summary>")[1].split("</table>")[0]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", block)]


def test_the_other_test_figures_have_their_numbers(findings: Findings) -> None:
    html = measures_section(findings)
    file = downloads(html)["synthetic-flip_rate-val_counterfactual-measures.csv"]
    curve = findings.measures["flip_rate"].query(f"rule == '{RULE}'")
    assert list(file["mean"]) == pytest.approx(list(curve["mean"]), rel=1e-5)
    assert list(file["low"]) == pytest.approx(list(curve["low"]), rel=1e-5)
    assert not {"caption", "hyperparameters", "values"} & set(file)
    head, *rows = shown(html, "Flip rate, chosen by counterfactual validation")
    assert head[:5] == ["method", "bias value", "mean", "low", "high"]
    # With the bias changed, training without it is no ceiling.
    assert [row[0] for row in rows] == [str(n).replace("ceiling", "trained without bias") for n in curve["label"]]
    assert [float(row[2]) for row in rows] == pytest.approx(list(file["mean"]), rel=5e-3)
    assert len(downloads(html)) == (len(findings.measures) + 1) * len(findings.rules)
    means = downloads(html)["synthetic-val_counterfactual-test-figures.csv"]
    assert list(means["flip_rate"]) == pytest.approx(list(curve["mean"]), rel=1e-5)


def test_the_map_and_the_budget_have_their_numbers(findings: Findings) -> None:
    files = downloads(search_section(findings))
    found = files["synthetic-lnl-lambda_map.csv"]
    rows = analysis.lambda_map(findings.trials, "lnl", RULE)
    assert list(found["lambda_"]) == pytest.approx(list(rows["lambda_"]), rel=1e-5)
    assert list(found["chosen"]) == list(rows["chosen"])
    expected = analysis.expected_validation(findings.trials, RULE).query("bias_value == 0.02 and label == 'lnl'")
    budget = files["synthetic-expected_validation.csv"]
    assert list(budget.loc[budget["line"] == "lnl", "expected"]) == pytest.approx(list(expected["expected"]), rel=1e-5)


def test_learning_curves_have_their_numbers_over_seeds(findings: Findings) -> None:
    found = downloads(learning_section(findings))["synthetic-val_counterfactual-history.csv"]
    trials = findings.trials
    own = trials[(trials["label"] == "erm") & (trials["bias_value"] == 0.02) & (trials["phase"] == "confirm")]
    own = own[own["rules"].map(lambda rules: RULE in rules)]
    epochs = findings.history[findings.history["trial_id"].isin(own["trial_id"])].groupby("epoch")["test_accuracy"]
    line = found[found["line"] == "erm"].set_index("epoch")
    assert set(line["n_seeds"]) == {5}
    for name, numbers_ in (("mean", epochs.mean()), ("lowest", epochs.min()), ("highest", epochs.max())):
        assert list(line[name]) == pytest.approx(list(numbers_), rel=1e-5)


def test_the_confusion_has_its_numbers_with_the_classes_names(findings: Findings) -> None:
    assert len(findings.sweeps[0].classes) == 10
    one_rule = findings.confusion[findings.confusion["rule"] == RULE]
    html = diagnosis_section(dataclasses.replace(findings, confusion=one_rule))
    file = downloads(html)["synthetic-erm-val_counterfactual-confusion.csv"]
    rows = findings.confusion.query(f"rule == '{RULE}' and label == 'erm'")
    assert len(file) == len(rows) == MOST_ROWS
    assert list(file["share"]) == pytest.approx(list(rows["share"]), rel=1e-5)
    assert set(file["true"].astype(str)) == set(findings.sweeps[0].classes)


def test_a_long_table_stays_out_of_the_page_and_says_where_it_is() -> None:
    rows = pd.DataFrame({"line": ["erm"] * (MOST_ROWS + 1), "mean": 0.5})
    said = numbers(rows, "Accuracy", "measures")
    assert "201 rows" in said and "lnl-sweep report --csv OUT writes them (measures.csv)" in said
    assert "download" not in said and "<table" not in said
    assert "download" in numbers(rows[1:], "Accuracy", "measures")
    assert numbers(rows[:0], "Accuracy", "measures") == ""


def test_many_tables_stay_out_of_the_page_too(findings: Findings) -> None:
    curve = findings.measures["flip_rate"]
    many = {name: pd.concat([curve] * 50) for name in ("flip_rate", "ece", "test_auroc")}
    assert fit(curve, curve) and not fit(*many.values())
    html = measures_section(dataclasses.replace(findings, measures={**many, "flip_rate": curve}))
    assert "Flip rate, chosen by counterfactual validation: one of many tables, too many for this page" in html
    assert "Download this table" in html and "flip_rate-val_counterfactual-measures.csv" not in html


def test_names_are_escaped_and_the_file_is_named_after_them() -> None:
    rows = pd.DataFrame({"line": ["<b>"], "label": ["<b>"], "mean": [0.5], "chosen": [True]})
    html = numbers(rows, "<i>", "measures", "a b/c")
    assert "<b>" not in html and "<i>" not in html and 'download="a_b_c-measures.csv"' in html
    assert list(downloads(html)["a_b_c-measures.csv"].columns) == ["label", "mean", "chosen"]

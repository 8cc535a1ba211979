"""The report's cost: the sweep is named, money has its currency and is divided over the methods where it can be."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from analysis.findings import Findings, gather
from analysis.report.cost import cost_section

STATUS = {"cost": 40.0, "currency": "$", "cost_in_words": "$40.00 at list prices of 2026-01-01", "seconds": 90}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> Findings:
    root = tmp_path_factory.mktemp("cost")
    small = {"values": (0.1, 0.02), "methods": ("erm", "lnl"), "n_search": 3, "predictions": False}
    return gather([synthetic.write_sweep(root / name, synthetic.Sweep(name=name, **small)) for name in ("one", "two")])


def with_status(findings: Findings, **status: Any) -> Findings:
    first, second = findings.sweeps
    return dataclasses.replace(findings, sweeps=(dataclasses.replace(first, status=status), second))


def rows(html: str) -> dict[tuple[str, str], list[str]]:
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html)
    cells = [(name, re.findall(r"<td[^>]*>(.*?)</td>", rest)) for name, rest in found]
    return {(name, row[0]): row[1:] for name, row in cells}


def test_each_row_names_its_sweep(findings: Findings) -> None:
    named = {name for name, _ in rows(cost_section(findings))}
    assert named == {f"{label} (synthetic ({folder}))" for label in ("erm", "lnl") for folder in ("one", "two")}


def test_money_has_its_currency_and_is_divided_by_device_hours(findings: Findings) -> None:
    html = cost_section(with_status(findings, **STATUS))
    assert "synthetic (one): training cost $40.00 at list prices of 2026-01-01" in html
    parts = {key: row[-1] for key, row in rows(html).items() if "one" in key[0]}
    trials = {key: int(row[0]) for key, row in rows(html).items() if "one" in key[0]}
    assert {key: float(text.removeprefix("$")) for key, text in parts.items()} == pytest.approx(
        {key: 40 * n / sum(trials.values()) for key, n in trials.items()}, abs=0.005
    )
    assert {row[-1] for key, row in rows(html).items() if "two" in key[0]} == {""}


@pytest.mark.parametrize("change", [{"device_name": "another"}, {"threads": 7}, {"gpu_share": 0.25}])
def test_hours_of_different_prices_are_not_mixed(findings: Findings, change: dict[str, Any]) -> None:
    trials = findings.trials.copy()
    for name, value in change.items():
        trials.loc[trials.index[0], name] = value
    html = cost_section(dataclasses.replace(with_status(findings, **STATUS), trials=trials))
    assert "$40.00" in html and '<th scope="col">cost</th>' not in html


def test_an_older_status_names_its_currency_in_words_alone(findings: Findings) -> None:
    older = {name: value for name, value in STATUS.items() if name != "currency"}
    html = cost_section(with_status(findings, **older))
    assert "synthetic (one): training cost $40.00 at list prices of 2026-01-01" in html
    parts = [float(row[-1]) for key, row in rows(html).items() if "one" in key[0]]
    assert sum(parts) == pytest.approx(40, abs=0.05)


def test_an_amount_without_a_currency_says_so(findings: Findings) -> None:
    html = cost_section(with_status(findings, cost=1.5))
    assert "training cost 1.50 (currency not recorded)" in html and '<th scope="col">cost</th>' not in html


def test_the_cost_of_a_folder_on_disk_is_read(tmp_path: Path, synthetic: ModuleType) -> None:
    small = synthetic.Sweep(values=(0.1,), methods=("erm",), n_search=3, predictions=False)
    folder = synthetic.write_sweep(tmp_path / "s", small)
    (folder / "status.json").write_text(json.dumps({**STATUS, "cost": 0.13}))
    html = cost_section(gather([folder]))
    assert {row[-1] for row in rows(html).values()} == {"$0.03", "$0.1"}

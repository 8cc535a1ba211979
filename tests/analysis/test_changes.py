"""Seeds added after test results existed: counted from ``changes.jsonl`` and said wherever an interval or p stands."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis.changes import seeds_added
from analysis.export.methods_paragraph import methods_paragraph
from analysis.export.paper import write_paper
from analysis.findings import gather

SAID = "3 seeds were added after results had been seen, which makes p values too small."


def line(seen: int | None, **what: tuple[Any, Any]) -> dict[str, Any]:
    named = {key.replace("__", "."): {"old": old, "new": new} for key, (old, new) in what.items()}
    return {"when": "2026-01-02", "what": named, **({} if seen is None else {"test_results": seen})}


def rules(seeds: int) -> list[Any]:
    return ["val_counterfactual", {"rule": "val_biased", "seeds": seeds}]


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ([], 0),
        ([line(40, confirm__seeds=(5, 8))], 3),
        ([line(0, confirm__seeds=(5, 8))], 0),
        ([line(None, confirm__seeds=(5, 8))], 0),
        ([line(40, confirm__seeds=(8, 5))], 0),
        ([line(40, confirm__seeds=(5, 8)), line(64, confirm__seeds=(8, 11))], 6),
        ([line(40, confirm__seeds=(8, 5)), line(64, confirm__seeds=(5, 8))], 0),
        ([line(0, confirm__seeds=(3, 5)), line(40, confirm__seeds=(5, 8), search__trials=(8, 16))], 3),
        ([line(40, confirm__rules=(rules(3), rules(7)))], 4),
        ([line(40, confirm__rules=(["val_counterfactual"], rules(7)))], 0),
        ([line(40, search__repeats=(3, 5))], 2),
        ([{"what": "confirm.seeds 5 -> 8", "test_results": 4}, {"what": None}], 0),
    ],
)
def test_seeds_are_counted_once_and_only_when_results_existed(changes: list[dict[str, Any]], number: int) -> None:
    assert seeds_added(changes) == number


@pytest.fixture(scope="module")
def extended(small_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(small_dir, tmp_path_factory.mktemp("extended") / "s"))
    (folder / "changes.jsonl").write_text(json.dumps(line(40, confirm__seeds=(2, 5))) + "\n")
    return folder


def test_the_curve_says_it_where_the_trials_carry_it(extended: Path) -> None:
    trials = analysis.load(extended)
    marked = analysis.mark_seeds_added(trials, extended)
    assert set(marked["seeds_added"]) == {3}
    curve = analysis.accuracy_vs_bias(marked)
    assert set(curve["n_added"]) == {3}
    assert curve["caption"].str.contains("3 of these 5 were added after results had been seen", regex=False).all()
    assert set(analysis.accuracy_vs_bias(trials)["n_added"]) == {0}


def test_a_sweep_without_an_extension_says_nothing(sweep_dir: Path) -> None:
    curve = analysis.accuracy_vs_bias(analysis.mark_seeds_added(analysis.load(sweep_dir), sweep_dir))
    assert set(curve["n_added"]) == {0} and not curve["caption"].str.contains("added").any()


def test_the_report_says_it_beside_every_p_value_and_under_the_curve(extended: Path, tmp_path: Path) -> None:
    html = Path(analysis.write_report(extended, tmp_path / "r.html")).read_text("utf-8")
    assert SAID in re.findall(r"<header>.*?</header>", html, re.S)[0]
    for section in ("curve", "more", "won-back"):
        assert SAID in re.findall(rf'<section id="{section}">.*?</section>', html, re.S)[0], section


def test_of_several_sweeps_the_extended_one_is_named(small_dir: Path, extended: Path, tmp_path: Path) -> None:
    html = Path(analysis.write_report([small_dir, extended], tmp_path / "r.html")).read_text("utf-8")
    assert "3 seeds of synthetic (s) were added after results had been seen" in html
    assert html.count("<header>") == 1 and SAID in re.findall(r"<header>.*?</header>", html, re.S)[0]


def test_the_methods_paragraph_says_it_beside_its_p_value(extended: Path, tmp_path: Path) -> None:
    findings = gather([extended])
    text = methods_paragraph(findings, findings.sweeps[0])
    assert re.search(r"p (=|<) \S+ over seeds and images, 5 paired seeds, 3 of them added after results had been", text)
    assert SAID in text
    write_paper(findings, tmp_path)
    assert SAID in (tmp_path / "methods.md").read_text()

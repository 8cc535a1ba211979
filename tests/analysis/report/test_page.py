from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import analysis
from analysis.export.methods_paragraph import methods_paragraph
from analysis.findings import gather
from analysis.report.warnings import _mixed
from store.errors import InputError

GOOD, BAD = [0.90, 0.92, 0.88, 0.91, 0.93], [0.68, 0.66, 0.70, 0.67, 0.69]


def visible(path: Path) -> str:
    """The report's text without scripts, styles and tags."""
    text = path.read_text("utf-8")
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


@pytest.fixture(scope="module")
def report(sweep_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return analysis.write_report(sweep_dir, tmp_path_factory.mktemp("report") / "report.html")


def made(synthetic: ModuleType, folder: Path, lnl: list[Any], erm: list[Any], **config: Any) -> Path:
    accuracies = {(method, v): values for v in (0.05, 0.02) for method, values in (("lnl", lnl), ("erm", erm))}
    return analysis.write_report(synthetic.write_values(folder, accuracies, **config))


def test_sections_stand_in_order(report: Path) -> None:
    html = report.read_text("utf-8")
    order = [
        "curve",
        "table",
        "won-back",
        "hyperparameters",
        "search",
        "diagnosis",
        "more",
        "rule-cost",
        "learning",
        "cost",
    ]
    places = [html.index(f'<section id="{name}"') for name in order]
    assert places == sorted(places)
    assert html.index("provenance-") > places[-1]


def test_nothing_is_fetched(report: Path) -> None:
    html = report.read_text("utf-8")
    outside = re.sub(r"<script>.*?</script>", "", html, flags=re.S)
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", outside)
    assert html.count("plotly.js (cartesian - minified) v") == 1


def test_the_answer_is_computed_and_hedged(report: Path) -> None:
    text = visible(report)
    assert "lnl (Learning Not to Learn) scores higher than erm (plain training)" in text
    assert "cannot reach .05; six seeds can" in text
    assert "interval and p are over seeds and images" in text


def test_the_loser_is_named_in_the_same_words(tmp_path: Path, synthetic: ModuleType) -> None:
    wins = visible(made(synthetic, tmp_path / "w", GOOD, BAD))
    loses = visible(made(synthetic, tmp_path / "l", BAD, GOOD))
    equal = visible(made(synthetic, tmp_path / "e", GOOD, [0.93, 0.91, 0.88, 0.92, 0.90]))
    head = "lnl (Learning Not to Learn) {} erm (plain training): mean accuracy over the axis differs by"
    assert head.format("scores higher than") in wins
    assert head.format("scores lower than") in loses
    assert head.format("cannot be told apart from") in equal


def test_one_seed_claims_nothing(tmp_path: Path, synthetic: ModuleType) -> None:
    text = visible(made(synthetic, tmp_path / "s", GOOD[:1], BAD[:1]))
    assert "was run with one seed, which allows no statement against" in text
    assert "higher" not in text.split("Before you read on")[0]
    assert "Only 1 seed a point" in text


def test_rules_that_coincide_are_said_to(report: Path) -> None:
    assert "Counterfactual validation and oracle chose the same configuration in every cell" in visible(report)
    assert "val_unbiased" not in visible(report).split("The resolved configuration")[0]


def test_the_csv_holds_the_tables_numbers(report: Path) -> None:
    html = report.read_text("utf-8")
    tables = re.findall(r'<section id="table">.*?</section>', html, re.S)[0]
    for block in tables.split('<div data-switch-of="rule"')[1:]:
        data = re.search(r'href="data:text/csv;charset=utf-8;base64,([^"]+)"', block)
        assert data is not None
        csv = base64.b64decode(data[1]).decode()
        cells = [c for c in re.findall(r"<td[^>]*>([^<]+)</td>", block) if "side" not in c]
        assert len(cells) == 16
        for cell in cells:
            mean, half = cell.split(" ± ")
            assert f",{mean},{half}," in csv


def test_sample_images_are_inside_weak_to_strong(report: Path) -> None:
    html = report.read_text("utf-8")
    assert re.findall(r'alt="six digits, SYNTHETIC, σ² = ([\d.]+)" src="data:image/png;base64', html) == [
        "0.4",
        "0.1",
        "0.05",
        "0.02",
    ]


def test_user_text_is_escaped(tmp_path: Path, synthetic: ModuleType) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    path = made(
        synthetic,
        tmp_path / "s",
        GOOD,
        [*BAD[:4], None],
        name=evil,
        dataset_info={
            "long_name": evil,
            "note": evil,
            "citation": evil,
            "axes": [{"name": "color_variance", "long_name": evil}],
        },
        methods_info={"lnl": {"long_name": evil, "reference": evil}},
    )
    html = path.read_text("utf-8")
    assert "<script>alert(1)" not in html
    assert "<img src=x" not in html


def _parts(train: int, test: int) -> dict[str, Any]:
    return {
        part: {"glioma": {"images": n, "patients": n // 2}, "pituitary": {"images": 1}}
        for part, n in (("train", train), ("val", 100), ("test", test))
    }


def test_sizes_of_folds_stand_apart(tmp_path: Path, synthetic: ModuleType) -> None:
    info = {"long_name": "Slices", "sizes_by_fold": {"0": _parts(1200, 20), "1": _parts(1206, 14)}}
    path = made(synthetic, tmp_path / "s", GOOD, BAD, dataset_info=info)
    text = visible(path)
    assert "training images (search seed) fold 0: glioma 1200 of 600 patients, pituitary 1; fold 1: glioma 1206" in text
    assert "test images fold 0: glioma 20 of 10 patients, pituitary 1; fold 1: glioma 14 of 7 patients" in text
    findings = gather([path.parent])
    assert "(1,201 to 1,207 training, 101 validation and 15 to 21 test images;" in methods_paragraph(
        findings, findings.sweeps[0]
    )
    info = {"long_name": "Slices", "n_train": 1201, "n_test": 21, "sizes": _parts(1200, 20)}
    path = made(synthetic, tmp_path / "one", GOOD, BAD, dataset_info=info)
    assert "training images (search seed) glioma 1200 of 600 patients, pituitary 1" in visible(path)
    findings = gather([path.parent])
    words = "(1,201 training and 21 test images; training and validation images are counted as the search seed"
    assert words in methods_paragraph(findings, findings.sweeps[0])


def test_rows_of_different_numbers_or_sources_are_warned_of(tmp_path: Path, synthetic: ModuleType) -> None:
    findings = gather([made(synthetic, tmp_path / "s", GOOD, BAD).parent])
    assert not any("not comparable" in line for line in _mixed(findings))
    first = findings.trials.index == findings.trials.index[0]
    label = findings.trials.loc[first, "label"].iloc[0]
    for column, said in (
        ("numerics", "versions whose numbers differ"),
        ("method_checksum", f"Rows of {label} on .* come from different sources of the method"),
        ("network_checksum", "come from different sources of the network"),
        ("weights_checksum", "come from different weights files of the network"),
    ):
        changed = findings.trials.copy()
        one, other = (2, 3) if column == "numerics" else ("one", "other")
        changed[column] = [other if is_first else one for is_first in first]
        (line,) = [line for line in _mixed(replace(findings, trials=changed)) if "not comparable" in line]
        assert re.search(said, line)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"lnl": [*GOOD[:4], None]},
            "2 confirm trials failed: digits-color_variance=0.02-lnl-0123abcd-s4 (loss is not finite)",
        ),
        ({"lnl": [*GOOD[:4], None]}, "lnl at 0.05 (4 of 5 seeds finished"),
        ({"methods": ["erm", "lnl", "dfr"]}, "No curve of dfr"),
        ({"primary": {"compare": ["dfr", "erm"]}}, "The primary comparison (dfr against erm) is not available"),
        ({}, "Fewer than 8 search trials in 4 cells"),
        ({}, "There is no ceiling"),
    ],
)
def test_warnings(tmp_path: Path, synthetic: ModuleType, change: dict[str, Any], sentence: str) -> None:
    lnl = change.pop("lnl", GOOD)
    text = visible(made(synthetic, tmp_path / "s", lnl, BAD, **change))
    warned = text.split("Before you read on")[1].split("against bias")[0]
    assert sentence in warned


def test_a_clean_sweep_has_no_warnings(report: Path) -> None:
    assert "Before you read on" not in visible(report)


def test_a_pick_at_the_edge_of_its_range_is_warned_of(sweep_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sweep_dir, tmp_path / "s")
    config = yaml.safe_load((folder / "sweep.yaml").read_text())
    for cell in config["cells"]:
        cell["space"] = {"lr": {"low": 1e-6, "high": 1.71e-3, "log": True}, "mu": {"log": [0.128, 10.0]}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(config))
    text = visible(analysis.write_report(folder))
    assert "lr = 0.00171 (upper end)" in text
    assert "mu = 0.128 (lower end)" in text


def test_added_seeds_and_a_running_sweep_are_named(sweep_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sweep_dir, tmp_path / "s")
    (folder / "changes.jsonl").write_text('{"when": "2026-01-02", "what": "confirm.seeds 5 -> 8"}\n{"broken\n')
    status = {"planned": 400, "finished": 352, "cells": [{"cell": "x", "planned": 9, "finished": 1}], "seconds": 90}
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "trials" / "cut.0001-d-000001.parquet").write_bytes(b"PAR1")
    text = visible(analysis.write_report(folder))
    assert "Seeds were changed after the start (2026-01-02: confirm.seeds 5 -&gt; 8)" in text
    assert "lnl (Learning Not to Learn) scores higher" in text  # its own cells are finished
    assert "not finished (352 of 400 trials): 1 cell unfinished: x" in text
    assert "Left out" in text and "cut.0001" in text
    assert "1.5 minutes of wall time" in text


@pytest.mark.parametrize(("seen", "warned"), [(40, True), (0, False)])
def test_a_recorded_extension_says_what_had_been_seen(small_dir: Path, tmp_path: Path, seen: int, warned: bool) -> None:
    folder = shutil.copytree(small_dir, tmp_path / "s")
    change = {"when": "2026-01-02", "what": {"confirm.seeds": {"old": 5, "new": 8}}, "rows": 90, "test_results": seen}
    (folder / "changes.jsonl").write_text(json.dumps(change))
    (folder / "status.json").write_text(json.dumps({"failed": ["some-cell: no search trial completed"]}))
    text = visible(analysis.write_report(folder))
    assert f"2026-01-02: confirm.seeds 5 -&gt; 8 ({seen} test results existed)" in text
    assert (f"{seen} test results existed by then: p values are too small" in text) is warned
    assert "1 problem when the status was last written: some-cell: no search trial completed." in text


def test_a_sweep_that_only_searched_has_a_report_without_a_claim(tmp_path: Path, synthetic: ModuleType) -> None:
    folder = synthetic.write_sweep(tmp_path / "s", synthetic.Sweep(confirm=False, values=(0.1, 0.02), n_search=9))
    text = visible(analysis.write_report(folder))
    assert "No confirm trial has finished yet: there is no curve" in text
    assert "no answer to lnl against erm" in text
    assert "higher" not in text and "Selected hyperparameters" not in text.split("Search")[0]


def test_bare_rows_without_any_other_file_still_report(small_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(small_dir / "trials", tmp_path / "s" / "trials")
    text = visible(analysis.write_report(tmp_path / "s"))
    assert "seeds only" in text and "No primary comparison is declared" in text


def test_several_sweeps_in_one_report(sweep_dir: Path, tmp_path: Path) -> None:
    second = shutil.copytree(sweep_dir, tmp_path / "second")
    config = yaml.safe_load((second / "sweep.yaml").read_text())
    (second / "sweep.yaml").write_text(yaml.safe_dump(config))
    text = visible(analysis.write_report([sweep_dir, second], tmp_path / "both.html"))
    assert "What the sweeps share" in text and "network pixel_front pixel_front all" in text
    assert (
        "test images 200 images (set A) 200 images (set A) all" in text
        and "split not recorded not recorded none" in text
    )
    assert "Provenance of synthetic (second)" in text
    for section in ("Table", "What is won back", "Selected hyperparameters", "What the selection rule costs"):
        assert "lnl (synthetic (second))" in text.split(section)[1][:6000], section


def test_a_second_sweep_does_not_hide_the_first(sweep_dir: Path, tmp_path: Path, synthetic: ModuleType) -> None:
    other = synthetic.write_sweep(tmp_path / "other", synthetic.Sweep(sd=0.05, name="other"))
    html = Path(analysis.write_report([sweep_dir, other], tmp_path / "both.html")).read_text("utf-8")
    won = re.findall(r'<section id="won-back">.*?</section>', html, re.S)[0]
    alone = analysis.won_back(analysis.load(sweep_dir), analysis.load_predictions(sweep_dir), rule="val_counterfactual")
    for text in alone.loc[alone["text"] != "-", "text"]:
        assert text in won


def test_it_is_written_whole_or_not_at_all(small_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "r.html"
    out.write_text("old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        analysis.write_report(small_dir, out)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_bad_places_are_one_sentence(tmp_path: Path, small_dir: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        analysis.write_report(tmp_path / "nowhere")
    packed = Path(shutil.make_archive(str(tmp_path / "sweep"), "zip", small_dir))
    with pytest.raises(InputError, match="give out="):
        analysis.write_report(packed)
    assert analysis.write_report(packed, tmp_path / "r.html").exists()

"""The report on data of one's own: where they lie, and images that stay where they are."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import analysis
from analysis.export.csv import write_csv
from analysis.findings import gather
from analysis.report.own_data.where import loss_words
from store.sheet.natural import NaturalBias
from tests.analysis.three_lines import ACCURACIES

PICTURE = 'src="data:image/png'
NATURAL = NaturalBias({"color_variance": 0.04}, {"color_variance": (0.03, 0.05)}, 0.87, (0.8, 0.9))


def own(synthetic: ModuleType, folder: Path, natural: NaturalBias | None = NATURAL, *without: str, **info: Any) -> Path:
    """A sweep of somebody's own data, whose sheet says the place of the data."""
    kept = {key: values for key, values in ACCURACIES.items() if key[0] not in without}
    synthetic.write_values(folder, kept)
    synthetic._write_samples(folder, synthetic.Sweep(values=(0.1, 0.02)))
    sheet = yaml.safe_load((folder / "sweep.yaml").read_text())
    sheet["dataset"]["name"] = "table"
    sheet["dataset_info"] |= info | ({} if natural is None else {"natural": natural.content()})
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sheet, sort_keys=False))
    return folder


def section(report: Any, name: str) -> str:
    html = Path(report).read_text("utf-8")
    found = re.search(rf'<section id="{name}".*?</section>', html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0])) if found else ""


def test_the_report_says_where_the_data_lie_and_what_the_bias_costs_there(
    tmp_path: Path, synthetic: ModuleType
) -> None:
    text = section(analysis.write_report(own(synthetic, tmp_path / "s")), "where")
    assert "As they are, the data have color_variance = 0.04 [0.03, 0.05], a bias strength of 0.87 [0.80, 0.90]" in text
    assert "(95 % over patients)" in text
    assert "There plain training (erm) reaches 0.730 [0.705, 0.755] and loses 0.225 [0.197, 0.253] of accuracy" in text
    assert "against the ceiling; lnl wins back 0.178 [0.118, 0.237], a share of 0.79 [0.60, 0.94]" in text
    assert "(interpolated linearly between color_variance 0.02 and 0.1; 95 % over seeds only)" in text


def test_without_a_ceiling_the_loss_is_against_the_weakest_bias(tmp_path: Path, synthetic: ModuleType) -> None:
    text = section(analysis.write_report(own(synthetic, tmp_path / "s", NATURAL, "ceiling")), "where")
    assert "of accuracy against erm at color_variance = 0.1, the weakest bias measured" in text


@pytest.mark.parametrize(
    ("value", "without", "sentence"),
    [
        (0.5, (), "The cost of the bias there is not known: color_variance = 0.5 lies outside the values measured"),
        (0.04, ("erm",), "The sweep has no plain training (erm), so that the cost of the bias there is not known."),
    ],
)
def test_what_cannot_be_said_is_said(
    tmp_path: Path, synthetic: ModuleType, value: float, without: tuple[str, ...], sentence: str
) -> None:
    folder = own(synthetic, tmp_path / "s", NaturalBias({"color_variance": value}), *without)
    assert sentence in section(analysis.write_report(folder), "where")


def test_a_method_that_loses_more_is_said_to(tmp_path: Path, synthetic: ModuleType) -> None:
    findings = gather([own(synthetic, tmp_path / "s")])
    worse = findings.here.assign(gained=-0.1, gained_low=-0.2, gained_high=0.05)
    assert "lnl loses 0.100 [-0.050, 0.200] more, which cannot be told from none" in loss_words(findings, worse)[0]


def test_a_sweep_that_does_not_know_its_place_has_no_section(tmp_path: Path, synthetic: ModuleType) -> None:
    assert not section(analysis.write_report(own(synthetic, tmp_path / "s", None)), "where")


def test_the_numbers_are_exported_and_explained(tmp_path: Path, synthetic: ModuleType) -> None:
    files = {path.name: path for path in write_csv(own(synthetic, tmp_path / "s"), tmp_path / "csv")}
    lines = files["at_natural_bias.csv"].read_text().splitlines()
    assert len(lines) == 4
    book = files["codebook.csv"].read_text()
    unexplained = [line for line in book.splitlines() if "at_natural_bias" in line and "Hyperparameter" in line]
    assert "at_natural_bias,gained" in book and not unexplained


@pytest.mark.parametrize(("said", "shown"), [(None, False), (False, False), (True, True)])
def test_images_of_ones_own_are_shown_only_where_the_sheet_lets_them(
    tmp_path: Path, synthetic: ModuleType, said: bool | None, shown: bool
) -> None:
    info = {} if said is None else {"share_images": said}
    folder = own(synthetic, tmp_path / "s", NATURAL, **info)
    assert list((folder / "samples").glob("*.png"))
    html = Path(analysis.write_report(folder)).read_text("utf-8")
    assert (PICTURE in html) is shown
    assert ("with share_images: true under dataset in the sweep file" in html) is not shown
    packed = analysis.pack(folder, tmp_path / "s.zip")
    with zipfile.ZipFile(packed) as archive:
        names = archive.namelist()
        assert any(name.startswith("samples/") for name in names) is shown
        assert (PICTURE.encode() in archive.read("report.html")) is shown
    # Also of what an older version packed with them.
    loose = shutil.make_archive(str(tmp_path / "loose"), "zip", folder)
    assert (PICTURE in Path(analysis.write_report(loose, tmp_path / "l.html")).read_text("utf-8")) is shown


def test_an_older_sweep_of_this_packages_data_shows_its_images(small_dir: Path, tmp_path: Path) -> None:
    assert PICTURE in Path(analysis.write_report(small_dir, tmp_path / "r.html")).read_text("utf-8")


def test_a_private_pack_passes_its_verification(tmp_path: Path, synthetic: ModuleType) -> None:
    from orchestrator.directory.verify import verify

    packed = analysis.pack(own(synthetic, tmp_path / "s"), tmp_path / "s.zip")
    assert not [path for path in verify(str(packed)).damaged if path.startswith("samples")]


@pytest.mark.parametrize(("painter", "drawn"), [(False, "training images"), (True, "painted images")])
def test_captions_name_what_a_seed_redraws(tmp_path: Path, synthetic: ModuleType, painter: bool, drawn: str) -> None:
    text = section(analysis.write_report(own(synthetic, tmp_path / "s", painter=painter)), "curve")
    assert f"A seed redraws the split into training and validation, the {drawn}, the initial weights" in text

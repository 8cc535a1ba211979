from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import yaml

import analysis
from analysis.export import png as export_png
from analysis.export.csv import csv_of
from analysis.export.methods_paragraph import cited, methods_paragraph
from analysis.export.paper import to_tex, write_paper
from analysis.export.png import report_figures, write_png
from analysis.export.references import bibliography
from analysis.findings import Findings, gather
from store.errors import InputError


@pytest.fixture(scope="module")
def findings(sweep_dir: Path) -> Findings:
    return gather([sweep_dir])


@pytest.fixture(scope="module")
def paper(findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    write_paper(findings, folder)
    return folder


def test_every_csv_column_is_in_the_codebook(findings: Findings, tmp_path: Path) -> None:
    files = csv_of(findings, tmp_path / "csv")
    book = pd.read_csv(files[-1])
    assert files[-1].name == "codebook.csv" and book["meaning"].str.endswith(".").all()
    for file in files[:-1]:
        assert list(pd.read_csv(file, nrows=3).columns) == list(book.loc[book["table"] == file.stem, "column"])
    fallbacks = set(book.loc[book["meaning"].str.startswith("Hyperparameter "), "column"])
    assert fallbacks <= set(), "a column without a sentence of its own"


def test_csv_numbers_are_those_of_the_frames(findings: Findings, tmp_path: Path) -> None:
    csv_of(findings, tmp_path)
    curve = pd.read_csv(tmp_path / "curve.csv")
    assert curve["mean"].to_numpy() == pytest.approx(findings.curve["mean"].to_numpy())
    assert [len(v.split(";")) for v in curve["values"]] == list(findings.curve["n_seeds"])
    assert str(9007199254740993) in curve["seeds"].iloc[0].split(";"), "seeds keep all their digits"
    assert len(pd.read_csv(tmp_path / "trials.csv")) == len(findings.trials)


def test_one_call_writes_csv(small_dir: Path, tmp_path: Path) -> None:
    assert {f.name for f in analysis.write_csv(small_dir, tmp_path)} >= {"curve.csv", "confusion.csv", "codebook.csv"}
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        analysis.write_csv(small_dir, tmp_path / "file")


def test_figures_for_print_have_their_width_and_type(paper: Path) -> None:
    for width in (85, 180):
        svg = (paper / f"curve_val_counterfactual_{width}mm.svg").read_text()
        points = float(re.search(r'width="([\d.]+)pt"', svg)[1])  # type: ignore[index]
        assert points == pytest.approx(width / 25.4 * 72, abs=0.1)
        sizes = {float(s) for s in re.findall(r"font-size: ([\d.]+)px", svg)}
        assert sizes and max(sizes) == min(sizes) == 8
        pdf = (paper / f"curve_val_counterfactual_{width}mm.pdf").read_bytes()
        assert pdf.startswith(b"%PDF") and b"/CreationDate" not in pdf
        box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", pdf)
        assert box is not None and float(box[1]) == pytest.approx(width / 25.4 * 72, abs=0.1)
    assert "synthetic numbers of a test fixture" in svg and "chosen by" in svg


def test_the_oracle_is_called_so_in_print(paper: Path) -> None:
    assert "oracle" in (paper / "curve_val_unbiased_85mm.svg").read_text()


def test_the_same_rows_give_the_same_files(findings: Findings, paper: Path, tmp_path: Path) -> None:
    for file in write_paper(findings, tmp_path):
        assert file.read_bytes() == (paper / file.name).read_bytes()


def test_the_table_for_latex_is_balanced_and_escaped(paper: Path) -> None:
    text = (paper / "table.tex").read_text()
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in rows} == {4}
    assert r"color\_variance" in text and "±" not in text and r"$\pm$" in text
    assert text.count("{") == text.count("}")
    assert "Note: synthetic numbers of a test fixture." in text.split(r"\caption{")[1]


def test_the_paragraph_holds_what_a_reviewer_asks_for(paper: Path) -> None:
    text = (paper / "methods.md").read_text()
    for said in (
        "0.4 (0.31), 0.1 (0.62), 0.05 (0.84) and 0.02 (0.98)",
        "12 trials in each of 16 cells",
        "sampler qmc",
        "192 trials in all (192 completed, 0 stopped early, 0 diverged or failed)",
        "lambda 0.001 to 10, logarithmic",
        "with 5 seeds",
        "oracle (unbiased validation data, which nobody has in practice)",
        "Metric: accuracy on the unbiased test variant",
        "one fixed test set",
        "lnl minus erm",
        "lnl-sweep 0.1.0",
        "epochs 4",
    ):
        assert said in text, said


def with_sizes(sweep_dir: Path, folder: Path, sizes: dict[str, object], key: str = "sizes") -> str:
    """The paragraph of a sweep whose file counts these images and patients."""
    copied = Path(shutil.copytree(sweep_dir, folder))
    config = yaml.safe_load((copied / "sweep.yaml").read_text())
    config["dataset_info"][key] = sizes
    (copied / "sweep.yaml").write_text(yaml.safe_dump(config))
    found = gather([copied])
    return methods_paragraph(found, found.sweeps[0])


def test_the_paragraph_counts_patients_where_there_are_any(small_dir: Path, tmp_path: Path) -> None:
    counts = {"train": (1180, 20), "val": (9, 2), "test": (12, 3)}
    patients = {p: {"a": {"images": 9, "patients": n}, "b": {"images": 9, "patients": m}} for p, (n, m) in
                counts.items()}  # fmt: skip
    text = with_sizes(small_dir, tmp_path / "s", patients)
    assert (
        "Patients: 1,226 (1,200 training, 11 validation and 15 test), added up over the classes; the split is by "
        "patient." in text
    )
    folds = with_sizes(small_dir, tmp_path / "folds", {"0": patients, "1": {}}, "sizes_by_fold")
    assert "Patients of the first fold: 1,226 (1,200 training, 11 validation and 15 test)" in folds
    images = {part: {"a": {"images": 9}} for part in counts}
    assert "Patients" not in with_sizes(small_dir, tmp_path / "images", images)
    assert "Patients" not in with_sizes(small_dir, tmp_path / "damaged", {"train": 7, "val": None})


def test_rules_may_have_seeds_of_their_own(sweep_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sweep_dir, tmp_path / "s"))
    config = yaml.safe_load((folder / "sweep.yaml").read_text())
    config["confirm"]["rules"] = ["val_counterfactual", {"rule": "val_biased", "seeds": 3}]
    (folder / "sweep.yaml").write_text(yaml.safe_dump(config))
    found = gather([folder])
    text = methods_paragraph(found, found.sweeps[0])
    assert "counterfactual validation with 5 seeds and biased validation with 3 seeds" in text
    assert set(found.curve.loc[found.curve["rule"] == "val_counterfactual", "n_planned"]) == {5}


def test_citations_are_in_the_bibliography(findings: Findings, paper: Path) -> None:
    keys = cited(findings)
    assert {"kim2019", "ganin2015", "fieller1954", "holm1979", "akiba2019"} <= set(keys)
    bib = (paper / "references.bib").read_text()
    assert re.findall(r"^@\w+\{(\w+),", bib, re.M) == keys
    assert bib.count("{") == bib.count("}") and bibliography(["kim2019", "kim2019"]).count("@") == 1
    tex = (paper / "methods.tex").read_text()
    assert r"\cite{kim2019}" in tex and "[@" not in tex
    assert to_tex("50 % of a_b [@x; @y]") == r"50 \% of a\_b~\cite{x,y}"


def test_a_paper_without_a_confirm_trial_is_refused(tmp_path: Path, synthetic: ModuleType) -> None:
    folder = synthetic.write_sweep(tmp_path / "s", synthetic.Sweep(confirm=False, values=(0.1, 0.02), n_search=3))
    with pytest.raises(InputError, match="finish the sweep"):
        write_paper(gather([folder]), tmp_path / "paper")


def test_png_without_a_browser_says_what_to_install(
    findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    with pytest.raises(InputError, match="apt-get install chromium"):
        write_png(findings, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_png_files_are_pictures(findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kaleido", reason="kaleido is not installed")
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        pytest.skip("no Chrome or Chromium is installed")
    named = report_figures(findings)
    assert {"curve-val_counterfactual", "confusion-lnl", "lambda_map-lnl", "learning", "budget"} <= set(named)
    monkeypatch.setattr(export_png, "report_figures", lambda _: {"curve": named["curve-val_counterfactual"]})
    (file,) = write_png(findings, tmp_path)
    assert file.name == "curve.png" and file.read_bytes().startswith(b"\x89PNG")


def test_a_packed_sweep_reads_the_same(small_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "s.zip").write_text("old")
    file = analysis.pack(small_dir, tmp_path / "s.zip")
    pd.testing.assert_frame_equal(
        analysis.load(file).drop(columns="directory"), analysis.load(small_dir).drop(columns="directory")
    )
    assert len(analysis.load_predictions(file)) == len(analysis.load_predictions(small_dir))
    assert analysis.pack(small_dir, tmp_path / "t.zip").read_bytes() == file.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.zip", "t.zip"]
    unpacked = tmp_path / "u"
    shutil.unpack_archive(file, unpacked)
    assert (unpacked / "report.html").exists() and (unpacked / "samples" / "index.json").exists()
    with pytest.raises(InputError, match="is a folder"):
        analysis.pack(small_dir, unpacked)


def test_weights_and_checkpoints_stay_behind(small_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_dir, tmp_path / "s"))
    for name in ("models", "trials_open", "ray"):
        (folder / name).mkdir()
        (folder / name / "big.bin").write_bytes(b"x")
    (folder / "driver.json").write_text("{}")
    shutil.unpack_archive(analysis.pack(folder, tmp_path / "s.zip"), tmp_path / "u")
    assert sorted(p.name for p in (tmp_path / "u").iterdir()) == [
        "history", "predictions", "report.html", "samples", "sweep.yaml", "trials",
    ]  # fmt: skip

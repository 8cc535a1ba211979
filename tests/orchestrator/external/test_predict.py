"""``lnl-sweep predict``: an external test set through every kept model, and its section of the report."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

import analysis
from analysis.findings import gather
from orchestrator.cli import main
from orchestrator.commands.predict import columns_of, window_of
from orchestrator.directory.damage import survey
from orchestrator.directory.lease import acquire
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.verify import verify
from orchestrator.external.predict import Request, predict
from store.errors import InputError
from store.open import folder_at
from trainable.data.base import load_dataset

SEEDS = 2
MODELS = 4 * SEEDS


@pytest.fixture(scope="module")
def predicted(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep after the prediction."""
    folder = tmp_path_factory.mktemp("predicted") / "sweep"
    shutil.copytree(place / "sweep", folder)
    assert main(["predict", str(folder), "--data", str(place / "other" / "other.csv")]) == 0
    return folder


@pytest.fixture
def copy(place: Path, tmp_path: Path) -> Path:
    shutil.copytree(place / "sweep", tmp_path / "sweep")
    return tmp_path / "sweep"


def changed(place: Path, tmp_path: Path, change: object) -> Path:
    """The external table with other cells."""
    file = place / "other" / f"{tmp_path.name}.csv"
    with (place / "other" / "other.csv").open(newline="") as opened:
        rows = list(csv.reader(opened))
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows(change(rows))  # type: ignore[operator]
    return file


def test_every_model_predicts_every_image(predicted: Path) -> None:
    rows = analysis.load_predictions(predicted, "external:other")
    assert rows["trial_id"].nunique() == MODELS and len(rows) == MODELS * 89
    assert rows.groupby("trial_id")["patient"].nunique().unique().tolist() == [30]
    assert (rows[["p_none", "p_pneumothorax"]].sum(axis=1) - 1).abs().max() < 1e-5
    # Nine of the ninety have a tube, which the sweep knows nothing of.
    assert rows["attribute"].isna().groupby(rows["trial_id"]).sum().unique().tolist() == [9]
    assert rows["weight"].isna().all()


def test_no_reader_takes_them_for_the_sweeps_own(predicted: Path, place: Path) -> None:
    own, before = analysis.load_predictions(predicted), analysis.load_predictions(place / "sweep")
    pd.testing.assert_frame_equal(own, before)
    assert analysis.load_predictions(place / "sweep", "external").empty
    curve = analysis.accuracy_vs_bias(analysis.load(predicted), own)
    pd.testing.assert_frame_equal(curve, analysis.accuracy_vs_bias(analysis.load(place / "sweep"), before))


def test_they_do_not_hide_that_a_trial_has_lost_its_own(predicted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    shutil.copytree(predicted, folder)
    assert not survey(SweepDirectory(str(folder))).lost
    next((folder / "predictions").glob("table-*")).unlink()
    assert list(survey(SweepDirectory(str(folder))).lost.values()) == ["it has no predictions"]


def test_a_second_run_does_nothing(
    predicted: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(predicted, tmp_path / "sweep")
    parts = tmp_path / "sweep" / "predictions"
    before = {path: path.read_bytes() for path in parts.iterdir()}
    assert main(["predict", str(tmp_path / "sweep"), "--data", str(place / "other" / "other.csv")]) == 0
    assert "0 models have predicted it now, 8 had predicted it before" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in parts.iterdir()} == before


def test_models_that_come_later_predict_later(predicted: Path, copy: Path, place: Path, tmp_path: Path) -> None:
    absent = sorted((copy / "models").iterdir())[0]
    absent.rename(tmp_path / absent.name)
    request = Request(str(place / "other" / "other.csv"))
    done = predict(str(copy), request)
    assert (done.new, done.before, done.gone) == (MODELS - 1, 0, 1)
    (tmp_path / absent.name).rename(absent)
    done = predict(str(copy), request)
    assert (done.new, done.before, done.gone) == (1, MODELS - 1, 0)
    both = [analysis.load_predictions(path, "external") for path in (copy, predicted)]
    pd.testing.assert_frame_equal(*(frame.sort_values(["trial_id", "image"], ignore_index=True) for frame in both))


def test_the_sweeps_own_test_images_get_the_probabilities_of_their_trials(copy: Path, place: Path) -> None:
    test = set(analysis.load_splits(copy).query("split == 'test'")["image"])
    own = analysis.load_predictions(copy, "unbiased")
    options = yaml.safe_load((copy / "sweep.yaml").read_text())["dataset"]
    dataset = load_dataset("table", **{k: v for k, v in options.items() if k not in ("name", "bias", "folds")})
    lines = (place / "labels.csv").read_text().splitlines()
    kept = [line for line, key in zip(lines[1:], dataset.image_keys(), strict=True) if key in test]
    (place / "test_part.csv").write_text("\n".join([lines[0], *kept]))
    predict(str(copy), Request(str(place / "test_part.csv"), name="again"))
    merged = own.merge(analysis.load_predictions(copy, "external:again"), on=["trial_id", "image"], suffixes=("", "_2"))
    assert len(merged) == len(own) > 0
    for name in ("p_none", "p_pneumothorax", "label", "attribute", "predicted"):
        assert (merged[name] == merged[f"{name}_2"]).all(), name


def test_pack_hands_it_on(predicted: Path, tmp_path: Path) -> None:
    packed = analysis.pack(predicted, tmp_path / "s.zip")
    assert len(analysis.load_predictions(packed, "external")) == MODELS * 89
    assert gather([packed]).sweeps[0].externals[0].file == "other.csv"


def test_verify_checks_its_sheet(predicted: Path, tmp_path: Path) -> None:
    assert "external/other.json" not in verify(str(predicted)).damaged
    for number, damage in enumerate((b"", b"{", b'{"name": "other"}')):
        folder = tmp_path / str(number)
        shutil.copytree(predicted, folder)
        (folder / "external" / "other.json").write_bytes(damage)
        assert "external/other.json" in verify(str(folder)).damaged


def test_the_report_has_a_section(predicted: Path) -> None:
    html = (predicted / "report.html").read_text("utf-8")
    section = re.search(r'<section id="external".*?</section>', html, flags=re.S)
    assert section is not None
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section[0]))
    assert "other.csv: 89 images (none 45, pneumothorax 44); patients: none 15, pneumothorax 15." in text
    assert (
        "1 line of other.csv left out: 1 without label (column label); attributes that the sweep does not have" in text
    )
    assert "balanced accuracy" in text and "AUROC" in text and "(own 0." in text and "these 30 test patients" in text


def test_curves_in_python(predicted: Path) -> None:
    trials, external = analysis.load(predicted), analysis.load_predictions(predicted, "external")
    curve = analysis.external_curve(trials, external, metric="auroc")
    assert curve["band"].unique().tolist() == ["seeds and patients"] and (curve["n_patients"] == 30).all()
    right = (external["predicted"] == external["label"]).groupby(external["trial_id"]).mean()
    erm = analysis.external_curve(trials, external, "other").query("label == 'erm' and bias_value == 0.9").iloc[0]
    mine = trials[(trials["label"] == "erm") & (trials["bias_value"] == 0.9) & (trials["phase"] == "confirm")]
    assert erm["mean"] == pytest.approx(right[mine["trial_id"]].mean())
    with pytest.raises(InputError, match="there are no predictions on an external test set"):
        analysis.external_curve(trials, external.iloc[:0])
    with pytest.raises(InputError, match="did you mean 'other'"):
        analysis.external_curve(trials, external, "othr")
    with pytest.raises(InputError, match="did you mean 'auroc'"):
        analysis.external_curve(trials, external, metric="auorc")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: [[c.replace("pneumothorax", "pneumotorax") for c in r] for r in rows], "did you mean 'pneumoth"),
        (lambda rows: [r for r in rows if r[1] != "none"], "must have two classes or more"),
        (
            lambda rows: [r[:1] + r[2:] for r in rows],
            "name its own by --columns label=COLUMN",
        ),
        (lambda rows: [r[:3] for r in rows], "has no column 'patient'"),
        (lambda rows: [["images/no.png", *r[1:]] if r[0] == "images/3.png" else r for r in rows], "are not there"),
    ],
)
def test_tables_that_do_not_fit(
    copy: Path, place: Path, tmp_path: Path, change: object, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(copy.rglob("*"))
    assert main(["predict", str(copy), "--data", str(changed(place, tmp_path, change))]) == 2
    message = capsys.readouterr().err
    assert sentence in message and message.count("\n") == 1 and sorted(copy.rglob("*")) == before


def test_other_data_of_the_same_name_are_refused(predicted: Path, place: Path, tmp_path: Path) -> None:
    fewer = changed(place, tmp_path, lambda rows: rows[:60])
    with pytest.raises(InputError, match="other data were predicted under the name 'other'"):
        predict(str(predicted), Request(str(fewer), name="other"))
    # The same rows in another order are the same data.
    turned = changed(place, tmp_path, lambda rows: [rows[0], *rows[:0:-1]])
    assert predict(str(predicted), Request(str(turned), name="other")).new == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--models", "val_unbiased"], "unknown selection rule of this sweep 'val_unbiased'"),
        (["--columns", "lable=label"], "did you mean 'label'"),
        (["--columns", "label"], "--columns must be ROLE=COL"),
        (["--window", "5,1"], "--window must be two ascending numbers"),
        (["--name", "a b"], "give --name, since 'a b' is none"),
    ],
)
def test_options_that_are_wrong(
    copy: Path, place: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(copy), "--data", str(place / "other" / "other.csv"), *words]) == 2
    assert sentence in capsys.readouterr().err and not (copy / "external").exists()


def test_images_that_the_sweep_was_trained_on_are_refused(copy: Path, place: Path) -> None:
    with pytest.raises(InputError, match=r"of 180 images of labels\.csv are training or validation images of it"):
        predict(str(copy), Request(str(place / "labels.csv")))


def test_where_there_is_nothing_to_predict_with(copy: Path, place: Path, tmp_path: Path) -> None:
    request = Request(str(place / "other" / "other.csv"))
    with pytest.raises(InputError, match="there is no sweep in"):
        predict(str(tmp_path / "nowhere"), request)
    lease = acquire(folder_at(str(copy)))
    with pytest.raises(InputError, match="in use by another driver"):
        predict(str(copy), request)
    lease.release()
    shutil.rmtree(copy / "models")
    with pytest.raises(InputError, match=r"sweeps keep them where confirm\.keep_models is true"):
        predict(str(copy), request)


def test_options_are_read() -> None:
    assert columns_of("path=a b, label=c") == {"path": "a b", "label": "c"} and columns_of("") == {}
    assert window_of("-1000,400") == (-1000.0, 400.0)

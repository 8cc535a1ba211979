"""The real study on files of the real form: 24 patients, prepared by the command, swept with the shipped file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from analysis import load, load_splits, summary_table, write_report
from tests.integration.support import lnl_sweep_in, rows
from tests.trainable.figshare_files import all_files, folds_file, patient_of, write_zips

pytestmark = pytest.mark.slow

PATIENTS = 24
SLICES = 4 * PATIENTS
SMALL = (
    "dataset.image_size=64",
    "network={name: small_cnn}",
    "training.epochs=1",
    "search.trials=2",
    "confirm.seeds=1",
)


@pytest.fixture(scope="module")
def prepared(short_tmp: Path) -> Iterator[Path]:
    """The environment in which the data set is prepared: from the four inner zips, as the archive unpacks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LNL_SWEEP_CACHE", str(short_tmp / "mri-cache"))
        archive = short_tmp / "mri"
        write_zips(archive, all_files(SLICES), folds_file(SLICES))
        code, text = command("data", "prepare", "brain_mri", "--from", archive)
        assert code == 0, text
        assert "CC BY" in text and "Cheng" in text
        yield archive


def command(*words: object) -> tuple[int, str]:
    """Run ``lnl-sweep WORDS``; its exit code and what it printed."""
    return lnl_sweep_in({"OMP_NUM_THREADS": "1"}, *words, seconds=800)


@pytest.fixture(scope="module")
def swept(prepared: Path, short_tmp: Path) -> Path:
    out = short_tmp / "mri-sweep"
    overrides = [word for override in SMALL for word in ("--set", override)]
    code, text = command("run", "sweeps/brain_mri.yaml", *overrides, "--out", out)
    assert code == 0, text
    assert "planned = " in text
    assert "Peretz 2020: slices of one patient on both sides of the split" in text
    return out


def test_the_whole_table_is_there_beside_the_seed_studys_numbers(swept: Path) -> None:
    trials = load(swept)
    assert set(trials["label"]) == {"ceiling", "erm", "repaint", "grl", "lnl", "grl_seed"}
    assert trials["cell"].nunique() == 1 + 5 * 8
    assert (trials["status"] == "completed").all()
    assert set().union(*trials["rules"]) == {"val_counterfactual", "val_biased", "val_unbiased"}
    text = summary_table(trials).to_string()
    assert "Peretz 2020" in text
    html = write_report(swept).read_text()
    assert "slices of one patient on both sides of the split" in html
    assert "meningioma 24 of 6 patients" in html


def test_no_real_patient_is_named_anywhere(swept: Path) -> None:
    names = [patient_of(number).encode() for number in range(1, SLICES + 1, 4)]
    files = [file for file in swept.rglob("*") if file.is_file()]
    assert files
    for file in files:
        data = file.read_bytes()
        assert not [name for name in names if name in data], file


def test_no_patient_is_in_two_parts(swept: Path) -> None:
    splits = load_splits(swept)
    assert splits["patient"].nunique() == PATIENTS
    assert (splits.groupby(["seed", "patient"])["split"].nunique() == 1).all()


def test_one_trial_of_the_shipped_network_at_full_size_through_ray(prepared: Path, short_tmp: Path) -> None:
    out = short_tmp / "mri-resnet"
    cpus = len(os.sched_getaffinity(0))
    only = ("--only", "method=grl_seed,rho=1,gamma=0", "--set", f"resources.cpu={cpus}")
    code, text = command("run", "sweeps/brain_mri.yaml", "--smoke", *only, "--out", out)
    assert code == 0, text
    found = list(rows(out).values())
    assert {row["phase"] for row in found} == {"search", "confirm"}
    assert {(row["network"], row["epochs"], row["status"]) for row in found} == {("resnet18", 1, "completed")}


def check_dry_run(text: str) -> None:
    """Cells, trials, time and money; on a machine without a GPU also what one would take."""
    assert "41 cells" in text
    assert re.search(r"at most .*\$[0-9]+\.[0-9]{2} at list prices of", text)
    if torch.cuda.is_available():
        assert re.search(r"at most [0-9]+\.[0-9] GPU-hours, \$", text)
    else:
        assert re.search(r"on one GPU, a guess from .*A10G .* \(\$[0-9]+\.[0-9]{2}\)", text)


def test_a_dry_run_says_what_it_takes(prepared: Path) -> None:
    overrides = [word for override in SMALL for word in ("--set", override)]
    code, text = command("run", "sweeps/brain_mri.yaml", *overrides, "--dry-run")
    assert code == 0, text
    check_dry_run(text)


def test_a_dry_run_of_the_shipped_file_times_a_few_steps(prepared: Path) -> None:
    code, text = command("run", "sweeps/brain_mri.yaml", "--dry-run")
    assert code == 0, text
    check_dry_run(text)
    # A whole epoch of each method would take minutes even on these 24 patients.
    assert len(re.findall(r"a trial of \w+: about .*, from (?:[1-8]|a) training step", text)) == 6, text
    # 30 epochs of ResNet-18 at 256 pixels: hours of computing.
    assert re.search(r"at most [0-9]+ h .*of computing", text), text

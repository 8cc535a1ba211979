"""Images of one's own by commands alone: 600 16-bit PNGs of 200 patients, from the CSV to the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import load, load_predictions, load_splits
from tests.integration.support import lnl_sweep_in
from tests.table_files import write_pngs

pytestmark = pytest.mark.slow


def test_from_the_table_to_the_report(short_tmp: Path) -> None:
    folder = short_tmp / "own"
    write_pngs(folder)
    variables = {"LNL_SWEEP_CACHE": str(short_tmp / "own-cache")}

    def typed(*words: str) -> str:
        code, printed = lnl_sweep_in(variables, *words, cwd=folder)
        assert code == 0, printed
        return printed

    assert "600 images of 200 patients" in typed("init", "labels.csv", "-o", "sweep.yaml")
    assert "9 cells, 108 search trials" in typed("run", "sweep.yaml", "--dry-run")
    assert "planned = 18, finished = 18" in typed("run", "sweep.yaml", "--smoke", "--cpus", "2", "--out", "out")

    trials, predictions, splits = (read(folder / "out") for read in (load, load_predictions, load_splits))
    assert set(trials["rho"]) == {0.5, 0.75, 0.9, 1.0}
    # The same number of training images at every bias value.
    assert trials.groupby("seed")["n_train"].nunique().max() == 1
    assert (splits.groupby(["seed", "patient"])["split"].nunique() == 1).all()
    assert predictions["patient"].nunique() > 20

    # Decoded once, whoever asked for the images first.
    assert len([path for path in (short_tmp / "own-cache").glob("table-*") if path.is_dir()]) == 1
    # Nothing of an image, and no patient's name.
    assert not (folder / "out" / "samples").exists() or not list((folder / "out" / "samples").glob("*.png"))
    for path in (folder / "out").rglob("*"):
        if path.is_file() and path.suffix in (".parquet", ".yaml", ".json", ".html", ".jsonl"):
            assert not any(f"P{k:03}".encode() in path.read_bytes() for k in (17, 100, 199)), path

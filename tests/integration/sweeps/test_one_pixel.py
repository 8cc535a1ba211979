"""Every method of the package in one real sweep over a table whose bias is one pixel: whole, and killed and resumed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import yaml

from orchestrator.cli import main
from store.open import open_folder
from store.sheet.sheet import Sheet
from tests.integration.support import assert_same_results, driver, rows
from tests.one_pixel import ALIGNED, COLUMNS, LR, write_one_pixel
from trainable.methods.base import get_method, list_methods

pytestmark = pytest.mark.slow

OTHERS = {"repaint", "uncoloured"}
"""They need a painter."""
METHODS = [name for name in list_methods() if name not in OTHERS]
OF_GROUPS = {name for name in METHODS if get_method(name).needs & {"group_counts", "conflicting_samples"}}
STRENGTHS = (0.95, 1.0)
SWEEP = {
    "name": "one_pixel",
    "network": {"name": "small_cnn", "width": 4},
    # A rate at which none diverges.
    "methods": [{"name": name, "fixed": {"lr": LR}} for name in METHODS],
    "search": {"trials": 2, "sampler": "qmc", "early_stopping": "off"},
    "confirm": {"seeds": 1},
    "training": {"epochs": 6, "batch_size": 64},
    "limits": {"checkpoint_seconds": 0},
}


@pytest.fixture(scope="module")
def sweep(short_tmp: Path) -> Path:
    folder = short_tmp / "one-pixel"
    folder.mkdir()
    table = write_one_pixel(folder, n=800)
    dataset = {"name": "table", "file": str(table), "columns": dict(COLUMNS), "aligned": dict(ALIGNED)}
    dataset["bias"] = {"rho": list(STRENGTHS)}
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**SWEEP, "dataset": dataset}))
    return folder / "sweep.yaml"


@pytest.fixture(scope="module")
def variables(short_tmp: Path) -> dict[str, str]:
    home = short_tmp / "one-pixel-home"
    home.mkdir()
    return {"HOME": str(home), "LNL_SWEEP_CACHE": str(home / "cache")}


@pytest.fixture(scope="module")
def whole(short_tmp: Path, sweep: Path, variables: dict[str, str]) -> Path:
    """The sweep to which nothing happened."""
    out = short_tmp / "one-pixel-whole"
    with driver(short_tmp, out, "run", sweep, "--out", out, variables=variables) as running:
        assert running.wait() == 0, running.text()
    trials = len(rows(out))
    assert f"planned = {trials}, finished = {trials}" in running.text()
    return out


def test_every_method_has_a_curve_where_it_can_work(whole: Path) -> None:
    found = rows(whole).values()
    assert {(row["label"], row["error"]) for row in found if row["status"] != "completed"} == set()
    at = {rho: {row["label"] for row in found if row["bias_rho"] == rho} for rho in STRENGTHS}
    assert {"reweight", "resample", "group_dro", "dfr", "bias_balance", "irm", "mixup"} <= OF_GROUPS
    assert at[0.95] | {"ceiling"} == set(METHODS) and at[1.0] | {"ceiling"} == set(METHODS) - OF_GROUPS
    sheet = Sheet(yaml.safe_load(open_folder(whole).read("sweep.yaml")))
    assert {(cell.label, cell.bias_value) for cell in sheet.not_applicable} == {(name, 1.0) for name in OF_GROUPS}
    assert main(["report", str(whole)]) == 0 and main(["verify", str(whole)]) == 0


def test_killed_and_resumed_it_has_the_same_rows(
    short_tmp: Path, sweep: Path, variables: dict[str, str], whole: Path
) -> None:
    out = short_tmp / "one-pixel-killed"
    with driver(short_tmp, out, "run", sweep, "--out", out, variables=variables) as running:
        running.wait_for_rows(len(rows(whole)) // 3)
        running.kill(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
    with driver(short_tmp, out, "resume", out, variables=variables) as resumed:
        assert resumed.wait() == 0, resumed.text()
    assert_same_results(out, whole)

"""A sweep in which a method is not applicable in a cell: killed, resumed, and given another bias value."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cli import main
from store.open import open_folder
from store.sheet.sheet import Sheet
from tests.integration.support import assert_same_results, driver, null_driver, rows

pytestmark = pytest.mark.slow

METHOD = """
from trainable.methods.base import Range, register_method
from trainable.methods.erm import erm

register_method(
    "upweighted", long_name="Upweighted", reference="none", space={"pull": Range(0.1, 10.0, log=True)},
    defaults={"pull": 1.0}, needs={"conflicting_samples"},
)(erm)
"""
SWEEP = """
name: applicable
plugins: [upweighted.py]
dataset: {name: brain_phantom, bias: {rho: [0.5, 1]}}
network: {name: small_cnn, width: 4, stem: stride}
methods: [erm, upweighted, {name: upweighted, label: follower, like: upweighted}]
search: {trials: 3, sampler: qmc, early_stopping: off}
confirm: {seeds: 2}
training: {epochs: 1}
limits: {checkpoint_seconds: 0}
"""
TRIALS = 2 * (3 + 2) + (3 + 2) + 2
"""erm at both values, upweighted and its follower at one."""


def study(folder: Path) -> Path:
    folder.mkdir()
    (folder / "upweighted.py").write_text(METHOD)
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder / "sweep.yaml"


def absent(out: Path) -> list[tuple[str, float | None]]:
    sheet = Sheet(yaml.safe_load(open_folder(out).read("sweep.yaml")))
    return [(cell.label, cell.bias_value) for cell in sheet.not_applicable]


def cells_of(out: Path, label: str) -> set[float]:
    return {row["bias_rho"] for row in rows(out).values() if row["label"] == label}


@pytest.fixture(scope="module")
def whole(short_tmp: Path, cluster: Any) -> Path:
    """The sweep to which nothing happened."""
    out = short_tmp / "applicable"
    sweep = study(short_tmp / "applicable-study")
    with null_driver(short_tmp, out, "run", sweep, "--out", out, "--address", cluster.address) as running:
        assert running.wait() == 0, running.text()
    text = running.text()
    assert f"planned = {TRIALS}, finished = {TRIALS}" in text
    assert "small_cnn-upweighted: not applicable: upweighted needs training images whose bias" in text
    assert "small_cnn-follower: not applicable: upweighted needs" in text
    return out


def test_its_rows_its_sheet_and_its_status_say_so(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert absent(whole) == [("upweighted", 1.0), ("follower", 1.0)]
    assert len(rows(whole)) == TRIALS
    assert cells_of(whole, "upweighted") == cells_of(whole, "follower") == {0.5} and cells_of(whole, "erm") == {
        0.5,
        1.0,
    }
    assert main(["status", str(whole)]) == 0
    shown = capsys.readouterr().out
    assert f"{TRIALS} of {TRIALS} trials finished" in shown and "upweighted: not applicable: upweighted needs" in shown
    assert main(["verify", str(whole)]) == 0
    assert main(["report", str(whole)]) == 0
    page = (whole / "report.html").read_text()
    assert "not applicable: follower at rho = 1; upweighted at rho = 1" in page and "not finished" not in page


def test_it_goes_on_after_its_driver_was_killed(short_tmp: Path, whole: Path, cluster: Any) -> None:
    out, place = short_tmp / "applicable-killed", ("--address", cluster.address)
    sweep = study(short_tmp / "applicable-study-killed")
    with null_driver(short_tmp, out, "run", sweep, "--out", out, *place, seconds=0.5) as running:
        running.wait_for_rows(4)
        running.kill(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
    with null_driver(short_tmp, out, "resume", out, *place) as resumed:
        assert resumed.wait() == 0, resumed.text()
    assert_same_results(out, whole)


def test_a_bias_value_at_which_it_is_applicable_may_be_added(short_tmp: Path, whole: Path, cluster: Any) -> None:
    before, more = rows(whole), ("--set", "dataset.bias.rho=[0.5,0.9,1]")
    with null_driver(short_tmp, whole, "resume", whole, "--address", cluster.address, *more) as running:
        assert running.wait() == 0, running.text()
    assert absent(whole) == [("upweighted", 1.0), ("follower", 1.0)]
    assert cells_of(whole, "upweighted") == cells_of(whole, "follower") == {0.5, 0.9}
    after = rows(whole)
    assert before.keys() < after.keys() and len(after) == TRIALS + (5 + 5 + 2)


def test_a_seed_without_what_it_needs_fails_by_itself(short_tmp: Path) -> None:
    """The search's seed has such images, another seed has none: one failed trial, with its reason."""
    folder = short_tmp / "applicable-rare"
    sweep = study(folder)
    (folder / "rare.py").write_text(RARE)
    tree = yaml.safe_load(sweep.read_text())
    tree |= {"plugins": ["upweighted.py", "rare.py"], "methods": ["erm", "upweighted"], "dataset": {"name": "rare"}}
    tree["dataset"]["bias"] = {"color_variance": [0.1]}
    tree |= {"network": "pixel_front", "search": {"trials": 1}}
    sweep.write_text(yaml.safe_dump(tree))
    out = folder / "out"
    with driver(short_tmp, out, "run", sweep, "--out", out, "--cpus", 2) as running:
        assert running.wait() == 1, running.text()
    of_method = [row for row in rows(out).values() if row["label"] == "upweighted"]
    assert {row["phase"]: row["status"] for row in of_method} == {"search": "completed", "confirm": "failed"}
    reasons = {row["error"] for row in of_method if row["status"] == "failed"}
    assert len(reasons) == 1 and "needs training images whose bias is that of another class" in reasons.pop()


RARE = """
import numpy as np

from orchestrator.plan.identity import search_seed
from trainable.data.base import register_dataset
from trainable.data.digits.coloured_digits import ColouredDigits


@register_dataset("rare")
class Rare(ColouredDigits):
    name = "rare"

    def train_images(self, bias, seed, index, draw):
        self.seed = seed
        return super().train_images(bias, seed, index, draw)

    def conflicting(self, images):
        return np.arange(len(images.labels)) < (3 if self.seed == search_seed(0) else 0)
"""

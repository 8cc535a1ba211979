"""Sweeps of other data sets beside one another: each keeps the numbers that it has alone."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.parts import read_parts
from analysis.report_data import gather
from analysis.source import open_folder

THREE = ("a", "b", "c")
TEN = ("c", "a", *"zyxwvuts")
COLUMNS = ["mean", "low", "high", "n_patients", "n_test", "band", "values", "caption"]


def probabilities(folder: Path, synthetic: ModuleType, classes: tuple[str, ...]) -> None:
    """Replace a sweep's predictions by some with a probability for each class, and give its trials an AUROC."""
    rng = np.random.default_rng(len(classes))
    opened = open_folder(folder)
    rows = read_parts(opened, "predictions").drop_columns("p_0").to_pylist()
    for part in (folder / "predictions").iterdir():
        part.unlink()
    for row in rows:
        row["label"] %= len(classes)
        p = rng.dirichlet(np.ones(len(classes))) + 0.5 * np.eye(len(classes))[row["label"]]
        row |= {"predicted": int(p.argmax()), **{f"p_{name}": p[k] for k, name in enumerate(classes)}}
    synthetic.write_part(folder, "predictions", "all", rows, (1, "d", 1))
    trials = [row | {"test_auroc": row["test_accuracy"]} for row in read_parts(opened, "trials").to_pylist()]
    synthetic.write_part(folder, "trials", "all", trials, (1, "d", 1))


@pytest.fixture
def two(tmp_path: Path, synthetic: ModuleType) -> tuple[Path, Path]:
    """A sweep with patients and three classes, and one with images and ten."""
    knobs: dict[str, Any] = {"values": (0.10, 0.02), "methods": ("erm", "lnl"), "seeds": (1, 2, 3), "n_search": 3}
    first = synthetic.write_sweep(tmp_path / "first", synthetic.Sweep(name="first", patients=20, n_images=60, **knobs))
    second = synthetic.write_sweep(tmp_path / "second", synthetic.Sweep(name="second", n_images=40, **knobs))
    for folder, classes in ((first, THREE), (second, TEN)):
        probabilities(folder, synthetic, classes)
    return first, second


def of_sweep(curve: pd.DataFrame, sweep: str) -> pd.DataFrame:
    return curve.loc[curve["sweep"] == sweep, COLUMNS].reset_index(drop=True)


@pytest.mark.parametrize("turned", [False, True])
def test_a_curve_is_the_same_alone_and_beside_another_sweep(two: tuple[Path, Path], turned: bool) -> None:
    alone = {folder: gather([folder]) for folder in two}
    both = gather(two[::-1] if turned else two)
    for folder, band, n in ((two[0], "seeds and patients", 20), (two[1], "seeds and images", 40)):
        sweep = next(s for s in both.curve["sweep"].unique() if s.endswith(f"({folder.name})"))
        expected = of_sweep(alone[folder].curve, "synthetic")
        assert set(expected["band"]) == {band} and set(expected["n_patients"]) == {n}
        pd.testing.assert_frame_equal(of_sweep(both.curve, sweep), expected)
        # AUROC has a column of probabilities for each class, in an order that the other sweep turns round.
        area = of_sweep(alone[folder].measures["test_auroc"], "synthetic")
        assert set(area["n_patients"]) == {n} and not area["low"].equals(expected["low"])
        pd.testing.assert_frame_equal(of_sweep(both.measures["test_auroc"], sweep), area)


def test_predictions_of_one_sweep_serve_it_beside_another_without(two: tuple[Path, Path]) -> None:
    trials = pd.concat([analysis.load(place).assign(sweep=place.name) for place in two], ignore_index=True)
    trials.loc[trials["sweep"] == "second", "trial_id"] += "'"
    curve = analysis.accuracy_vs_bias(trials, analysis.load_predictions(two[0]))
    assert set(curve.loc[curve["sweep"] == "first", "band"]) == {"seeds and patients"}
    assert set(curve.loc[curve["sweep"] == "second", "band"]) == {"seeds only"}

"""Sweeps of other data sets beside one another: each keeps the numbers that it has alone."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.findings import gather
from analysis.report.results import table_section
from analysis.report.warnings import warnings_of
from store.errors import InputError
from store.open import open_folder
from store.parts import read_parts

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


def test_values_of_equal_identifiers_stay_with_their_sweep(two: tuple[Path, Path]) -> None:
    """Both sweeps have the same cells, so the same trial identifiers, and other numbers."""
    trials = analysis.load(list(two))
    assert not trials["trial_id"].is_unique
    curve = analysis.accuracy_vs_bias(trials)
    for place in two:
        alone = analysis.accuracy_vs_bias(analysis.load(place))
        pd.testing.assert_frame_equal(of_sweep(curve, f"synthetic ({place.name})"), of_sweep(alone, "synthetic"))


def test_predictions_and_history_of_several_sweeps_are_told_apart(two: tuple[Path, Path]) -> None:
    trials, predictions = analysis.load(list(two)), analysis.load_predictions(list(two))
    history = analysis.load_history([str(place) for place in two])
    names = {place: f"synthetic ({place.name})" for place in two}
    for frame, one in ((predictions, analysis.load_predictions), (history, analysis.load_history)):
        assert list(frame["sweep"].unique()) == list(names.values())
        for place, name in names.items():
            own = frame[frame["sweep"] == name].drop(columns="sweep").reset_index(drop=True)
            alone = one(place)
            assert "sweep" not in alone
            pd.testing.assert_frame_equal(own[list(alone)], alone)
    curve = analysis.accuracy_vs_bias(trials, predictions)
    confusion = analysis.confusion_by_strength(trials, predictions)
    for place, name in names.items():
        own_trials, own_predictions = analysis.load(place), analysis.load_predictions(place)
        alone = analysis.accuracy_vs_bias(own_trials, own_predictions)
        pd.testing.assert_frame_equal(of_sweep(curve, name), of_sweep(alone, "synthetic"))
        expected = analysis.confusion_by_strength(own_trials, own_predictions).drop(columns="sweep")
        found = confusion[confusion["sweep"] == name].drop(columns="sweep")
        pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)
    lines = analysis.plot_learning_curves(trials, history).data
    alone = [analysis.plot_learning_curves(analysis.load(place), analysis.load_history(place)).data for place in two]
    assert len(lines) == sum(len(drawn) for drawn in alone)
    variant = analysis.load_predictions(list(two), "aligned")
    assert variant.empty and "sweep" in variant


def test_sweeps_of_other_names_keep_them(two: tuple[Path, Path], synthetic: ModuleType) -> None:
    rows = [row | {"sweep": "mine"} for row in read_parts(open_folder(two[1]), "trials").to_pylist()]
    synthetic.write_part(two[1], "trials", "named", rows, (2, "d", 1))
    found = analysis.load_history(list(two))
    assert list(found["sweep"].unique()) == list(analysis.load(list(two))["sweep"].unique()) == ["synthetic", "mine"]
    with pytest.raises(InputError, match="at least one folder"):
        analysis.load_history([])


def test_sweeps_of_one_name_and_other_images_share_no_table(two: tuple[Path, Path], synthetic: ModuleType) -> None:
    same = gather(two)
    name = str(same.curve["dataset"].iloc[0])
    assert [on for on, _, _ in same.by_data(same.selected)] == [""] and set(same.trials["dataset"]) == {name}
    for folder, checksum in zip(two, ("ab" * 32, "cd" * 32), strict=True):
        rows = [row | {"data_checksum": checksum} for row in read_parts(open_folder(folder), "trials").to_pylist()]
        synthetic.write_part(folder, "trials", "all", rows, (1, "d", 1))
    other = gather(two)
    names = [f"{name} (data abababab)", f"{name} (data cdcdcdcd)"]
    assert [on for on, _, _ in other.by_data(other.selected)] == [f" on {one}" for one in names]
    assert all(group["sweep"].nunique() == 1 for _, _, group in other.by_data(other.selected))
    assert list(other.curve["dataset"].unique()) == names
    html = str(table_section(other))
    assert all(f" on {one}" in html for one in names)
    # What is published is of the registered name, and stands beside each.
    assert set(other.beside["dataset"]) == (set(names) if len(same.beside) else set())
    assert len(other.beside) == len(same.beside)
    assert any("have other images" in sentence for sentence in warnings_of(other))
    assert not any("have other images" in sentence for sentence in warnings_of(same))

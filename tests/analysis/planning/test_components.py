"""Variance components against their definition, and designs of other sizes against simulated sweeps of that size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import analysis
from analysis.planning.components import components_of, components_rows, least_differences, variance_components
from analysis.points.points import Line, Point
from analysis.statistics.variance import NO_VARIANCE, Sample, stand_in, variance_of
from store.errors import InputError
from tests.analysis.statistics.test_variance import case


def crossed(rng: np.random.Generator, seeds: int, per_class: int, sd: tuple[float, float, float]) -> Sample:
    """A difference per seed and patient: seeds, patients and their interaction with the given deviations."""
    p = 3 * per_class
    cells = rng.normal(0, sd[0], (seeds, 1)) + rng.normal(0, sd[1], p) + rng.normal(0, sd[2], (seeds, p))
    strata = np.arange(p) % 3
    out = stand_in(np.stack([cells, np.ones_like(cells)], axis=-1), strata)
    return Sample(cells.mean(axis=1), out[..., 0] / out[..., 1], strata)


def test_components_are_recovered() -> None:
    rng, sd = np.random.default_rng(0), (0.05, 0.2, 0.3)
    found = [components_of(variance_of(crossed(rng, 8, 12, sd))) for _ in range(300)]
    means = [np.mean([getattr(f, name) for f in found]) for name in ("seeds", "patients", "interaction")]
    # A component that comes out below 0 counts as 0: the smallest one is too large on average.
    assert means[1:] == pytest.approx([0.04, 0.09], rel=0.05)
    assert means[0] == pytest.approx(0.0025, rel=0.25)


def test_the_design_at_hand_has_the_variance_at_hand() -> None:
    found = variance_of(case("lnl 1").minus(case("erm 1")))
    again = components_of(found).variance(5, 27)
    for name in ("total", "df", "seeds", "patients", "interaction"):
        assert getattr(again, name) == pytest.approx(getattr(found, name))


def test_it_keeps_its_variance_where_a_component_comes_out_below_0() -> None:
    rng = np.random.default_rng(4)
    found = [variance_of(crossed(rng, 5, 9, (0.0, 0.0, 0.3))) for _ in range(50)]
    assert sum(min(v.seeds, v.patients) < v.interaction for v in found) > 25
    for variance in found:
        parts = components_of(variance)
        assert parts.variance(5, 27).total == pytest.approx(variance.total)
        assert min(parts.seeds, parts.patients, parts.interaction) >= 0


def test_another_design_has_the_variance_that_sweeps_of_its_size_have() -> None:
    rng, sd = np.random.default_rng(1), (0.05, 0.2, 0.1)
    expected = [components_of(variance_of(crossed(rng, 5, 9, sd))).variance(10, 99).total for _ in range(200)]
    means = [crossed(rng, 10, 33, sd).mean for _ in range(4000)]
    assert np.mean(expected) == pytest.approx(np.var(means), rel=0.1)


def test_a_difference_of_d_min_is_found_in_eight_cases_of_ten() -> None:
    rng, sd = np.random.default_rng(2), (0.0, 0.2, 0.1)
    truth = components_of(variance_of(crossed(rng, 40, 400, sd))).variance(5, 54).least_difference()
    found = 0
    for _ in range(1500):
        sample = crossed(rng, 5, 18, sd)
        sample = Sample(
            sample.values + truth, None if sample.left_out is None else sample.left_out + truth, sample.strata
        )
        found += variance_of(sample).p(sample.mean) < 0.05
    assert 0.76 < found / 1500 < 0.84


def test_more_of_either_shows_smaller_differences() -> None:
    table = least_differences(components_of(variance_of(case("lnl 1").minus(case("erm 1")))), (3, 5, 10), (27, 99, 198))
    assert (table.diff().iloc[1:] < 0).all().all()
    assert (table.diff(axis=1).iloc[:, 1:] < 0).all().all()
    assert table.index.name == "n_seeds" and table.columns.name == "n_patients"


def test_without_patients_there_are_seeds_alone() -> None:
    parts = components_of(variance_of(Sample(np.array([0.1, 0.2, 0.15, 0.12, 0.18]))))
    table = least_differences(parts, (5, 10))
    assert list(table.columns) == [0]
    assert parts.variance(5, 0).total == pytest.approx(np.var([0.1, 0.2, 0.15, 0.12, 0.18], ddof=1) / 5)


def test_too_few_patients_of_a_class_are_missing_in_the_table() -> None:
    parts = components_of(variance_of(case("lnl 1").minus(case("erm 1"))))
    assert math.isnan(least_differences(parts, (5,), (5,)).iloc[0, 0])
    with pytest.raises(InputError, match="got 5 for 3 classes"):
        parts.variance(5, 5)
    with pytest.raises(InputError, match="got 1"):
        parts.variance(1, 27)
    with pytest.raises(InputError, match="got one"):
        components_of(NO_VARIANCE)


def test_what_to_buy(sweep_dir: Path) -> None:
    trials, predictions = analysis.load(sweep_dir), analysis.load_predictions(sweep_dir)
    found = variance_components(trials, predictions)
    assert set(found["label"]).isdisjoint({"erm", "ceiling"}) and len(found)
    assert set(found["buy"]) <= {"seeds", "images", "either", ""} and set(found["tested"]) == {"images"}
    assert (found["d_min_seeds"] <= found["d_min"]).all() and (found["d_min_patients"] <= found["d_min"]).all()
    alone = variance_components(trials)
    assert alone["sd_patients"].isna().all() and (alone["n_patients"] == 0).all()


def test_seeds_nested_in_splits_are_taken_apart() -> None:
    """Differences per split and seed with known variances between splits and within them."""
    rng, found = np.random.default_rng(3), []
    for _ in range(200):
        inside = rng.normal(0, 0.3, (4, 1)) + rng.normal(0, 0.2, (4, 5))
        first, second = nested_point(inside, "lnl"), nested_point(np.zeros((4, 5)), "erm")
        rows, _ = components_rows([first, second])
        assert list(rows["unit"]) == ["splits"] and rows["caption"].iloc[0].startswith("With 4 splits")
        found.append(rows[["sd_splits", "sd_seeds"]].iloc[0].to_numpy(dtype=float) ** 2)
    assert np.mean(found, axis=0) == pytest.approx([0.09, 0.04], rel=0.15)


def test_the_declared_pair_has_rows_of_its_own() -> None:
    rng = np.random.default_rng(5)
    points = [nested_point(rng.normal(0, 0.3, (4, 2)), name) for name in ("lnl", "grl", "erm")]

    def pairs(some: list[Point], pair: tuple[str, str] | None) -> list[tuple[str, str]]:
        rows, parts = components_rows(some, pair=pair)
        assert len(rows) == len(parts)
        return list(zip(rows["label"], rows["reference"], strict=True))

    assert pairs(points, None) == pairs(points, ("lnl", "erm")) == [("lnl", "erm"), ("grl", "erm")]
    assert pairs(points, ("grl", "lnl")) == [("grl", "lnl"), ("lnl", "erm"), ("grl", "erm")]
    assert pairs(points[:2], ("grl", "lnl")) == [("grl", "lnl")]
    assert pairs(points[:2], None) == []


def test_two_methods_that_differ_on_no_image_say_nothing_about_a_design() -> None:
    same = np.array([[0.8, 0.7], [0.6, 0.9]])
    rows, parts = components_rows([nested_point(same, "lnl"), nested_point(same, "erm")])
    assert rows["d_min"].isna().all() and set(rows["buy"]) == {""} and "nothing is known" in rows["caption"].iloc[0]
    assert least_differences(parts[0]).empty


def nested_point(inside: np.ndarray, method: str) -> Point:
    line = Line("s", "d", "n", "val_biased", method, method, "rho", "")
    return Point(
        line=line,
        bias_value=1.0,
        bias_strength=0.6,
        seeds=tuple(range(len(inside))),
        values=inside.mean(axis=1),
        scores=None,
        n_planned=len(inside),
        n_failed=0,
        n_collapsed=0,
        n_test=9,
        hyperparameters=(),
        unit="splits",
        inside=tuple(tuple(float(v) for v in row) for row in inside),
    )

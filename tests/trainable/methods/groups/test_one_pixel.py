"""A known answer: the bias is one pixel, plain training takes it, and methods that know of it take the class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

import trainable
from store.errors import InputError
from tests.one_pixel import LR, TRAINING, one_pixel_options, write_one_pixel
from tests.trainable.methods.groups.test_trials import METHODS

RECOVER = ("reweight", "resample", "group_dro", "dfr", "bias_balance", "mixup")
"""``irm`` is not among them: environments in which the bias is constant give it little to compare."""
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("one-pixel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LNL_SWEEP_CACHE", str(folder / "cache"))
        yield one_pixel_options(write_one_pixel(folder))


def rows(method: str, options: Mapping[str, Any], rho: float) -> list[dict[str, Any]]:
    return [
        trainable.train(
            "table", method=method, dataset_options=options, rho=rho, seed=seed, hyperparameters={"lr": LR}, **TRAINING
        ).row
        for seed in SEEDS
    ]


@pytest.fixture(scope="module")
def plain(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    return rows("erm", options, 0.95)


def test_plain_training_takes_the_pixel(options: Mapping[str, Any], plain: list[dict[str, Any]]) -> None:
    for row in plain:
        assert row["test_aligned_accuracy"] > 0.95 and row["test_conflicting_accuracy"] < 0.65
        assert row["n_conflicting"] == pytest.approx(0.05 * row["n_train"], abs=2)
    # The class can be learned from as many images.
    assert mean(row["test_accuracy"] for row in rows("ceiling", options, 0.95)) > 0.87
    # All of them tell the class by the pixel.
    assert mean(row["test_accuracy"] for row in rows("erm", options, 1.0)) < 0.6


@pytest.mark.parametrize("name", RECOVER)
def test_methods_that_know_the_bias_recover(name: str, options: Mapping[str, Any], plain: list[dict[str, Any]]) -> None:
    found = rows(name, options, 0.95)
    for column, gain in (("test_accuracy", 0.08), ("test_worst_group_accuracy", 0.15)):
        assert mean(row[column] for row in found) > mean(row[column] for row in plain) + gain
    assert mean(row["n_train"] for row in found) == mean(row["n_train"] for row in plain)


@pytest.mark.parametrize("name", METHODS)
def test_at_full_bias_they_have_nothing_to_work_on(name: str, options: Mapping[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{name} needs (classes|training images)"):
        rows(name, options, 1.0)


def test_without_bias_weights_change_nothing(options: Mapping[str, Any]) -> None:
    # Four groups of the same size: every weight is 1, and the sum is taken in another order.
    weighted, plain = (rows(name, options, 0.5)[0] for name in ("reweight", "erm"))
    assert weighted["test_accuracy"] == pytest.approx(plain["test_accuracy"], abs=0.03)

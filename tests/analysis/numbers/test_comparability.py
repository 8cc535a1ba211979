from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import analysis


@pytest.fixture
def two(sweep_dir: Path) -> pd.DataFrame:
    trials = analysis.load(sweep_dir)
    return pd.concat([trials.assign(sweep="a", data_checksum="x"), trials.assign(sweep="b", data_checksum="y")])


def split(test: list[str], train: list[str]) -> pd.DataFrame:
    images = [*test, *train]
    return pd.DataFrame(
        {"seed": 1, "fold": None, "image": images, "split": ["test"] * len(test) + ["train"] * len(train)}
    )


def test_equal_test_images_with_another_split(two: pd.DataFrame) -> None:
    splits = {"a": split(["i", "j"], ["k", "l"]), "b": split(["j", "i"], ["k"])}
    table = analysis.shared_properties(two, splits)
    assert table.loc["test images", "shared by"] == "all"
    assert table.loc["test images", "a"] == "2 images (set A)"
    assert table.loc["split", "shared by"] == "none"
    assert table.loc["data", "shared by"] == "none"
    assert table.loc["network", "shared by"] == table.loc["confirm seeds", "shared by"] == "all"


def test_what_is_not_recorded_is_not_called_shared(two: pd.DataFrame) -> None:
    table = analysis.shared_properties(two, {})
    assert list(table.loc["test images", ["a", "b"]]) == ["not recorded"] * 2
    assert table.loc["test images", "shared by"] == "none"


def test_groups_are_named(two: pd.DataFrame) -> None:
    three = pd.concat([two, two[two["sweep"] == "a"].assign(sweep="c", network="resnet18")])
    table = analysis.shared_properties(three, {})
    assert table.loc["network", "shared by"] == "a and b"
    assert table.loc["data", "shared by"] == "a and c"

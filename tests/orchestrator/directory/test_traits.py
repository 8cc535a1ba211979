"""Traits of methods as ``sweep.yaml`` holds them, and the table for sheets of older versions."""

from __future__ import annotations

import pytest

from orchestrator.directory.sheet import traits_of_method
from store.sheet.traits import traits_of
from trainable.methods.base import get_method, list_methods

OF_VERSION_1 = (
    "erm", "ceiling", "uncoloured", "grayscale", "repaint", "grl", "lnl", "blind_eye", "permuted_bias",
)  # fmt: skip
"""Methods that a sheet of an older version may name."""


@pytest.mark.parametrize("name", OF_VERSION_1)
def test_the_table_for_older_sheets_agrees_with_the_methods(name: str) -> None:
    now = traits_of_method(get_method(name))
    older = {"method": name, "long_name": now.long_name, "reference": now.reference}
    assert traits_of(name, older) == now
    assert traits_of(name, {}).pressures == now.pressures


@pytest.mark.parametrize("name", list_methods())
def test_traits_are_read_back_as_they_are_written(name: str) -> None:
    now = traits_of_method(get_method(name))
    assert traits_of(name, now.content()) == now


def test_a_method_works_on_the_bias_where_it_is_told_the_true_labels() -> None:
    told = {name for name in list_methods() if traits_of_method(get_method(name)).debiasing}
    assert {"lnl", "hsic", "end", "group_dro"} <= told
    assert not told & {"erm", "ceiling", "permuted_bias", "repaint", "jtt", "lff"}

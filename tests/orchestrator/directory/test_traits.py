"""Traits of methods as ``sweep.yaml`` holds them, and the table for sheets of older versions."""

from __future__ import annotations

import pytest

from orchestrator.directory.sheet import traits_of_method
from store.sheet.traits import traits_of
from trainable.methods.base import get_method, list_methods


@pytest.mark.parametrize("name", list_methods())
def test_the_table_for_older_sheets_agrees_with_the_methods(name: str) -> None:
    now = traits_of_method(get_method(name))
    older = {"method": name, "long_name": now.long_name, "reference": now.reference}
    assert traits_of(name, older) == now and traits_of(name, now.content()) == now
    assert traits_of(name, {}).pressures == now.pressures

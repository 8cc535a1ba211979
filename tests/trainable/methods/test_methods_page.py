"""The table of methods in the documentation: every method, its hyperparameters and their ranges."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trainable.methods.base import Method, Range, get_method, list_methods

PAGE = Path(__file__).parents[3] / "docs" / "methods.md"
ROWS = {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` \|.*$", PAGE.read_text(), re.M)}
COMMON = {"lr", "weight_decay", "lr_bias"}
OF_OTHERS = {"permuted_bias": "as `lnl`"}
METHODS = [name for name in list_methods() if get_method(name).step.__module__.startswith("trainable.")]


def number(text: str) -> float:
    return float(text.replace(",", ""))


def own_ranges(method: Method) -> dict[str, Range]:
    return {key: one for key, one in method.space.items() if key not in COMMON and isinstance(one, Range)}


@pytest.mark.parametrize("name", METHODS)
def test_the_page_has_each_method_and_its_ranges(name: str) -> None:
    method, cells = get_method(name), [cell.strip() for cell in ROWS[name].strip("|").split("|")]
    assert len(cells) == 6
    *_, needs, hyperparameters, full = cells
    if name in OF_OTHERS:
        assert hyperparameters == OF_OTHERS[name]
        return
    for key, one in own_ranges(method).items():
        found = re.search(rf"`{key}`(?:, `\w+`)* (log )?([\d.e-]+) to ([\d.e-]+)", hyperparameters)
        assert found, (name, key)
        assert (bool(found[1]), number(found[2]), number(found[3])) == (one.log, one.low, one.high)
    assert set(re.findall(r"`(\w+)`", hyperparameters)) == {
        key for key in method.space if key not in COMMON - {"lr_bias"}
    }
    for need, words in (("group_counts", "group counts"), ("conflicting_samples", "conflicting images")):
        assert (words in needs) == (need in method.needs)
    assert ("not applicable" in full) == bool(method.needs & {"group_counts", "conflicting_samples"})
    assert "bias_labels" not in method.needs or needs.startswith(("bias labels", "group counts"))

"""The page beside published numbers shows what the stored sweeps say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import analysis

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def writer(tool: Callable[[str], ModuleType]) -> ModuleType:
    """``tools/write_replication.py``."""
    return tool("write_replication")


def test_its_tables_are_those_of_the_stored_sweeps(writer: ModuleType, tool: Callable[[str], ModuleType]) -> None:
    text = writer.PAGE.read_text(encoding="utf-8")
    filled = tool("page_tables").filled
    assert filled(text, writer.NAMES, writer.tables_of) == text
    assert all(f'analysis.example("{name}")' in text for name in writer.NAMES)


def test_a_verdict_needs_a_narrow_interval(writer: ModuleType) -> None:
    trials = analysis.example("coloured_digits_extreme")
    predictions = analysis.load_predictions(analysis.example_folder("coloured_digits_extreme"))
    curve = analysis.accuracy_vs_bias(trials, predictions, rules=[writer.RULE])
    curve = curve[curve["label"] == "lnl"].set_index("bias_value")
    lines = "\n".join(writer.tables_of("coloured_digits_extreme")).splitlines()
    values = [cell.strip() for cell in next(line for line in lines if "color_variance" in line).split("|")[2:-1]]
    shown = [cell.strip() for cell in next(line for line in lines if "published LNL, SABAF" in line).split("|")[2:-1]]
    for value, cell in zip(map(float, values), shown, strict=True):
        number, verdict = cell.split(" ", 1)
        low, high = curve.loc[value, "low"], curve.loc[value, "high"]
        inside = "inside" if low <= float(number) <= high else "outside"
        assert verdict == (inside if high - low < 0.2 else "too wide"), value

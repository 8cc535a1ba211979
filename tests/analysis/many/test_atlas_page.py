"""The page of the atlas shows what the stored sweeps say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import analysis

ROOT = Path(__file__).parents[3]
NAMES = ("atlas_digits", "atlas_phantom")


@pytest.fixture(scope="module")
def writer(tool: Callable[[str], ModuleType]) -> ModuleType:
    """``tools/write_atlas.py``."""
    return tool("write_atlas")


def test_its_tables_are_those_of_the_stored_sweeps(writer: ModuleType, tool: Callable[[str], ModuleType]) -> None:
    text = writer.PAGE.read_text(encoding="utf-8")
    filled = tool("page_tables").filled
    assert filled(text, writer.VALUES, writer.tables_of) == text
    assert set(writer.VALUES) == set(NAMES) < set(analysis.examples.example_names())
    for name in NAMES:
        assert f"images/{name}.png" in text and (ROOT / "docs" / "images" / f"{name}.png").is_file()


def test_a_table_is_counted_from_the_rows(writer: ModuleType) -> None:
    trials = analysis.example("atlas_phantom")
    rows = trials[(trials["phase"] == "confirm") & (trials["label"] == "erm") & (trials["bias_value"] == 1)]
    rows = rows[rows["rules"].map(lambda rules: "val_counterfactual" in rules)]
    mean = f"{rows['test_accuracy'].mean():.3f}".lstrip("0")
    (line,) = [text for text in writer.tables_of("atlas_phantom")[2].splitlines() if text.startswith("| `erm` |")]
    assert line.split("|")[-2].strip().startswith(mean)


@pytest.mark.parametrize("name", NAMES)
def test_an_atlas_is_a_whole_sweep(name: str, writer: ModuleType) -> None:
    folder, trials = analysis.example_folder(name), analysis.example(name)
    cells = [cell for cell in analysis.load_config(folder)["cells"] if not cell.get("not_applicable")]
    confirmed = trials[trials["phase"] == "confirm"]
    assert set(confirmed["cell"]) == {cell["cell"] for cell in cells}
    assert set(confirmed["rules"].explode()) == {"val_counterfactual", "val_biased"}
    assert set(trials["status"]) == {"completed"} and set(trials["node"]) == {"host"}
    assert trials["bias_value"].nunique() >= 6
    shown = analysis.load_predictions(folder)
    correct = (shown["label"] == shown["predicted"]).groupby(shown["trial_id"]).mean()
    accuracies = confirmed.set_index("trial_id")["test_accuracy"]
    np.testing.assert_allclose(correct.reindex(accuracies.index), accuracies, atol=1e-12)
    curve = analysis.accuracy_vs_bias(trials, shown, rules=["val_counterfactual"])
    assert set(curve.loc[curve["n_seeds"] > 0, "n_seeds"]) == {5}


def test_both_are_under_three_megabytes() -> None:
    files = [path for name in NAMES for path in analysis.example_folder(name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000

"""The example in the package is a whole, small, real sweep, and keeping one changes no result."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis
from analysis import examples
from store.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def keeper() -> ModuleType:
    """``tools/keep_example.py``."""
    spec = importlib.util.spec_from_file_location("keep_example", ROOT / "tools" / "keep_example.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_is_a_whole_sweep_under_a_megabyte(keeper: ModuleType) -> None:
    trials = analysis.example()
    folder = analysis.example_folder()
    planned = {cell["cell"] for cell in analysis.load_config(folder)["cells"]}
    assert set(trials.loc[trials["phase"] == "confirm", "cell"]) == planned
    assert (trials.loc[trials["phase"] == "confirm", "status"] == "completed").all()
    assert set(trials["status"]) == {"completed", "pruned"}
    assert set(trials["trial_id"]) >= set(analysis.load_predictions(folder)["trial_id"])
    assert set(analysis.load_history(folder)["trial_id"]) >= set(trials["trial_id"])
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= keeper.MOST_BYTES
    assert "synthetic" in (folder / "README.txt").read_text(encoding="utf-8")


def test_nothing_of_the_example_is_left_out_as_damaged(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    analysis.write_report(analysis.example_folder(), report)
    text = report.read_text(encoding="utf-8")
    assert "Left out" not in text
    assert "at the strongest bias (rho = 1, gamma = 0): accuracy differs by" in text
    assert "data:image/png;base64," in text


def test_the_example_holds_no_paths_and_no_host() -> None:
    folder = analysis.example_folder()
    for path in folder.rglob("*"):
        if path.suffix in (".txt", ".yaml", ".json"):
            text = path.read_text(encoding="utf-8")
        elif path.suffix == ".parquet":
            table = pq.read_table(path)
            texts = [table[field.name].unique() for field in table.schema if pa.types.is_string(field.type)]
            text = " ".join(str(value) for column in texts for value in column.to_pylist())
        else:
            continue
        assert not any(word in text for word in ("/tmp/", "/home/", "/root/", "/Users/"))
    assert set(analysis.example()["node"]) == {"host"}


def test_the_accuracies_of_its_predictions_are_those_of_its_rows() -> None:
    trials = analysis.example()
    shown = analysis.load_predictions(analysis.example_folder(), "unbiased")
    correct = (shown["label"] == shown["predicted"]).groupby(shown["trial_id"]).mean()
    rows = trials[trials["phase"] == "confirm"].set_index("trial_id")["test_accuracy"]
    assert len(rows) > 30
    np.testing.assert_allclose(correct.reindex(rows.index), rows, atol=1e-12)


def test_the_example_answers_its_own_question() -> None:
    """Plain training falls; the report's numbers can be made from the example alone."""
    folder = analysis.example_folder()
    curve = analysis.accuracy_vs_bias(analysis.example(), analysis.load_predictions(folder))
    erm = curve[(curve["label"] == "erm") & (curve["facet"] == curve["facet"].iloc[0])].sort_values("bias_strength")
    assert erm["mean"].iloc[-1] < erm["mean"].iloc[0] - 0.1
    assert (curve["band"] == "seeds and patients").all()


def test_keeping_a_sweep_changes_no_result(keeper: ModuleType, sweep_dir: Path, tmp_path: Path) -> None:
    size = keeper.keep(sweep_dir, tmp_path / "kept")
    assert size == sum(path.stat().st_size for path in (tmp_path / "kept").rglob("*") if path.is_file())
    before, after = (
        analysis.accuracy_vs_bias(analysis.load(folder), analysis.load_predictions(folder))
        for folder in (sweep_dir, tmp_path / "kept")
    )
    pd.testing.assert_frame_equal(before, after)
    assert len(analysis.load_history(tmp_path / "kept")) == len(analysis.load_history(sweep_dir))
    assert [len(list((tmp_path / "kept" / table).iterdir())) for table in ("trials", "history", "predictions")] == [
        1
    ] * 3
    assert len(list((tmp_path / "kept" / "samples").glob("*.png"))) == 3


def test_rounding_down_u_keeps_who_is_annotated(keeper: ModuleType) -> None:
    u = np.random.default_rng(0).random(5000)
    u[:3] = (0.9, 0.8999999, 0.5)
    kept = keeper._rounded("splits", pa.table({"u": u}), 1000)["u"].to_numpy()
    for rho in (0.5, 0.7, 0.8, 0.9, 0.955, 1.0):
        np.testing.assert_array_equal(kept < rho, u < rho)
    assert len(np.unique(kept)) <= 1000


def test_a_folder_without_a_finished_trial_is_refused(keeper: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "sweep.yaml").write_text("name: empty\n")
    with pytest.raises(analysis.InputError, match="no trial of"):
        keeper.keep(tmp_path / "empty", tmp_path / "out")


def test_the_example_is_package_data() -> None:
    import tomllib

    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "analysis" in wheel["only-include"] and wheel["exclude"] == ["analysis/notebooks"]
    files = [path.relative_to(ROOT) for path in (ROOT / "analysis" / "example").rglob("*") if path.is_file()]
    # What git ignores is left out of a wheel.
    ignored = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True)
    assert len(files) > 5 and ignored.returncode == 1, ignored


def test_an_example_is_asked_for_by_name() -> None:
    assert analysis.example_folder("phantom") == analysis.example_folder()
    with pytest.raises(InputError, match="unknown example 'phanton': did you mean 'phantom'"):
        analysis.example("phanton")


def test_another_sweep_of_the_package_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(analysis.example_folder(), tmp_path / "example")
    shutil.copytree(analysis.example_folder(), tmp_path / "example_atlas_digits")
    monkeypatch.setattr(examples, "__file__", str(tmp_path / "examples.py"))
    assert examples.example_names() == ["phantom", "atlas_digits"]
    assert len(analysis.example("atlas_digits")) == len(analysis.example())

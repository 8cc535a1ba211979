"""The notebooks run, and what is stored of them belongs to their sources and to the example."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import analysis

ROOT = Path(__file__).parents[2]
NAMES = ("01_read_a_sweep", "02_is_it_real", "03_how_lambda_moves_with_bias", "04_who_is_misdiagnosed")
MOST_BYTES = 400_000

for needed in ("jupytext", "nbformat", "nbclient", "ipykernel"):
    pytest.importorskip(needed, reason="the notebooks need the dev extra")


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    """``tools/run_notebooks.py``."""
    spec = importlib.util.spec_from_file_location("run_notebooks", ROOT / "tools" / "run_notebooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_notebooks"] = module
    spec.loader.exec_module(module)
    return module


def source_of(name: str) -> Path:
    return ROOT / "analysis" / "notebooks" / f"{name}.py"


def stored(name: str) -> Any:
    import nbformat

    return nbformat.read(source_of(name).with_suffix(".ipynb"), as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def words_of(notebook: Any) -> str:
    """Everything that the cells printed or showed as text."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "\n".join(str(o.get("text") or o.get("data", {}).get("text/plain", "")) for o in outputs)


def figures_of(notebook: Any, runner: ModuleType) -> list[dict[str, Any]]:
    outputs = [output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs]
    return [data[runner.PLOTLY] for data in outputs if runner.PLOTLY in data]


def test_these_are_all_notebooks(runner: ModuleType) -> None:
    assert [path.stem for path in runner.sources()] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_notebook_is_its_source_executed_on_the_stored_example(name: str, runner: ModuleType) -> None:
    source, kept = runner.read_source(source_of(name)), stored(name)
    assert [(c.cell_type, c.source) for c in kept.cells] == [(c.cell_type, c.source) for c in source.cells]
    assert [c.execution_count for c in code_cells(kept)] == list(range(1, len(code_cells(kept)) + 1))
    assert kept.metadata["lnl_sweep"]["example"] == runner.example_digest()


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_notebook_has_pictures_and_neither_errors_nor_paths(name: str) -> None:
    path = source_of(name).with_suffix(".ipynb")
    outputs = [output for cell in code_cells(stored(name)) for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert path.stat().st_size < MOST_BYTES
    text = re.sub(r'"image/png": "[^"]*"', "", path.read_text(encoding="utf-8"))
    assert not re.search(r"/(home|root|tmp|Users)/", text)


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_cell_is_the_first_code_cell(name: str, runner: ModuleType) -> None:
    first = code_cells(runner.read_source(source_of(name), "else/where"))[0]
    assert first.metadata["tags"] == ["parameters"]
    assert first.source.startswith("DIR = 'else/where'")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_on_the_example(name: str, runner: ModuleType) -> None:
    done = runner.execute(runner.read_source(source_of(name)))
    assert figures_of(done, runner)


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_on_another_folder(name: str, runner: ModuleType, sweep_dir: Path) -> None:
    done = runner.execute(runner.read_source(source_of(name), str(sweep_dir)))
    assert figures_of(done, runner)
    assert "rho" not in words_of(done)
    if name == NAMES[2]:
        assert "built again from the search rows" in words_of(done)
        assert "hyperparameter" in words_of(done)


@pytest.mark.slow
def test_importances_come_from_the_journal_where_there_is_one(
    runner: ModuleType, sweep_dir: Path, tmp_path: Path
) -> None:
    import optuna

    folder = tmp_path / "with_journal"
    shutil.copytree(sweep_dir, folder)
    (folder / "optuna").mkdir()
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "optuna" / "journal.log"))
    storage = optuna.storages.JournalStorage(backend)
    trials = analysis.load(folder)
    cell = trials.loc[trials["label"] == "lnl", "cell"].iloc[0]
    study = optuna.create_study(study_name=f"{cell}-r0", direction="maximize", storage=storage)
    ranges = {name: optuna.distributions.FloatDistribution(1e-3, 10.0, log=True) for name in ("lambda_", "mu")}
    for number in range(8):
        parameters = {"lambda_": 0.002 * 2**number, "mu": 0.01 * (1 + number % 3)}
        study.add_trial(optuna.create_trial(params=parameters, distributions=ranges, value=parameters["lambda_"]))
    done = runner.execute(runner.read_source(source_of(NAMES[2]), str(folder)))
    words = words_of(done)
    assert "1 studies, from the journal" in words
    table = words[words.index("importance") :]
    shares = {m[1]: float(m[2]) for m in re.finditer(r"(lambda_|mu)\s+([01]\.\d+)", table)}
    assert shares["lambda_"] > shares["mu"]  # the value was made of lambda_ alone

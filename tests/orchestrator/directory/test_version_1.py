"""A small sweep of schema version 1, kept as it was written: it is read, reported and resumed.

brain_phantom of 30 patients, two bias values, two methods, a search for each of two rules with two search seeds, two
confirm seeds: 40 trials. Samples, studies and gathered rows are left out.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import analysis
from orchestrator.cli import main
from orchestrator.config.sweep_file import validate
from orchestrator.directory.damage import survey
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.remaining import remaining
from orchestrator.directory.sheet import configuration_of, read_sheet
from orchestrator.plan.cells import build_cells, load_checked
from orchestrator.search.dispatch import Dispatcher
from store.columns import VERSION_KEY
from store.names import confirm_id, search_id

KEPT = Path(__file__).parents[2] / "data" / "version_1.zip"
RULES = ("val_counterfactual", "val_biased")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kept")
    with zipfile.ZipFile(KEPT) as archive:
        archive.extractall(place)
    return place / "version_1"


def test_it_is_of_version_1(folder: Path) -> None:
    parts = [pq.read_schema(path) for path in folder.glob("*/*.parquet")]
    assert parts and {part.metadata[VERSION_KEY] for part in parts} == {b"1"}
    assert KEPT.stat().st_size < 100_000


def test_its_rows_get_the_columns_of_today(folder: Path) -> None:
    trials = analysis.load(folder)
    assert len(trials) == 40 and (trials["status"] == "completed").all()
    assert set(trials["bias_rho"]) == set(trials["rho"]) == {0.5, 1.0} and set(trials["bias_gamma"]) == {0.0}
    assert "color_variance" not in trials and "bias_color_variance" not in trials
    search = trials[trials["phase"] == "search"]
    for row in search.to_dict("records"):
        number, rule, seed = int(row["search_number"]), row["search_rule"], int(row["seed_number"])
        assert row["trial_id"] == search_id(row["cell"], 0, number, rule, seed) and rule in RULES
    places = set(zip(search["search_number"], search["search_rule"], search["seed_number"], strict=True))
    assert len(places) == 2 * 2 * 2 and len(search) == 4 * len(places)


def test_its_rules_choose_as_they_did(folder: Path) -> None:
    trials = analysis.load(folder, superseded=True)
    confirm = trials[trials["phase"] == "confirm"]
    assert not trials["superseded"].any() and confirm["rules"].map(len).min() >= 1
    assert set(confirm["stronger"]) == {"larger"} and set(confirm["seed_number"]) == {0, 1}
    chosen = analysis.selected_hyperparameters(trials)
    assert len(chosen) == 4 * len(RULES) and set(chosen["n_search_seeds"]) == {2}


def test_it_is_reported(folder: Path, tmp_path: Path) -> None:
    page = Path(analysis.write_report(folder, out=tmp_path / "report.html")).read_text()
    assert "brain phantom" in page.lower() or "version_1" in page
    curve = analysis.accuracy_vs_bias(analysis.load(folder), analysis.load_predictions(folder))
    assert len(curve) == 4 * len(RULES) and curve["mean"].between(0, 1).all()


def test_its_status_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "best_lambda" in (folder / "status.json").read_text()
    assert main(["status", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "damaged" not in shown and "40 of 40 trials finished" in shown and "weight" in shown


def test_of_lost_rows_it_says_that_a_resume_is_refused_and_not_what_it_would_do(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = Path(shutil.copytree(folder, tmp_path / "damaged"))
    sorted((damaged / "trials").glob("*.parquet"))[0].unlink()
    assert main(["verify", str(damaged)]) == 1
    shown = capsys.readouterr()
    assert "lost: " in shown.out and "a resume would be refused here: " in shown.out
    # The sources of its methods have moved since.
    assert "--mix-versions" in shown.out and shown.err == ""


def test_a_resume_finds_nothing_to_do(folder: Path) -> None:
    directory = SweepDirectory(str(folder))
    config = validate(configuration_of(read_sheet(directory)), "sweep.yaml")
    cells = build_cells(config, load_checked(config.dataset.name, config.dataset.options))
    dispatcher, found = Dispatcher(config, cells), survey(directory)
    state = remaining(dispatcher, directory, found)
    assert not found.left_out and not state.waiting
    assert dispatcher.restore(state.rows, state.histories, state.waiting) == []
    assert dispatcher.totals() == (40, True, 40) and dispatcher.finished
    assert dispatcher.finished_ids() == {row["trial_id"] for row in found.rows}


def test_a_longer_search_goes_on_from_it(folder: Path) -> None:
    directory = SweepDirectory(str(folder))
    tree = configuration_of(read_sheet(directory))
    tree["search"]["trials"] = 3
    config = validate(tree, "sweep.yaml")
    cells = build_cells(config, load_checked(config.dataset.name, config.dataset.options))
    dispatcher, found = Dispatcher(config, cells), survey(directory)
    state = remaining(dispatcher, directory, found)
    dispatcher.restore(state.rows, state.histories, state.waiting)
    issued = [dispatcher.next() for _ in range(8)]
    assert {(spec.search_number, spec.search_rule) for spec in issued if spec} == {(2, rule) for rule in RULES}


def test_identifiers_are_built_as_they_were(folder: Path) -> None:
    trials = analysis.load(folder)
    for row in trials[trials["phase"] == "confirm"].to_dict("records"):
        hyperparameters = json.loads(row["hyperparameters"])
        assert row["trial_id"] == confirm_id(row["cell"], hyperparameters, int(row["seed_number"]))

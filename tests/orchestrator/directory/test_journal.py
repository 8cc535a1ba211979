"""``optuna/journal.log`` in optuna-dashboard's real server, asked over its REST interface."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from orchestrator.directory.journal import write_journal
from store.open import folder_at
from tests.orchestrator.support import Simulation, dispatcher_for, sweep_config
from trainable.spec import TrialSpec

SERVER = Path(sys.executable).with_name("optuna-dashboard")
pytestmark = pytest.mark.skipif(not SERVER.exists(), reason="needs optuna-dashboard")

STATES = {"completed": "Complete", "pruned": "Pruned", "failed": "Fail"}


@contextmanager
def dashboard(journal: Path) -> Iterator[str]:
    """The server on a free port; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (journal.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [SERVER, journal, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        address, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while True:
            try:
                ask(address, "/api/studies")
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end, (journal.parent / "server.log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        process.kill()
        process.wait()


def ask(address: str, path: str) -> Any:
    with urllib.request.urlopen(address + path, timeout=30) as answer:
        return json.loads(answer.read())


@dataclass
class Shown:
    simulation: Simulation
    studies: dict[str, Any]


def ending(spec: TrialSpec) -> str:
    return "failed" if spec.phase == "search" and spec.trial_id.endswith("-003") else "completed"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """What the server says of a simulated sweep with completed, pruned and failed trials."""
    config = sweep_config(
        search={"trials": 12, "early_stopping": {"min_epochs": 2, "reduction_factor": 2}}, training={"epochs": 5}
    )
    simulation = Simulation(dispatcher_for(config), slots=3, status=ending).run()
    folder = folder_at(tmp_path_factory.mktemp("sweep"))
    write_journal(folder, simulation.dispatcher.studies())
    assert folder.local is not None
    with dashboard(folder.local / "optuna" / "journal.log") as address:
        summaries = ask(address, "/api/studies")["study_summaries"]
        studies = {s["study_name"]: ask(address, f"/api/studies/{s['study_id']}") for s in summaries}
    return Shown(simulation, studies)


def test_each_cell_is_a_study_named_after_it(shown: Shown) -> None:
    assert sorted(shown.studies) == sorted(f"{cell.id}-r0" for cell in shown.simulation.dispatcher.cells)


def test_trials_are_shown_as_they_ended_and_none_as_running(shown: Shown) -> None:
    for cell in shown.simulation.dispatcher.cells:
        rows = [row for row in shown.simulation.rows.values() if row["cell"] == cell.id and row["phase"] == "search"]
        # The anchor is not part of a study: 0 lies outside a log range.
        told = [row for row in rows if cell.anchor is None or not row["trial_id"].endswith("-000")]
        trials = shown.studies[f"{cell.id}-r0"]["trials"]
        assert Counter(trial["state"] for trial in trials) == Counter(STATES[row["status"]] for row in told)
    assert {trial["state"] for study in shown.studies.values() for trial in study["trials"]} == set(STATES.values())


def test_values_and_learning_curves_are_those_of_the_rows(shown: Shown) -> None:
    for cell in shown.simulation.dispatcher.cells:
        values = sorted(
            row["val_counterfactual"]
            for row in shown.simulation.rows.values()
            if row["cell"] == cell.id and row["phase"] == "search" and row["status"] == "completed"
            if cell.anchor is None or not row["trial_id"].endswith("-000")
        )
        trials = shown.studies[f"{cell.id}-r0"]["trials"]
        assert sorted(trial["values"][0] for trial in trials if trial["state"] == "Complete") == pytest.approx(values)
        for trial in trials:
            steps = [entry["step"] for entry in trial["intermediate_values"]]
            assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 2


def test_trials_that_an_interruption_left_open_are_not_shown(tmp_path: Path) -> None:
    config = sweep_config(search={"trials": 6})
    simulation = Simulation(dispatcher_for(config), slots=4).run(rows=9)
    assert simulation.running and {spec.phase for spec in simulation.running} == {"search"}
    write_journal(folder_at(tmp_path), simulation.dispatcher.studies())
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "optuna" / "journal.log")))
    trials = [trial for study in optuna.get_all_study_summaries(storage)
              for trial in optuna.load_study(study_name=study.study_name, storage=storage).trials]  # fmt: skip
    anchors = {cell.id for cell in simulation.dispatcher.cells if cell.anchor is not None}
    told = [
        row for row in simulation.rows.values() if not (row["trial_id"].endswith("-000") and row["cell"] in anchors)
    ]
    assert len(trials) == len(told) > 0 and all(trial.state.is_finished() for trial in trials)


def test_the_direction_is_shown(shown: Shown) -> None:
    assert {tuple(study["directions"]) for study in shown.studies.values()} == {("maximize",)}

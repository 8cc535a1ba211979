"""A command that must be refused, a sweep file, and a directory that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cli import main
from orchestrator.config.sweep_file import parse_config
from orchestrator.directory.sheet import sweep_sheet
from orchestrator.plan.identity import at_place, trial_spec
from orchestrator.plan.plan import make_plan
from store.names import Place, search_id
from tests.bad_input.support import SWEEP, Refuse, contents, part
from trainable.trial.outcome import spec_row


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Run a command that must be refused; returns its one sentence. The working directory is an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orchestrator.cluster.nodes.start_ray", lambda *_: pytest.fail("Ray was started on bad input"))

    def run(*words: object) -> str:
        before = contents(tmp_path)
        try:
            code: Any = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        assert code == 2, captured.err
        assert len(captured.err) < 1500
        assert captured.err.startswith("lnl-sweep") and captured.err.count("\n") == 1, captured.err
        assert "Traceback" not in captured.err + captured.out
        assert contents(tmp_path) == before
        return captured.err

    return run


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SWEEP)
    return path


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """The directory of a sweep with one finished trial."""
    plan = make_plan(parse_config(SWEEP))
    folder = tmp_path / "DIR"
    (folder / "trials").mkdir(parents=True)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep_sheet(plan), sort_keys=False))
    cell = plan.cells[0]
    spec = trial_spec(plan.config, cell, "search", search_id(cell.id, 0, 0), dict(cell.fixed), 0)
    spec = at_place(spec, Place(0, None, 0))
    row = {**spec_row(spec, "completed"), "val_counterfactual": 0.5}
    (folder / "trials" / f"{cell.id}.0001-abcd1234-000001.parquet").write_bytes(part(row))
    return folder

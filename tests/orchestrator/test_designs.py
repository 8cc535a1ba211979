"""Controls that follow a search, candidates of several seeds, nested splits: whole sweeps that train nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

import orchestrator.lease as lease
import orchestrator.sweep as sweep_module
from analysis.load import load
from analysis.report import write_report
from orchestrator.sweep import Options, Result, run_sweep
from orchestrator.sweep_file import validate
from tests.integration.damage import SWEEP, Stop, run_here


def run(out: Path, stop_after: int | None = None, **changes: Any) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "_run", run_here(stop_after))
        patch.setattr(lease, "SETTLE_SECONDS", 0.0)
        options = Options(console=Console(file=io.StringIO()))
        return run_sweep(validate({**SWEEP, **changes}), str(out), options)


def chosen(trials: pd.DataFrame, label: str) -> dict[tuple[float, str], set[str]]:
    """Configurations of a label's confirm rows by (bias value, rule)."""
    rows = trials[(trials["phase"] == "confirm") & (trials["label"] == label)].explode("rules")
    return {key: set(group["hyperparameters"]) for key, group in rows.groupby(["bias_value", "rules"])}


LIKE: dict[str, Any] = {
    "methods": ["lnl", {"name": "permuted_bias", "like": "lnl"}],
    "confirm": {"seeds": 2, "rules": ["val_counterfactual", "val_biased"]},
}


class TestLike:
    def test_rows_follow_the_search_through_an_interruption_and_an_extension(self, tmp_path: Path) -> None:
        out = tmp_path / "sweep"
        with pytest.raises(Stop):
            run(out, 9, **LIKE)
        result = run(out, **LIKE)
        assert (result.planned, result.problems) == (result.finished, [])
        trials = load(out)
        assert not trials["superseded"].any() and len(trials) == result.planned
        first = chosen(trials, "permuted_bias")
        assert first == chosen(trials, "lnl") and len(first) == 4
        longer = run(out, **LIKE, search={**SWEEP["search"], "trials": 9})
        assert (longer.planned, longer.problems) == (longer.finished, [])
        now = load(out)
        assert chosen(now, "permuted_bias") == chosen(now, "lnl") != first
        control = load(out, superseded=True).query("label == 'permuted_bias'")
        assert set(control["phase"]) == {"confirm"}
        old = set(control[control["superseded"]]["hyperparameters"])
        assert old and old <= set.union(*first.values()) and len(now) == longer.planned

    def test_the_report_says_so_and_names_a_control_without_pressure(self, tmp_path: Path) -> None:
        # One search trial besides the anchor: at one bias value the anchor wins by the values of run_here.
        out = tmp_path / "sweep"
        run(out, **LIKE, dataset={"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.05, 0.1, 0.2]}})
        text = Path(write_report(out)).read_text()
        assert "permuted_bias has no search of its own: it is trained with the weights that lnl chose" in text
        trials = load(out)
        control = trials[
            (trials["label"] == "permuted_bias") & trials["rules"].map(lambda r: "val_counterfactual" in r)
        ]
        plain = [json.loads(t)["lambda_"] == 0 for t in control["hyperparameters"]]
        places = sorted({f"{v:g}" for v, zero in zip(control["bias_value"], plain, strict=True) if zero})
        assert places and not all(plain)
        assert all("permuted_bias is plain training at" in text and place in text for place in places)

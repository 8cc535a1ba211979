"""The sweeps of the atlas run: every method in every cell that it applies to, one epoch each."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config.shipped import read_sweep
from orchestrator.plan.plan import make_plan
from tests.integration.support import lnl_sweep_in, rows
from trainable.methods.base import list_methods

pytestmark = pytest.mark.slow

CONTROLS = {"uncoloured", "grayscale", "permuted_bias"}
"""Methods of one data set alone, and the control that needs another method's choice."""


@pytest.mark.parametrize("name", ["atlas_digits", "atlas_phantom"])
def test_every_method_in_every_cell(name: str, short_tmp: Path) -> None:
    out = short_tmp / name
    code, text = lnl_sweep_in({"OMP_NUM_THREADS": "1"}, "run", name, "--smoke", "--out", out, seconds=800)
    assert code == 0, text
    plan = make_plan(read_sweep(name, []))
    methods = {cell.method for cell in plan.cells}
    registered = {method for method in list_methods() if not method.startswith("own")}
    assert registered - methods == CONTROLS
    strengths = {cell.bias_strength for cell in plan.cells if cell.method == "erm"}
    assert len(strengths) >= 6 and min(strengths) == 0 and max(strengths) > 0.5
    trained = rows(out).values()
    assert {row["cell"] for row in trained} == {cell.id for cell in plan.applicable}
    assert {row["status"] for row in trained} == {"completed"}
    assert {cell.method for cell in plan.cells if cell.not_applicable} >= {"reweight", "group_dro", "dfr", "mixup"}

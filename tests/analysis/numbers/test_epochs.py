from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from analysis.numbers.epochs import epoch_choice
from store.errors import InputError


def test_three_readings_by_hand(monkeypatch: pytest.MonkeyPatch, synthetic: ModuleType) -> None:
    trials = pd.DataFrame([synthetic.confirm_row("erm", 0.1, k, seed=k) for k in range(2)])
    history = pd.DataFrame(
        {
            "trial_id": [name for name in trials["trial_id"] for _ in range(3)],
            "epoch": [1, 2, 3] * 2,
            "val_biased": [0.5, 0.9, 0.9, 0.7, 0.6, 0.5],
            "test_accuracy": [0.2, 0.6, 0.4, 0.3, 0.1, 0.5],
        }
    )
    monkeypatch.setattr("analysis.numbers.epochs.load", lambda directory: trials)
    monkeypatch.setattr("analysis.numbers.epochs.load_history", lambda directory: history)
    (row,) = epoch_choice("anywhere").to_dict("records")
    assert row["n_seeds"] == 2
    assert row["highest_on_test"] == pytest.approx((0.6 + 0.5) / 2)
    # Of the two best epochs of the first trial the earlier one.
    assert row["chosen_on_validation"] == pytest.approx((0.6 + 0.3) / 2)
    assert row["last_epoch"] == pytest.approx((0.4 + 0.5) / 2)
    with pytest.raises(InputError, match="no column 'val_none'"):
        epoch_choice("anywhere", "val_none")


def test_a_sweep_without_confirm_trials_is_refused(
    tmp_path: Path, synthetic: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = pd.DataFrame([synthetic.search_row("erm", 0.1, 0)])
    history = pd.DataFrame({"trial_id": trials["trial_id"], "epoch": 1, "val_biased": 0.5, "test_accuracy": None})
    monkeypatch.setattr("analysis.numbers.epochs.load", lambda directory: trials)
    monkeypatch.setattr("analysis.numbers.epochs.load_history", lambda directory: history)
    with pytest.raises(InputError, match="no confirm trial has finished"):
        epoch_choice(tmp_path)

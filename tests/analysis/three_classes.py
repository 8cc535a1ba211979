"""Predictions on three classes with patients within them, and the confirm rows they belong to. No result."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.points.calibration import FIGURES

NAMES = ("a", "b", "c")


def predictions(seeds: int = 3, patients: int = 12, slices: int = 3, seed: int = 0) -> pd.DataFrame:
    """Predictions on three classes, patients within classes, of trials t0, t1, ..."""
    rng = np.random.default_rng(seed)
    n = patients * slices
    patient = np.repeat(np.arange(patients), slices)
    label = patient % 3
    frames = []
    for k in range(seeds):
        p = rng.dirichlet(np.ones(3), n) + 0.8 * np.eye(3)[label]
        p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
        frames.append(
            pd.DataFrame(
                {
                    "trial_id": f"t{k}",
                    "variant": "unbiased",
                    "image": [f"i{i:03d}" for i in range(n)],
                    "patient": [f"p{i:02d}" for i in patient],
                    "label": label,
                    "attribute": 0,
                    "predicted": p.argmax(axis=1),
                    **{f"p_{name}": p[:, c] for c, name in enumerate(NAMES)},
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def trials_of(frame: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """Confirm rows as ``load`` returns them, one a trial of the predictions."""
    ids = sorted(frame["trial_id"].unique())
    rows = {
        "sweep": "s", "trial_id": ids, "phase": "confirm", "cell": "c", "dataset": "d", "network": "n", "method": "erm",
        "label": "erm", "bias_axis": "rho", "bias_value": 1.0, "bias_strength": 0.6, "bias_rho": 1.0, "bias_gamma": 0.0,
        "fold": np.nan, "seed": range(len(ids)), "repeat": 0, "search_number": np.nan, "search_rule": None,
        "seed_number": 0, "hyperparameters": "{}",
        "status": "completed", "collapsed": False, "metric": "accuracy", "n_test": 36, "superseded": False,
        "seeds_planned": len(ids), "headline_rule": "val_biased", "whole_axis": False,
    }  # fmt: skip
    right = (frame["predicted"] == frame["label"]).groupby(frame["trial_id"]).mean()
    table = pd.DataFrame({**rows, "test_accuracy": right.reindex(ids).to_numpy()}, index=range(len(ids)))
    table["rules"] = [("val_biased",)] * len(ids)
    return table.assign(**dict.fromkeys(FIGURES, np.nan), **columns)

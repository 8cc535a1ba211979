"""Rows of several sweeps beside one another: a trial's identifier is unique within its sweep only."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def beside(frames: Sequence[pd.DataFrame], trials: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put histories or predictions of several sweeps into one frame.

    Args:
        frames: Each sweep's rows, with ``trial_id``.
        trials: Each sweep's trials as ``analysis.load`` names them.

    Returns:
        The rows, sweep by sweep, with ``sweep`` in front: the same as in the trial's own row.

    Example:
        >>> frames = [pd.DataFrame({"trial_id": ["t0"], "epoch": [epoch]}) for epoch in (1, 2)]
        >>> trials = [pd.DataFrame({"trial_id": ["t0"], "sweep": [name]}) for name in ("a", "b")]
        >>> beside(frames, trials).to_dict("list")
        {'sweep': ['a', 'b'], 'trial_id': ['t0', 't0'], 'epoch': [1, 2]}
    """
    named = []
    for frame, of_sweep in zip(frames, trials, strict=True):
        sweeps = of_sweep.drop_duplicates("trial_id").set_index("trial_id")["sweep"]
        # A trial's history may be written a moment before its row.
        sweep = frame["trial_id"].map(sweeps).fillna(of_sweep["sweep"].iloc[0])
        named.append(pd.concat([sweep.rename("sweep"), frame], axis=1))
    return pd.concat(named, ignore_index=True)


def told_apart(trials: pd.DataFrame, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give trials and their histories or predictions identifiers that no two sweeps share.

    Args:
        trials: What ``analysis.load`` returned.
        rows: What ``analysis.load_history`` or ``analysis.load_predictions`` returned.

    Returns:
        Both with the sweep in front of ``trial_id``; as they are where the rows are of one sweep and do not name it.

    Example:
        >>> both = pd.DataFrame({"sweep": ["a", "b"], "trial_id": ["t0", "t0"]})
        >>> told_apart(both, both)[0]["trial_id"].tolist()
        ['a/t0', 'b/t0']
    """
    if "sweep" not in rows:
        return trials, rows
    return _prefixed(trials), _prefixed(rows)


def _prefixed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(trial_id=frame["sweep"] + "/" + frame["trial_id"])

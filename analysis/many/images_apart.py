"""Sweeps of one data set's name and of other images, as of digits that ship and of a folder, kept apart."""

from __future__ import annotations

import pandas as pd

_SHOWN = 8
"""Characters of a checksum that tell images apart for a reader."""


def names_by_images(trials: pd.DataFrame) -> dict[str, str]:
    """Name each sweep's data set so that one name has the same images.

    Args:
        trials: Rows with ``sweep``, ``dataset`` and ``data_checksum``.

    Returns:
        Name by sweep: as it is where all sweeps of it have the same checksum of the data, or none was recorded; else
        with the beginning of the checksum behind it.

    Example:
        >>> rows = {"sweep": ["a", "b", "c"], "dataset": ["digits", "digits", "brain"]}
        >>> names_by_images(pd.DataFrame({**rows, "data_checksum": ["3f", "80", "1"]}))
        {'a': 'digits (data 3f)', 'b': 'digits (data 80)', 'c': 'brain'}
    """
    of_sweep = {
        str(sweep): (str(rows["dataset"].iloc[0]), tuple(sorted(rows["data_checksum"].dropna().astype(str).unique())))
        for sweep, rows in trials.groupby("sweep", sort=False)
    }
    kinds: dict[str, set[tuple[str, ...]]] = {}
    for dataset, checksums in of_sweep.values():
        kinds.setdefault(dataset, set()).update({checksums} - {()})
    return {
        sweep: f"{dataset} (data {', '.join(one[:_SHOWN] for one in checksums)})"
        if checksums and len(kinds[dataset]) > 1
        else dataset
        for sweep, (dataset, checksums) in of_sweep.items()
    }

"""Confirm rows cut into the points of a curve once, as arrays that every test column is read from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from store.columns import BIAS, bias_parameters

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """The confirm rows of one point.

    Attributes:
        key: Values of the columns that tell points apart.
        rows: ``[N]``, positions of the rows in the frame that was cut.
        trials: Their identifiers.
        cells: ``[N]``, a number for each cell (fold).
        seeds: The rows' seeds.
        repeats: ``[N]``, the rows' repetitions of search and confirm.
        splits: ``[N]``, the rows' train / validation splits; -1 where each seed has its own.
        completed: ``[N]``.
        failed: ``[N]``.
        collapsed: ``[N]``.
        n_test: ``[N]``, test images; missing where not recorded.
        planned: Seeds the sweep asks for; missing where not recorded.
        units: Repetitions or splits the sweep asks for; missing where not recorded.
        strength: Bias strength.
        bias: Bias parameters off the axis, by name.
        stronger: Direction of the axis in which the bias is stronger.
        hyperparameters: JSON text of each configuration.
    """

    key: tuple[object, ...]
    rows: NDArray[np.int64]
    trials: tuple[str, ...]
    cells: NDArray[np.int64]
    seeds: tuple[int, ...]
    repeats: NDArray[np.int64]
    splits: NDArray[np.int64]
    completed: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    collapsed: NDArray[np.bool_]
    n_test: Floats
    planned: float
    units: float
    strength: float
    bias: Mapping[str, float]
    stronger: str
    hyperparameters: tuple[str, ...]

    @property
    def repeated(self) -> bool:
        """True where search and confirm were repeated: the replicate is then the whole procedure, not a seed."""
        return len(set(self.repeats.tolist())) > 1 or (self.units > 1 and not self.nested)

    @property
    def nested(self) -> bool:
        """True where several seeds share a split: the replicate is then the split, in which the seeds are nested."""
        return bool((self.splits >= 0).any())

    def by_unit(self, present: NDArray[np.bool_]) -> dict[int, list[int]]:
        """Sort the completed rows with a value by replicate: by seed, or by repetition or split.

        Only seeds with a row of every cell (fold) count. The seeds of one repetition share its search, those of one
        split its patients: they are no replicates of the whole, their mean is.

        Args:
            present: ``[N]``, True for the rows with a value.

        Returns:
            Places of the rows, by replicate.
        """
        by_seed: dict[tuple[int, int], list[int]] = {}
        for i in np.flatnonzero(self.completed & present):
            by_seed.setdefault((int(self.repeats[i]), self.seeds[i]), []).append(int(i))
        n_cells = len(set(self.cells.tolist()))
        units: dict[int, list[int]] = {}
        for (repeat, seed), places in sorted(by_seed.items()):
            if len({int(self.cells[i]) for i in places}) == n_cells:
                unit = repeat if self.repeated else int(self.splits[places[0]]) if self.nested else seed
                units.setdefault(unit, []).extend(places)
        return dict(sorted(units.items()))

    def images(self) -> int:
        """Count the test images, folds added up."""
        most: dict[int, float] = {}
        for cell, n in zip(self.cells.tolist(), np.nan_to_num(self.n_test).tolist(), strict=True):
            most[cell] = max(most.get(cell, 0.0), n)
        return int(sum(most.values()))


def cut(rows: pd.DataFrame, keys: Sequence[str]) -> Iterator[Group]:
    """Cut confirm rows into groups, in order of appearance.

    Args:
        rows: Confirm rows, one for each rule that chose them.
        keys: The columns that tell points apart.

    Yields:
        The groups.
    """
    if rows.empty:
        return
    codes = rows.groupby(list(keys), dropna=False, sort=False).ngroup().to_numpy()
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))
    trials, texts = (rows[name].to_numpy(dtype=object) for name in ("trial_id", "hyperparameters"))
    # Plain arrays, once for all groups: cutting a frame costs far more than slicing an array.
    cells = pd.factorize(rows["cell"])[0]
    seeds = rows["seed"].to_numpy(dtype=np.int64)
    repeats = rows["repeat"].fillna(0).to_numpy(dtype=np.int64)
    splits = np.full(len(rows), -1, dtype=np.int64)
    if "split" in rows:
        splits = pd.to_numeric(rows["split"]).fillna(-1).to_numpy(dtype=np.int64)
    status = rows["status"].to_numpy(dtype=object)
    collapsed = rows["collapsed"].fillna(False).to_numpy(dtype=bool)
    n_test, planned, strength = (
        rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in ("n_test", "seeds_planned", "bias_strength")
    )
    axis = rows["bias_axis"].to_numpy(dtype=object)
    biases = {
        name: rows[f"{BIAS}{name}"].to_numpy(dtype=np.float64, na_value=np.nan)
        for name in bias_parameters(rows.columns)
    }
    units = np.full(len(rows), np.nan)
    if "units_planned" in rows:
        units = rows["units_planned"].to_numpy(dtype=np.float64, na_value=np.nan)
    stronger = rows["stronger"].to_numpy(dtype=object) if "stronger" in rows else np.full(len(rows), "larger", object)
    values = [rows[name].to_numpy(dtype=object) for name in keys]
    for start, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
        members = order[start:end]
        first = members[0]
        yield Group(
            key=tuple(value[first] for value in values),
            rows=members,
            trials=tuple(str(t) for t in trials[members]),
            cells=cells[members],
            seeds=tuple(seeds[members].tolist()),
            repeats=repeats[members],
            splits=splits[members],
            completed=status[members] == "completed",
            failed=status[members] == "failed",
            collapsed=collapsed[members],
            n_test=n_test[members],
            planned=float(np.nanmax(planned[members])) if np.isfinite(planned[members]).any() else float("nan"),
            units=float(units[first]),
            strength=float(strength[first]),
            bias={
                name: float(values[first])
                for name, values in biases.items()
                if name != axis[first] and not np.isnan(values[first])
            },
            stronger=str(stronger[first]),
            hyperparameters=tuple(dict.fromkeys(str(t) for t in texts[members] if isinstance(t, str))),
        )

"""Confirm rows gathered into points of a curve: one number per seed, folds pooled, patients known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.changes import added_by_sweep
from analysis.many_sweeps import told_apart
from analysis.points.bias_groups import FLIPS, WORST_GROUP, laid_together
from analysis.points.calibration import with_calibration
from analysis.points.groups import Group, cut
from analysis.points.scores import PredictionStore, Scores, measured
from analysis.statistics.variance import Sample
from store.columns import BIAS, bias_parameters
from store.errors import InputError
from store.rules import RULES

CEILING, ERM = "ceiling", "erm"


@dataclass(frozen=True)
class Line:
    """The names that tell one line of the figure from another."""

    sweep: str
    dataset: str
    network: str
    rule: str
    method: str
    label: str
    bias_axis: str
    facet: str

    def like(self, method: str) -> tuple[str, ...]:
        """Build the key of the lines this one may be compared with, for a method or label."""
        return (self.sweep, self.dataset, self.network, self.rule, self.bias_axis, self.facet, method)


_LINE = tuple(field.name for field in dataclasses.fields(Line))
WORST_COLUMN = "test_worst_group_accuracy"
_OF_SEVERAL = {WORST_GROUP: WORST_COLUMN, FLIPS: "flip_rate"}
"""Columns counted from several test variants together, each with the column that names these."""
_Values = tuple[NDArray[np.float64], Scores | None, tuple[int, ...]]


@dataclass(frozen=True)
class Point:
    """One point of a curve.

    Attributes:
        line: The line it lies on.
        bias_value: Its place on the axis.
        bias_strength: I(b; y) / H(y).
        seeds: The K seeds that finished; where search and confirm were repeated, the K repetitions; where several
            seeds share a train / validation split, the K splits, each the mean over its seeds.
        values: ``[K]``, the metric of each.
        scores: Predictions of the same seeds, or None where they are missing.
        n_planned: Confirm seeds the sweep asks for.
        n_failed: Seeds whose trial failed.
        n_collapsed: Seeds whose training collapsed, those within splits and repetitions counted one by one; they are
            among the values.
        n_test: Test images.
        hyperparameters: JSON text of each configuration (one, or one a fold).
        bias: Bias parameters off the axis, by name, also those that are the same in the whole sweep, which no facet
            names.
        stronger: Direction of the axis in which the bias is stronger.
        shared: True where one cell serves the whole axis (a ceiling that does not depend on the bias).
        inside: The values of the seeds in each split, in the order of ``seeds``; none where a seed has its own split.
        n_short: Seeds missing of the splits or repetitions that have others.
        n_added: Seeds among those planned that were added after test results existed.
        unit: What the K values are of: ``seeds``, ``splits`` (the seeds nested in them), or ``repetitions`` of the
            whole procedure, search included.
        not_applicable: Why the method cannot work here, in which case there are no seeds; "" where it can.
    """

    line: Line
    bias_value: float
    bias_strength: float
    seeds: tuple[int, ...]
    values: NDArray[np.float64]
    scores: Scores | None
    n_planned: int
    n_failed: int
    n_collapsed: int
    n_test: int
    hyperparameters: tuple[str, ...]
    bias: Mapping[str, float] = field(default_factory=dict)
    stronger: str = "larger"
    shared: bool = False
    unit: str = "seeds"
    inside: tuple[tuple[float, ...], ...] = ()
    n_short: int = 0
    n_added: int = 0
    not_applicable: str = ""

    def of_seeds(self, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Values of the given seeds, in their order: ``[K]``."""
        return self.values[[self.seeds.index(seed) for seed in seeds]]

    def sample(self, seeds: Sequence[int], bearing: bool = False) -> Sample:
        """The given seeds, with their patients where every one of them can be left out (``Scores.sample``)."""
        values = self.of_seeds(seeds)
        if self.scores is None:
            return Sample(values)
        with_patients = self.scores.sample([self.seeds.index(seed) for seed in seeds], bearing)
        if with_patients.left_out is None or not bool(np.isfinite(with_patients.left_out).all()):
            return Sample(values)
        return replace(with_patients, values=values)


def default_column(trials: pd.DataFrame) -> str:
    """Name the test column in the sweep's metric.

    Args:
        trials: What ``analysis.load`` returned.

    Returns:
        The column; ``test_accuracy`` where no metric is recorded.

    Raises:
        InputError: The trials are of sweeps with different metrics.

    Example:
        >>> default_column(pd.DataFrame({"metric": ["balanced_accuracy", None]}))
        'test_balanced_accuracy'
    """
    metrics = sorted(trials["metric"].dropna().unique())
    if len(metrics) > 1:
        raise InputError(f"one curve has one metric, but these sweeps have {', '.join(metrics)}: name a column")
    column = f"test_{metrics[0]}" if metrics else "test_accuracy"
    return WORST_COLUMN if column == "test_worst_group" else column


def collect(trials: pd.DataFrame, predictions: pd.DataFrame | None = None, column: str | None = None) -> list[Point]:
    """Gather confirm rows into points, weakest bias first within each line.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned, or None.
        column: Test column; default: the sweep's metric.

    Returns:
        The points; one of a rule only where that rule chose the configuration.

    Raises:
        InputError: No such column, or a frame that ``load`` did not return.
    """
    column = column or default_column(trials)
    return collect_columns(trials, predictions, [column])[column]


def collect_columns(
    trials: pd.DataFrame, predictions: pd.DataFrame | None, columns: Sequence[str]
) -> dict[str, list[Point]]:
    """Gather the points of several test columns at once.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned, or None.
        columns: The test columns.

    Returns:
        Points by column.

    Raises:
        InputError: No such column, or a frame that ``load`` did not return.
    """
    for needed in ("rules", "seeds_planned", "whole_axis", *columns):
        if needed not in trials:
            raise InputError(f"trials have no column '{needed}': pass what analysis.load returned and a test column")
    if predictions is not None:
        trials, predictions = told_apart(trials, predictions)
        trials = with_calibration(trials, predictions, columns)
    rows = trials[(trials["phase"] == "confirm") & ~trials["superseded"]]
    rows = rows.assign(facet=facets(trials).reindex(rows.index), rule=rows["rules"])
    # A configuration that several rules chose is a point of each of their curves.
    rows = rows.explode("rule").dropna(subset=["rule"])
    groups = list(cut(rows, [*_LINE, "bias_value"]))
    alone = set(trials.loc[trials["whole_axis"], "sweep"])
    added = added_by_sweep(trials)
    stores = _Stores(predictions, rows)
    by_column = {}
    for column in columns:
        metric, variant = measured(column)
        numbers = pd.to_numeric(rows[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        known: dict[tuple[object, ...], _Values] = {}
        points = [
            _point(group, numbers[group.rows], stores.of(str(group.key[0]), variant), metric, known) for group in groups
        ]
        points = [replace(p, n_added=min(added.get(p.line.sweep, 0), p.n_planned)) for p in points] if added else points
        by_column[column] = sorted(_share_ceilings(points, alone), key=_order)
    return by_column


class _Stores:
    """Predictions of each sweep and test variant, each read once and only where asked for.

    One store for all sweeps would take from each what another one lacks: patients, or the number of classes.
    """

    def __init__(self, predictions: pd.DataFrame | None, rows: pd.DataFrame) -> None:
        self._predictions = None if predictions is None or predictions.empty else predictions
        self._rows = rows
        self._of_sweep: dict[str, pd.Series] = {}
        self._stores: dict[tuple[str, str], PredictionStore | None] = {}

    def of(self, sweep: str, variant: str) -> PredictionStore | None:
        """Read the predictions of a sweep's trials on a test variant, once.

        Returns:
            The predictions; None without a variant, or where there are no predictions at all.
        """
        if self._predictions is None or not variant:
            return None
        if sweep not in self._of_sweep:
            trials = self._rows.loc[self._rows["sweep"] == sweep, "trial_id"].unique()
            self._of_sweep[sweep] = self._predictions["trial_id"].isin(trials)
        if (sweep, variant) not in self._stores:
            self._stores[sweep, variant] = self._made(sweep, variant, self._predictions)
        return self._stores[sweep, variant]

    def _made(self, sweep: str, variant: str, predictions: pd.DataFrame) -> PredictionStore | None:
        if variant in _OF_SEVERAL:
            stored = self._rows.set_index("trial_id")[_OF_SEVERAL[variant]]
            rows = laid_together(variant, predictions[self._of_sweep[sweep]], stored)
            return None if rows is None else PredictionStore(rows, variant)
        rows = predictions[self._of_sweep[sweep] & (predictions["variant"] == variant)]
        return PredictionStore(rows, variant)


def facets(trials: pd.DataFrame) -> pd.Series:
    """Describe the bias parameters off the axis that vary within a sweep, e.g. ``gamma = 1``.

    Args:
        trials: What ``analysis.load`` returned, N rows.

    Returns:
        A text for each row; "" where no parameter varies.

    Example:
        >>> same = {"sweep": ["s"] * 2, "method": ["erm"] * 2, "bias_axis": ["rho"] * 2}
        >>> facets(pd.DataFrame({**same, "bias_rho": [1.0, 1.0], "bias_gamma": [0.0, 1.0]})).tolist()
        ['gamma = 0', 'gamma = 1']
    """
    text = pd.Series("", index=trials.index, dtype=object)
    for _, group in trials.groupby("sweep", sort=False):
        for name in bias_parameters(group.columns):
            column = f"{BIAS}{name}"
            off_axis = group[(group["bias_axis"] != name) & (group["method"] != CEILING)]
            if off_axis[column].nunique() < 2:
                continue
            rows = group.index[(group["bias_axis"] != name) & group[column].notna()]
            words = group.loc[rows, column].map(lambda value, name=name: f"{name} = {value:g}")
            text.loc[rows] = (text.loc[rows] + ", " + words).str.removeprefix(", ")
    return text


def by_label(points: Iterable[Point]) -> dict[tuple[str, ...], dict[float, Point]]:
    """Sort points by comparable line and label (``Line.like(label)``), then by bias value.

    Args:
        points: The points.

    Returns:
        Points by bias value, by ``Line.like(label)``.

    Example:
        >>> line = Line("sweep", "digits", "small_cnn", "val_biased", "erm", "erm", "rho", "")
        >>> point = Point(line, 0.9, 0.5, (1, 2, 3), np.array([0.82, 0.84, 0.86]), None, 3, 0, 0, 200, ())
        >>> list(by_label([point])[line.like("erm")])
        [0.9]
    """
    curves: dict[tuple[str, ...], dict[float, Point]] = {}
    for point in points:
        curves.setdefault(point.line.like(point.line.label), {})[point.bias_value] = point
    return curves


def stronger_direction(points: Iterable[Point]) -> str:
    """Find the direction of the axis in which the bias is stronger, from the strengths themselves.

    Args:
        points: The points.

    Returns:
        ``larger`` or ``smaller``.

    Example:
        >>> stronger_direction([])  # without points, larger
        'larger'
    """
    points = list(points)
    pairs = {(p.bias_value, p.bias_strength) for p in points if math.isfinite(p.bias_value + p.bias_strength)}
    value, strength = np.array(sorted(pairs)).T if pairs else (np.zeros(0), np.zeros(0))
    if len(value) > 1 and np.ptp(strength) > 0:
        return "larger" if float(np.cov(value, strength)[0, 1]) > 0 else "smaller"
    return "smaller" if any(p.stronger == "smaller" for p in points) else "larger"


def _point(
    group: Group,
    numbers: NDArray[np.float64],
    store: PredictionStore | None,
    metric: str,
    known: dict[tuple[object, ...], _Values],
) -> Point:
    """Make one point of a group of confirm rows.

    Rules that chose the same configuration in a sweep share their values in ``known``.
    """
    same = (group.key[0], *group.trials)
    if same not in known:
        known[same] = _values(group, numbers, store, metric)
    values, scores, seeds = known[same]
    pooled = group.repeated or group.nested
    replicates = set((group.repeats if group.repeated else group.splits).tolist())
    collapsed = {s for s, c, done in zip(group.seeds, group.collapsed, group.completed, strict=True) if c and done}
    planned = group.units if pooled else group.planned
    planned = 0 if math.isnan(planned) else int(planned)
    return Point(
        line=Line(*("" if isinstance(part, float) or part is None else str(part) for part in group.key[:-1])),
        bias_value=float(str(group.key[-1])),
        bias_strength=group.strength,
        seeds=seeds,
        values=values,
        scores=scores,
        n_planned=max(planned, len(replicates) if pooled else len(set(group.seeds))),
        n_failed=len({s for s, failed in zip(group.seeds, group.failed, strict=True) if failed}),
        n_collapsed=len(collapsed if pooled else collapsed & set(seeds)),
        n_test=group.images() if scores is None or pooled else scores.n_images,
        hyperparameters=group.hyperparameters,
        bias=group.bias,
        stronger=group.stronger,
        unit="repetitions" if group.repeated else "splits" if group.nested else "seeds",
        inside=_inside(group, numbers),
        n_short=_short(group, numbers) if pooled else 0,
    )


def _values(group: Group, numbers: NDArray[np.float64], store: PredictionStore | None, metric: str) -> _Values:
    """Compute one value for each replicate.

    A seed counts once every cell (fold) of the point has its trial.
    """
    places = group.by_unit(np.isfinite(numbers))
    seeds = tuple(places)
    trials = [[group.trials[i] for i in of_unit] for of_unit in places.values()]
    scores = store.scores(trials, metric) if store and seeds else None
    # Of folds together, or of a group that other seeds name, the trials' own figures are not the parts.
    if scores is not None and (scores.named_by or any(len(of_unit) > 1 for of_unit in trials)):
        return scores.values, scores, seeds
    weights = np.where(np.isfinite(group.n_test), group.n_test, 1.0)
    # Folds differ in size: weighted so, their mean counts every test image alike.
    values = [float(np.average(numbers[of_unit], weights=weights[of_unit])) for of_unit in places.values()]
    return np.array(values, dtype=float), scores, seeds


def _short(group: Group, numbers: NDArray[np.float64]) -> int:
    """Seeds that are missing of the splits (or repetitions) that have others."""
    units = group.by_unit(np.isfinite(numbers))
    finished = sum(len({group.seeds[i] for i in places}) for places in units.values())
    if math.isnan(group.planned):
        return 0
    # The plan of a nested design counts the seeds of all splits together.
    each = group.planned / group.units if group.nested and group.units > 1 else group.planned
    return max(0, round(each * len(units)) - finished)


def _inside(group: Group, numbers: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    """Compute the value of each seed of each split, folds together.

    Returns:
        The values by split; none where the seeds are in no split.
    """
    if group.repeated or not group.nested:
        return ()
    weights = np.where(np.isfinite(group.n_test), group.n_test, 1.0)
    values = []
    for places in group.by_unit(np.isfinite(numbers)).values():
        seeds: dict[int, list[int]] = {}
        for i in places:
            seeds.setdefault(group.seeds[i], []).append(i)
        values.append(
            tuple(float(np.average(numbers[of_seed], weights=weights[of_seed])) for _, of_seed in sorted(seeds.items()))
        )
    return tuple(values)


def _share_ceilings(points: list[Point], alone: set[str]) -> list[Point]:
    """Repeat a ceiling that serves the whole axis (of the sweeps in ``alone``) at every bias value."""
    result = [p for p in points if p.line.method != CEILING or p.line.sweep not in alone]
    for point in (p for p in points if p.line.method == CEILING and p.line.sweep in alone):
        places = {
            (p.line.facet, p.bias_value): p
            for p in points
            if p.line.method != CEILING and p.line.like("")[:5] == point.line.like("")[:5]
        }
        result.extend(
            replace(
                point,
                line=replace(point.line, facet=facet),
                bias_value=value,
                bias_strength=other.bias_strength,
                bias=other.bias,
                shared=True,
            )
            for (facet, value), other in places.items()
        )
        if not places:
            result.append(point)
    return result


def _order(point: Point) -> tuple[object, ...]:
    rule = RULES.index(point.line.rule) if point.line.rule in RULES else len(RULES)
    return (point.line.sweep, rule, point.line.facet, point.line.label, point.bias_strength, point.bias_value)

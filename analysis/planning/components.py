"""Precision of a design: the components of a difference's variance, and the least difference it would find."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.points.pairing import LINE, common_seeds, counterpart, line_names, paired_samples
from analysis.points.points import CEILING, ERM, Point, by_label
from analysis.results import Results
from analysis.statistics.variance import Sample, Variance, satterthwaite, variance_of
from store.errors import InputError

SEEDS = (3, 5, 10, 20)
PATIENTS = (27, 54, 99, 198, 396)
_WORTH = 0.9


@dataclass(frozen=True)
class Components:
    """Components of the variance of one seed's difference on one patient.

    Attributes:
        seeds: Between seeds.
        patients: Between patients within classes; 0 where nothing is known of patients.
        interaction: What is left: a seed that suits one patient and not another; 0 where nothing is known of patients.
        n_seeds: K that it was estimated from.
        n_patients: P that it was estimated from; 0 where nothing is known of patients.
        classes: For each class its share of the patients and of the patients' variance.
    """

    seeds: float
    patients: float
    interaction: float
    n_seeds: int
    n_patients: int
    classes: tuple[tuple[float, float], ...]

    def variance(self, n_seeds: int, n_patients: int) -> Variance:
        """Compute the variance that K seeds and P patients would give, the classes' shares kept.

        Args:
            n_seeds: At least 2.
            n_patients: At least two a class; anything where nothing is known of patients.

        Returns:
            The variance, as ``variance_of`` would have it.

        Raises:
            InputError: Too few of either.
        """
        if n_seeds < 2:
            raise InputError(f"a design needs two or more seeds, but got {n_seeds}: an interval needs two")
        if not self.n_patients:
            seeds = self.seeds / n_seeds
            return Variance(seeds, n_seeds - 1.0 if seeds > 0 else math.inf, seeds, 0.0, 0.0, n_seeds, 0, ())
        if any(share * n_patients < 2 for share, _ in self.classes):
            raise InputError(
                f"a design needs two or more patients of each class, but got {n_patients} for {len(self.classes)} "
                "classes: ask for more"
            )
        both = self.interaction / (n_seeds * n_patients)
        seeds, patients = self.seeds / n_seeds + both, self.patients / n_patients + both
        total = self.seeds / n_seeds + self.patients / n_patients + both
        classes = tuple((share * n_patients, part * patients) for share, part in self.classes)
        return Variance(
            total,
            satterthwaite(total, seeds, both, n_seeds, classes),
            seeds,
            patients,
            both,
            n_seeds,
            n_patients,
            classes,
        )


def components_of(variance: Variance) -> Components:
    """Split a variance over K seeds and P patients into its components.

    V_s and V_p both hold V_sp, hence sigma_s^2 = (V_s - V_sp) K, sigma_p^2 = (V_p - V_sp) P and sigma_sp^2 = V_sp K P.

    A component that comes out below 0, as chance will have it, counts as 0: the interaction then is what the other of
    the two has, so that the design at hand keeps its variance.

    Args:
        variance: Of a difference, or of any other figure.

    Returns:
        The components.

    Raises:
        InputError: The variance of a single seed.

    Example:
        >>> variance = Variance(0.0012, 5.0, 0.0010, 0.0004, 0.0002, 5, 20, ((20.0, 0.0004),))
        >>> parts = components_of(variance)
        >>> round(parts.seeds, 4), round(parts.patients, 4), round(parts.interaction, 4)
        (0.004, 0.004, 0.02)
    """
    if not math.isfinite(variance.total):
        raise InputError("variance components need two or more seeds, but got one: confirm with more seeds")
    k, p = variance.n_seeds, variance.n_patients
    patients = sum(part for _, part in variance.classes)
    both = min(variance.interaction, variance.seeds, variance.patients)
    return Components(
        seeds=(variance.seeds - both) * k,
        patients=(variance.patients - both) * p,
        interaction=both * k * p,
        n_seeds=k,
        n_patients=p,
        classes=tuple((n / p, part / patients if patients > 0 else n / p) for n, part in variance.classes),
    )


def least_differences(
    components: Components, seeds: Iterable[int] = SEEDS, patients: Iterable[int] = PATIENTS, power: float = 0.8
) -> pd.DataFrame:
    """Compute the least true difference that designs of K seeds and P patients find with some probability.

    d_min = (t_{.975, nu} + t_{power, nu}) sqrt(V(K, P)).

    Args:
        components: Of the difference.
        seeds: The K.
        patients: The P; without patients one column, of the present test images.
        power: The probability, in (0, 1).

    Returns:
        A row for each K (``n_seeds``), a column for each P; missing where a class would have under two patients. No
        rows where nothing varies.

    Example:
        >>> parts = Components(0.004, 0.004, 0.02, 5, 20, ((1.0, 1.0),))
        >>> least_differences(parts, seeds=(3, 10), patients=(27, 99)).round(2).values.tolist()
        [[0.2, 0.19], [0.07, 0.07]]
    """
    columns: Sequence[int] = sorted(set(patients)) if components.n_patients else [0]

    def cell(k: int, p: int) -> float:
        try:
            return components.variance(k, p).least_difference(power)
        except InputError:
            return math.nan

    # Two methods that differ on no image say nothing about a design.
    known = components.seeds + components.patients + components.interaction > 0
    rows = sorted({k for k in seeds if k > 1} if known else ())
    cells = [[cell(k, p) for p in columns] for k in rows]
    index, names = pd.Index(rows, name="n_seeds", dtype="int64"), pd.Index(columns, name="n_patients")
    return pd.DataFrame(cells, index=index, columns=names, dtype=float)


def variance_components(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    column: str | None = None,
    rule: str | None = None,
    reference: str = ERM,
) -> pd.DataFrame:
    """Estimate the variance components of each method's paired difference to a reference.

    The rows also say what more of either would show.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned: without them nothing is known of patients.
        column: Test column; default: the sweep's metric.
        rule: Selection rule to keep; default: all.
        reference: Label (or method) the others are compared with.

    Returns:
        One row per line and bias value: ``reference``; ``unit``, what is repeated: ``seeds``, ``splits`` with seeds
        nested in them, or ``repetitions``; ``tested``, what is tested on: ``patients``, or ``images`` where there are
        none; ``sd_splits`` (of nested designs alone), ``sd_seeds``, ``sd_patients``,
        ``sd_interaction`` (of one seed on one patient, the patients' missing where nothing is known of them);
        ``n_seeds`` (of the unit), ``n_patients``; ``d_min`` of this design (missing where nothing varies),
        ``d_min_seeds`` with twice the unit, ``d_min_patients`` with twice the patients; ``buy``: the unit, ``patients``
        (or ``images``), ``either`` where both help alike or "" where neither helps by a tenth; ``caption``. No rows of
        lines with fewer than two seeds in common with the reference.

    Raises:
        InputError: A column that the trials do not have, or sweeps of different metrics.

    Example:
        >>> import analysis
        >>> table = analysis.variance_components(analysis.example(), rule="val_counterfactual")
        >>> lnl = table[(table["label"] == "lnl") & (table["bias_value"] == 1) & (table["facet"] == "gamma = 0")]
        >>> lnl[["n_seeds", "d_min", "d_min_seeds", "buy"]].round(3).values.tolist()
        [[5, 0.046, 0.027, 'seeds']]
    """
    return components_rows(Results(trials, predictions, column).of(rule), reference)[0]


def components_rows(
    points: list[Point], reference: str = ERM, pair: tuple[str, str] | None = None
) -> tuple[pd.DataFrame, list[Components]]:
    """Compute the rows of ``variance_components`` from points already gathered, and the components of each.

    Args:
        points: The points.
        reference: Label (or method) the others are compared with.
        pair: A declared comparison; it has rows of its own, the first ones, where it is not one with the reference.

    Returns:
        The rows, and the components of each.
    """
    curves, rows, parts = by_label(points), list[dict[str, Any]](), list[Components]()
    declared = [(p, pair[1]) for p in points if pair and pair[0] in (p.line.label, p.line.method)]
    compared = [(p, reference) for p in points if p.line.method != CEILING]
    for point, name in [*declared, *compared] if pair and reference not in pair else compared:
        other = counterpart(curves, point, name)
        if other is None or other is point or (name != reference and counterpart(curves, point, reference) is other):
            continue
        seeds = common_seeds(point, other)
        if len(seeds) > 1:
            variance = variance_of(_difference(point, other, seeds))
            parts.append(components_of(variance))
            tested = point.scores.unit if point.scores else "patients"
            row = design_row(parts[-1], variance.n_seeds, variance.n_patients, point.unit, tested)
            if point.unit == "splits":
                row.update(_nested(parts[-1], point, other, seeds))
            position = {
                "bias_value": point.bias_value,
                "bias_strength": point.bias_strength,
                "reference": other.line.label,
            }
            rows.append({**line_names(point), **position, **row})
    return pd.DataFrame(rows, columns=[*LINE, "bias_value", "bias_strength", "reference", *DESIGN]), parts


def components_at(first: Point, second: Point) -> Components | None:
    """Estimate the components of the paired difference of two methods at one bias value.

    Args:
        first: A point.
        second: The point of the other method at the same place.

    Returns:
        The components; None under two common seeds.

    Example:
        >>> from analysis.points.points import Line
        >>> line = Line("sweep", "digits", "small_cnn", "val_biased", "erm", "erm", "rho", "")
        >>> runs = np.array([0.90, 0.92, 0.88]), np.array([0.85, 0.90, 0.86])
        >>> pair = [Point(line, 0.9, 0.5, (1, 2, 3), run, None, 3, 0, 0, 200, ()) for run in runs]
        >>> round(components_at(*pair).seeds, 5)  # nothing is known of patients: all of it is between seeds
        0.0003
    """
    seeds = common_seeds(first, second)
    return components_of(variance_of(_difference(first, second, seeds))) if len(seeds) > 1 else None


def _difference(first: Point, second: Point, seeds: Sequence[int]) -> Sample:
    sample, other = paired_samples([first, second], seeds)
    return sample.minus(other)


DESIGN = (
    "unit", "tested", "sd_splits", "sd_seeds", "sd_patients", "sd_interaction", "n_seeds", "n_patients", "d_min",
    "d_min_seeds", "d_min_patients", "buy", "caption",
)  # fmt: skip


def _nested(parts: Components, first: Point, second: Point, splits: Sequence[int]) -> dict[str, float]:
    """Shares of splits, and of seeds within them, in the variance between the splits' means."""
    inside = [
        np.asarray(first.inside[first.seeds.index(m)]) - np.asarray(second.inside[second.seeds.index(m)])
        for m in splits
        if len(first.inside[first.seeds.index(m)]) == len(second.inside[second.seeds.index(m)]) > 1
    ]
    if not inside:
        return {}
    within = float(np.mean([d.var(ddof=1) for d in inside]))
    per_split = float(np.mean([len(d) for d in inside]))
    # The variance of a split's mean holds that of its seeds, over their number.
    return {"sd_splits": math.sqrt(max(parts.seeds - within / per_split, 0.0)), "sd_seeds": math.sqrt(within)}


def design_row(
    parts: Components, n_seeds: int, n_patients: int, unit: str = "seeds", tested: str = "patients"
) -> dict[str, Any]:
    """Compute the ``DESIGN`` columns of ``variance_components`` for a design of K seeds (or splits) and P patients.

    Args:
        parts: Components of the difference.
        n_seeds: K, at least 2.
        n_patients: P.
        unit: Unit that is repeated.
        tested: Unit that is tested.

    Returns:
        The columns; ``d_min`` and its like are missing where nothing varies.

    Example:
        >>> row = design_row(Components(0.004, 0.004, 0.02, 5, 20, ((1.0, 1.0),)), n_seeds=5, n_patients=20)
        >>> round(row["d_min"], 3), round(row["d_min_seeds"], 3), row["buy"]
        (0.118, 0.079, 'seeds')
    """
    k, p, known = n_seeds, n_patients, parts.n_patients > 0
    now, seeds = parts.variance(k, p).least_difference(), parts.variance(2 * k, p).least_difference()
    patients = parts.variance(k, 2 * p).least_difference() if known else math.nan
    # Nothing varies: the two differ alike everywhere, which says nothing about a design.
    if now == 0:
        now = seeds = patients = math.nan
    row = {
        "unit": unit,
        "tested": tested,
        "sd_splits": math.sqrt(parts.seeds) if unit == "splits" else math.nan,
        "sd_seeds": math.nan if unit == "splits" else math.sqrt(parts.seeds),
        "sd_patients": math.sqrt(parts.patients) if known else math.nan,
        "sd_interaction": math.sqrt(parts.interaction) if known else math.nan,
        "n_seeds": k,
        "n_patients": p if known else 0,
        "d_min": now,
        "d_min_seeds": seeds,
        "d_min_patients": patients,
        "buy": _buy(now, seeds, patients).replace("seeds", unit).replace("patients", tested),
    }
    return {**row, "caption": planning_words(row)}


def _buy(now: float, seeds: float, patients: float) -> str:
    better = [name for name, value in (("seeds", seeds), ("patients", patients)) if value < _WORTH * now]
    if len(better) < 2:
        return better[0] if better else ""
    if min(seeds, patients) > _WORTH * max(seeds, patients):
        return "either"
    return "seeds" if seeds < patients else "patients"


def planning_words(row: dict[str, Any]) -> str:
    """Write a row of ``variance_components`` in words.

    Args:
        row: A row, without ``caption``.

    Returns:
        The sentences.

    Example:
        >>> design = {"unit": "seeds", "tested": "patients", "n_seeds": 5, "n_patients": 0, "buy": "seeds"}
        >>> planning_words({**design, "d_min": 0.05, "d_min_seeds": 0.03})
        'With 5 seeds a difference of 0.050 is found in 8 cases of 10; twice the seeds would find 0.030. Buy seeds.'
    """
    if math.isnan(row["d_min"]):
        return "The two differ alike in every seed and test image: nothing is known of what a design could show."
    unit, tested = row["unit"], row["tested"]
    design = f"{row['n_seeds']} {unit}" + (f" and {row['n_patients']} {tested}" if row["n_patients"] else "")
    words = f"With {design} a difference of {row['d_min']:.3f} is found in 8 cases of 10; twice the {unit} would find "
    words += f"{row['d_min_seeds']:.3f}"
    if row["n_patients"]:
        words += f", twice the test {tested} {row['d_min_patients']:.3f}"
    advice = {
        unit: f"Buy {unit}.",
        tested: f"Buy test {tested}.",
        "either": "Either helps as much as the other.",
        "": "Neither helps by a tenth.",
    }[row["buy"]]
    return f"{words}. {advice}"

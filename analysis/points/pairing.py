"""Points of different methods brought onto the same bias values, seeds and patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.points.points import Point
from analysis.statistics.variance import Sample, share_one_test_set

Curve = Mapping[float, Point]
BASIS = ("n_seeds", "n_planned", "n_added", "n_patients", "n_test", "band")
LINE = ("sweep", "dataset", "network", "rule", "label", "method", "bias_axis", "facet")


def counterpart(curves: Mapping[tuple[str, ...], Curve], point: Point, method: str) -> Point | None:
    """Find the point of another method at the same place.

    A method run under several labels has no single counterpart, unless one label is the method's own name.

    Args:
        curves: Curves by ``Line.like(label)``.
        point: The point.
        method: The other method, or its label.

    Returns:
        The point; None where it is not there.
    """
    named = curves.get(point.line.like(method), {}).get(point.bias_value)
    if named is not None:
        return named
    of_method = [
        curve[point.bias_value]
        for key, curve in curves.items()
        if key[:-1] == point.line.like("")[:-1]
        and point.bias_value in curve
        and curve[point.bias_value].line.method == method
    ]
    return of_method[0] if len(of_method) == 1 else None


def counterpart_curve(
    curves: Mapping[tuple[str, ...], Curve], key: tuple[str, ...], name: str
) -> tuple[Curve | None, str]:
    """Find the comparable line of a label, or of the one label that a method was run under.

    Args:
        curves: Curves by ``Line.like(label)``.
        key: Key of the line to compare.
        name: The label or method.

    Returns:
        The curve, or None and the reason in words.

    Example:
        >>> counterpart_curve({}, ("sweep", "digits", "cnn", "val_biased", "rho", "", "lnl"), "erm")
        (None, 'there is no erm to compare with')
    """
    named = curves.get((*key[:-1], name))
    if named is not None:
        return named, ""
    of_method = {
        other[-1]: curve
        for other, curve in curves.items()
        if other[:-1] == key[:-1] and any(point.line.method == name for point in curve.values())
    }
    if len(of_method) == 1:
        return next(iter(of_method.values())), ""
    if of_method:
        return None, f"{' and '.join(sorted(of_method))} are both {name}: name one as the reference"
    return None, f"there is no {name} to compare with"


def grid_of(curves: Mapping[tuple[str, ...], Curve], key: tuple[str, ...]) -> list[float]:
    """List the bias values of all methods on comparable lines, sorted.

    One method's missing cell is seen as missing, since another method has it.

    Args:
        curves: Curves by ``Line.like(label)``.
        key: Key of the line.

    Returns:
        The bias values.

    Example:
        >>> line = ("sweep", "digits", "cnn", "val_biased", "rho", "")
        >>> grid_of({(*line, "erm"): {0.5: None, 1.0: None}, (*line, "lnl"): {0.9: None}}, (*line, "lnl"))
        [0.5, 0.9, 1.0]
    """
    return sorted({value for other, curve in curves.items() if other[:-1] == key[:-1] for value in curve})


def applicable(grid: Iterable[float], *curves: Curve) -> list[float]:
    """Bias values of a grid at which all methods of some curves are applicable.

    Args:
        grid: Bias values.
        *curves: Points by bias value.

    Example:
        >>> applicable([0.5, 1.0], {})
        [0.5, 1.0]
    """
    return [value for value in grid if not any(value in c and c[value].not_applicable for c in curves)]


def left_out(grid: Iterable[float], *curves: Curve) -> str:
    """Write the bias values at which a method of some curves is not applicable: "1", "0 and 1", or "".

    Args:
        grid: Bias values.
        *curves: Points by bias value.

    Example:
        >>> left_out([0.5, 1.0], {})
        ''
    """
    grid = list(grid)
    within = applicable(grid, *curves)
    return " and ".join(f"{value:g}" for value in grid if value not in within)


def least_points(facet: str) -> int:
    """Minimum number of bias values of a line that has an area.

    A facet of fewer than three points is drawn as marks only, so it has no area either.

    Args:
        facet: The line's facet; "" where it has none.

    Returns:
        The number.

    Example:
        >>> least_points(""), least_points("gamma = 1")
        (2, 3)
    """
    return 3 if facet else 2


def common_seeds(*points: Point) -> list[int]:
    """List the seeds that all points have, sorted.

    Args:
        *points: One or more points.

    Returns:
        The seeds.

    Example:
        >>> import numpy as np
        >>> from analysis.points.points import Line
        >>> line = Line("sweep", "digits", "small_cnn", "val_biased", "erm", "erm", "rho", "")
        >>> points = [Point(line, 0.9, 0.5, s, np.array([0.8, 0.9]), None, 2, 0, 0, 200, ()) for s in ((1, 2), (2, 3))]
        >>> common_seeds(*points)
        [2]
    """
    return sorted(set.intersection(*(set(point.seeds) for point in points)))


def paired_samples(points: Sequence[Point], seeds: Sequence[int]) -> list[Sample]:
    """Make samples of the points over the same seeds.

    They know their patients only where all points share theirs.

    Args:
        points: The points.
        seeds: Seeds that all of them have.

    Returns:
        A sample for each point.
    """
    samples = [point.sample(seeds) for point in points]
    same = all(p.scores is not None for p in points) and len({p.scores.patients for p in points if p.scores}) == 1
    if same and share_one_test_set(samples):
        return samples
    return [Sample(sample.values) for sample in samples]


def band_name(point: Point, sample: Sample) -> str:
    """Name what an interval covers: ``seeds and patients``, ``seeds and images`` or ``seeds only``.

    In place of seeds there may be splits or repetitions; a single value has ``none``.

    Args:
        point: The point.
        sample: Its seeds, with or without patients.

    Returns:
        The name.

    Example:
        >>> import numpy as np
        >>> from analysis.points.points import Line
        >>> line = Line("sweep", "digits", "small_cnn", "val_biased", "erm", "erm", "rho", "")
        >>> point = Point(line, 0.9, 0.5, (1, 2), np.array([0.8, 0.9]), None, 2, 0, 0, 200, ())
        >>> band_name(point, point.sample([1, 2])), band_name(point, point.sample([1]))
        ('seeds only', 'none')
    """
    if len(sample.values) < 2:
        return "none"
    patients = point.scores.unit if sample.left_out is not None and point.scores else ""
    return f"{point.unit} and {patients}" if patients else f"{point.unit} only"


def basis_of(point: Point, sample: Sample | None) -> dict[str, Any]:
    """Collect the ``BASIS`` columns of a result: its seeds, patients, test images and band.

    Args:
        point: A point of the line.
        sample: What the result was computed from; None where there is no result.

    Returns:
        The columns' values; ``band`` is ``none`` for a single seed.
    """
    counted = sample is not None and sample.left_out is not None and len(sample.values) > 1
    return {
        "n_seeds": 0 if sample is None else len(sample.values),
        "n_planned": point.n_planned,
        "n_added": point.n_added,
        "n_patients": len(point.scores.patients) if counted and point.scores else 0,
        "n_test": point.n_test,
        "band": "none" if sample is None else band_name(point, sample),
    }


def line_names(point: Point) -> dict[str, str]:
    """Collect the columns that name a line.

    Args:
        point: A point of the line.

    Returns:
        The columns of ``LINE``.
    """
    return {name: getattr(point.line, name) for name in LINE}

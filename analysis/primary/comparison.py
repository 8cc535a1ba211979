"""The one comparison that a sweep declares: its points, the parts it lacks, and its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.loading import section
from analysis.numbers.captions import collapsed_words
from analysis.numbers.comparisons import AREA, Comparison, compare_at, compare_curves, no_comparison
from analysis.points.pairing import Curve, grid_of
from analysis.points.points import Point, by_label
from analysis.primary.grid import Grid, grid_of_pair
from analysis.primary.verdict import Verdict, verdict_of
from store.sheet.sheet import Sheet

STRONGEST = "strongest"
At = float | str


@dataclass(frozen=True)
class Primary:
    """A declared comparison.

    Attributes:
        at: ``strongest``, ``area`` or a bias value, as declared.
        margin: Difference that does not matter; None where none was declared.
        axis: The bias parameter on the x axis.
        comparison: The comparison, as far as it can be made.
        strongest: Beside areas, the comparison at the strongest bias; else None.
        missing: What is not finished of the cells and seeds that it takes, in words; empty where it is complete.
        collapsed: Runs of its points that collapsed, in words.
        verdict: What it shows.
    """

    at: At
    margin: float | None
    axis: str
    comparison: Comparison
    strongest: Comparison | None
    missing: tuple[str, ...]
    collapsed: tuple[str, ...]
    verdict: Verdict


def declared_comparison(
    config: Mapping[str, Any], status: Mapping[str, Any], points: Sequence[Point]
) -> Primary | None:
    """Make the comparison that a sweep declares, from its points.

    Args:
        config: Content of ``sweep.yaml``. An older version, which compared areas and knew no margin, did not say at
            which bias.
        status: Content of ``status.json``.
        points: The sweep's points.

    Returns:
        The comparison; None where none is declared.

    Example:
        >>> declared_comparison({}, {}, []) is None  # nothing is declared
        True
        >>> sheet = {"primary": {"compare": ["lnl", "erm"], "at": 0.9, "rule": "val_biased"}}
        >>> declared_comparison(sheet, {}, []).comparison.reason
        'lnl and erm have no finished confirm trial under this rule'
    """
    declared = section(config, "primary")
    compare = declared.get("compare")
    if not isinstance(compare, Sequence) or isinstance(compare, str) or len(compare) != 2:
        return None
    labels = (str(compare[0]), str(compare[1]))
    at, margin = declared.get("at", AREA), declared.get("margin")
    rule = str(declared.get("rule") or Sheet(config).rules[0])
    curves = PairOfCurves(points, labels, rule, grid_of_pair(config, labels))
    comparison = curves.compared(at)
    missing = tuple(curves.missing(at, status))
    width = float(margin) if isinstance(margin, (int, float)) else None
    # Before anything else: a test on the seeds so far would be one of several looks at the data.
    if missing:
        verdict = Verdict("interim")
    elif comparison.reason:
        verdict = Verdict("none")
    else:
        verdict = verdict_of(comparison.difference.mean, comparison.variance, width)
    return Primary(
        at=at,
        margin=width,
        axis=curves.axis,
        comparison=comparison,
        # In an area the strongest bias has little weight: its difference stands beside.
        strongest=curves.compared(STRONGEST) if at == AREA else None,
        missing=missing,
        collapsed=tuple(curves.collapsed(at)),
        verdict=verdict,
    )


class PairOfCurves:
    """The two curves of a comparison, and the places at which they can be compared."""

    def __init__(self, points: Iterable[Point], compare: tuple[str, str], rule: str, grid: Grid | None = None) -> None:
        self._compare, self._rule, self._grid = compare, rule, grid or Grid()
        self._curves = by_label(point for point in points if point.line.rule == rule)
        lines = {key: next(iter(curve.values())).line for key, curve in self._curves.items()}
        named = [
            {key[:-1]: key for key in sorted(lines, key=lambda k: k[-1] == n) if n in (key[-1], lines[key].method)}
            for n in compare
        ]
        self._absent = [name for name, matches in zip(compare, named, strict=True) if not matches]
        both = [position for position in named[0] if position in named[1]]
        # Without a word about it, the facet with most points.
        both.sort(key=lambda position: (position[-1] == self._grid.facet, len(self._curves[named[0][position]])))
        self._keys = (named[0][both[-1]], named[1][both[-1]]) if both else None
        self.axis = self._grid.axis or next((line.bias_axis for line in lines.values()), "")

    @property
    def _pair(self) -> tuple[Curve, Curve]:
        return ({}, {}) if self._keys is None else (self._curves[self._keys[0]], self._curves[self._keys[1]])

    def _values(self, at: At) -> list[float]:
        """List the bias values that the comparison takes, those of the sweep's cells where it lists them."""
        if isinstance(at, (int, float)):
            return [float(at)]
        strengths = self._strengths()
        if at == AREA:
            return sorted(strengths)
        return [max(strengths, key=lambda value: strengths[value])] if strengths else []

    def _strengths(self) -> dict[float, float]:
        cells = [cell for cell in self._grid.cells if not cell.shared]
        if cells:
            values = [{c.value for c in cells if c.label == label} for label in {c.label for c in cells}]
            return {c.value: c.strength for c in cells if c.value in set.intersection(*values)}
        first, second = self._pair
        return {value: point.bias_strength for value, point in first.items() if value in second or not second}

    def compared(self, at: At) -> Comparison:
        """Make the comparison at a place of the axis, or of the areas."""
        (first, second), text = self._pair, AREA
        values = self._values(at)
        if at != AREA:
            text = f"{values[0]:g}" if values else str(at)
        if self._keys is None:
            have = "has" if len(self._absent) == 1 else "have"
            absent = f"{' and '.join(self._absent)} {have} no finished confirm trial under this rule"
            reason = absent if self._absent else "they have no place in common"
            return no_comparison(*self._compare, self._rule, reason, text)
        reference = self._keys[1][-1]
        if at == AREA:
            return compare_curves(first, second, grid_of(self._curves, self._keys[0]), reference)
        for curve, label in ((first, self._keys[0][-1]), (second, reference)):
            if not values or values[0] not in curve or not curve[values[0]].seeds:
                reason = f"{label} has no finished seed at {self.axis} {text}"
                if values and values[0] in curve and (why := curve[values[0]].not_applicable):
                    reason = f"{label} is not applicable at {self.axis} {text}: {why}"
                return no_comparison(self._keys[0][-1], reference, self._rule, reason, text)
        return compare_at(first[values[0]], second[values[0]])

    def missing(self, at: At, status: Mapping[str, Any]) -> list[str]:
        """List the cells and seeds that the comparison takes and that are not finished, in words."""
        values = self._values(at)
        states: dict[tuple[str, float | None], str] = {}
        cells = [cell for cell in self._grid.cells if cell.shared or cell.value in values]
        unfinished = {
            str(cell.get("cell"))
            for cell in status.get("cells") or ()
            if isinstance(cell, Mapping) and _number(cell.get("finished")) < _number(cell.get("planned"))
        }
        for cell in cells:
            if cell.id in unfinished:
                states[cell.label, None if cell.shared else cell.value] = "not finished"
        for label, curve in zip(self._compare, self._pair, strict=True):
            known = {cell.value for cell in cells if cell.label == label}
            for value in values:
                point = curve.get(value)
                if point is None or not point.seeds:
                    # Where the sheet lists no cells, who has no points is said by the comparison itself.
                    if point is not None or value in known:
                        states[label, value] = "no finished seed"
                elif len(point.seeds) < point.n_planned:
                    where = None if point.shared else value
                    states[label, where] = f"{len(point.seeds)} of {point.n_planned} {point.unit}"
                elif point.n_short:
                    where = None if point.shared else value
                    states[label, where] = (
                        f"{point.n_short} seed{'s' if point.n_short > 1 else ''} of its {point.unit} missing"
                    )
            for cell in cells:
                if cell.shared and cell.label == label and not curve:
                    states[label, None] = "no finished seed"
        return [
            f"{label}{'' if value is None else f' at {self.axis} = {value:g}'}: {state}"
            for (label, value), state in states.items()
        ]

    def collapsed(self, at: At) -> list[str]:
        """List the runs of the compared points that collapsed, in words."""
        points = [(value, curve[value]) for curve in self._pair for value in self._values(at) if value in curve]
        sentences = [
            f"{collapsed_words(point.n_collapsed, len(point.seeds), point.unit)} of {point.line.label}"
            f"{'' if point.shared else f' at {self.axis} = {value:g}'}"
            for value, point in points
            if point.n_collapsed
        ]
        return list(dict.fromkeys(sentences))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan

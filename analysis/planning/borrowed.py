"""Precision of a sweep that has not been run, by the variance components of the stored example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.examples import example, example_folder
from analysis.loading import load_predictions, section
from analysis.not_applicable import NOT_APPLICABLE
from analysis.numbers.tables import headline_rule
from analysis.planning.components import DESIGN, Components, components_at, design_row
from analysis.points.pairing import common_seeds, counterpart
from analysis.points.points import CEILING, ERM, Point, by_label
from analysis.results import Results

COLUMNS = ("label", "facet", "bias_axis", "bias_value", "bias_strength", "reference", "borrowed", *DESIGN)


def borrowed_components(
    sheet: Mapping[str, Any], reference: str = ERM, pair: tuple[str, str] | None = None
) -> tuple[pd.DataFrame, list[Components]]:
    """Estimate the design of a sweep file, with components of the closest place of the example.

    Closest: the same method (else LNL, the one it is about), then the nearest bias strength. Differences are to the
    reference in the example, also where the sweep compares with another method.

    Args:
        sheet: A sweep's configuration with its ``cells`` and ``dataset_info``, as ``sweep.yaml`` holds them.
        reference: The method that differences are to.
        pair: The declared comparison; its first method has rows of its own, the first ones, where the second is not the
            reference.

    Returns:
        One row per cell of a method other than ``erm`` and ``ceiling`` that it can work in (of several folds one), as
        ``variance_components`` has them; ``borrowed`` says which place of the example the components are of. And the
        components of each row.
    """
    trials, predictions = example(), load_predictions(example_folder())
    known = _differences(Results(trials, predictions).of(headline_rule(trials)), reference)
    tested, n_tested = _tested(sheet)
    cells = [c for c in sheet.get("cells") or () if c["method"] != CEILING and not c.get(NOT_APPLICABLE)]
    plain = {cell["label"] for cell in cells if cell["method"] in (reference, ERM)}
    declared = [] if pair is None or plain & set(pair) else [(c, pair[1]) for c in cells if c["label"] == pair[0]]
    compared = [(cell, reference) for cell in cells if plain and cell["label"] not in plain]
    rows: list[dict[str, Any]] = []
    parts: list[Components] = []
    for cell, name in [*declared, *compared]:
        point, components = _closest(known, str(cell["method"]), float(cell["bias_strength"]))
        origin = f"{point.line.label} at {point.line.bias_axis} = {point.bias_value:g}"
        origin += f", {point.line.facet}" if point.line.facet else ""
        row = {key: cell[key] for key in ("label", "bias_axis", "bias_value", "bias_strength")}
        row |= {"facet": _facet(cell, cells), "reference": name, "borrowed": origin}
        if row not in rows:
            rows.append(row)
            parts.append(components)
    unit, n_units = _units(sheet)
    # A design of one seed has no interval: it is shown as one of two.
    designs = [
        design_row(components, max(n_units, 2), n_tested or components.n_patients, unit, tested) for components in parts
    ]
    return pd.DataFrame([{**r, **d} for r, d in zip(rows, designs, strict=True)], columns=list(COLUMNS)), parts


def _facet(cell: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> str:
    """Bias parameters off the axis that vary in the sweep, in words as ``points.facets`` has them."""
    bias = section(cell, "bias")
    off = [name for name in bias if name != cell["bias_axis"]]
    vary = [name for name in off if len({section(c, "bias").get(name) for c in cells}) > 1]
    return ", ".join(f"{name} = {bias[name]:g}" for name in vary)


def _units(sheet: Mapping[str, Any]) -> tuple[str, int]:
    """Unit that the sweep repeats, and how often: repetitions, splits, else seeds."""
    search, confirm = section(sheet, "search"), section(sheet, "confirm")
    for unit, number in (("repetitions", search.get("repeats")), ("splits", confirm.get("splits"))):
        if isinstance(number, int) and number > 1:
            return unit, number
    return "seeds", int(confirm.get("seeds") or 0)


def _differences(points: list[Point], reference: str) -> list[tuple[Point, Components]]:
    curves, pairs = by_label(points), []
    for point in points:
        other = counterpart(curves, point, reference)
        if other is None or other is point or point.line.method == CEILING or len(common_seeds(point, other)) < 2:
            continue
        parts = components_at(point, other)
        if parts is not None:
            pairs.append((point, parts))
    return pairs


def _closest(known: list[tuple[Point, Components]], method: str, strength: float) -> tuple[Point, Components]:
    same = [entry for entry in known if entry[0].line.method == method]
    same = same or [entry for entry in known if entry[0].line.method == "lnl"] or known
    return min(same, key=lambda entry: abs(entry[0].bias_strength - strength))


def _tested(sheet: Mapping[str, Any]) -> tuple[str, int]:
    """Find the unit that is tested, ``patients`` or else ``images``, and the number of them.

    Returns:
        Both, folds added up; the number is 0 where it is not known.
    """
    info = section(sheet, "dataset_info")
    folds = section(info, "sizes_by_fold")
    sizes = [section(folds, fold) for fold in folds] or [section(info, "sizes")]
    counts = [entry for of_fold in sizes for entry in section(of_fold, "test").values()]
    number = sum(int(entry.get("patients", entry.get("images", 0))) for entry in counts)
    return "patients" if all("patients" in entry for entry in counts) else "images", number

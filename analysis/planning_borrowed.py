"""What a sweep that has not been run could show, by the variance components of the stored example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.examples import example, example_folder
from analysis.load import load_predictions, section
from analysis.pairing import common_seeds, counterpart, finished_points
from analysis.planning import DESIGN, Components, components_at, design_row
from analysis.replicates import CEILING, ERM, Point, by_label
from analysis.tables import headline_rule

COLUMNS = ("label", "bias_axis", "bias_value", "bias_strength", "borrowed", *DESIGN)


def borrowed_components(sheet: Mapping[str, Any], reference: str = ERM) -> tuple[pd.DataFrame, list[Components]]:
    """The design of a sweep file, with components of the closest place of the example.

    Closest: the same method (else LNL, the one it is about), then the nearest bias strength.

    Args:
        sheet: A sweep's configuration with its ``cells`` and ``dataset_info``, as ``sweep.yaml`` holds them.
        reference: The method that differences are to.

    Returns:
        One row per cell of a method other than ``erm`` and ``ceiling``, as ``variance_components`` has them;
        ``borrowed`` says which place of the example the components are of. And the components of each row.
    """
    trials, predictions = example(), load_predictions(example_folder())
    known = _differences(finished_points(trials, predictions, None, headline_rule(trials)), reference)
    seeds = int(section(sheet, "confirm").get("seeds") or 0)
    rows: list[dict[str, Any]] = []
    parts: list[Components] = []
    for cell in sheet.get("cells") or ():
        if cell["method"] in (reference, ERM, CEILING):
            continue
        point, own = _closest(known, str(cell["method"]), float(cell["bias_strength"]))
        place = f"{point.line.label} at {point.line.bias_axis} = {point.bias_value:g}"
        design = design_row(own, max(seeds, 2), _test_patients(sheet) or own.n_patients)
        known_of_cell = {name: cell[name] for name in ("label", "bias_axis", "bias_value", "bias_strength")}
        rows.append({**known_of_cell, "borrowed": place, **design})
        parts.append(own)
    return pd.DataFrame(rows, columns=list(COLUMNS)), parts


def _differences(points: list[Point], reference: str) -> list[tuple[Point, Components]]:
    curves, found = by_label(points), []
    for point in points:
        other = counterpart(curves, point, reference)
        if other is None or other is point or point.line.method == CEILING or len(common_seeds(point, other)) < 2:
            continue
        parts = components_at(point, other)
        if parts is not None:
            found.append((point, parts))
    return found


def _closest(known: list[tuple[Point, Components]], method: str, strength: float) -> tuple[Point, Components]:
    same = [entry for entry in known if entry[0].line.method == method]
    same = same or [entry for entry in known if entry[0].line.method == "lnl"] or known
    return min(same, key=lambda entry: abs(entry[0].bias_strength - strength))


def _test_patients(sheet: Mapping[str, Any]) -> int:
    """Patients (images, where there are none) that the sweep tests, all folds; 0 where the sheet does not say."""
    info = section(sheet, "dataset_info")
    folds = section(info, "sizes_by_fold")
    sizes = [section(folds, fold) for fold in folds] or [section(info, "sizes")]
    counts = [entry for own in sizes for entry in section(own, "test").values()]
    return sum(int(entry.get("patients", entry.get("images", 0))) for entry in counts)

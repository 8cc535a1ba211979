"""Places at which a method is not applicable, carried beside the rows of a frame, and their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from store.sheet.sheet import SheetCell

NOT_APPLICABLE = "not_applicable"
"""Key of ``DataFrame.attrs``: name of a sweep -> its cells in which the method is not applicable.

Plain numbers and texts, since pandas copies ``attrs`` and writes them as JSON.
"""


def with_absent(frame: pd.DataFrame, of_sweeps: Mapping[str, Sequence[SheetCell]]) -> pd.DataFrame:
    """Note beside a frame's rows where methods are not applicable.

    Args:
        frame: Rows with ``sweep``.
        of_sweeps: Such cells by sweep.

    Returns:
        The same frame.

    Example:
        >>> with_absent(pd.DataFrame({"sweep": ["s"]}), {"s": []}).attrs
        {}
    """
    entries = {sweep: [_entry(cell) for cell in cells] for sweep, cells in of_sweeps.items() if cells}
    if entries:
        frame.attrs[NOT_APPLICABLE] = entries
    return frame


def _entry(cell: SheetCell) -> dict[str, Any]:
    off_axis = {str(name): value for name, value in cell.bias.items() if name != cell.bias_axis}
    place = {"value": cell.bias_value, "strength": cell.bias_strength, "bias": off_axis}
    return {"label": cell.label, **place, "reason": cell.not_applicable}


def absent_words(rows: pd.DataFrame, reasons: bool = False) -> str:
    """Write where methods are not applicable in words.

    Args:
        rows: Rows of ``accuracy_vs_bias``.
        reasons: True = with the reason of each method's first place.

    Returns:
        The words; "" where every method is applicable everywhere.

    Example:
        >>> row = {"label": "jtt", "facet": "", "bias_axis": "rho", "bias_value": 1.0, "not_applicable": "none such"}
        >>> absent_words(pd.DataFrame([row])), absent_words(pd.DataFrame([row]), reasons=True)
        ('not applicable: jtt at rho = 1', 'not applicable: jtt at rho = 1 (none such)')
    """
    if NOT_APPLICABLE not in rows:
        return ""
    there: dict[str, dict[str, str]] = {}
    for row in rows[rows[NOT_APPLICABLE].notna()].sort_values("bias_value").to_dict("records"):
        facet = f" ({row['facet']})" if row["facet"] else ""
        name = f"{row['label']}{facet} at {row['bias_axis']}"
        there.setdefault(name, {}).setdefault(f"{row['bias_value']:g}", str(row[NOT_APPLICABLE]))
    words = [
        f"{name} = {' and '.join(at)}{f' ({next(iter(at.values()))})' if reasons else ''}" for name, at in there.items()
    ]
    return f"not applicable: {'; '.join(words)}" if words else ""

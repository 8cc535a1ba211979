"""Numbers of the sweep file: ``true``, ``on`` and ``yes``, which are 1 to Python, are none."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, but got {str(value).lower()} (also written {'on' if value else 'off'})")
    return value


Real = Annotated[float, BeforeValidator(_no_truth_value)]
Whole = Annotated[int, BeforeValidator(_no_truth_value)]

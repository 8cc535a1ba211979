"""Numbers of the sweep file: finite; ``true``, ``on`` and ``yes``, which are 1 to Python, are none."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, but got {str(value).lower()} (also written {'on' if value else 'off'})")
    return value


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"must be a finite number, but got {value}")
    return value + 0.0


Bound = Annotated[float, BeforeValidator(_no_truth_value)]
"""An end of a range: refused with the hyperparameter's name where it is not finite."""
Real = Annotated[Bound, AfterValidator(_finite)]
Whole = Annotated[int, BeforeValidator(_no_truth_value)]

"""Types of the sweep file's numbers, which are finite.

YAML's ``true``, ``on`` and ``yes``, which Python takes for 1, are refused.
"""

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
"""End of a range, which is checked to be finite later, where the hyperparameter's name is known."""
Real = Annotated[Bound, AfterValidator(_finite)]
Whole = Annotated[int, BeforeValidator(_no_truth_value)]

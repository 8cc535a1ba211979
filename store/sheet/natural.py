"""The bias of a data set as it is: where on its own axis the images lie that the user has, nothing drawn or painted.

Both sides need the same: the driver writes it into ``dataset_info.natural`` of ``sweep.yaml``, readers mark it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Ends = tuple[float, float]
UNITS = ("patients", "images")


@dataclass(frozen=True)
class NaturalBias:
    """Bias of the data as they are.

    Attributes:
        bias: Value of each bias parameter, by name.
        interval: 95 % interval of each, by name; a parameter may have none.
        strength: I(b; y) / H(y), in [0, 1]; None where it is not known.
        strength_interval: 95 % interval of the strength; None where there is none.
        unit: What was redrawn for the intervals, ``patients`` or ``images``.
    """

    bias: Mapping[str, float]
    interval: Mapping[str, Ends] = field(default_factory=dict)
    strength: float | None = None
    strength_interval: Ends | None = None
    unit: str = "patients"

    def content(self) -> dict[str, Any]:
        """The same as ``sweep.yaml`` holds it.

        Example:
            >>> NaturalBias({"rho": 0.83}, {"rho": (0.79, 0.87)}, strength=0.34).content()["interval"]
            {'rho': [0.79, 0.87]}
        """
        # A number of NumPy's is none of YAML's.
        return {
            "bias": {name: float(value) for name, value in self.bias.items()},
            "interval": {name: [float(end) for end in ends] for name, ends in self.interval.items()},
            "strength": None if self.strength is None else float(self.strength),
            "strength_interval": None
            if self.strength_interval is None
            else [float(end) for end in self.strength_interval],
            "unit": self.unit,
        }


def natural_of(info: Mapping[str, Any]) -> NaturalBias | None:
    """Read the bias of the data as they are from ``dataset_info``.

    Reading is lenient, as of all of ``sweep.yaml``.

    Args:
        info: The section.

    Returns:
        The bias; None where the section has none, as in older sheets and of data sets whose bias is painted.

    Example:
        >>> natural_of({"natural": {"bias": {"rho": 0.83}, "interval": {"rho": [0.79, 0.87]}}}).interval
        {'rho': (0.79, 0.87)}
        >>> natural_of({}) is None
        True
    """
    entry = info.get("natural")
    if not isinstance(entry, Mapping):
        return None
    named = entry.get("bias")
    numbers = {str(k): _number(v) for k, v in named.items()} if isinstance(named, Mapping) else {}
    bias = {name: value for name, value in numbers.items() if value is not None}
    if not bias:
        return None
    listed = entry.get("interval")
    ends = {str(k): _ends(v) for k, v in listed.items()} if isinstance(listed, Mapping) else {}
    unit = entry.get("unit")
    return NaturalBias(
        bias,
        {name: pair for name, pair in ends.items() if pair is not None and name in bias},
        _number(entry.get("strength")),
        _ends(entry.get("strength_interval")),
        str(unit) if unit in UNITS else UNITS[0],
    )


def _ends(value: object) -> Ends | None:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return None
    low, high = _number(value[0]), _number(value[1])
    return None if low is None or high is None else (min(low, high), max(low, high))


def _number(value: object) -> float | None:
    # True is an int in Python, and no number in a sheet.
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    return number if math.isfinite(number) else None

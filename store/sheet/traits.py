"""Traits of methods that a reader of the rows needs.

They stand in ``sweep.yaml``, since a reader has no methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Traits:
    """A method of a sweep.

    Attributes:
        method: Its registered name.
        long_name: Its name in figures; "" where it is not known.
        reference: Paper and equation.
        ceiling: True where it trains on images without the bias, and bounds what can be reached.
        control: True where it trains on shuffled bias labels, and must fall like plain training.
        debiasing: True where it works on the bias with the bias labels themselves.
        pressures: Hyperparameters that weight its debiasing terms; at 0 in all of them it is plain training.
    """

    method: str
    long_name: str = ""
    reference: str = ""
    ceiling: bool = False
    control: bool = False
    debiasing: bool = False
    pressures: tuple[str, ...] = ()

    def content(self) -> dict[str, Any]:
        """The traits as ``sweep.yaml`` holds them."""
        named = {name: True for name in ("ceiling", "control", "debiasing") if getattr(self, name)}
        texts = {"method": self.method, "long_name": self.long_name, "reference": self.reference}
        return {**texts, **named, "pressures": list(self.pressures)}


_OF_VERSION_1 = {
    "ceiling": Traits("ceiling", ceiling=True),
    "lnl": Traits("lnl", debiasing=True, pressures=("lambda_", "mu")),
    "grl": Traits("grl", debiasing=True, pressures=("mu",)),
    "blind_eye": Traits("blind_eye", debiasing=True, pressures=("lambda_",)),
    "permuted_bias": Traits("permuted_bias", control=True, pressures=("lambda_", "mu")),
}
"""Methods of this package that differ from plain training, for sheets that do not say what they are."""


def traits_of(name: str, info: Mapping[str, Any]) -> Traits:
    """Traits of a method.

    Args:
        name: Its registered name, where ``info`` does not give it.
        info: Its entry in ``methods_info`` of ``sweep.yaml``; that of an older version says less, or nothing.

    Example:
        >>> traits_of("grl", {}).pressures
        ('mu',)
    """
    method = str(info.get("method") or name)
    known = _OF_VERSION_1.get(method, Traits(method))
    pressures = info.get("pressures")
    complete = isinstance(pressures, Sequence) and not isinstance(pressures, str)
    return Traits(
        method,
        long_name=str(info.get("long_name") or ""),
        reference=str(info.get("reference") or ""),
        ceiling=bool(info.get("ceiling")) if complete else known.ceiling,
        control=bool(info.get("control")) if complete else known.control,
        debiasing=bool(info.get("debiasing", False if complete else known.debiasing)),
        pressures=tuple(str(one) for one in pressures or ()) if complete else known.pressures,
    )

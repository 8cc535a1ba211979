"""Selection rules and test variants, their names, and what a rule maximises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Rule = Literal["val_counterfactual", "val_reweighted", "val_biased", "val_unbiased"]

RULES: tuple[Rule, ...] = ("val_counterfactual", "val_reweighted", "val_biased", "val_unbiased")
ORACLE: Rule = "val_unbiased"
"""The rule that needs unbiased validation data."""
VARIANTS: tuple[str, ...] = ("unbiased", "aligned", "independent", "conflicting")

_RULE_NAMES: Mapping[str, str] = {
    "val_counterfactual": "counterfactual validation",
    "val_reweighted": "re-weighted validation",
    "val_biased": "biased validation",
    ORACLE: "oracle",
}


def rule_name(rule: str) -> str:
    """Name of a selection rule in figures; the one that needs unbiased validation data is called oracle."""
    return _RULE_NAMES.get(rule, rule)


def objective(rule: Rule, values: Mapping[str, Any]) -> float:
    """What a selection rule maximises: its validation value; for ``val_reweighted`` the estimate minus 1 SE.

    Args:
        rule: The rule.
        values: A trial row or a history row.

    Returns:
        The objective, larger = better; NaN where the row has no value.
    """
    value = values.get(rule)
    if value is None:
        return float("nan")
    if rule == "val_reweighted":
        error = values.get("val_reweighted_se")
        return float(value) - (float(error) if error is not None else 0.0)
    return float(value)

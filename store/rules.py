"""Selection rules and test variants: their names, the objective of a rule, and its choice of the best trial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Rule = Literal["val_counterfactual", "val_reweighted", "val_biased", "val_unbiased"]

RULES: tuple[Rule, ...] = ("val_counterfactual", "val_reweighted", "val_biased", "val_unbiased")
ORACLE: Rule = "val_unbiased"
"""The rule that needs unbiased validation data."""
STANDARD_ERRORS: Mapping[str, str] = {"val_reweighted": "val_reweighted_se"}
"""Column with the standard error that a rule takes off its value."""
VARIANTS: tuple[str, ...] = ("unbiased", "aligned", "independent", "conflicting")

_RULE_NAMES: Mapping[str, str] = {
    "val_counterfactual": "counterfactual validation",
    "val_reweighted": "re-weighted validation",
    "val_biased": "biased validation",
    ORACLE: "oracle",
}


def rule_name(rule: str) -> str:
    """Name of a selection rule in figures.

    The rule that needs unbiased validation data is called oracle.

    Example:
        >>> rule_name("val_unbiased")
        'oracle'
    """
    return _RULE_NAMES.get(rule, rule)


def objective(rule: str, values: Mapping[str, Any]) -> float:
    """Value that a selection rule maximises.

    It is the rule's validation value, for ``val_reweighted`` the estimate minus 1 standard error: with few images in a
    rare group the highest estimate is mostly the luckiest.

    Args:
        rule: The rule.
        values: A trial row or a history row.

    Returns:
        The objective, larger = better; NaN where the row has no value.

    Example:
        >>> objective("val_reweighted", {"val_reweighted": 0.75, "val_reweighted_se": 0.25})
        0.5
    """
    value = values.get(rule)
    if value is None:
        return math.nan
    error = values.get(STANDARD_ERRORS.get(rule, ""))
    return float(value) - (0.0 if error is None or math.isnan(error) else float(error))


@dataclass(frozen=True)
class Ended:
    """A search trial that has ended: one of the search seeds of its candidate.

    Attributes:
        seed: Index of its search seed.
        completed: False where it was stopped early or failed.
        value: What the rule maximises; NaN where there is none.
    """

    seed: int
    completed: bool
    value: float


def values_of(trials: Iterable[Ended], seeds: int = 1) -> list[float]:
    """Values of a candidate's completed search seeds.

    A candidate counts once all its planned seeds have ended, if its first one completed. It has no values before that.

    Args:
        trials: Its trials that have ended.
        seeds: Search seeds planned for it.

    Example:
        >>> values_of([Ended(0, True, 0.5), Ended(1, True, 0.75)], seeds=2)
        [0.5, 0.75]
    """
    ended = list(trials)
    if len(ended) < seeds or not any(trial.seed == 0 and trial.completed for trial in ended):
        return []
    return [trial.value for trial in ended if trial.completed and math.isfinite(trial.value)]


def mean(values: Sequence[float]) -> float:
    """Mean over search seeds, or NaN of none.

    Example:
        >>> mean([0.5, 1.0])
        0.75
    """
    return sum(values) / len(values) if values else math.nan


def best(numbers: Sequence[int], values: Sequence[float]) -> int | None:
    """Position of the candidate that a rule chooses, the one with the highest value.

    Ties go to the lower number.

    Args:
        numbers: Number of each candidate.
        values: Its value; one that is not finite is not chosen.

    Returns:
        The position; None where no value is finite.

    Example:
        >>> best([0, 2, 1], [0.5, 0.9, 0.9])
        2
    """
    finite = [i for i, value in enumerate(values) if math.isfinite(value)]
    return min(finite, key=lambda i: (-values[i], numbers[i]), default=None)

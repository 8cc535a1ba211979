"""Declared comparison of a sweep: two methods, a bias value, and a margin of differences that do not matter."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.config.number_types import Real
from store.rules import Rule


def _checked_at(value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number and value not in ("strongest", "area"):
        raise ValueError(f"must be strongest, area or one of the sweep's bias values, but got {value!r}")
    return float(value) if number else value


class PrimaryConfig(BaseModel):
    """The one comparison that is tested.

    Everything else is descriptive.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    compare: tuple[str, str] = Field(description="Labels of two methods; the first minus the second.")
    rule: Rule | None = Field(None, description="Selection rule; default: the search's rule.")
    at: Annotated[
        float | str, BeforeValidator(_checked_at, json_schema_input_type=float | Literal["strongest", "area"])
    ] = Field(
        "strongest",
        description="Where they are compared: at the strongest bias that both have, at one of the bias values of the x "
        "axis, or over the whole axis (the areas under the curves).",
    )
    margin: Real | None = Field(
        0.05,
        gt=0,
        lt=1,
        description="Difference that does not matter: equivalent is a difference whose 90 % interval lies within it; "
        "null: nothing is called equivalent.",
    )

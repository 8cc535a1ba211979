"""Resources of one trial: processors, and a share of a GPU."""

from __future__ import annotations

import fractions
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.config.number_types import Whole


def _nearest_share(value: Any) -> str:
    try:
        share = float(fractions.Fraction(str(value).strip()))
    except (ValueError, ZeroDivisionError):
        return ""
    if not 0 < share < 1:
        return f": write {max(1, round(share))}" if share >= 1 else ""
    # The next smaller share would starve nobody; the nearest one is what was meant.
    return f": write 1/{max(2, round(1 / share))}"


def _checked_share(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not (whole or value == "auto" or re.fullmatch(r"1/[1-9][0-9]*", str(value))):
        raise ValueError(
            "must be auto, a whole number, or a fraction 1/k with a whole k, since k equal trials fill a GPU and "
            f"any other share leaves a part of it unused, but got {value!r}{_nearest_share(value)}"
        )
    return value


Share = Annotated[int | str, BeforeValidator(_checked_share)]


class ResourcesConfig(BaseModel):
    """Resources of one trial."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    cpu: Whole = Field(1, ge=1, description="CPU threads; part of a trial's identity, since sums depend on it.")
    gpu: Share = Field(
        "auto",
        description="GPUs of a trial: a whole number or a fraction 1/k; auto = 1/k with as many trials to a GPU as its "
        "memory and CPUs hold, measured for each method when the sweep starts, and 0 where there is no GPU.",
    )

    def gpu_share(self, gpus: float) -> float:
        """Share of a GPU that a trial gets on a cluster with ``gpus`` GPUs."""
        if self.gpu == "auto":
            return 1.0 if gpus >= 1 else 0.0
        return 1 / int(self.gpu[2:]) if isinstance(self.gpu, str) else float(self.gpu)


class MethodResources(BaseModel):
    """Resources of one method's trials, where they differ from the sweep's ``resources``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu: Whole | None = Field(None, ge=1, description="CPU threads.")
    gpu: Share | None = Field(
        None, description="As in the sweep's resources; 0 = the method's trials compute on the CPU, on any node."
    )

    def completed_by(self, sweep: ResourcesConfig) -> ResourcesConfig:
        """Fill the keys that were left out with the sweep's resources."""
        return ResourcesConfig(
            cpu=sweep.cpu if self.cpu is None else self.cpu, gpu=sweep.gpu if self.gpu is None else self.gpu
        )

"""Cost of a sweep, from its rows and an editable, dated table of prices."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.config.yaml_text import load_yaml
from store.errors import InputError

VARIABLE = "LNL_SWEEP_PRICES"
"""Environment variable with the path of a user's own table."""


@dataclass(frozen=True)
class Prices:
    """Table of prices.

    Attributes:
        date: Date of the prices.
        currency: Sign put before an amount.
        cpu_thread: Price of one CPU thread for an hour.
        gpus: Price of one whole GPU for an hour, by a part of its name. The first match counts.
        tflops: Peak of each of these GPUs in fp32, in 10^12 operations a second, where the table has it.

    Example:
        >>> prices = Prices("2026-01-31", "$", cpu_thread=0.05, gpus={"A10G": 1.0}, tflops={})
        >>> row = {"train_seconds": 3600.0, "gpu_share": 0.5, "device_name": "NVIDIA A10G"}
        >>> prices.of_trial(row), prices.words(0.5)
        (0.5, '$0.50 at list prices of 2026-01-31')
    """

    date: str
    currency: str
    cpu_thread: float
    gpus: Mapping[str, float]
    tflops: Mapping[str, float]

    def of_trial(self, row: Mapping[str, Any]) -> float | None:
        """Cost of a trial while it trained.

        The time to start it, the time it waited and its storage are not included.

        Args:
            row: Its row: ``train_seconds``, ``threads``, ``gpu_share``, ``device_name``.

        Returns:
            The amount; None where the table lacks its GPU.
        """
        hours, share = float(row.get("train_seconds") or 0.0) / 3600, float(row.get("gpu_share") or 0.0)
        if not share:
            return hours * int(row.get("threads") or 1) * self.cpu_thread
        name = str(row.get("device_name") or "")
        price = next((price for part, price in self.gpus.items() if part in name), None)
        return None if price is None else hours * share * price

    def words(self, amount: float) -> str:
        """Amount with its currency and the date of the prices."""
        return f"{self.currency}{amount:.2f} at list prices of {self.date}"


@functools.cache
def read_prices() -> Prices:
    """Table that the variable ``LNL_SWEEP_PRICES`` names, or else the one that is installed.

    Raises:
        InputError: The file cannot be read, or is no such table.

    Example:
        >>> read_prices().cpu_thread > 0
        True
    """
    named = os.environ.get(VARIABLE)
    name = named or "orchestrator/plan/prices.yaml"
    try:
        file = Path(named) if named else Path(__file__).with_name("prices.yaml")
        tree = load_yaml(file.read_text(encoding="utf-8"))
        entries = {str(part): dict(entry) for part, entry in (tree.get("gpus") or {}).items()}
        gpus = {part: float(entry["hour"]) for part, entry in entries.items()}
        peaks = {part: float(entry["tflops"]) for part, entry in entries.items() if "tflops" in entry}
        table = Prices(str(tree["date"]), str(tree.get("currency", "$")), float(tree["cpu_thread"]), gpus, peaks)
    except OSError as error:
        raise InputError(f"cannot read the table of prices '{name}': {error.strerror or error}") from error
    except Exception as error:
        raise InputError(
            f"the table of prices '{name}' must have date, cpu_thread and gpus: {{NAME: {{hour: price}}}}, in "
            "numbers: copy the one that ships and edit it"
        ) from error
    if min([table.cpu_thread, *gpus.values()]) < 0:
        raise InputError(f"the table of prices '{name}' must not hold a negative price")
    return table

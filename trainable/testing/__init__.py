"""Checks of methods, data sets and networks, one's own among them, for a test of three lines.

They run without Ray, in this process, on a few images, and take seconds. ``lnl-sweep check`` prints what they find.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainable.testing.datasets import check_dataset
    from trainable.testing.findings import Finding, assert_passes
    from trainable.testing.methods import check_method
    from trainable.testing.networks import check_network

_HOMES = {
    "Finding": "findings",
    "assert_passes": "findings",
    "check_dataset": "datasets",
    "check_method": "methods",
    "check_network": "networks",
}

__all__ = ["Finding", "assert_passes", "check_dataset", "check_method", "check_network"]


def __getattr__(name: str) -> Any:
    # The command that prints the findings needs no torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'trainable.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(f"trainable.testing.{_HOMES[name]}"), name)

"""Checks of methods, data sets and networks, one's own among them, for a test of three lines.

They run without Ray, in this process, on a few images, and take seconds. ``lnl-sweep check`` prints what they find.
"""

from __future__ import annotations

from trainable.testing.datasets import check_dataset
from trainable.testing.findings import Finding, assert_passes
from trainable.testing.methods import check_method
from trainable.testing.networks import check_network

__all__ = ["Finding", "assert_passes", "check_dataset", "check_method", "check_network"]

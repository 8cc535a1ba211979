"""Values of three methods at a weak and a strong bias, three seeds each, for figures that are computed by hand."""

from __future__ import annotations

ACCURACIES = {
    ("erm", 0.1): [0.88, 0.90, 0.86],
    ("erm", 0.02): [0.68, 0.66, 0.70],
    ("lnl", 0.1): [0.94, 0.92, 0.93],
    ("lnl", 0.02): [0.90, 0.92, 0.88],
    ("ceiling", 0.1): [0.96, 0.95, 0.955],
    ("ceiling", 0.02): [0.95, 0.96, 0.955],
}

"""The plotly.js that the report carries: the cartesian bundle, a third of the size of the one in plotly's package."""

from __future__ import annotations

from importlib import resources

_FILE = "vendor/plotly-cartesian.min.js"


def bundle() -> str:
    """Source of the minified cartesian bundle, its licence header included."""
    return resources.files("analysis.report").joinpath(_FILE).read_text("utf-8")

"""The plotly.js that the report carries: the cartesian bundle, a third of the size of the one in plotly's package."""

from __future__ import annotations

from pathlib import Path

_FILE = Path(__file__).parent / "vendor" / "plotly-cartesian.min.js"


def bundle() -> str:
    """Read the source of the minified cartesian bundle, its licence header included.

    Example:
        >>> "plotly" in bundle()[:500]
        True
    """
    return _FILE.read_text(encoding="utf-8")

"""The plotly.js that the report carries: the cartesian bundle, a third of the size of the one in plotly's package."""

from __future__ import annotations

import re
from pathlib import Path

_FILE = Path(__file__).parent / "vendor" / "plotly-cartesian.min.js"


def bundle() -> str:
    """Source of the minified cartesian bundle, its licence header included."""
    return _FILE.read_text(encoding="utf-8")


def bundle_version() -> str:
    """Version of plotly.js in the bundle, from its header."""
    found = re.search(r"plotly\.js \(cartesian - minified\) v(\d+\.\d+\.\d+)", bundle()[:400])
    return found[1] if found else ""

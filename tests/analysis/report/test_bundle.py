from __future__ import annotations

import re

from plotly.offline import get_plotlyjs, get_plotlyjs_version

from analysis.report.bundle import bundle


def test_the_bundle_is_of_the_version_the_python_package_writes_for() -> None:
    ours, theirs = re.search(r"plotly\.js \(cartesian - minified\) v(\d+)\.", bundle()[:400]), get_plotlyjs_version()
    assert ours is not None and ours[1] == theirs.split(".")[0], f"update the bundle to {theirs}: docs/report.md"


def test_it_is_the_small_one_with_its_licence() -> None:
    text = bundle()
    assert len(text) < 0.4 * len(get_plotlyjs())
    assert "Licensed under the MIT license" in text[:300]
    assert "</script" not in text

"""Draw the README's picture from the stored example: ``python tools/draw_readme_picture.py``.

Needs the ``dev`` extra and a Chrome or Chromium.
"""

from __future__ import annotations

from pathlib import Path

import analysis
from analysis.findings import gather

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "brain_phantom.png"
METHODS = ("ceiling", "repaint", "erm", "lnl", "permuted_bias")


def main() -> None:
    """Draw it."""
    findings = gather([analysis.example_folder()])
    rule, curve = findings.rules[0], findings.curve
    curve = curve[curve["label"].isin(METHODS) & (curve["bias_gamma"] == 0) & (curve["rule"] == rule)]
    (seeds,) = curve["n_seeds"].unique()
    figure = analysis.plot_accuracy_vs_bias(
        curve.assign(facet=""),
        title="Brain phantom: accuracy against the share of annotated training gliomas",
        note=f"synthetic slices, not patients; chosen by {rule}, {seeds} seeds (dots), 95 % bands over "
        f"{curve['band'].iloc[0]}",
        axis_title="share ρ of training gliomas with a red measurement line",
        metric="accuracy (test slices without annotation)",
        names=findings.names(),
    )
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", title_x=0.02)
    figure.write_image(PICTURE, width=1000, height=560, scale=2)
    print(PICTURE)


if __name__ == "__main__":
    main()

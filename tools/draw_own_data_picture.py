"""Draws the picture of docs/own_data.md by the page's own commands: ``python tools/draw_own_data_picture.py FOLDER``.

The images are made here: 16 bits, noise, a faint disc for the class and a bright line for the attribute. What lies in
FOLDER already is used again. Needs the ``dev`` extra and a Chrome or Chromium.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import analysis
from analysis.findings import gather

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "own_data.png"
PATIENTS, EACH, SIDE = 500, 3, 64
CLASSES, ATTRIBUTES = ("none", "pneumothorax"), ("no_drain", "drain")
ALIGNED = 0.8
CONTRAST, NOISE = 75, 120
"""Depth of the disc, and the standard deviation of a pixel, in units of the files."""


def main(folder: Path) -> None:
    """Write the images, run the commands, draw the picture."""
    command = Path(sys.executable).with_name("lnl-sweep")
    if not (folder / "labels.csv").exists():
        write(folder)
    if not (folder / "sweep.yaml").exists():
        subprocess.run([command, "init", "labels.csv", "-o", "sweep.yaml"], cwd=folder, check=True)
    subprocess.run([command, "run", "sweep.yaml", "--out", "results/xray"], cwd=folder, check=True)
    findings = gather([folder / "results" / "xray"])
    rule, curve = findings.rules[0], findings.curve
    curve = curve[curve["rule"] == rule]
    (seeds,) = curve["n_seeds"].unique()
    figure = analysis.plot_accuracy_vs_bias(
        curve,
        title="1,500 images of one's own: accuracy against the share of bias-aligned training images",
        note=f"made images, not patients; chosen by {rule}, {seeds} seeds (dots), 95 % bands over "
        f"{curve['band'].iloc[0]}",
        axis_title="share ρ of each class's training images that carry its own attribute",
        metric="accuracy without the association",
        names=findings.names(),
    )
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", title_x=0.02)
    figure.write_image(PICTURE, width=1000, height=560, scale=2)


def write(folder: Path) -> None:
    """Write the images and their table."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines, rng = ["path,label,bias,patient"], np.random.default_rng(0)
    for number in range(PATIENTS * EACH):
        patient = number // EACH
        label = patient % 2
        attribute = label if rng.random() < ALIGNED else 1 - label
        Image.fromarray(image(rng, label, attribute)).save(folder / "images" / f"{number:04}.png")
        lines.append(f"images/{number:04}.png,{CLASSES[label]},{ATTRIBUTES[attribute]},P{patient:03}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def image(rng: np.random.Generator, label: int, attribute: int) -> NDArray[np.uint16]:
    """One picture of 12 bits in 16: a disc somewhere in the upper half for the class, a line for the attribute."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    y, x = rng.uniform((14, 14), (SIDE / 2, SIDE - 14))
    pixels = 1500 + 6 * rows + rng.normal(0, NOISE, (SIDE, SIDE))
    pixels[(rows - y) ** 2 + (columns - x) ** 2 < 64] -= CONTRAST * label
    pixels[np.abs(rows - columns - 6) < 2] += 1800 * attribute
    return np.clip(pixels, 0, 4095).astype(np.uint16)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""``lnl-sweep data preview``: the contact sheet, end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from orchestrator import cli
from trainable.data.base import load_dataset
from trainable.data.samples import sample_index
from trainable.randomness import derive

OPTIONS = {"patients": 30, "slices": 2}


def places(sheet: NDArray[np.uint8], tile: NDArray[np.uint8]) -> set[tuple[int, int]]:
    """Top and left of every place where a picture stands, pixel for pixel."""
    middle = len(tile) // 2
    rows = sliding_window_view(sheet, tile.shape[1], axis=1)
    found = np.argwhere((rows == tile[middle].T).all(axis=(2, 3)))
    corners = [(int(y) - middle, int(x)) for y, x in found]
    return {(y, x) for y, x in corners if np.array_equal(sheet[y : y + len(tile), x : x + tile.shape[1]], tile)}


@pytest.mark.parametrize(
    ("words", "values"), [(["--rho", "1"], [1.0]), (["--bias", "rho=0,0.5,1", "--bias", "gamma=1"], [0.0, 0.5, 1.0])]
)
def test_a_row_for_each_class_and_a_column_for_each_strength(
    words: list[str], values: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "sheet.png"
    options = [word for name, value in OPTIONS.items() for word in ("--set", f"{name}={value}")]
    assert cli.main(["data", "preview", "brain_phantom", *words, *options, "--out", str(out)]) == 0
    sheet = np.asarray(Image.open(out))

    phantom = load_dataset("brain_phantom", **OPTIONS)
    index = sample_index(phantom, 3)
    assert phantom.labels()[index].tolist() == [0, 1, 2]
    gamma = 1.0 if len(words) > 2 else 0.0
    found: dict[tuple[int, int], set[tuple[int, int]]] = {}
    pictures = []
    for column, rho in enumerate(values):
        images = phantom.train_images({"rho": rho, "gamma": gamma}, derive("samples"), index, "biased").images
        for row, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
            pictures.append(image.tobytes())
            found[row, column] = places(sheet, image.repeat(2, axis=0).repeat(2, axis=1))
    # The same patients along a row, with more ink from column to column: 3 classes, and annotated ones differ.
    assert len(set(pictures)) == 3 + (len(values) > 1)
    tops, lefts = (sorted({place[axis] for own in found.values() for place in own}) for axis in (0, 1))
    assert (len(tops), len(lefts)) == (3, len(values))
    for (row, column), own in found.items():
        assert (tops[row], lefts[column]) in own
    # Above everything the line that says what these pictures are.
    assert (sheet[:16] < 128).any()


def test_a_data_set_without_a_note_has_no_line_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    heights = []
    for note in ("", "synthetic slices"):
        phantom = load_dataset("brain_phantom", **OPTIONS)
        monkeypatch.setattr(type(phantom), "note", note)
        out = tmp_path / f"{bool(note)}.png"
        options = [word for name, value in OPTIONS.items() for word in ("--set", f"{name}={value}")]
        assert cli.main(["data", "preview", "brain_phantom", "--rho", "1", *options, "--out", str(out)]) == 0
        heights.append(Image.open(out).height)
    assert heights[0] == heights[1] - 16


def test_a_sweep_file_gives_options_and_bias_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    axis = "{rho: [0, 0.5], gamma: 1}"
    dataset = f"{{name: brain_phantom, patients: 30, slices: 2, bias: {axis}}}"
    Path("s.yaml").write_text(f"dataset: {dataset}\nmethods: [erm]")
    options = [word for name, value in OPTIONS.items() for word in ("--set", f"{name}={value}")]
    by_name = ["brain_phantom", *options, "--bias", "gamma=1", "--bias", "rho=0,0.5"]
    for number, words in enumerate((by_name, ["s.yaml"], ["s.yaml", "--set", "patients=42"], ["s.yaml", "--rho", "1"])):
        assert cli.main(["data", "preview", *words, "--out", f"{number}.png"]) == 0
    sheets = [Path(f"{number}.png").read_bytes() for number in range(4)]
    assert sheets[0] == sheets[1] and len(set(sheets)) == 3

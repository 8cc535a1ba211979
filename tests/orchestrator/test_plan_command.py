"""``lnl-sweep plan``: of a finished sweep, of one that has not been run, and of what is neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli import main

TABLE = "with K seeds and P test patients"


def test_a_finished_sweep_is_measured(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(example)]) == 0
    text = capsys.readouterr().out
    assert "as measured" in text and "BORROWED" not in text
    assert "sd patients" in text and TABLE in text and "P = 99" in text


def test_a_sweep_file_borrows_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "dataset: {name: coloured_digits, bias: {color_variance: [0.02, 0.4]}}\n"
        "methods: [erm, lnl, grayscale]\nconfirm: {seeds: 4}\n"
    )
    assert main(["plan", str(file)]) == 0
    text = capsys.readouterr().out
    assert "BORROWED from the stored example" in text
    rows = [line.split() for line in text.splitlines() if line.strip().startswith(("lnl", "grayscale"))]
    assert len(rows) == 4 and all(row[5] == "4" for row in rows)
    # A method that the example has not run takes the components of lnl.
    assert all(" lnl at rho = " in line for line in text.splitlines() if line.strip().startswith(("lnl", "grayscale")))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("dataset: {name: coloured_digits, bias: {color_variance: [0.02]}}\nmethods: [erm]\n", "add a method"),
        ("dataset: {name: coloured_digit, bias: {color_variance: [0.02]}}\nmethods: [erm]\n", "coloured_digits"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, word: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    assert main(["plan", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and word in err


def test_a_folder_that_is_no_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(tmp_path)]) == 2
    assert "holds no sweep" in capsys.readouterr().err


@pytest.fixture(scope="module")
def example() -> Path:
    from analysis.examples import example_folder

    return example_folder()
